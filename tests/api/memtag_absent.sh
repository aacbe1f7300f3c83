#!/usr/bin/env bash
# HAKMEM_MTE on a CPU without memory tags: one line says so, and the program runs without.
#
# usage: memtag_absent.sh PROGRAM
set -uo pipefail
read -r -a emulator <<<"$EMULATOR"
for i in "${!emulator[@]}"; do
	[[ ${emulator[i]} != max ]] || emulator[i]=cortex-a72
done
for mode in sync async; do
	said=$(HAKMEM_MTE=$mode "${emulator[@]}" "$1" absent 2>&1 >/dev/null) || {
		echo "FAILED: HAKMEM_MTE=$mode: status $?: $said"
		exit 1
	}
	if [[ $(grep -c '^hakmem: HAKMEM_MTE' <<<"$said") != 1 ]]; then
		echo "FAILED: HAKMEM_MTE=$mode: expected one line of hakmem, found: $said"
		exit 1
	fi
done
said=$("${emulator[@]}" "$1" absent 2>&1 >/dev/null)
if grep -q '^hakmem:' <<<"$said"; then
	echo "FAILED: without HAKMEM_MTE it says: $said"
	exit 1
fi
