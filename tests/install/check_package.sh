#!/usr/bin/env bash
# Makes the Debian package and looks into it: right architecture, the files at their
# places, nothing that is not meant for users.
set -euo pipefail

build=${HAKMEM_BINARY_DIR:?run by CTest, which names the build}
lib=${HAKMEM_SHARED_LIB:?run by CTest, which names the library}
readelf=${READELF:-readelf}
cpack=$(dirname "$(command -v "${CMAKE:-cmake}")")/cpack
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

fail() {
	echo "FAILED: $*"
	exit 1
}

if ! command -v dpkg-deb >/dev/null; then
	echo "skipped: no dpkg-deb here"
	exit 77
fi

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
echo "passed: $(basename "$deb"), $(stat -c %s "$deb") bytes, $(find "$work/root" -type f | wc -l) files"
