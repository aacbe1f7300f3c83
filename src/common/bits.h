/* Bit scans and masks on 32- and 64-bit words. */
#ifndef HAK_COMMON_BITS_H
#define HAK_COMMON_BITS_H

#include "common/base.h"

/* Index of the lowest set bit; x != 0. */
HAK_INLINE unsigned bit_lowest(uint64_t x)
{
	return (unsigned)__builtin_ctzll(x);
}

/* Index of the highest set bit; x != 0. */
HAK_INLINE unsigned bit_highest(uint64_t x)
{
	return 63u - (unsigned)__builtin_clzll(x);
}

HAK_INLINE unsigned bit_count(uint64_t x)
{
	return (unsigned)__builtin_popcountll(x);
}

/* `count` ones from bit `first` on; first + count <= 32. */
HAK_INLINE uint32_t mask32(unsigned first, unsigned count)
{
	return (uint32_t)(((UINT64_C(1) << count) - 1) << first);
}

/* Every bit i for which bits i .. i+n-1 of x are all set, n >= 1. By doubling:
 * after a step that ands with a shift of s, runs of length s more survive. */
HAK_INLINE uint32_t mask32_runs(uint32_t x, unsigned n)
{
	unsigned have = 1;
	while (have < n && x != 0) {
		unsigned step = have < n - have ? have : n - have;
		x &= x >> step;
		have += step;
	}
	return x;
}

/* Length of the longest run of ones. */
HAK_INLINE unsigned mask32_longest_run(uint32_t x)
{
	unsigned length = 0;
	while (x != 0) {
		x &= x >> 1;
		length++;
	}
	return length;
}

#endif
