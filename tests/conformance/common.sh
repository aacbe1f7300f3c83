# shellcheck shell=bash
#
# What the conformance scripts share: arguments, the work folder, the proof that a preloaded library is really in use,
# and "skipped", which is exit status 77 with a reason and never counts as a pass.
#
# Each script is called as NAME.sh LIB, where LIB is the path of the shared library under test. Work files go below
# HAKMEM_CONFORMANCE_DIR (the build tree when CTest runs them), so nothing is left in the sources.

say() { printf '%s\n' "$*"; }
die() { printf '%s: %s\n' "${0##*/}" "$*" >&2; exit 1; }
skip() { printf 'SKIPPED: %s\n' "$*"; exit 77; }

# The one argument every script takes: an existing library. Prints its absolute path.
library_argument() {
	[ $# -ge 1 ] || die "usage: ${0##*/} PATH_OF_LIBRARY"
	[ -f "$1" ] || die "no library at $1"
	realpath -- "$1"
}

# A folder of this test's own, kept between runs. Prints its path.
work_folder() {
	local dir=${HAKMEM_CONFORMANCE_DIR:-${TMPDIR:-/tmp}/hakmem-conformance}/$1
	mkdir -p "$dir"
	realpath -- "$dir"
}

# The loader only warns when it cannot preload a library and then runs the program without it, which would make every
# comparison below pass. So: no warning, and the library is mapped.
require_preloadable() {
	local lib=$1 maps
	maps=$(LD_PRELOAD=$lib cat /proc/self/maps 2>&1) || die "cat does not run under $lib: $maps"
	case $maps in
	*ld.so:*) die "the loader refuses $lib: ${maps%%$'\n'*}" ;;
	esac
	case $maps in
	*"$lib"*) ;;
	*) die "$lib is not mapped by a program that preloads it" ;;
	esac
}

# With LD_DEBUG=bindings the loader tells which library each symbol was taken from. count_bound DIR LIB prints how many
# processes of those traces took malloc or operator new from LIB.
count_bound() {
	local dir=$1 lib=$2
	{ grep -lE -- "to $lib \[0\]: normal symbol \`(malloc|calloc|realloc|_Znwm)'" "$dir"/ld.* 2>/dev/null || true; } | wc -l
}

seconds_since() { awk -v a="$1" -v b="${EPOCHREALTIME}" 'BEGIN { printf "%.1f", b - a }'; }

# A crash is reported; its core file would only fill the disk.
ulimit -c 0
