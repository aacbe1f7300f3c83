#!/usr/bin/env bash
# A/B of the fragmentation stress: hakmem with ACE off and with ACE on, in turn
# (A B A B ...), and the C library's malloc beside them. Prints the median of each
# and the ratios.
#
#   bash benchmarks/scripts/stress/run_fragmentation_stress.sh [rounds] [--key=value ...]
#
# rounds: default 5. The rest goes to the program. The build folder is
# $HAKMEM_BUILD_DIR, else build/release. Settings of ACE in the environment
# (HAKMEM_ACE_FAST_INTERVAL_MS and so on) hold for the run with ACE on;
# HAKMEM_ACE_ENABLED itself is set here, to 0 and to 1.
set -euo pipefail

fail() {
	echo "run_fragmentation_stress: $*" >&2
	exit 1
}

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../../.." && pwd)
build=${HAKMEM_BUILD_DIR:-$root/build/release}
rounds=5
if [[ ${1:-} =~ ^[0-9]+$ ]]; then
	rounds=$1
	shift
fi
((rounds >= 1)) || fail "rounds must be at least 1"

plain=$build/bench_fragment_stress
hakx=$build/bench_fragment_stress_hakx
[[ -x $hakx ]] || fail "no $hakx: build first (cmake --preset release && cmake --build --preset release) or set HAKMEM_BUILD_DIR"
[[ -x $plain ]] || fail "no $plain"

results=$(mktemp -d)
trap 'rm -rf "$results"' EXIT

# one NAME COMMAND...: a run; appends "M-ops/s peak-KiB minor-faults" to NAME's list.
one() {
	local name=$1 line
	shift
	line=$("$@" | grep '^{' | tail -n 1) || fail "failed: $*"
	sed -E 's/.*"mops":([0-9.]+),"peak_rss_kib":([0-9]+).*"minor_faults":([0-9]+).*/\1 \2 \3/' \
		<<<"$line" >>"$results/$name"
	printf '  %-8s %8.2f M ops/s  %8.1f MiB peak\n' "$name" \
		"$(tail -n 1 "$results/$name" | cut -d' ' -f1)" \
		"$(tail -n 1 "$results/$name" | awk '{ print $2 / 1024 }')"
}

# median NAME COLUMN
median() {
	cut -d' ' -f"$2" "$results/$1" | sort -g | awk '{ v[NR] = $1 }
		END { print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'
}

echo "fragmentation stress, $rounds rounds, ACE off and on in turn ($build)"
for ((i = 1; i <= rounds; i++)); do
	echo "round $i"
	one ace-off env HAKMEM_ACE_ENABLED=0 "$hakx" --json "$@"
	one ace-on env HAKMEM_ACE_ENABLED=1 "$hakx" --json "$@"
	one glibc "$plain" --json "$@"
done

echo
printf '%-10s %12s %12s %14s %10s\n' median 'M ops/s' 'peak MiB' 'minor faults' 'vs glibc'
base=$(median glibc 1)
for name in ace-off ace-on glibc; do
	awk -v n="$name" -v m="$(median "$name" 1)" -v r="$(median "$name" 2)" \
		-v f="$(median "$name" 3)" -v b="$base" \
		'BEGIN { printf "%-10s %12.2f %12.1f %14d %9.2fx\n", n, m, r / 1024, f, m / b }'
done
awk -v on="$(median ace-on 1)" -v off="$(median ace-off 1)" \
	'BEGIN { printf "ACE on / ACE off: %.2fx\n", on / off }'
