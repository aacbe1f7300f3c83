#!/usr/bin/env bash
# ACE as docs/ace.md tells a user to try it: the commands as they are written there, and what they print to the
# letter, numbers aside.
set -uo pipefail
export LC_ALL=C
program=./bench_fragment_stress_hakx
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$HAKMEM_BINARY_DIR" || exit 1
failed=0

fail() {
	printf '   FAILED: %s\n' "$*"
	failed=1
}

# ---- an A/B by hand

HAKMEM_ACE_ENABLED=0 $program >"$work/baseline.txt" 2>"$work/said" || fail "with ACE off: status $?"
HAKMEM_ACE_ENABLED=1 $program >"$work/ace_on.txt" 2>>"$work/said" || fail "with ACE on: status $?"
[[ ! -s $work/said ]] || fail "without a log level it said: $(head -n 5 "$work/said")"
shape() { sed -E 's/[0-9]+(\.[0-9]+)?(e[-+]?[0-9]+)?/N/g; s/ +/ /g' "$1"; }
[[ $(wc -l <"$work/baseline.txt") -gt 10 ]] || fail "with ACE off it printed: $(cat "$work/baseline.txt")"
diff <(shape "$work/baseline.txt") <(shape "$work/ace_on.txt") || fail "other lines with ACE on"

# ---- the A/B by the script

(
	export HAKMEM_ACE_ENABLED=1
	export HAKMEM_ACE_FAST_INTERVAL_MS=500
	export HAKMEM_ACE_SLOW_INTERVAL_S=30
	export HAKMEM_BUILD_DIR=$HAKMEM_BINARY_DIR
	cd "$HAKMEM_SOURCE_DIR" && bash benchmarks/scripts/stress/run_fragmentation_stress.sh
) >"$work/script" 2>"$work/said" || fail "the script: status $?"
[[ ! -s $work/said ]] || fail "the script said: $(head -n 5 "$work/said")"
for line in 'ace-off +[0-9]+\.[0-9]+ +[0-9.]+ +[0-9]+ +[0-9.]+x' 'ace-on +[0-9]+\.[0-9]+ +[0-9.]+ +[0-9]+ +[0-9.]+x' \
	'ACE on / ACE off: [0-9]+\.[0-9]+x'; do
	[[ $(grep -cxE "$line" "$work/script") == 1 ]] || fail "no line '$line' by the script: $(tail -n 5 "$work/script")"
done

# ---- the log

ratio='(n/a|[01]\.[0-9]{2})'
reason='\([a-zA-Z][a-zA-Z: ]+\)'
cat >"$work/forms" <<FORMS
hakmem: counters: .+ \(error [0-9]+\); next source: (perf_fd|software|none)
\[ACE\] Started: a step every 10 ms, LLC misses from: (user|perf_fd|software|none)
\[ACE\] Fast loop: reward=$ratio, llc_miss=$ratio, backlog=[0-9]+
\[ACE\] Slow loop: fragmentation=$ratio, rss_mb=[0-9]+, pressure=$ratio
\[ACE\] Adjusting TLS cap\[[0-9]+\]: [0-9]+ → [0-9]+ \(diet factor=(0\.50|0\.66|0\.75|0\.90|1\.00)\)
\[ACE\] Adjusting TLS cap\[[0-9]+\]: (4|8|16|32|64) → (4|8|16|32|64) $reason
\[ACE\] Drain threshold\[[0-9]+\]: (32|64|128|256|512) → (32|64|128|256|512) $reason
\[ACE\] Partial release pages: [1248] → [1248] $reason
\[ACE\] Bundle width: (16|32|64|128) → (16|32|64|128) $reason
\[ACE\] (Purge delay|Huge pages|NT copy threshold|Huge block cache|Idle delay): [0-9]+ → [0-9]+ $reason
\[ACE\] Scavenge: up to 5 ms $reason
\[ACE\] To pin what was learnt: [A-Z_0-9= ]+
FORMS

# logged WHAT [NAME=VALUE]...: some 400 steps at level 2, the log in $work/said.
logged() {
	local what=$1
	shift
	env HAKMEM_ACE_ENABLED=1 HAKMEM_ACE_LOG_LEVEL=2 HAKMEM_ACE_FAST_INTERVAL_MS=10 HAKMEM_ACE_SLOW_INTERVAL_S=1 \
		HAKMEM_ACE_MAX_CPU_PERCENT=100 HAKMEM_ACE_MAX_P99_LAT_NS=2000000000 "$@" \
		$program --rounds=10 >"$work/ace_on.txt" 2>"$work/said" || fail "$what: status $?"
	grep -vxEf "$work/forms" "$work/said" >"$work/others" && fail "$what: lines of another form: $(head -n 5 "$work/others")"
}

logged "all knobs free"
for line in 'Started: ' 'Fast loop: reward=[01]' 'Slow loop: '; do
	grep -qE "^\[ACE\] $line" "$work/said" || fail "no line '$line' in the log: $(head -n 5 "$work/said")"
done
# With the others given, the diet is what is left to try.
logged "the diet" HAKMEM_HUGE_PAGES=filling HAKMEM_PURGE_DELAY_MS=500 HAKMEM_PARTIAL_RELEASE_PAGES=1 \
	HAKMEM_BUNDLE_WIDTH=32 HAKMEM_TCACHE_CAPACITY=32 HAKMEM_DRAIN_THRESHOLD=64 HAKMEM_NT_THRESHOLD=50
grep -qxF '[ACE] Adjusting TLS cap[0]: 32 → 28 (diet factor=0.90)' "$work/said" ||
	fail "the diet was not tried: $(grep -v 'loop:' "$work/said" | head -n 5)"

# ---- values that are none

said_about() {
	local name=$1 value=$2 range=$3
	env "$name=$value" $program --quick --objects=1000 >/dev/null 2>"$work/said" || fail "$name=$value: status $?"
	[[ $(cat "$work/said") == "hakmem: $name=$value: wanted a number from $range; the default is used" ]] ||
		fail "$name=$value: it said: $(cat "$work/said")"
}

said_about HAKMEM_ACE_ENABLED 2 '0 to 1'
said_about HAKMEM_ACE_FAST_INTERVAL_MS 9 '10 to 60000'
said_about HAKMEM_ACE_SLOW_INTERVAL_S 30s '1 to 3600'
said_about HAKMEM_ACE_LOG_LEVEL debug '0 to 2'
said_about HAKMEM_ACE_MAX_P99_LAT_NS -1 '1000 to 2147483647'
said_about HAKMEM_ACE_MAX_RSS_MB 0 '1 to 2147483647'
said_about HAKMEM_ACE_MAX_CPU_PERCENT 101 '1 to 100'

# ---- a guard: once, at any log level

HAKMEM_ACE_ENABLED=1 HAKMEM_ACE_FAST_INTERVAL_MS=10 HAKMEM_ACE_MAX_RSS_MB=1 $program --rounds=3 >/dev/null 2>"$work/said" ||
	fail "stopped by a guard: status $?"
grep -qxE '\[ACE\] Stopped: resident memory [0-9]+ MB is above the limit of 1 \(HAKMEM_ACE_MAX_RSS_MB\); every knob is back at its default' \
	"$work/said" || fail "the guard said: $(cat "$work/said")"
[[ $(wc -l <"$work/said") == 1 ]] || fail "stopped by a guard: more than one line: $(head -n 5 "$work/said")"

exit $failed
