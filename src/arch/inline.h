/* Primitives so small that a call would cost more than they do. An architecture
 * defines what it has, and a macro of the same name to say so; the rest is
 * generic. */
#ifndef HAK_ARCH_INLINE_H
#define HAK_ARCH_INLINE_H

#include "arch/detect.h"
#include "common/base.h"

#if HAK_ARCH_X86_64
#include "arch/x86_64/inline.h"
#elif HAK_ARCH_AARCH64
#include "arch/aarch64/inline.h"
#endif

/* Tell the CPU that this is a spin loop. */
#ifndef hak_cpu_relax
#define hak_cpu_relax hak_cpu_relax
HAK_INLINE void hak_cpu_relax(void)
{
	__asm__ volatile("" ::: "memory");
}
#endif

/* The register from which a thread's variables are reached. */
#ifndef hak_thread_pointer
#define hak_thread_pointer hak_thread_pointer
HAK_INLINE uintptr_t hak_thread_pointer(void)
{
	return (uintptr_t)__builtin_thread_pointer();
}
#endif

/* What must stand where the thread pointer of a new thread points to. */
#ifndef hak_thread_pointer_init
#define hak_thread_pointer_init hak_thread_pointer_init
HAK_INLINE void hak_thread_pointer_init(uintptr_t tp)
{
	(void)tp;
}
#endif

/* An address without the tag that the CPU lets programs keep in its upper bits, and that
 * loads and stores ignore. */
#ifndef hak_untagged
#define hak_untagged hak_untagged
HAK_INLINE uintptr_t hak_untagged(uintptr_t addr)
{
	return addr;
}
#endif

/* Fetch the cache line of p, which need not be mapped. */
#ifndef hak_prefetch
#define hak_prefetch hak_prefetch
HAK_INLINE void hak_prefetch(const void *p)
{
	__builtin_prefetch(p);
}
#endif

#endif
