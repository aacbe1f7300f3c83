#!/bin/bash
# glibc's own malloc tests, built from Debian's glibc-source and run once on glibc's malloc and once with LIB preloaded.
#
#   glibc_malloc.sh LIB
#
# Fails if and only if a test that passes on glibc fails with LIB (but see GLIBC_LAYOUT), or fewer tests could be built than are known to.
# The sources are unpacked into the work folder and never become part of this project. Left out are the tests of
# glibc's internals: interposition of its own malloc, usable size with its debug library, safe linking, and the
# walks of its chunk lists (tst-memalign-2, tst-memalign-3).
#
# Results: a table on stdout and results.tsv (test, on glibc, with LIB, seconds) in the work folder.
set -euo pipefail
here=$(dirname -- "$(realpath -- "$0")")
# shellcheck source=tests/conformance/common.sh
. "$here/common.sh"

# Tests that pass or fail by where glibc keeps its own records, whatever they are named for: run and listed, not counted.
# tst-malloc-backtrace overwrites the word before a free block, where glibc has the block's size. An allocator without
# block headers has the end of the neighbour there, or, before the first block of a mapping, nothing.
# tst-dynarray-fail fills the heap with blocks of some sizes until malloc refuses them, and wants a block of another
# size to be refused as well. With size classes, a slab of that other class may still have a free block.
readonly GLIBC_LAYOUT=(tst-malloc-backtrace tst-dynarray-fail)

readonly KNOWN_TO_BUILD=34
readonly JOBS=2
# The harness ends a test, with all its children, after 20 s (100 s for some) times TIMEOUTFACTOR; this is only the
# last resort.
readonly LIMIT_S=230

lib=$(library_argument "$@")
work=$(work_folder glibc-malloc)
require_preloadable "$lib"

tarball=
for candidate in /usr/src/glibc/glibc-*.tar.xz; do
	[ -f "$candidate" ] && tarball=$candidate
done
[ -n "$tarball" ] || skip "no /usr/src/glibc/glibc-*.tar.xz (Debian package glibc-source)"
command -v gcc >/dev/null || skip "no gcc"

version=$(basename "$tarball" .tar.xz)
src=$work/$version
inc=$work/include

unpack() {
	[ -f "$src/.unpacked" ] && return
	say "unpacking malloc/ and support/ of $tarball"
	rm -rf "$src"
	tar -C "$work" -xJf "$tarball" "$version"/{malloc,support,include,test-skeleton.c} \
		"$version"/sysdeps/generic/malloc-{size,alignment}.h
	touch "$src/.unpacked"
}

# The few headers of glibc's tree that the tests need, without the rest, which would hide the host's headers.
make_headers() {
	local name
	rm -rf "$inc"
	mkdir -p "$inc"
	for name in libc-diag libc-pointer-arith array_length alloc_buffer scratch_buffer intprops verify; do
		cp "$src/include/$name.h" "$inc/"
	done
	cp "$src"/sysdeps/generic/malloc-{size,alignment}.h "$inc/"
	: >"$inc/config.h"
	printf '#define _STACK_GROWS_DOWN 1\n' >"$inc/stackinfo.h"
	# Force-included: what glibc's build would have put on the command line or into its internal headers.
	cat >"$inc/outside-glibc.h" <<-'END'
		#include <limits.h>
		#include <stdint.h>
		#define TIMEOUTFACTOR 1
		#define libc_hidden_proto(name)
		#define libc_hidden_def(name)
		#define attribute_hidden
	END
}

cflags=(-std=gnu11 -O2 -w -fno-builtin -D_GNU_SOURCE -include "$inc/outside-glibc.h" -I "$inc" -I "$src" -I "$src/support")
for path in SRCDIR OBJDIR OBJDIR_ELF_LDSO INSTDIR LIBDIR BINDIR SBINDIR SLIBDIR ROOTSBINDIR COMPLOCALEDIR SYSCONFDIR; do
	cflags+=("-D${path}_PATH=\"/\"")
done

# One object of support/; a file that needs more of glibc than the host has is dropped, and the link tells if it mattered.
build_support_object() {
	local name
	name=$(basename "$1" .c)
	gcc "${cflags[@]}" -c "$1" -o "$work/support/$name.o" 2>"$work/support/$name.log" || rm -f "$work/support/$name.o"
}

build_test() {
	local name
	name=$(basename "$1" .c)
	gcc "${cflags[@]}" "$1" -o "$work/bin/$name" "$work/libsupport.a" -pthread 2>"$work/log/$name.build" ||
		rm -f "$work/bin/$name"
}

