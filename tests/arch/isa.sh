#!/usr/bin/env bash
# Machine code stays in src/arch: nothing else asks what it is compiled for or has
# instructions in it; in there only detect.h asks; a folder knows no other's; and a build
# holds the objects of its own folder and of generic, no others.
#
# usage: isa.sh MACHINE OBJECT;OBJECT;...
set -uo pipefail
shopt -s lastpipe # what none() finds out must not die with a subshell
# shellcheck source=tests/testing.sh
. "${HAKMEM_SOURCE_DIR:?run by CTest, which names the sources}/tests/testing.sh"
cd "$source" || exit 1
machine=$1
IFS=';' read -r -a objects <<<"$2"

# none WHAT: standard input, the offenders, must be empty.
none() {
	local found
	found=$(cat)
	[[ -z $found ]] || wrong "$1:"$'\n'"$found"
}

macros='__(x86_64|amd64|i[3-6]86|aarch64|arm|ARM_[A-Z0-9_]+|AARCH64[A-Z0-9_]*|riscv[a-z_]*|powerpc|s390x?|mips|SSE[A-Z0-9_]*|AVX[A-Z0-9_]*)(__)?\b|_M_(X64|AMD64|ARM64)'
headers='#include *<([a-z]*intrin|arm_[a-z]+|cpuid|cpuinfo_[a-z0-9]+)\.h>'
ours='HAK_ARCH_(X86_64|AARCH64)'

sources() { # FOLDER... [-not ...]: the C and C++ files
	find "$@" -regex '.*\.\(c\|h\|cc\)' -print0
}

sources src include tests benchmarks -not -path 'src/arch/*' |
	xargs -0 grep -nE "$macros|$headers" | none "the machine is asked for outside src/arch"
sources src include -not -path 'src/arch/*' |
	xargs -0 grep -nE "$ours" | none "a backend is told apart outside src/arch"
sources src/arch -not -name detect.h |
	xargs -0 grep -nE "$macros" | none "the compiler is asked outside detect.h"

# A template that is not empty is an instruction.
sources src include -not -path 'src/arch/*' | while IFS= read -r -d '' file; do
	tr -s ' \t\n' ' ' <"$file" | grep -oE '(__asm__|\basm)( volatile| __volatile__)? ?\( ?"[^"].{0,40}' |
		sed "s|^|$file: |"
done | none "instructions outside src/arch"

for folder in src/arch/*/; do
	name=$(basename "$folder")
	grep -rnE '#include "arch/[a-z0-9_]+/' "$folder" | grep -v "\"arch/$name/" |
		none "$name includes another backend"
done

backends=0
for object in "${objects[@]}"; do
	[[ $object =~ /arch/([^/]+)/[^/]*\.o$ ]] || continue
	case ${BASH_REMATCH[1]} in
	generic) ;;
	"$machine") backends=$((backends + 1)) ;;
	*) wrong "an object of another backend: $object" ;;
	esac
done
if [[ $machine != generic ]] && ((backends == 0)); then
	wrong "no object of src/arch/$machine among ${#objects[@]}"
fi

# One machine's code in all objects, by what their headers say.
kinds=$(for object in "${objects[@]}"; do
	[[ -f $object ]] && "$READELF" -h "$object"
done | sed -n 's/^ *Machine: *//p' | sort -u)
[[ $(wc -l <<<"$kinds") == 1 && -n $kinds ]] || wrong "objects are for: ${kinds:-nothing}"
case $machine in
x86_64) [[ $kinds == *X86-64* ]] || wrong "objects for $kinds" ;;
aarch64) [[ $kinds == *AArch64* ]] || wrong "objects for $kinds" ;;
esac

printf '   %d objects of %s, %d of the backend: %s\n' "${#objects[@]}" "$machine" "$backends" "$kinds"
exit $failed
