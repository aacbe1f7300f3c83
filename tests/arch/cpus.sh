#!/usr/bin/env bash
# Runs the programs named as arguments on each of several CPU models that an emulator plays,
# and on this CPU with features masked. An old model traps at what it does not have,
# so an instruction that is used without a look at the features ends the test.
#
# usage: cpus.sh MACHINE PROGRAM...
set -uo pipefail
machine=$1
shift
failed=0

# run WHAT COMMAND...
run() {
	local what=$1 said rc
	shift
	said=$("$@" 2>&1)
	rc=$?
	if ((rc == 0)); then
		printf '   %s: %s\n' "$what" "$(grep -m 1 -oE '(copy_nt|now_ns) is .*' <<<"$said" || echo passed)"
	else
		printf '   %s: FAILED, status %d\n%s\n' "$what" "$rc" "$said"
		failed=1
	fi
}

case $machine in
x86_64)
	models=(Nehalem Haswell max)
	masks=(avx2 avx512f avx2,avx512f,erms sse2,avx2 invariant_tsc)
	counter=invariant_tsc
	if ! emulator=$(command -v qemu-x86_64); then
		echo "SKIPPED: no qemu-x86_64 here"
		exit 77
	fi
	;;
aarch64)
	models=(cortex-a72 neoverse-n1 max)
	masks=(zva asimd,zva cntvct)
	counter=cntvct
	emulator=$EMULATOR # a later -cpu is the one that counts
	;;
*)
	echo "SKIPPED: no CPU models for $machine"
	exit 77
	;;
esac

for program; do
	name=$(basename "$program")
	for model in "${models[@]}"; do
		# shellcheck disable=SC2086  # the emulator has arguments
		run "$name on $model" $emulator -cpu "$model" "$program"
	done
	# A mask changes what is chosen; test_arch_copy tries all that can run anyway.
	case $name in
	test_arch) now=("${masks[@]}") ;;
	test_arch_clock) now=("$counter") ;;
	*) continue ;;
	esac
	# shellcheck disable=SC2086
	for mask in "${now[@]}"; do
		run "$name without $mask" env HAKMEM_CPU_DISABLE="$mask" $EMULATOR "$program"
	done
	# shellcheck disable=SC2086
	run "$name, the reference" env HAKMEM_ARCH=generic $EMULATOR "$program"
done
exit $failed
