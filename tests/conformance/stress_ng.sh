#!/bin/bash
# stress-ng's malloc, fork, vfork, pthread and mremap stressors in mixes, with --verify (each checks what it wrote),
# with LIB preloaded.
#
#   stress_ng.sh LIB
#
# Fails if a mix reports a failure, a worker dies of a signal, or the allocator complains. A mix that fails with LIB is
# run again without it: if it fails there as well, that is the machine's doing and the row says so.
# HAKMEM_STRESS_NG_SECONDS sets the length of each mix (5).
set -euo pipefail
here=$(dirname -- "$(realpath -- "$0")")
# shellcheck source=tests/conformance/common.sh
. "$here/common.sh"

# stress-ng restarts a worker that died and still calls the run successful, hence more than its exit status.
readonly COMPLAINTS='terminated on signal|aborted|child died|killed by|prematurely|SIGSEGV|SIGABRT|stress-ng: (fail|error):|failed: [1-9]|hakmem:|unsuccessful'

seconds=${HAKMEM_STRESS_NG_SECONDS:-5}
lib=$(library_argument "$@")
work=$(work_folder stress-ng)
require_preloadable "$lib"
command -v stress-ng >/dev/null || skip "no stress-ng (Debian package stress-ng)"
rm -rf "${work:?}"/*
mkdir -p "$work/trace" "$work/tmp"

# Workers are forked from stress-ng itself, so one trace of it tells about all of them.
env "LD_PRELOAD=$lib" LD_DEBUG=bindings "LD_DEBUG_OUTPUT=$work/trace/ld" \
	stress-ng --malloc 1 --malloc-ops 10 --temp-path "$work/tmp" >"$work/trace/log" 2>&1 || true
[ "$(count_bound "$work/trace" "$lib")" -gt 0 ] || die "stress-ng does not take malloc from $lib"

# run_mix LOG LIB-OR-NOTHING OPTION...: 0 if all went well.
run_mix() (
	local log=$1 preload=$2 status=0
	shift 2
	# bigheap grows until realloc fails; the limit makes that happen before the machine's memory ends.
	ulimit -v $((4 << 20))
	timeout -k 5 $((seconds + 60)) env ${preload:+"LD_PRELOAD=$preload"} \
		stress-ng "$@" --verify --verbose --timeout "${seconds}s" --metrics-brief --temp-path "$work/tmp" >"$log" 2>&1 </dev/null || status=$?
	[ "$status" = 0 ] || return 1
	! grep -qE "$COMPLAINTS" "$log"
)

worse=0
printf '%-44s %-26s %s\n' mix "$(basename "$lib")" 'bogo operations'
mix() {
	local name=$1 log result ops
	shift
	log=$work/${name//[^a-z]/-}.log
	if run_mix "$log" "$lib" "$@"; then
		result=pass
	elif run_mix "$log.plain" '' "$@"; then
		result='FAIL (passes without)'
		worse=$((worse + 1))
	else
		result='fails without it, too'
	fi
	# "stress-ng: metrc: [pid] stressor bogo-ops ...", below a heading of two lines.
	ops=$(sed -nE 's/.*metrc: \[[0-9]+\] ([a-z]+) +([0-9]+) .*/\1 \2/p' "$log" | tr '\n' ' ')
	printf '%-44s %-26s %s\n' "$name" "$result" "$ops"
	[ "$result" = pass ] || grep -E "$COMPLAINTS" "$log" | head -n 12 | sed 's/^/    | /' || true
}

mix 'malloc, many sizes' --malloc 2 --malloc-bytes 64M --malloc-max 4096
mix 'malloc, threads, touched' --malloc 1 --malloc-pthreads 4 --malloc-bytes 4M --malloc-max 2048 --malloc-touch
mix 'malloc beside fork and vfork' --malloc 1 --malloc-pthreads 2 --malloc-bytes 1M --malloc-max 2048 --fork 1 --vfork 1
mix 'threads that come and go beside fork' --pthread 1 --pthread-max 64 --fork 1
mix 'mremap and growing realloc beside malloc' --mremap 1 --mremap-bytes 32M --bigheap 1 --bigheap-growth 1M --malloc 1 --malloc-bytes 1M

[ "$worse" = 0 ] || die "$worse mix(es) fail with $lib; logs in $work"
