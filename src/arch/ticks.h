/* A clock made of the CPU's tick counter, for architectures that have one which runs
 * at one rate and is the same on every CPU.
 *
 * The kernel's clock is used until the rate is known, which takes 0.1 s from
 * ticks_begin(); nothing waits for it. Then: ns = base_ns + (ticks - base_ticks) * scale.
 */
#ifndef HAK_ARCH_TICKS_H
#define HAK_ARCH_TICKS_H

#include "common/base.h"

/* Note where the counter stands. Once, before the first ticks_now_ns(). */
void ticks_begin(void);

/* See arch_now_fn. */
uint64_t ticks_now_ns(void);

#if HAKMEM_TESTING
bool ticks_calibrated(void);
#endif

#endif
