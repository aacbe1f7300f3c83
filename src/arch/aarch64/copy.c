/* LDNP and STNP are loads and stores of pairs with the hint that the data will not be
 * used again soon. Stores are ordered as any others. A load is not ordered by an address
 * dependency behind the load that gave the address (Arm ARM, C3.2.4), hence the
 * barrier before a copy: whoever wrote the source may have been another thread.
 *
 * DC ZVA zeroes a block whose size DCZID_EL0 tells, without reading it.
 *
 * The ends of a range that are no whole blocks are written by ordinary stores.
 */
#include "arch/aarch64/copy.h"

#include <string.h>

enum { LINE_BYTES = 64 };

/* The part of a range in front of its first whole block. */
static size_t head_bytes(const void *p, size_t n, size_t block)
{
	return min_size(-(uintptr_t)p & (block - 1), n);
}

void copy_nt_stnp(void *restrict dst, const void *restrict src, size_t n)
{
	char *d = dst;
	const char *s = src;
	size_t i = head_bytes(d, n, LINE_BYTES);
	__asm__ volatile("dmb ishld" ::: "memory");
	memcpy(d, s, i);
	for (; n - i >= LINE_BYTES; i += LINE_BYTES)
		__asm__ volatile("ldnp q0, q1, [%1]\n\t"
				 "ldnp q2, q3, [%1, #32]\n\t"
				 "stnp q0, q1, [%0]\n\t"
				 "stnp q2, q3, [%0, #32]" ::"r"(d + i),
				 "r"(s + i)
				 : "v0", "v1", "v2", "v3", "memory");
	memcpy(d + i, s + i, n - i);
}

void clear_nt_stnp(void *p, size_t n)
{
	char *d = p;
	size_t i = head_bytes(d, n, LINE_BYTES);
	memset(d, 0, i);
	for (; n - i >= LINE_BYTES; i += LINE_BYTES)
		__asm__ volatile("movi v0.2d, #0\n\t"
				 "stnp q0, q0, [%0]\n\t"
				 "stnp q0, q0, [%0, #32]" ::"r"(d + i)
				 : "v0", "memory");
	memset(d + i, 0, n - i);
}

size_t zva_block_bytes(void)
{
	uint64_t dczid;
	__asm__("mrs %0, dczid_el0" : "=r"(dczid));
	return (dczid >> 4 & 1) != 0 ? 0 : (size_t)4 << (dczid & 15);
}

void clear_nt_zva(void *p, size_t n)
{
	char *d = p;
	size_t block = zva_block_bytes();
	size_t i = head_bytes(d, n, block);
	memset(d, 0, i);
	for (; n - i >= block; i += block)
		__asm__ volatile("dc zva, %0" ::"r"(d + i) : "memory");
	memset(d + i, 0, n - i);
}
