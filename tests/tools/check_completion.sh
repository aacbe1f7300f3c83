#!/usr/bin/env bash
# The completions: of bash called as bash calls it, of zsh read by zsh where there is one; both know
# every command, and every knob that a person can set.
set -euo pipefail
# shellcheck source=tests/testing.sh
. "${HAKMEM_SOURCE_DIR:?run by CTest, which names the sources}/tests/testing.sh"

PATH=$(dirname "${HAKMEM_COMMAND:?run by CTest, which names the command}"):$PATH
export XDG_RUNTIME_DIR=/nonexistent

mapfile -t commands < <(sed -n 's/^	{ "\([a-z]*\)", command_.*/\1/p' "$source/tools/main.c")
mapfile -t knobs < <(sed -n 's/.*\.name = "\([a-z_]*\)".*/\1/p' "$source/src/common/knobs.c")
((${#commands[@]} > 7 && ${#knobs[@]} > 7)) || fail "found ${commands[*]}; ${knobs[*]}"

# shellcheck source=tools/completion/hakmem.bash
. "$source/tools/completion/hakmem.bash"

# completes "WORDS TYPED" OFFERED...: the last word is the one to complete; it may be empty.
completes() {
	local word
	IFS=' ' read -r -a COMP_WORDS <<<"$1"
	[[ $1 != *" " ]] || COMP_WORDS+=("")
	COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
	_hakmem || true
	shift
	for word in "$@"; do
		[[ " ${COMPREPLY[*]} " == *" $word "* ]] ||
			fail "'${COMP_WORDS[*]}': no $word in: ${COMPREPLY[*]:0:20}"
	done
}

cd "$source"
completes "hakmem " "${commands[@]}" --version
completes "hakmem help " "${commands[@]}"
completes "hakmem ad" advise
completes "hakmem ctl 1 set " "${knobs[@]}"
completes "hakmem ctl 1 profile " on off dump
completes "hakmem run -" --ace --profile --library
completes "hakmem run --library CM" CMakeLists.txt
completes "hakmem advise --p" --playbook
completes "hakmem advise --playbook CM" CMakeLists.txt
completes "hakmem advise --playbook FILE ca" cat
completes "hakmem run --report CM" CMakeLists.txt
completes "hakmem report --" --output --profile
completes "hakmem report --profile CM" CMakeLists.txt
completes "hakmem replay CM" CMakeLists.txt

for command in "${commands[@]}"; do
	grep -q "'$command:" tools/completion/_hakmem || fail "zsh: no $command"
	[[ $command == list ]] || [[ -e tools/man/hakmem-$command.1 ]] || fail "no man page of $command"
	grep -q "hakmem $command" docs/tools.md || fail "docs/tools.md does not name $command"
done
for knob in "${knobs[@]}"; do
	grep -qw "$knob" tools/completion/_hakmem || [[ $knob == diet_factor ]] || fail "zsh: no $knob"
done
if command -v zsh >/dev/null; then
	zsh -n tools/completion/_hakmem || fail "zsh does not take its completion"
else
	echo "no zsh here: its completion is searched for words, not read"
fi
echo "passed"
