#!/usr/bin/env bash
# A program under a memory limit that the kernel enforces, with ACE off and on: who is
# killed? The program's heap and other memory of it need the same room in turn, 0.3 s after
# each other (bench_neighbour.c).
#
#   run_oom_kill.sh [limit in MiB] [--key=value ...]       as root; default 256
#
# The group is one of cgroup v2 if that has the memory controller here. Else the kernel's limit is
# set in a group of version 1, and the program sees the same figure in a memory.max of version 2
# that only it sees (a mount namespace). The build folder is $HAKMEM_BUILD_DIR, else build/release.
set -euo pipefail

fail() {
	echo "run_oom_kill: $*" >&2
	exit 1
}

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../../.." && pwd)
program=${HAKMEM_BUILD_DIR:-$root/build/release}/bench_neighbour_hakx
limit=256
if [[ ${1:-} =~ ^[0-9]+$ ]]; then
	limit=$1
	shift
fi
bytes=$((limit << 20))
[[ -x $program ]] || fail "no $program: build first"
v2=$(findmnt -n -o TARGET -t cgroup2 | head -n 1)
[[ -n $v2 ]] || fail "no cgroup v2 is mounted"

if grep -qw memory "$v2/cgroup.controllers"; then
	kind="cgroup v2"
	group=$v2/hakmem-oom.$$
	mkdir "$group"
	echo "+memory" >"$v2/cgroup.subtree_control" 2>/dev/null || true
	echo "$bytes" >"$group/memory.max"
	enter=(bash -c 'echo $$ >"$0/cgroup.procs"; exec "$@"' "$group")
else
	kind="cgroup v1, shown as v2"
	group=$(findmnt -n -o TARGET -t cgroup -O memory | head -n 1)/hakmem-oom.$$
	mkdir "$group" || fail "no memory group can be made"
	echo "$bytes" >"$group/memory.limit_in_bytes"
	enter=(unshare -m bash -c 'echo $$ >"$0/cgroup.procs"; mount -t tmpfs none "$1"; echo "$2" >"$1/memory.max"; shift 2; exec "$@"'
		"$group" "$v2" "$bytes")
fi
trap 'rmdir "$group"' EXIT

echo "limit $limit MiB, enforced by $kind"
for ace in 0 1 0 1; do
	status=0
	HAKMEM_ACE_ENABLED=$ace "${enter[@]}" "$program" --heap=$((limit * 25 / 32)) "$@" >/dev/null || status=$?
	case $status in
	0) result=lived ;;
	137) result="killed by the kernel" ;;
	*) fail "ended with status $status" ;;
	esac
	echo "HAKMEM_ACE_ENABLED=$ace: $result"
done
