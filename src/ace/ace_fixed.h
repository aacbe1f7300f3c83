/* ACE's arithmetic: fixed point in parts per million, integers only, so that the
 * same figures give the same decisions on every machine. 1.0 is PPM. No state.
 */
#ifndef HAK_ACE_FIXED_H
#define HAK_ACE_FIXED_H

#include "common/base.h"

enum { PPM = 1000000 };

/* a * b of two ratios; |a * b| must stay below 2^63. */
HAK_INLINE int64_t ppm_mul(int64_t a, int64_t b)
{
	return a * b / PPM;
}

HAK_INLINE int64_t clamp_i64(int64_t v, int64_t low, int64_t high)
{
	return v < low ? low : v > high ? high : v;
}

/* part / whole, at most INT32_MAX ppm; 0 if whole is 0. */
int64_t ppm_ratio(uint64_t part, uint64_t whole);

/* Natural logarithm of x >= 1.0, to 1e-6; 0 below. */
int64_t ppm_ln(int64_t x_ppm);

/* Square root of x >= 0, rounded down. */
int64_t ppm_sqrt(int64_t x_ppm);

#endif
