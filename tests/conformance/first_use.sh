#!/usr/bin/env bash
# What a new user does: unpack the Debian package, run a server on hakmem, watch it while clients
# load it, switch the heap profile on in the live process, read it with a reader of others, off again.
# Needs redis-server and redis-benchmark; a reader (go tool pprof, google-pprof, jeprof) and tmux, for
# what a terminal shows, are left out where they are missing, which is said.
#
# usage: first_use.sh LIBRARY CPACK_CONFIG
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

library_argument "$@" >/dev/null
config=$2
for program in dpkg-deb redis-server redis-benchmark redis-cli; do
	command -v "$program" >/dev/null || skip "no $program here"
done
cpack=$(dirname "$(command -v "${CMAKE:-cmake}")")/cpack

# A path of a socket has 107 bytes at most: not in the build tree.
work=$(mktemp -d)
terminal=hakmem-first-use-$$
runner=
finish() {
	[[ -z $runner ]] || kill "$runner" 2>/dev/null || true
	tmux kill-session -t "$terminal" 2>/dev/null || true
	wait
	rm -rf "$work"
}
trap finish EXIT
export XDG_RUNTIME_DIR=$work
unset HAKMEM_LIBRARY

"$cpack" --config "$config" -G DEB -B "$work" >"$work/cpack.log" 2>&1 || die "cpack: $(cat "$work/cpack.log")"
dpkg-deb -x "$work"/*.deb "$work/root"
hakmem=$work/root/usr/bin/hakmem

# until COMMAND: within ten seconds
until_true() {
	local i
	for ((i = 0; i < 200; i++)); do
		"$@" >/dev/null 2>&1 && return 0
		sleep 0.05
	done
	return 1
}
shows() { grep -q -- "$1" "$2" || die "no '$1' in: $(cat "$2")"; }

"$hakmem" doctor redis-server >"$work/doctor" || die "doctor: $(cat "$work/doctor")"
shows 'preloading works' "$work/doctor"

cd "$work"
"$hakmem" run -- redis-server --port 0 --unixsocket "$work/s" --save '' --appendonly no --daemonize no \
	>"$work/redis.log" 2>"$work/summary" &
runner=$!
until_true redis-cli -s "$work/s" ping || die "the server does not answer: $(cat "$work/redis.log" "$work/summary")"
listed() { "$hakmem" list | grep -q '/redis-server$'; }
until_true listed || die "list does not show redis-server: $("$hakmem" list)"
pid=$("$hakmem" list | awk '/\/redis-server$/ { print $1 }')

load() { redis-benchmark -s "$work/s" -q -P 16 -c 20 -r 100000 -n 200000 -d 100 -t set,lpush,hset >/dev/null; }
watched=plainly
if command -v tmux >/dev/null; then
	watched="on a terminal"
	tmux new-session -d -s "$terminal" -x 120 -y 40 "env XDG_RUNTIME_DIR=$work $hakmem top $pid" ||
		watched="plainly (tmux makes no terminal here)"
fi
load
"$hakmem" top -n 1 "$pid" >"$work/before"
"$hakmem" ctl "$pid" profile on 65536 >"$work/ctl"
load
sleep 1.5 # it looks once a second
"$hakmem" top -n 1 "$pid" >"$work/top"
[[ $watched != "on a terminal" ]] || tmux capture-pane -p -t "$terminal" >"$work/screen"
for screen in "$work/top" "$work/screen"; do
	[[ -f $screen ]] || continue
	shows "/redis-server  *pid $pid .*profiling" "$screen"
	shows 'resident [0-9.]* [KMG]iB *live [0-9.]* [KMG]iB' "$screen"
	shows 'tcache_capacity=64' "$screen"
done
"$hakmem" ctl "$pid" profile dump now.heap >>"$work/ctl"
"$hakmem" ctl "$pid" profile off >>"$work/ctl"
shows 'written to' "$work/ctl"
"$hakmem" top -n 1 "$pid" >"$work/top"
! grep -q profiling "$work/top" || die "the profile is still on: $(cat "$work/top")"

# Readers name the functions that hold memory, and find at least what was added since the profile is
# on, and not more than is live; but for chance, with some hundred samples less than a third.
live_mib() { sed -n 's/.*live \([0-9.]*\) MiB.*/\1/p' "$1" | head -n 1; }
before=$(live_mib "$work/before")
live=$(live_mib "$work/top")
readers=0
read_with() {
	local name=$1 total
	shift
	"$@" "$(command -v redis-server)" now.heap >"$work/$name" 2>"$work/$name.errors" || die "$name: $(cat "$work/$name.errors")"
	shows 'zmalloc\|zrealloc\|zcalloc\|sds' "$work/$name"
	total=$(sed -n 's/^Total: \([0-9.]*\) MB.*/\1/p; s/.* \([0-9.]*\)MB total.*/\1/p' "$work/$name")
	[[ -z $total ]] || awk -v found="$total" -v before="$before" -v live="$live" \
		'BEGIN { exit !(found > (live - before) * 2 / 3 - 2 && found < live * 4 / 3 + 2) }' ||
		die "$name finds $total MB live; there were $before MiB, and are now $live MiB"
	say "$name reads it: ${total:-?} MB live; there were $before MiB before, and are now $live MiB"
	readers=$((readers + 1))
}
command -v go >/dev/null && read_with pprof go tool pprof -top -inuse_space
command -v google-pprof >/dev/null && read_with google-pprof google-pprof --text
command -v jeprof >/dev/null && read_with jeprof jeprof --text

redis-cli -s "$work/s" shutdown nosave >/dev/null 2>&1 || true
wait "$runner" || die "hakmem run ended with $?: $(cat "$work/summary")"
runner=
shows 'redis-server (process .*peak resident memory' "$work/summary"
shows 'at its exit: ' "$work/summary"
[[ ! -e $work/hakmem.$pid ]] || die "the statistics page is left behind"
((readers > 0)) || say "not read: neither go, google-pprof nor jeprof is here"
say "passed: watched $watched, profile read by $readers readers"
