#!/usr/bin/env bash
# HAKMEM_LEAKS: a program that loses blocks is found out, with the functions that allocated
# them; one that does not is not; preloaded and linked statically, estimated and exact. And the
# file that the list goes to.
set -euo pipefail
# shellcheck source=tests/testing.sh
. "${HAKMEM_SOURCE_DIR:?run by CTest, which names the sources}/tests/testing.sh"

cat >"$work/leaky.c" <<'C'
#include <stdlib.h>
#include <string.h>
#define NOINLINE __attribute__((noinline))
void *volatile lost;
NOINLINE void allocate(size_t n)
{
	lost = malloc(n);
	memset(lost, 1, n);
}
NOINLINE void lose_small(void)
{
	for (int i = 0; i < 20000; i++)
		allocate(112);
}
NOINLINE void lose_large(void)
{
	for (int i = 0; i < 20; i++)
		allocate(1000000);
}
NOINLINE void lose_nothing(void)
{
	for (int i = 0; i < 5000; i++) {
		allocate(112 + i % 100 * 100);
		free(lost);
	}
}
int main(int argc, char **argv)
{
	(void)argv;
	lose_nothing();
	if (argc > 1) {
		lose_small();
		lose_large();
	}
	return 0;
}
C
flags=(-O1 -fno-omit-frame-pointer -fno-optimize-sibling-calls)
"${CC:-cc}" "${flags[@]}" -o "$work/leaky" "$work/leaky.c"
"${CC:-cc}" "${flags[@]}" -o "$work/static" -static "$work/leaky.c" "$static" -pthread

# run VARIABLES PROGRAM [leak]: what it says, in $work/out.
run() {
	local variables=$1 program=$2
	shift 2
	if [[ $program == static ]]; then
		# shellcheck disable=SC2086  # several variables; an emulator and its arguments
		env $variables ${EMULATOR:-} "$work/static" "$@" >"$work/out" 2>&1
	elif [[ -n ${EMULATOR:-} ]]; then
		# shellcheck disable=SC2086
		env $variables $EMULATOR -E LD_PRELOAD="$lib" "$work/leaky" "$@" >"$work/out" 2>&1
	else
		# shellcheck disable=SC2086
		env $variables LD_PRELOAD="$lib" "$work/leaky" "$@" >"$work/out" 2>&1
	fi || fail "$variables $program $*: $(cat "$work/out")"
}

# says PATTERN
says() {
	grep -Eq -- "$1" "$work/out" || fail "no '$1' in: $(cat "$work/out")"
}

# The frames of the entry whose sum is about what FUNCTION lost are those of its calls.
# within FUNCTION BYTES BLOCKS PERCENT
within() {
	awk -v function_name="$1" -v bytes="$2" -v blocks="$3" -v percent="$4" '
		function near(a, b) { return a >= b * (100 - percent) / 100 && a <= b * (100 + percent) / 100 }
		/^  [a-z0-9]/ { sub("about ", ""); b = $1; n = $4; through = "" }
		/^    0x/ { through = through $NF }
		index(through, "(allocate+") && index(through, "(" function_name "+") && index(through, "(main+") \
			&& near(b, bytes) && near(n, blocks) { found = 1 }
		END { exit !found }' "$work/out" || fail "no $2 bytes in $3 blocks by $1 in: $(cat "$work/out")"
}

for program in leaky static; do
	# 34 samples of the small ones on average: half and twice are 3 and 5 deviations away.
	run HAKMEM_LEAKS=1 $program leak
	says '^hakmem: process [0-9]+: live at exit: about [0-9]+ bytes in .* from [0-9]+ places?$'
	within lose_small $((20000 * 112)) 20000 75
	within lose_large 20000000 20 6
	run HAKMEM_LEAKS=1 $program
	says '^hakmem: process [0-9]+: nothing is live at exit, as far as samples show$'

	# Every block is a sample; sizes are those of classes.
	run "HAKMEM_LEAKS=$work/%p.$program HAKMEM_PROFILE=1" $program leak
	file=$(find "$work" -name "*.$program")
	[[ -f $file && $file != *%p* ]] || fail "no file in: $(ls "$work")"
	[[ $(stat -c %a "$file") == 600 ]] || fail "the list may be read by others"
	cp "$file" "$work/out"
	within lose_small $((20000 * 112)) 20000 0
	within lose_large 20000000 20 1

	run "HAKMEM_LEAKS=1 HAKMEM_CHECK=full" $program leak
	within lose_small $((20000 * 112)) 20000 0
	within lose_large 20000000 20 0
	run "HAKMEM_LEAKS=1 HAKMEM_CHECK=full" $program
	says '^hakmem: process [0-9]+: nothing is live at exit$'
done

run HAKMEM_LEAKS=0 leaky leak
[[ ! -s $work/out ]] || fail "it is off, and says: $(cat "$work/out")"

# What is there already stays as it is.
echo kept >"$work/there"
run "HAKMEM_LEAKS=$work/there" leaky leak
says 'there: what is live at exit cannot be listed there'
[[ $(cat "$work/there") == kept ]] || fail "a file was written over"
ln -s "$work/elsewhere" "$work/link"
run "HAKMEM_LEAKS=$work/link" leaky leak
says 'link: what is live at exit cannot be listed there'
[[ ! -e $work/elsewhere ]] || fail "a symbolic link was followed"

# Without symbols of its own the program's module and offset are there.
"${STRIP:-strip}" -o "$work/stripped" "$work/leaky" 2>/dev/null && mv "$work/stripped" "$work/leaky" && {
	run HAKMEM_LEAKS=1 leaky leak
	says '^    0x[0-9a-f]+ /.*/leaky\+0x[0-9a-f]+$'
}
echo "passed"
