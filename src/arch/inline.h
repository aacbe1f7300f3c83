/* Primitives so small that a call would cost more than they do. An architecture
 * defines what it has, and a macro of the same name to say so; the rest is
 * generic. */
#ifndef HAK_ARCH_INLINE_H
#define HAK_ARCH_INLINE_H

#include "arch/detect.h"
#include "common/atomics.h"
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

/* The same for a line that will be written: no other processor keeps it. */
#ifndef hak_prefetch_write
#define hak_prefetch_write hak_prefetch_write
HAK_INLINE void hak_prefetch_write(const volatile void *p)
{
	__builtin_prefetch((const void *)(uintptr_t)p, 1);
}
#endif

/* Take one off a number that only the calling thread changes, and others may read. True: it
 * is not above zero any more. */
#ifndef hak_count_down
#define hak_count_down hak_count_down
HAK_INLINE bool hak_count_down(_Atomic int32_t *n)
{
	int32_t left = atomic_load_relaxed(n) - 1;
	atomic_store_relaxed(n, left);
	return left <= 0;
}
#endif

/* Bytes of a line of the data caches, where that takes one instruction to know. */
#ifndef hak_cacheline_bytes
#define hak_cacheline_bytes hak_cacheline_bytes
HAK_INLINE uint32_t hak_cacheline_bytes(void)
{
	return 64;
}
#endif

#endif
