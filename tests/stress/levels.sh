#!/usr/bin/env bash
# sh8bench's pattern on the library as the compiler makes it at each level of optimisation: what is undefined or a
# race may show at one of them only. Each is built, once, in levels/ of the build folder.
#
# usage: levels.sh [OPTION OF CMAKE]...
set -euo pipefail

for level in O0 O1 O2 O3 Os; do
	build=$HAKMEM_BINARY_DIR/levels/$level
	mkdir -p "$build"
	{
		"$CMAKE" -S "$HAKMEM_SOURCE_DIR" -B "$build" -G Ninja "$@" -DCMAKE_BUILD_TYPE=None -DCMAKE_C_FLAGS="-$level" \
			-DHAKMEM_WERROR=OFF -DHAKMEM_BUILD_BENCHMARKS=OFF -DHAKMEM_BUILD_TOOLS=OFF -DHAKMEM_INSTALL=OFF &&
			"$CMAKE" --build "$build" --target test_sh8bench_pattern_preload
	} >"$build/log" 2>&1 || {
		tail -n 30 "$build/log"
		echo "the build at -$level failed"
		exit 1
	}
	echo "-$level"
	"${CMAKE%cmake}ctest" --test-dir "$build" -R '^sh8bench_pattern_preload$' --no-tests=error --output-on-failure
done