build() {
	local stamp
	stamp=$(cat "$0" "$tarball" | sha256sum)
	[ -f "$work/.built" ] && [ "$(cat "$work/.built")" = "$stamp" ] && return
	unpack
	make_headers
	say "building glibc's support library and its malloc tests"
	rm -rf "${work:?}"/{support,bin,log,libsupport.a}
	mkdir -p "$work/support" "$work/bin" "$work/log"
	local file list=()
	for file in "$src"/support/*.c; do
		case $(basename "$file" .c) in
		tst-* | *-container | test-run-command | test-driver | *-time64 | links-dso-* | *ptrace*) continue ;;
		*compare_string_main | *quote_blob_main) continue ;;
		esac
		list+=("$file")
	done
	in_parallel build_support_object "${list[@]}"
	ar rcs "$work/libsupport.a" "$work"/support/*.o
	list=()
	for file in "$src"/malloc/tst-*.c; do
		case $(basename "$file" .c) in
		tst-interpose* | tst-malloc-usable* | tst-safe-linking | tst-memalign-[23]) continue ;;
		esac
		list+=("$file")
	done
	in_parallel build_test "${list[@]}"
	printf '%s\n' "$stamp" >"$work/.built"
}

# in_parallel FUNCTION ARGUMENT...: FUNCTION once per argument, JOBS at a time.
in_parallel() {
	local function=$1 argument
	shift
	for argument in "$@"; do
		while [ "$(jobs -rp | wc -l)" -ge "$JOBS" ]; do
			wait -n || true
		done
		"$function" "$argument" &
	done
	wait
}

# Runs one test: $1 is its name and, after a slash, "glibc" or "preload". Leaves status and seconds in log/.
run_one() {
	local name=${1%/*} mode=${1#*/} begin=$EPOCHREALTIME status=0 settings=(TIMEOUTFACTOR=2)
	# As glibc's Makefile does for this one.
	[ "$name" = tst-mxfast ] && settings+=(GLIBC_TUNABLES=glibc.malloc.tcache_count=0:glibc.malloc.mxfast=0)
	[ "$mode" = preload ] && settings+=("LD_PRELOAD=$lib")
	mkdir -p "$work/run/$name.$mode"
	(
		cd "$work/run/$name.$mode"
		TMPDIR=$PWD timeout -k 5 "$LIMIT_S" env "${settings[@]}" "$work/bin/$name"
	) >"$work/log/$name.$mode" 2>&1 </dev/null || status=$?
	printf '%s %s\n' "$status" "$(seconds_since "$begin")" >"$work/log/$name.$mode.status"
}

word() {
	case $1 in
	0) printf pass ;;
	77) printf unsupported ;;
	124 | 137) printf timeout ;;
	*) printf 'fail(%s)' "$1" ;;
	esac
}

build
tests=()
slow=()
for file in "$work"/bin/tst-*; do
	name=$(basename "$file")
	# The long ones first, so that both processors stay busy to the end.
	case $name in
	tst-mallocfork[23] | tst-malloc-too-large | tst-malloc-tcache-leak | tst-malloc-thread-* | tst-malloc-fork-deadlock) slow+=("$name") ;;
	*) tests+=("$name") ;;
	esac
done
tests=("${slow[@]}" "${tests[@]}")
say "${#tests[@]} of glibc's malloc tests build outside glibc ($version)"
for file in "$work"/log/*.build; do
	name=$(basename "$file" .build)
	[ -x "$work/bin/$name" ] || say "  not built: $name ($(grep -m1 -oE '(error|undefined reference).*' "$file" || true))"
done

rm -rf "$work/run"
runs=()
for name in "${tests[@]}"; do
	runs+=("$name/preload" "$name/glibc")
done
in_parallel run_one "${runs[@]}"

worse=0
passed=0
printf 'test\tglibc\tlib\tglibc_s\tlib_s\n' >"$work/results.tsv"
printf '\n%-32s %-14s %-14s\n' test glibc "$(basename "$lib")"
mapfile -t sorted < <(printf '%s\n' "${tests[@]}" | LC_ALL=C sort)
for name in "${sorted[@]}"; do
	read -r plain plain_s <"$work/log/$name.glibc.status"
	read -r ours ours_s <"$work/log/$name.preload.status"
	mark=
	if [ "$plain" = 0 ] && [ "$ours" != 0 ]; then
		if [[ " ${GLIBC_LAYOUT[*]} " == *" $name "* ]]; then
			mark="  (tests glibc's block headers; not counted)"
		else
			mark='  <-- worse than glibc'
			worse=$((worse + 1))
		fi
	fi
	[ "$ours" = 0 ] && passed=$((passed + 1))
	printf '%-32s %-14s %-14s%s\n' "$name" "$(word "$plain") ${plain_s}s" "$(word "$ours") ${ours_s}s" "$mark"
	printf '%s\t%s\t%s\t%s\t%s\n' "$name" "$(word "$plain")" "$(word "$ours")" "$plain_s" "$ours_s" >>"$work/results.tsv"
	if [ -n "$mark" ]; then
		tail -n 5 "$work/log/$name.preload" | sed 's/^/    | /'
	fi
done
say
say "$passed of ${#tests[@]} pass with $(basename "$lib"); results in $work/results.tsv"
[ "${#tests[@]}" -ge "$KNOWN_TO_BUILD" ] || die "only ${#tests[@]} tests were built, $KNOWN_TO_BUILD were expected"
[ "$worse" = 0 ] || die "$worse test(s) pass on glibc and fail with $lib"
