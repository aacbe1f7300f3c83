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

/* Four instructions with the branch; gcc makes six of a relaxed load and store. */
#define hak_count_down hak_count_down
HAK_INLINE bool hak_count_down(_Atomic int32_t *n)
{
	int32_t left;
	bool used_up;
	__asm__ volatile("ldr %w1, %2\n\tsubs %w1, %w1, #1\n\tstr %w1, %2"
			 : "=@ccle"(used_up), "=&r"(left), "+m"(*n));
	return used_up;
}

/* The system's counter, the same on every CPU, read after whatever this thread has
 * loaded before (Arm ARM, D12.1.2: the counter may be read early without the ISB). */
#define hak_ticks hak_ticks
HAK_INLINE uint64_t hak_ticks(void)
{
	uint64_t ticks;
	__asm__ volatile("isb; mrs %0, cntvct_el0" : "=r"(ticks)::"memory");
	return ticks;
}

/* Bytes of the smallest line of the data caches: bits 19-16 of CTR_EL0, which user
 * space may read, are log2 of its words (Arm ARM, CTR_EL0). */
#define hak_cacheline_bytes hak_cacheline_bytes
HAK_INLINE uint32_t hak_cacheline_bytes(void)
{
	uint64_t ctr;
	__asm__("mrs %0, ctr_el0" : "=r"(ctr));
	return 4u << (ctr >> 16 & 15);
}

#endif
