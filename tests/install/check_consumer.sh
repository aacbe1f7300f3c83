#!/usr/bin/env bash
# Installs the build into a scratch prefix, moves the tree to another place, and
# there builds and runs a consumer in each way that users have: CMake package
# (shared and static), pkg-config (shared, static, fully static), preload.
set -euo pipefail
# shellcheck source=tests/testing.sh
. "${HAKMEM_SOURCE_DIR:?run by CTest, which names the sources}/tests/testing.sh"

consumer=$source/tests/install/consumer
cmake=${CMAKE:-cmake}
cc=${CC:-cc}

# Quiet unless it fails.
step() {
	local what=$1
	shift
	"$@" >"$work/log" 2>&1 || {
		cat "$work/log"
		fail "$what: $*"
	}
}

# check WHAT COMMAND...: the consumer runs and prints the version.
check() {
	local what=$1 said
	shift
	said=$("$@" 2>&1) || fail "$what: exit $?, said '$said'"
	[[ $said == "$version" ]] || fail "$what: said '$said', expected '$version'"
	echo "passed: $what"
}

step "install" "$cmake" --install "$build" --prefix "$work/first"
mv "$work/first" "$work/prefix"
prefix=$work/prefix

pc=$(find "$prefix" -name hakmem.pc)
[[ -n $pc ]] || fail "no hakmem.pc was installed"
version=$(sed -n 's/^Version: //p' "$pc")
lib=$(find "$prefix" -name libhakmem.so)
libdir=$(dirname "$lib")
! grep -rl -- "$work/first" "$prefix" || fail "the files above hold the prefix they were installed to"
[[ -f $prefix/include/hakmem/hakmem.h ]] || fail "no header"
headers=$(find "$prefix/include" -type f | wc -l)
((headers == 1)) || fail "$headers headers were installed, one is meant"

step "configure the consumer" "$cmake" -G Ninja -S "$consumer" -B "$work/consumer" \
	-DCMAKE_C_COMPILER="$cc" -DCMAKE_BUILD_TYPE=Release \
	-DCMAKE_PREFIX_PATH="$prefix" -DEXPECTED_VERSION="$version"
step "build the consumer" "$cmake" --build "$work/consumer"
check "find_package, hakmem::hakmem" "$work/consumer/with_hakmem"
check "find_package, hakmem::hakmem_static" "$work/consumer/with_hakmem_static"
if readelf -dW "$work/consumer/with_hakmem_static" | grep -q 'NEEDED.*hakmem'; then
	fail "the statically linked consumer still needs libhakmem.so"
fi

if ! command -v pkg-config >/dev/null; then
	echo "pkg-config is not installed: that half is left out"
	exit 0
fi
export PKG_CONFIG_PATH=${pc%/*}
read -ra cflags <<<"$(pkg-config --cflags hakmem)"
read -ra libs <<<"$(pkg-config --libs hakmem)"
read -ra static_libs <<<"$(pkg-config --static --libs hakmem)"
builtin=(-fno-builtin-malloc -fno-builtin-free)

step "pkg-config, shared" "$cc" "${builtin[@]}" "${cflags[@]}" "$consumer/main.c" -o "$work/pc_shared" "${libs[@]}"
check "pkg-config, shared" env LD_LIBRARY_PATH="$libdir" "$work/pc_shared"
step "pkg-config, static library" "$cc" "${builtin[@]}" "${cflags[@]}" "$consumer/main.c" -o "$work/pc_static" \
	-Wl,-Bstatic "${static_libs[@]}" -Wl,-Bdynamic
check "pkg-config, static library" "$work/pc_static"
step "pkg-config, static program" "$cc" -static "${builtin[@]}" "${cflags[@]}" "$consumer/main.c" \
	-o "$work/pc_all_static" "${static_libs[@]}"
check "pkg-config, static program" "$work/pc_all_static"

step "true under preload" env LD_PRELOAD="$lib" /bin/true
echo "passed: preload"
