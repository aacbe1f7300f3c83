# shellcheck shell=bash
# shellcheck disable=SC2034  # what is set here is for the scripts
# What test scripts share. They source it; CTest runs them, with the environment that
# cmake/HakmemTest.cmake lists.

source=$HAKMEM_SOURCE_DIR
build=${HAKMEM_BINARY_DIR:?run by CTest, which names the build}
lib=${HAKMEM_SHARED_LIB:?run by CTest, which names the library}
static=${HAKMEM_STATIC_LIB:?run by CTest, which names the archive}

# A folder that goes at the end. A script with more to clean up defines clean_up.
work=$(mktemp -d)
clean_up() { :; }
trap 'clean_up; rm -rf "$work"' EXIT

fail() {
	echo "FAILED: $*"
	exit 1
}

skip() {
	echo "skipped: $*"
	exit 77
}

# wrong WHAT: a failure after which the rest is still looked at. Such scripts end with exit $failed.
failed=0
wrong() {
	echo "FAILED: $*"
	failed=1
}

# The command `hakmem`.
# shellcheck disable=SC2086  # the emulator and its arguments
tool() { ${EMULATOR:-} "${HAKMEM_COMMAND:?run by CTest, which names the command}" "$@"; }

# expect CODE WORDS COMMAND...: its exit code, and what it says, which is then in $work/out.
expect() {
	local code=$1 words=$2 rc=0
	shift 2
	"$@" >"$work/out" 2>&1 || rc=$?
	[[ $rc == "$code" ]] || fail "$*: exit code $rc, not $code: $(tail -n 50 "$work/out")"
	grep -q -- "$words" "$work/out" || fail "$*: no '$words' in: $(tail -n 50 "$work/out")"
}

# process_of NAME: the number of the process of this name that shows a page, within five seconds.
process_of() {
	local i pid
	for ((i = 0; i < 100; i++)); do
		pid=$(tool list | awk -v name="$1" '$0 ~ name { print $1 }') || true
		[[ -z $pid ]] || break
		sleep 0.05
	done
	echo "$pid"
}
