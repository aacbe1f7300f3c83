#ifndef HAK_ARCH_AARCH64_INLINE_H
#define HAK_ARCH_AARCH64_INLINE_H

#include "common/base.h"

#define hak_cpu_relax hak_cpu_relax
HAK_INLINE void hak_cpu_relax(void)
{
	/* `isb` waits about as long as x86's `pause`; `yield` is a no-op on most cores. */
	__asm__ volatile("isb" ::: "memory");
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

#endif
