#include "ace/ace_fixed.h"

#include "common/bits.h"

int64_t ppm_ratio(uint64_t part, uint64_t whole)
{
	uint64_t ratio;
	if (whole == 0)
		return 0;
	while (part > UINT64_MAX / PPM) {
		part >>= 1;
		whole >>= 1;
	}
	if (whole == 0)
		return INT32_MAX;
	ratio = part * PPM / whole;
	return ratio > INT32_MAX ? INT32_MAX : (int64_t)ratio;
}

/* log2(x) bit by bit: squaring the mantissa doubles its logarithm, and what
 * passes 2 is the next binary digit. */
int64_t ppm_ln(int64_t x_ppm)
{
	enum { MANTISSA_BITS = 31, FRACTION_BITS = 24, LN2_PPB = 693147181, PPB_PER_PPM = 1000 };
	uint64_t mantissa, log2_bits;
	if (x_ppm <= PPM)
		return 0;
	/* Normalised to [1, 2) in units of 2^-31. */
	unsigned exponent = 0;
	while ((x_ppm >> exponent) >= 2 * (int64_t)PPM)
		exponent++;
	mantissa = exponent < MANTISSA_BITS
			   ? ((uint64_t)x_ppm << (MANTISSA_BITS - exponent)) / PPM
			   : ((uint64_t)x_ppm >> (exponent - MANTISSA_BITS)) / PPM;
	log2_bits = exponent;
	for (unsigned i = 0; i < FRACTION_BITS; i++) {
		mantissa = (mantissa * mantissa) >> MANTISSA_BITS;
		log2_bits <<= 1;
		if (mantissa >= (uint64_t)2 << MANTISSA_BITS) {
			mantissa >>= 1;
			log2_bits |= 1;
		}
	}
	return (int64_t)((log2_bits * (LN2_PPB / PPB_PER_PPM)) >> FRACTION_BITS);
}

int64_t ppm_sqrt(int64_t x_ppm)
{
	uint64_t v = (uint64_t)x_ppm * PPM, root = 0;
	if (x_ppm <= 0)
		return 0;
	for (uint64_t bit = (uint64_t)1 << 31; bit != 0; bit >>= 1)
		if ((root | bit) * (root | bit) <= v)
			root |= bit;
	return (int64_t)root;
}
