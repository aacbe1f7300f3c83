/* C11 atomics with the memory order in the name. The plain, sequentially
 * consistent forms are not used anywhere. */
#ifndef HAK_COMMON_ATOMICS_H
#define HAK_COMMON_ATOMICS_H

#include <stdatomic.h>

#include "common/base.h"

#define atomic_load_relaxed(p) atomic_load_explicit((p), memory_order_relaxed)
#define atomic_load_acquire(p) atomic_load_explicit((p), memory_order_acquire)
#define atomic_store_relaxed(p, v) atomic_store_explicit((p), (v), memory_order_relaxed)
#define atomic_store_release(p, v) atomic_store_explicit((p), (v), memory_order_release)
#define atomic_add_relaxed(p, v) atomic_fetch_add_explicit((p), (v), memory_order_relaxed)
#define atomic_add_release(p, v) atomic_fetch_add_explicit((p), (v), memory_order_release)
#define atomic_sub_relaxed(p, v) atomic_fetch_sub_explicit((p), (v), memory_order_relaxed)
#define atomic_swap_acquire(p, v) atomic_exchange_explicit((p), (v), memory_order_acquire)
#define atomic_swap_release(p, v) atomic_exchange_explicit((p), (v), memory_order_release)
#define atomic_cas_weak_release(p, expected, v)                                                    \
	atomic_compare_exchange_weak_explicit((p), (expected), (v), memory_order_release,          \
					      memory_order_relaxed)
#define atomic_cas_acquire(p, expected, v)                                                         \
	atomic_compare_exchange_strong_explicit((p), (expected), (v), memory_order_acquire,        \
						memory_order_relaxed)
#define atomic_cas_acq_rel(p, expected, v)                                                         \
	atomic_compare_exchange_strong_explicit((p), (expected), (v), memory_order_acq_rel,        \
						memory_order_acquire)

/* Orders this thread's accesses as a signal handler on it sees them. */
#define atomic_compiler_fence() atomic_signal_fence(memory_order_seq_cst)

/* Of a word that is not declared atomic, so that the load can be part of the instruction that uses
 * it: on the hit path each one counts. Relaxed; the word is aligned, and read once per use. Every
 * store is an atomic_store_word(). */
#define atomic_store_word(p, v) __atomic_store_n((p), (v), __ATOMIC_RELAXED)
#if HAK_SANITIZED_THREAD
#define atomic_load_word(p) __atomic_load_n((p), __ATOMIC_RELAXED)
#else
#define atomic_load_word(p) (*(p))
#endif

/* A pointer whose target is reached only through the pointer itself: the
 * address dependency orders the loads on every CPU we run on. ThreadSanitizer
 * does not know dependencies and is given an acquire. */
#if HAK_SANITIZED_THREAD
#define atomic_load_dependent(p) atomic_load_acquire(p)
#else
#define atomic_load_dependent(p) atomic_load_relaxed(p)
#endif

#endif
