#!/usr/bin/env bash
# The probes otel_memory:alloc and :free: readelf finds them in the shared library and in a
# statically linked program, each with its semaphore; and where there is a gdb, it stops at both
# in a program that was not told to take samples, and reads the arguments.
set -euo pipefail
# shellcheck source=tests/testing.sh
. "${HAKMEM_SOURCE_DIR:?run by CTest, which names the sources}/tests/testing.sh"

# That of GNU, which knows these notes; LLVM's does not at 14. It reads any machine's.
readelf=$(command -v readelf || echo "${READELF:-readelf}")

cat >"$work/prog.c" <<'C'
#include <stdlib.h>
void *volatile p;
int main(void)
{
	for (int i = 0; i < 100; i++) {
		p = malloc(5000000);
		free(p);
	}
	return 0;
}
C
"${CC:-cc}" -O1 -o "$work/prog" "$work/prog.c"
"${CC:-cc}" -O1 -static -o "$work/static" "$work/prog.c" "$static" -pthread

# has_probe FILE NAME ARGUMENTS: one at least, all of its notes good.
has_probe() {
	"$readelf" -n "$1" | awk -v name="$2" -v arguments="$3" '
		/Provider:/ { provider = $2 }
		/Name:/ { probe = $2 }
		/Location:/ {
			gsub(",", "")
			wrong = $2 ~ /^0x0*$/ || $4 ~ /^0x0*$/ || $6 ~ /^0x0*$/ || NF != 6
		}
		/Arguments:/ && provider == "otel_memory" && probe == name {
			found++
			for (i = 2; i <= NF; i++)
				if ($i !~ /^8@%?[a-z][a-z0-9]+$/)
					wrong = 1
			if (wrong || NF - 1 != arguments)
				bad++
		}
		END { exit !(found > 0 && bad == 0) }' ||
		fail "otel_memory:$2 with $3 arguments is not in $1: $("$readelf" -n "$1")"
}

for file in "$lib" "$work/static"; do
	has_probe "$file" alloc 3
	has_probe "$file" free 1
done

if [[ -n ${EMULATOR:-} ]] || ! command -v gdb >/dev/null; then
	echo "passed; not tried: a debugger at the probes, there is none for this machine here"
	exit 0
fi

# stop PROGRAM [COMMAND]: of gdb, before it starts.
stop() {
	local program=$1
	printf '%s\n' "${2:-}" >"$work/before"
	cat >"$work/commands" <<'GDB'
set breakpoint pending on
set debuginfod enabled off
break -probe-stap otel_memory:alloc
run
printf "alloc %lu %lu %d\n", $_probe_arg1, $_probe_arg2, $_probe_argc
set $block = $_probe_arg0
break -probe-stap otel_memory:free
continue
printf "free %d\n", $_probe_arg0 == $block
delete
continue
GDB
	gdb -nx -q -batch -x "$work/before" -x "$work/commands" "$program" >"$work/out" 2>&1 || true
	if grep -q 'ptrace: Operation not permitted\|Could not trace' "$work/out"; then
		echo "passed; not tried: a debugger at the probes, it may not trace here"
		exit 0
	fi
	# 5000000 of 524288 bytes: the probability is nearly 1, and a sample stands for itself.
	grep -Eq '^alloc 50[0-9]{5} 50[0-9]{5} 3$' "$work/out" || fail "alloc of $program: $(cat "$work/out")"
	grep -q '^free 1$' "$work/out" || fail "free of $program: $(cat "$work/out")"
	grep -q 'exited normally' "$work/out" || fail "$program did not end: $(cat "$work/out")"
}
stop "$work/static"
stop "$work/prog" "set environment LD_PRELOAD $lib"
echo "passed, at the probes too"
