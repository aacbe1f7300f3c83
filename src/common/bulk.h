/* Copies and clears of any size. One that is larger than what the caches have room for
 * goes past them: it would push out the program's data for bytes that are gone again
 * before they are used. The knob nt_threshold says from which size on, in percent
 * of the last-level cache. */
#ifndef HAK_COMMON_BULK_H
#define HAK_COMMON_BULK_H

#include <string.h>

#include "common/base.h"

/* Below, the machine is not even asked what it is. */
enum { BULK_NT_LEAST_BYTES = 1024 * 1024 };

void bulk_copy_large(void *restrict dst, const void *restrict src, size_t n);
void bulk_clear_large(void *p, size_t n);

/* As memcpy. */
HAK_INLINE void bulk_copy(void *restrict dst, const void *restrict src, size_t n)
{
	if (HAK_LIKELY(n < BULK_NT_LEAST_BYTES))
		memcpy(dst, src, n);
	else
		bulk_copy_large(dst, src, n);
}

/* As memset(p, 0, n). */
HAK_INLINE void bulk_clear(void *p, size_t n)
{
	if (HAK_LIKELY(n < BULK_NT_LEAST_BYTES))
		memset(p, 0, n);
	else
		bulk_clear_large(p, n);
}

/* Bytes from which on a copy goes past the caches, and a clear. */
size_t bulk_nt_copy_bytes(void);
size_t bulk_nt_clear_bytes(void);

#endif
