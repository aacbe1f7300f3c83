#ifndef HAK_ARCH_X86_64_INLINE_H
#define HAK_ARCH_X86_64_INLINE_H

#include "common/base.h"

#define hak_cpu_relax hak_cpu_relax
HAK_INLINE void hak_cpu_relax(void)
{
	__asm__ volatile("pause" ::: "memory");
}

#endif
