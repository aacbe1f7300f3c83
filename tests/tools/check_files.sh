#!/usr/bin/env bash
# The command `hakmem` on files: traces replayed, playbooks as advice; whole ones, damaged ones,
# and ones made to mislead.
set -euo pipefail
# shellcheck source=tests/testing.sh
. "${HAKMEM_SOURCE_DIR:?run by CTest, which names the sources}/tests/testing.sh"

golden=$source/tests/ace/golden.trace

lines_are() {
	[[ $(wc -l <"$work/out") == "$1" ]] || fail "$(wc -l <"$work/out") lines, not $1: $(cat "$work/out")"
}

if [[ ${HAKMEM_WITH_ACE:-1} == 0 ]]; then
	expect 1 'without ACE' tool replay "$golden"
	expect 1 'without ACE' tool advise --playbook "$golden"
	echo "passed: this build is without ACE"
	exit 0
fi

# ---- traces

decisions=$(grep -c '^decision ' "$golden")
expect 0 "^$decisions decisions reproduced" tool replay "$golden"
lines_are $((decisions + 1))
expect 0 'Huge pages: 1 → 2 (trial)' tool replay "$golden"

at=$(grep -n '^decision ' "$golden" | sed -n '20s/:.*//p')
sed "${at}s/\$/0/" "$golden" >"$work/differs"
expect 1 "line $at: decision 20 differs" tool replay "$work/differs"
grep -q '^  recorded: decision .*0$' "$work/out" || fail "what was recorded is not shown"
grep -q '^  made now: decision ' "$work/out" || fail "what was made is not shown"
[[ $(grep -c ' s  ' "$work/out") == 19 ]] || fail "19 decisions are the same"
sed "${at}d" "$golden" >"$work/lacks"
expect 1 "line $at: decision 20 differs" tool replay "$work/lacks"
sed "${at}p" "$golden" >"$work/more"
expect 1 'made now: none' tool replay "$work/more"
head -c 20000 "$golden" >"$work/cut"
expect 1 'cut off in line' tool replay "$work/cut"
sed '30s/ [0-9]* / x /' "$golden" >"$work/damaged"
expect 1 'line 30: a number is missing' tool replay "$work/damaged"
sed '1s/[0-9]*$/999/' "$golden" >"$work/version"
expect 1 'a trace of another version' tool replay "$work/version"
sed "${at}s/.*/decision \x1b[31m/" "$golden" >"$work/escape"
expect 1 'recorded: decision ?\[31m' tool replay "$work/escape"
: >"$work/empty"
expect 1 'no trace of ACE' tool replay "$work/empty"
expect 1 'no plain file' tool replay "$work"
expect 1 'No such file' tool replay "$work/none"
expect 2 'one trace file' tool replay

# ---- playbooks

# seal FILE: the header and the checksum around its lines.
seal() {
	local hash=$((0xcbf29ce484222325)) c
	{
		echo 'hakmem-playbook 1'
		cat "$1"
	} >"$work/sealed"
	while read -r c; do
		hash=$(((hash ^ c) * 0x100000001b3))
	done < <(od -An -v -t u1 -w1 "$work/sealed")
	printf 'checksum %016x\n' "$hash" >>"$work/sealed"
	mv "$work/sealed" "$1"
}

cat >"$work/one" <<'TEXT'
learnt web.server.m14.t3.r1 purge_delay_ms 1 12000000 9000000
learnt web.server.m14.t3.r1 no_such_knob 1 12000000 9000000
adopt web.server.m14.t3.r1 purge_delay_ms 10
adopt web.server.m14.t3.r1 huge_pages 2
adopt web.server.m14.t3.r1 diet_factor 75
adopt web.server.m14.t3.r1 bundle_width 33
TEXT
cp "$work/one" "$work/book"
seal "$work/book"
expect 0 '^export HAKMEM_PURGE_DELAY_MS=10$' tool advise --playbook "$work/book"
grep -q '^export HAKMEM_HUGE_PAGES=always$' "$work/out" || fail "a value in words is missing"
grep -q 'diet_factor is at 75' "$work/out" || fail "the diet is not named"
grep -q '# web.server, with 256.*MiB to 1.*GiB live, 8 to 15 heaps, .*12 trials' "$work/out" ||
	fail "the title is wrong: $(head -n 1 "$work/out")"
lines_are 4
sh -eu -c '. "$1"; test "$HAKMEM_PURGE_DELAY_MS" = 10' sh "$work/out" || fail "a shell cannot use it"
expect 0 '^export' tool advise -b "$work/book" /usr/sbin/web.server
expect 1 "nothing of 'other'; it knows:" tool advise --playbook "$work/book" other
expect 1 "nothing of 'web'" tool advise --playbook "$work/book" web

{
	cat "$work/one"
	echo 'adopt web.server.m3.t0.r0 purge_delay_ms 0'
	echo 'learnt cat.m3.t0.r0 purge_delay_ms 0 1000000 1000000'
} >"$work/several"
seal "$work/several"
expect 0 '# 3 kinds of work' tool advise --playbook "$work/several"
! grep -q '^export' "$work/out" || fail "settings of several kinds of work are all in force"
grep -q '^#export HAKMEM_PURGE_DELAY_MS=0' "$work/out" || fail "the second kind is missing"
expect 0 'nothing to set' tool advise --playbook "$work/several" cat

: >"$work/nothing"
seal "$work/nothing"
expect 0 'nothing has been learnt' tool advise --playbook "$work/nothing"
# shellcheck disable=SC2016
printf 'adopt $(touch x)\033[31m.m1.t1.r1 purge_delay_ms 0\nadopt .m1 x\nadopt\n' >"$work/hostile"
seal "$work/hostile"
expect 0 '' tool advise --playbook "$work/hostile"
! grep -q '^[^#]' "$work/out" || fail "a line that is not of ours: $(cat "$work/out")"
! grep -q $'\033' "$work/out" || fail "a terminal would obey this"
sed 's/10$/11/' "$work/book" >"$work/changed"
expect 1 'changed: its checksum is wrong' tool advise --playbook "$work/changed"
lines_are 1
expect 1 'not a playbook' tool advise --playbook "$work/cut"
lines_are 1
expect 1 'No such file' tool advise --playbook "$work/none"
expect 2 'one process or program' tool advise --playbook "$work/book" a b
expect 2 'hakmem help advise' tool advise --playbook
echo "passed"
