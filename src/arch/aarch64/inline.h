#ifndef HAK_ARCH_AARCH64_INLINE_H
#define HAK_ARCH_AARCH64_INLINE_H

#include "common/base.h"

#define hak_cpu_relax hak_cpu_relax
HAK_INLINE void hak_cpu_relax(void)
{
	/* `isb` waits about as long as x86's `pause`; `yield` is a no-op on most cores. */
	__asm__ volatile("isb" ::: "memory");
}

/* Top byte ignore: bits 56 to 63 (Arm ARM D5.1.3). */
#define hak_untagged hak_untagged
HAK_INLINE uintptr_t hak_untagged(uintptr_t addr)
{
	return addr & ((UINT64_C(1) << 56) - 1);
}

#endif
