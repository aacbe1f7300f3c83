#!/bin/bash
# CPython's own test modules which work the allocator hard (objects, buffers, threads, fork, subprocesses), from Debian's
# libpython3.11-testsuite, without and with LIB preloaded. PYTHONMALLOC=malloc takes Python's small-object allocator out
# of the way, so that each object comes from LIB.
#
#   cpython.sh LIB
#
# Fails if and only if a module fares worse with LIB: it fails where it passes without, or more of its cases fail.
# Threads and subprocesses depend on time; a module that failed is run once more, alone, and the table says so. A crash
# or an allocator's abort is never given a second chance.
set -euo pipefail
here=$(dirname -- "$(realpath -- "$0")")
# shellcheck source=tests/conformance/common.sh
. "$here/common.sh"

readonly PYTHON=/usr/bin/python3.11
# Two processors are kept busy by three: the slow modules mostly sleep.
readonly JOBS=3
readonly LIMIT_S=150
# The slow ones first.
readonly MODULES=(test_subprocess test_threading test_fork1 test_weakref test_pickle test_bz2 test_buffer test_gc test_set
	test_json test_bytes test_zlib test_thread test_re test_dict test_array test_list test_memoryview test_mmap)

lib=$(library_argument "$@")
work=$(work_folder cpython)
require_preloadable "$lib"
[ -x "$PYTHON" ] || skip "no $PYTHON"
"$PYTHON" -c 'import test.test_gc, test.support' 2>/dev/null || skip "no test modules (Debian package libpython3.11-testsuite)"

rm -rf "${work:?}"/*
mkdir -p "$work/log" "$work/trace"

# Is Python's malloc really ours?
env PYTHONMALLOC=malloc "LD_PRELOAD=$lib" LD_DEBUG=bindings "LD_DEBUG_OUTPUT=$work/trace/ld" "$PYTHON" -c 'x = [str(i) for i in range(9999)]'
[ "$(count_bound "$work/trace" "$lib")" -gt 0 ] || die "$PYTHON does not take malloc from $lib"

# $1: module/mode, mode "plain" or "preload". Leaves "status failed-cases seconds" beside the log.
run_module() {
	local module=${1%/*} mode=${1#*/} begin=$EPOCHREALTIME status=0 settings=(PYTHONMALLOC=malloc) failed
	local log=$work/log/$module.$mode dir=$work/tmp/$module.$mode
	[ "$mode" = preload ] && settings+=("LD_PRELOAD=$lib")
	rm -rf "$dir"
	mkdir -p "$dir"
	(
		cd "$dir"
		timeout -k 5 "$LIMIT_S" env TMPDIR="$dir" "${settings[@]}" "$PYTHON" -m test --tempdir "$dir" "$module"
	) >"$log" 2>&1 </dev/null || status=$?
	failed=$(awk '/^FAILED \(/ { gsub(/[^0-9 ]/, ""); for (i = 1; i <= NF; i++) sum += $i } END { print sum + 0 }' \
		<(sed -E 's/(skipped|expected failures)=[0-9]+//g' "$log"))
	printf '%s %s %s\n' "$status" "$failed" "$(seconds_since "$begin")" >"$log.status"
}

# Did module $1 fare worse with LIB than without?
is_worse() {
	local plain plain_failed ours ours_failed _
	read -r plain plain_failed _ <"$work/log/$1.plain.status"
	read -r ours ours_failed _ <"$work/log/$1.preload.status"
	if [ "$plain" = 0 ]; then
		[ "$ours" != 0 ]
	else
		[ "$ours_failed" -gt "$plain_failed" ] || [ "$ours" -gt 2 ]
	fi
}

crashed() {
	local status _
	read -r status _ <"$work/log/$1.preload.status"
	[ "$status" -ge 128 ] || [ "$status" = 124 ] || grep -qE 'Fatal Python error|hakmem:|SIGSEGV|SIGABRT|Segmentation fault' "$work/log/$1.preload"
}

word() {
	if [ "$1" = 0 ]; then printf 'pass'; else printf 'fail(rc %s, %s cases)' "$1" "$2"; fi
}

for module in "${MODULES[@]}"; do
	for mode in preload plain; do
		while [ "$(jobs -rp | wc -l)" -ge "$JOBS" ]; do
			wait -n || true
		done
		run_module "$module/$mode" &
	done
done
wait

worse=0
printf '%-18s %-30s %-30s\n' module plain "$(basename "$lib")"
for module in "${MODULES[@]}"; do
	note=
	if is_worse "$module"; then
		cp "$work/log/$module.preload" "$work/log/$module.preload.first"
		if crashed "$module"; then
			note='  <-- worse (crash or hang)'
		else
			run_module "$module/preload"
			note='  (failed once, passed alone)'
			if is_worse "$module"; then note='  <-- worse'; fi
		fi
		case $note in *worse*) worse=$((worse + 1)) ;; esac
	fi
	read -r plain plain_failed plain_s <"$work/log/$module.plain.status"
	read -r ours ours_failed ours_s <"$work/log/$module.preload.status"
	printf '%-18s %-30s %-30s%s\n' "$module" "$(word "$plain" "$plain_failed") ${plain_s}s" "$(word "$ours" "$ours_failed") ${ours_s}s" "$note"
	case $note in
	*worse*) grep -vE '^[.0-9: ]*(load avg|Run tests|\[)' "$work/log/$module.preload.first" | tail -n 15 | sed 's/^/    | /' || true ;;
	esac
done
rm -rf "$work/tmp"
say
say "$((${#MODULES[@]} - worse)) of ${#MODULES[@]} modules fare as well with $(basename "$lib"); logs in $work/log"
[ "$worse" = 0 ] || die "$worse module(s) fare worse with $lib"
