#!/usr/bin/env bash
# Makes the Debian package and looks into it: right architecture, the files at their
# places, nothing that is not meant for users. Then uses it as it would be installed: the command finds
# its library, and programs run on it.
set -euo pipefail
# shellcheck source=tests/testing.sh
. "${HAKMEM_SOURCE_DIR:?run by CTest, which names the sources}/tests/testing.sh"

readelf=${READELF:-readelf}
cpack=$(dirname "$(command -v "${CMAKE:-cmake}")")/cpack

command -v dpkg-deb >/dev/null || skip "no dpkg-deb here"

"$cpack" --config "$build/CPackConfig.cmake" -G DEB -B "$work" >"$work/log" 2>&1 || {
	cat "$work/log"
	fail "cpack"
}
deb=$(find "$work" -maxdepth 1 -name '*.deb')
[[ -f $deb ]] || fail "cpack made no package, or several: $deb"

machine=$("$readelf" -h "$lib" | sed -n 's/^ *Machine: *//p')
case $machine in
*X86-64*) expected=amd64 ;;
AArch64) expected=arm64 ;;
RISC-V) expected=riscv64 ;;
*) fail "what Debian architecture is '$machine'?" ;;
esac
found=$(dpkg-deb -f "$deb" Architecture)
[[ $found == "$expected" ]] || fail "Architecture is $found, the library is for $expected"

dpkg-deb -x "$deb" "$work/root"
for name in libhakmem.so libhakmem.so.0 libhakmem.a hakmem.pc hakmem-config.cmake hakmem.h copyright hakmem hakmem.1 hakmem-run.1 _hakmem; do
	[[ -n $(find "$work/root/usr" -name "$name") ]] || fail "the package has no $name"
done
stray=$(find "$work/root" -type f -perm /ug+s)
[[ -z $stray ]] || fail "set-id files: $stray"
lib=$(find "$work/root/usr" -name 'libhakmem.so.0.*')
# LLVM's strip, which goes with its readelf, takes them away.
[[ $readelf == *llvm* ]] || "$readelf" -n "$lib" | grep -q 'note.stapsdt' || fail "the library has lost its probes"

# --- as installed; where programs are emulated, the command and what it starts are

cat >"$work/prog.c" <<'C'
#include <stdio.h>
#include <stdlib.h>
int main(void)
{
	void *volatile p = malloc(100000);
	free(p);
	puts("works");
	return 7;
}
C
"${CC:-cc}" -O1 -o "$work/prog" "$work/prog.c"
hakmem=$work/root/usr/bin/hakmem
export XDG_RUNTIME_DIR=$work
unset HAKMEM_LIBRARY

# shellcheck disable=SC2206  # the emulator and its arguments
emulator=(${EMULATOR:-})
expect 0 'Usage: hakmem COMMAND' "${emulator[@]}" "$hakmem" --help
expect 0 "^ok *library *$work/root/usr" "${emulator[@]}" "$hakmem" doctor "$work/prog"
expect 0 'preloading works' "${emulator[@]}" "$hakmem" doctor "$work/prog"
# An emulated command cannot start a program of its own kind: the emulator is what it starts.
expect 7 'at its exit' "${emulator[@]}" "$hakmem" run -- "${emulator[@]}" "$work/prog"
grep -q '^works$' "$work/out" || fail "the program's own words are missing: $(cat "$work/out")"

completion=$(find "$work/root/usr" -path '*bash-completion*' -name hakmem)
words=$(bash -c 'source "$1"; COMP_WORDS=(hakmem run --le); COMP_CWORD=2; _hakmem; echo "${COMPREPLY[@]}"' bash "$completion")
[[ $words == --leaks ]] || fail "bash completes 'hakmem run --le' to '$words'"
echo "passed: $(basename "$deb"), $(stat -c %s "$deb") bytes, $(find "$work/root" -type f | wc -l) files"
