#!/usr/bin/env bash
# HAKMEM_MTE on a CPU without memory tags: one line says so, and the program runs without.
#
# usage: memtag_absent.sh PROGRAM
set -uo pipefail
# shellcheck source=tests/testing.sh
. "${HAKMEM_SOURCE_DIR:?run by CTest, which names the sources}/tests/testing.sh"
read -r -a emulator <<<"$EMULATOR"
for i in "${!emulator[@]}"; do
	[[ ${emulator[i]} != max ]] || emulator[i]=cortex-a72
done
for mode in sync async; do
	said=$(HAKMEM_MTE=$mode "${emulator[@]}" "$1" absent 2>&1 >/dev/null) ||
		fail "HAKMEM_MTE=$mode: status $?: $said"
	[[ $(grep -c '^hakmem: HAKMEM_MTE' <<<"$said") == 1 ]] ||
		fail "HAKMEM_MTE=$mode: expected one line of hakmem, found: $said"
done
said=$("${emulator[@]}" "$1" absent 2>&1 >/dev/null)
! grep -q '^hakmem:' <<<"$said" || fail "without HAKMEM_MTE it says: $said"
