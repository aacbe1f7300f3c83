#!/usr/bin/env bash
# A hostile environment: whatever the variables, the files that they name and standard error are,
# the program runs to its end with the same output, in time, and no file is touched that is not
# the allocator's own. Native; what needs another user is left out where we are not root.
#
# usage: hostile.sh
set -uo pipefail
# shellcheck source=tests/testing.sh
. "${HAKMEM_SOURCE_DIR:?run by CTest, which names the sources}/tests/testing.sh"
dir=$work
chmod 755 "$dir"
cp "$lib" "$dir/libhakmem.so" && chmod 755 "$dir/libhakmem.so"
mkdir "$dir/work"
cd "$dir/work" || exit 1
seq 20000 >"$dir/input"
expected=$(sort "$dir/input" | cksum)

# run WHAT [NAME=VALUE...]: with standard error in $dir/said. `before` is a command that runs the
# program in its own place.
run() {
	local what=$1 found rc
	shift
	found=$(env "$@" timeout 20 sh -c "exec ${before:-} env LD_PRELOAD=$dir/libhakmem.so sort $dir/input" 2>"$dir/said" | cksum)
	rc=${PIPESTATUS[0]}
	[[ $rc == 0 && $found == "$expected" ]] || wrong "$what: status $rc; it said: $(head -c 500 "$dir/said")"
}

# said WHAT N: it has said so many lines, all of them ours and harmless.
said() {
	local lines others
	lines=$(wc -l <"$dir/said")
	others=$(LC_ALL=C grep -avcE '^hakmem: [ -~]*$' "$dir/said")
	[[ $lines == "$2" && $others == 0 ]] ||
		wrong "$1: expected $2 lines of ours, found $lines, of which $others are not: $(head -c 500 "$dir/said" | cat -v)"
}

# untouched WHAT
untouched() {
	[[ $(cat "$dir/victim") == precious ]] || wrong "$1: the victim was written"
	echo precious >"$dir/victim"
}
echo precious >"$dir/victim"

# ---- values

names=$(grep -oE '\{ \.name = "HAKMEM_[A-Z_0-9]+"' "$source/src/common/options.c" | grep -oE 'HAKMEM_[A-Z_0-9]+')
[[ $(wc -l <<<"$names") -gt 25 ]] || wrong "the list of options was not found"
long=$(printf 'A%.0s' {1..20000})
for value in '' $'\xff\xfe\x9b1m' $'\e[31m\n\r\t' 99999999999999999999 -1 0x10 ' 1' "$long"; do
	all=()
	for name in $names; do
		case $name in
		*_TRACE | *_PLAYBOOK | *_LEAKS) [[ $name == HAKMEM_DEBUG_TRACE ]] || continue ;; # any path is one
		esac
		all+=("$name=$value")
	done
	run "value ${value:0:20}" "${all[@]}"
	said "value $(head -c 20 <<<"$value" | cat -v)" "${#all[@]}"
done

# ---- standard error

ask=(HAKMEM_STATS=1 HAKMEM_VERBOSE=1 HAKMEM_LIMIT=bad HAKMEM_ACE_ENABLED=1 HAKMEM_ACE_LOG_LEVEL=2)
for error in '&-' /dev/full '/dev/null'; do
	found=$(env "${ask[@]}" timeout 20 sh -c "exec env LD_PRELOAD=$dir/libhakmem.so sort $dir/input 2>$error" | cksum)
	[[ $found == "$expected" ]] || wrong "standard error $error: other output"
done

# ---- files that it is told to write

link() { ln -s "$dir/victim" "$1"; }
dangling() { ln -s "$dir/created" "$1"; }
fifo() { mkfifo "$1"; }
folder() { mkdir "$1"; }
device() { mknod "$1" c 1 7 2>/dev/null; } # /dev/full
loop() { ln -s "$(basename "$1")" "$1"; }
hard() { ln "$dir/victim" "$1"; chmod 666 "$dir/victim"; } # of ours, but anybody may write to it

clean() {
	rm -rf "$dir/work"
	mkdir "$dir/work"
	cd "$dir/work" || exit 1
	rm -f "$dir/created"
}

for kind in link dangling fifo folder device loop hard; do
	[[ $kind != device || $(id -u) == 0 ]] || continue
	for variable in HAKMEM_ACE_TRACE HAKMEM_ACE_PLAYBOOK; do
		clean
		$kind out || continue
		run "$variable to a $kind" HAKMEM_ACE_ENABLED=1 "$variable=out"
		[[ $variable != HAKMEM_ACE_TRACE ]] || said "$variable to a $kind" 1
		untouched "$variable to a $kind"
		[[ ! -e $dir/created ]] || wrong "$variable to a $kind: a link was followed"
	done

	# The profile's name has the process's number, so that only the process knows it.
	clean
	declare -f link dangling fifo folder device loop hard >make
	dir=$dir before="sh -c '. ./make; dir=$dir; $kind hakmem.\$\$.heap; exec \"\$@\"' -" \
		run "profile to a $kind" HAKMEM_PROFILE=1000
	untouched "profile to a $kind"
	[[ ! -e $dir/created ]] || wrong "profile to a $kind: a link was followed"

	# Of the statistics page too; one of our own name is left from a former process and goes.
	clean
	chmod 700 .
	dir=$dir before="sh -c '. $dir/make; dir=$dir; cd $dir/work; $kind hakmem.\$\$; exec \"\$@\"' -"
	declare -f link dangling fifo folder device loop hard >"$dir/make"
	run "page at a $kind" HAKMEM_STATS_PAGE=1 XDG_RUNTIME_DIR="$dir/work"
	untouched "page at a $kind"
	[[ ! -e $dir/created ]] || wrong "page at a $kind: a link was followed"
	unset before
done
chmod 644 "$dir/victim"

clean
strange=$'\xff\e[31m\n'
run "a strange path" HAKMEM_ACE_ENABLED=1 HAKMEM_ACE_TRACE="$dir/nowhere/$strange" HAKMEM_ACE_PLAYBOOK="$strange"
LC_ALL=C grep -aq $'[\x01-\x09\x0b-\x1f]' "$dir/said" && wrong "a strange path: shown as it is: $(cat -v "$dir/said")"
run "a path of 5000 bytes" HAKMEM_ACE_ENABLED=1 HAKMEM_ACE_TRACE="${long:0:5000}"
said "a path of 5000 bytes" 1

# ---- another user's files

if [[ $(id -u) == 0 ]] && command -v setpriv >/dev/null; then
	as="setpriv --reuid=65534 --regid=65534 --clear-groups"
	clean # of root: not writable
	before=$as run "a folder of another user" HAKMEM_PROFILE=1000 HAKMEM_ACE_ENABLED=1 \
		HAKMEM_ACE_TRACE=out HAKMEM_ACE_PLAYBOOK=book HAKMEM_STATS_PAGE=1 XDG_RUNTIME_DIR="$dir/work"
	[[ -z $(ls -A "$dir/work") ]] || wrong "a folder of another user: it has $(ls "$dir/work")"
	# Sticky, as /dev/shm: the file of our name is somebody else's and stays.
	clean
	chmod 1777 .
	echo precious >hakmem.fake
	before="sh -c 'ln $dir/work/hakmem.fake $dir/work/hakmem.\$\$ && exec $as \"\$@\"' -" \
		run "another user's page" HAKMEM_STATS_PAGE=1 XDG_RUNTIME_DIR="$dir/work"
	[[ $(cat hakmem.fake) == precious ]] || wrong "another user's page was written"
else
	echo "not root: without other users' files"
fi

exit $failed
