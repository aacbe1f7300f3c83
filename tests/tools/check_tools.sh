#!/usr/bin/env bash
# The command `hakmem` as a user has it: programs run on the library, looked at and
# commanded while they live. Where programs are emulated, those of its commands that
# start no program.
set -euo pipefail
# shellcheck source=tests/testing.sh
. "${HAKMEM_SOURCE_DIR:?run by CTest, which names the sources}/tests/testing.sh"

hakmem=${HAKMEM_COMMAND:?run by CTest, which names the command}
export HAKMEM_LIBRARY=$lib XDG_RUNTIME_DIR=$work
victim=
runner=
# The runner passes it on. Either may be missing.
# shellcheck disable=SC2086
clean_up() {
	kill -CONT $victim $runner 2>/dev/null || true
	kill $victim $runner 2>/dev/null || true
}

cat >"$work/victim.c" <<'C'
#include <stdlib.h>
#include <unistd.h>
int main(void)
{
	static void *p[1000];
	for (int i = 0; i < 600; i++) { /* 30 s at most */
		for (int k = 0; k < 1000; k++)
			p[k] = realloc(p[k], 100);
		usleep(50000);
	}
	return 0;
}
C
"${CC:-cc}" -O1 -o "$work/victim" "$work/victim.c"
"${CC:-cc}" -O1 -static -o "$work/static" "$work/victim.c"

expect 0 'hakmem 0' tool --version
expect 2 'Usage' tool
expect 2 "no command 'nonsense'" tool nonsense
expect 0 'Usage: hakmem ctl' tool help ctl
expect 1 'linked statically' tool doctor "$work/static"
expect 0 'preloading works' tool doctor "$work/victim"
expect 3 'no process of yours' tool top
expect 3 'there is no process' tool top 2147483647
expect 2 'no process number' tool top nonsense

if [[ -n ${EMULATOR:-} ]]; then
	# shellcheck disable=SC2086
	HAKMEM_STATS_PAGE=1 ${EMULATOR} -E LD_PRELOAD="$HAKMEM_LIBRARY" "$work/victim" &
	victim=$!
else
	expect 7 'hakmem: sh' "$hakmem" run -- sh -c 'exit 7'
	expect 143 'hakmem: sh' "$hakmem" run -- sh -c 'kill -TERM $$'
	expect 127 'no such program' "$hakmem" run no-such-program
	expect 2 'NAME=VALUE' "$hakmem" run -o nonsense true
	(cd "$work" && expect 0 'hakmem: bash' "$hakmem" run --leaks=leaks.txt -- bash -c 'cd /')
	grep -q 'at exit' "$work/leaks.txt" || fail "no list of what is live at exit"
	"$hakmem" run -q -o purge_delay_ms=100 -- "$work/victim" &
	runner=$!
	victim=$(process_of victim)
fi
for ((i = 0; i < 200; i++)); do
	[[ -n $victim && -e $work/hakmem.$victim ]] && break
	sleep 0.05
done
[[ -e $work/hakmem.$victim ]] || fail "process $victim shows no page"
[[ $(stat -c %a "$work/hakmem.$victim") == 600 ]] || fail "the page may be read by others"
sleep 0.7

expect 0 'tcache_capacity=64' tool top -n 1 "$victim"
expect 0 "$victim .*victim\|$victim .*qemu" tool list
expect 0 'done' tool ctl "$victim" set bundle_width 64
expect 0 'bundle_width=64' tool top -n 1 "$victim"
expect 0 'hakmem ctl' tool top -n 1 "$victim"
expect 0 'HAKMEM_BUNDLE_WIDTH=64' tool advise "$victim"
expect 2 'no value of it' tool ctl "$victim" set bundle_width 65
expect 2 'no knob' tool ctl "$victim" set nonsense 1
expect 0 'given back' tool ctl "$victim" purge
expect 0 'hakmem_live_bytes{pid="'"$victim" tool export "$victim"
expect 0 '# EOF' tool export --openmetrics "$victim"
tool export -o "$work/metrics.prom"
expect 1 'no plain file' tool export -o /dev/null
[[ -c /dev/null ]] || fail "/dev/null is replaced"
if command -v promtool >/dev/null; then
	promtool check metrics <"$work/metrics.prom" >"$work/out" 2>&1 || fail "promtool: $(cat "$work/out")"
else
	echo "no promtool here: the form of the metrics is not checked"
fi

# A page of another build is refused, and so is a damaged one.
kill -STOP "$victim"
sleep 0.1
cp "$work/hakmem.$victim" "$work/copy"
printf '\377' | dd of="$work/hakmem.$victim" bs=1 seek=8 conv=notrunc status=none
expect 4 'another build' tool top -n 1 "$victim"
dd if="$work/copy" of="$work/hakmem.$victim" conv=notrunc status=none
printf 'xxxxxxxx' | dd of="$work/hakmem.$victim" bs=1 conv=notrunc status=none
expect 1 'damaged' tool top -n 1 "$victim"
dd if="$work/copy" of="$work/hakmem.$victim" conv=notrunc status=none
kill -CONT "$victim"

kill "$victim"
if [[ -z ${EMULATOR:-} ]]; then
	rc=0
	wait "$runner" || rc=$?
	[[ $rc == 143 ]] || fail "hakmem run ended with $rc, its program by SIGTERM"
	[[ ! -e $work/hakmem.$victim ]] || fail "the page was left behind"
else
	wait "$victim" || true
	tool list >/dev/null || true
	[[ ! -e $work/hakmem.$victim ]] || fail "list leaves the page of a dead process"
fi
victim=
echo "passed"
