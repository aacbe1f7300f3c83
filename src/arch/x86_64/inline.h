#ifndef HAK_ARCH_X86_64_INLINE_H
#define HAK_ARCH_X86_64_INLINE_H

#include "common/base.h"

#define hak_cpu_relax hak_cpu_relax
HAK_INLINE void hak_cpu_relax(void)
{
	__asm__ volatile("pause" ::: "memory");
}

/* The thread pointer is also kept where it points to, and at 16 bytes from there
 * (System V ABI for x86_64, TLS variant II; glibc's tcbhead_t). */
#define hak_thread_pointer hak_thread_pointer
HAK_INLINE uintptr_t hak_thread_pointer(void)
{
	uintptr_t tp;
	__asm__("mov %%fs:0, %0" : "=r"(tp));
	return tp;
}

#define hak_thread_pointer_init hak_thread_pointer_init
HAK_INLINE void hak_thread_pointer_init(uintptr_t tp)
{
	((uintptr_t *)tp)[0] = tp;
	((uintptr_t *)tp)[2] = tp;
}

/* The compiler takes this instruction only where all CPUs of its target have the feature; those
 * without it take it for a NOP (Intel SDM volume 2, PREFETCHW; AMD APM volume 3, PREFETCH). */
#define hak_prefetch_write hak_prefetch_write
HAK_INLINE void hak_prefetch_write(const volatile void *p)
{
	__asm__ volatile("prefetchw %0" ::"m"(*(const volatile char *)p));
}

/* One instruction; of a relaxed load and store gcc makes three. */
#define hak_count_down hak_count_down
HAK_INLINE bool hak_count_down(_Atomic int32_t *n)
{
	bool used_up;
	__asm__ volatile("subl $1, %0" : "+m"(*n), "=@ccle"(used_up));
	return used_up;
}

/* The time stamp counter, read after whatever this thread has loaded before: without the
 * fence it may be read early, and a time that another thread passed on seems to lie
 * ahead (Intel SDM volume 2, RDTSC). */
#define hak_ticks hak_ticks
HAK_INLINE uint64_t hak_ticks(void)
{
	uint32_t low, high;
	__asm__ volatile("lfence; rdtsc" : "=a"(low), "=d"(high)::"memory");
	return (uint64_t)high << 32 | low;
}

#endif
