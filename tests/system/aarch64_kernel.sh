#!/usr/bin/env bash
# Boots a 64-bit Arm kernel in qemu's system emulator with a program of ours as its /init,
# and passes on what that says. User-mode emulation has no perf events and no user counters.
#
#   aarch64_kernel.sh PROGRAM [exact|mte] [NAME=VALUE...]
#       exact: the emulator counts instructions; mte: its memory has tags
#       NAME=VALUE: the environment of /init
#
# The kernel: HAKMEM_KERNEL_ARM64, or what `ci/setup test` has fetched.
set -euo pipefail
# shellcheck source=tests/testing.sh
. "${HAKMEM_SOURCE_DIR:?run by CTest, which names the sources}/tests/testing.sh"

program=${1:?the program, linked statically}
how=${2:-}
environment=("${@:3}")

for tool in qemu-system-aarch64 cpio gzip; do
	command -v "$tool" >/dev/null || skip "no $tool here"
done
kernel=${HAKMEM_KERNEL_ARM64:-$source/build/kernel-arm64/vmlinuz}
[[ -f $kernel ]] || skip "no kernel at $kernel (ci/setup test fetches one)"

mkdir "$work/root"
cp "$program" "$work/root/init"
(cd "$work/root" && find . | cpio -o -H newc --quiet | gzip -1) >"$work/initramfs.gz"

machine=virt,gic-version=max
cpu=neoverse-n1
options=()
case $how in
exact) options=(-icount "shift=1,sleep=off") ;;
mte) machine+=,mte=on cpu=max ;;
esac
timeout 240 qemu-system-aarch64 -machine "$machine" -cpu "$cpu" -smp 2 -m 512 \
	-nographic -no-reboot -net none "${options[@]}" \
	-kernel "$kernel" -initrd "$work/initramfs.gz" \
	-append "console=ttyAMA0 quiet panic=-1 rdinit=/init $how ${environment[*]}" </dev/null 2>&1 |
	tr -d '\r' | tee "$work/log"
grep -q '^  RESULT 0$' "$work/log"
