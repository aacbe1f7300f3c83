#!/bin/bash
# Debian's arm64 bash, perl, python3 and sqlite3 under qemu-aarch64, with and without LIB preloaded: their outputs must be
# the same, byte for byte.
#
#   aarch64_programs.sh LIB [QEMU-WORD...]
#
# LIB is the aarch64 library. The QEMU-WORDs are the emulator with its options (default: qemu-aarch64 -L
# /usr/aarch64-linux-gnu). The packages of packages.txt are fetched with apt-get download and unpacked in the work
# folder; nothing is installed. If they cannot be had, the test is skipped.
#
# The loader's own trace of the compared run (LD_DEBUG=bindings) proves that the program took malloc from LIB.
set -euo pipefail
here=$(dirname -- "$(realpath -- "$0")")
# shellcheck source=tests/conformance/common.sh
. "$here/common.sh"

lib=$(library_argument "$@")
shift
emulator=("$@")
[ ${#emulator[@]} -gt 0 ] || emulator=(qemu-aarch64 -L /usr/aarch64-linux-gnu)
command -v "${emulator[0]}" >/dev/null || skip "no ${emulator[0]} (Debian package qemu-user)"
loader=/usr/aarch64-linux-gnu/lib/ld-linux-aarch64.so.1
[ -e "$loader" ] || skip "no $loader (Debian package libc6-arm64-cross)"
work=$(work_folder aarch64-programs)
root=$work/root

fetch() {
	local packages
	[ -f "$root/.complete" ] && cmp -s "$here/packages.txt" "$root/.complete" && return
	dpkg --print-foreign-architectures 2>/dev/null | grep -qx arm64 ||
		skip 'the packages of arm64 are unknown here (dpkg --add-architecture arm64; apt-get update)'
	mapfile -t packages < <(grep -E ':arm64$' "$here/packages.txt")
	rm -rf "$root" "$work/packages"
	mkdir -p "$root" "$work/packages"
	say "fetching ${#packages[@]} packages of arm64"
	(
		cd "$work/packages"
		apt-get -q download "${packages[@]}" >download.log 2>&1
	) || skip "apt-get download failed: $(grep -m1 '^E:' "$work/packages/download.log" || echo see "$work/packages/download.log")"
	for package in "$work"/packages/*.deb; do
		dpkg -x "$package" "$root"
	done
	cp "$here/packages.txt" "$root/.complete"
}

fetch
libraries=$root/lib/aarch64-linux-gnu:$root/usr/lib/aarch64-linux-gnu
rm -rf "$work/cases"
mkdir -p "$work/cases" "$work/trace"
cd "$work/cases"

# --- the programs' inputs -------------------------------------------------------------------------------------------

cat >bash.script <<'END'
declare -A count
declare -a list
state=4711
for ((i = 0; i < 4000; i++)); do
	state=$(((state * 16807) % 2147483647))
	word=w$((state % 500))
	count[$word]=$((${count[$word]:-0} + state % 97))
	list+=("${word^^}:$i")
done
for k in "${!count[@]}"; do echo "$k ${count[$k]}"; done | while read -r k v; do sorted[${k#w}]=$v; echo "$k=$v"; done >/dev/null
for ((i = 0; i < 500; i++)); do echo "w$i ${count[w$i]:-none}"; done
text=; for k in "${list[@]}"; do text+=${k//W/vv}; [[ $k =~ :([0-9]+)$ ]] && sum=$((sum + BASH_REMATCH[1])); done
echo "${#text} $sum ${text:1000:60}"
x=$(for i in {1..300}; do printf '%s,' "$((i * i))"; done); echo "$x"
(exit 7) & wait $!; echo $?
END

cat >perl.script <<'END'
use strict; use warnings;
my ($state, %count, %deep, @list) = (4711);
sub next_random { $state = ($state * 16807) % 2147483647; return $state % $_[0] }
for my $i (1 .. 20000) {
	my $word = 'k' . next_random(3000);
	$count{$word}++; push @{$deep{$word}{next_random(50)}}, $i;
	push @list, "$word-$i" x (1 + next_random(8));
}
print "$_ $count{$_} ", join(',', map { "$_:" . @{$deep{(sort keys %count)[0]}{$_} || []} } 1 .. 3), "\n" for (sort keys %count)[0 .. 300];
my $text = join ';', @list; (my $copy = $text) =~ s/(\d+)/<$1>/g;
print length $text, ' ', length $copy, ' ', unpack('%32C*', $copy), "\n";
@list = sort { length $a <=> length $b || $a cmp $b } @list; print "@list[0..50]\n"; splice @list, 10, 15000; print scalar @list, "\n";
my $pid = fork; if (!$pid) { undef %deep; exit(scalar(keys %count) % 200) } waitpid $pid, 0; print $? >> 8, "\n";
END

cat >python3.script <<'END'
import sys, _thread, os
state = 4711
def rnd(n):
    global state
    state = state * 16807 % 2147483647
    return state % n
d = {}
for i in range(20000):
    d.setdefault('k%d' % rnd(3000), []).append((i, 'x' * rnd(300)))
for k in sorted(d)[:200]:
    print(k, len(d[k]), sum(len(t) for _, t in d[k]))
data = bytearray()
for i in range(5000):
    data += bytes([i % 256]) * rnd(100)
print(len(data), sum(data), 3 ** 5000 % 10 ** 40)
text = '\n'.join(sorted(t for v in d.values() for _, t in v)); print(len(text), len(text.replace('xx', 'yzy').split('\n')))
done, sums, locks = [], [0] * 4, [_thread.allocate_lock() for _ in range(4)]
def work(i):
    sums[i] = sum(len(str(k) * (k % 50)) for k in range(3000))
    locks[i].release()
for i in range(4):
    locks[i].acquire(); _thread.start_new_thread(work, (i,))
for l in locks: l.acquire()
print(sums)
pid = os.fork()
if pid == 0: os._exit(len(d) % 250)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
END

cat >sqlite3.script <<'END'
CREATE TABLE item (id INTEGER PRIMARY KEY, grp INTEGER, name TEXT, amount REAL, payload BLOB);
WITH RECURSIVE n(i, x) AS (SELECT 1, 4711 UNION ALL SELECT i + 1, (x * 16807) % 2147483647 FROM n WHERE i < 15000)
	INSERT INTO item SELECT i, x % 100, 'name ' || (x % 9973), x % 1009 / 7.0, zeroblob(x % 40) FROM n;
CREATE INDEX item_grp ON item (grp, amount);
CREATE INDEX item_name ON item (name);
SELECT grp, count(*), round(sum(amount), 3), max(name) FROM item GROUP BY grp;
SELECT a.name, count(*) FROM item a JOIN item b ON a.name = b.name AND a.id < b.id GROUP BY a.name ORDER BY 1 LIMIT 200;
SELECT grp, group_concat(name, ';') FROM (SELECT grp, name FROM item WHERE id % 20 = 0 ORDER BY grp, name) GROUP BY grp;
UPDATE item SET name = upper(name) || hex(payload) WHERE grp % 3 = 0;
DELETE FROM item WHERE grp % 7 = 1;
VACUUM;
PRAGMA integrity_check;
.dump
END

# --- comparison -----------------------------------------------------------------------------------------------------

failures=0
row() { printf '%-9s %-26s %9s %10s %9s  %s\n' "$@"; }

# run_emulated PRELOAD-OR-NOTHING WORD...
run_emulated() {
	local preload=$1 settings=(-E "LD_LIBRARY_PATH=$libraries" -E "PYTHONHOME=$root/usr" -E PYTHONMALLOC=malloc
		-E PYTHONHASHSEED=0 -E LC_ALL=C -E HOME=/nonexistent)
	shift
	if [ -n "$preload" ]; then
		# No maintenance thread: some of the programs fork, and in a forked child of any program, the C library's
		# allocator or ours, qemu 7.2 stops with a failed assertion when the child starts a thread.
		settings+=(-E HAKMEM_BACKGROUND=0)
		settings+=(-E "LD_PRELOAD=$preload" -E LD_DEBUG=bindings -E "LD_DEBUG_OUTPUT=$work/trace/ld")
	fi
	timeout -k 5 120 "${emulator[@]}" "${settings[@]}" "$@"
}

compare() {
	local name=$1 begin plain_s ours_s result='' digest='' bound
	shift
	rm -f "$work"/trace/*
	begin=$EPOCHREALTIME
	if ! run_emulated '' "$@" <"$name.script" >"$name.plain" 2>"$name.plain.err"; then
		row "$name" 'FAIL (without LIB, too)' "$(seconds_since "$begin")" - - ''
		tail -n 5 "$name.plain.err" | sed 's/^/    | /'
		failures=$((failures + 1))
		return
	fi
	plain_s=$(seconds_since "$begin")
	begin=$EPOCHREALTIME
	if ! run_emulated "$lib" "$@" <"$name.script" >"$name.preload" 2>"$name.preload.err"; then
		result='FAIL (with LIB only)'
	elif ! cmp -s "$name.plain" "$name.preload" || ! cmp -s "$name.plain.err" "$name.preload.err"; then
		result=DIFFERENT
	fi
	ours_s=$(seconds_since "$begin")
	bound=$(count_bound "$work/trace" "$lib")
	if [ -z "$result" ]; then
		result=identical
		digest=$(sha256sum <"$name.plain" | cut -c1-16)
		[ "$bound" -gt 0 ] || result='FAIL (LIB not in use)'
	fi
	row "$name" "$result" "$plain_s" "$ours_s" "$bound" "$digest"
	if [ "$result" != identical ]; then
		failures=$((failures + 1))
		{ tail -n 5 "$name.preload.err"; diff "$name.plain" "$name.preload" | head -n 5; } 2>&1 | cut -c1-200 | sed 's/^/    | /' || true
	fi
}

row program "$(basename "$lib")" 'plain s' 'preload s' processes digest
compare bash "$root/bin/bash" bash.script
compare perl "$root/usr/bin/perl" perl.script
compare python3 "$root/usr/bin/python3.11" -S -B python3.script
compare sqlite3 "$root/usr/bin/sqlite3" -batch :memory:
say
say 'processes: how many took malloc from the library, told by the loader (LD_DEBUG=bindings).'
[ "$failures" = 0 ] || die "$failures program(s) fail or differ under $lib; outputs are kept in $work/cases"
say 'all outputs identical'
