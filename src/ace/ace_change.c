#include "ace/ace_change.h"

enum {
	/* Measured rates of a steady program vary by this much on a busy machine. */
	TOLERANCE = PPM / 5,
	/* Half the rate is seen after five values, twice the rate after two. */
	THRESHOLD = PPM + PPM / 4,
	/* One wild value alone is no change. */
	LARGEST_STEP = PPM,
};

void ace_change_reset(struct ace_change *c)
{
	*c = (struct ace_change){ 0 };
}

static int64_t accumulate(int64_t sum_ppm, int64_t deviation_ppm)
{
	int64_t step = clamp_i64(deviation_ppm - TOLERANCE, -LARGEST_STEP, LARGEST_STEP);
	return sum_ppm + step > 0 ? sum_ppm + step : 0;
}

bool ace_change_add(struct ace_change *c, int64_t x_ppm)
{
	c->high_ppm = accumulate(c->high_ppm, x_ppm - PPM);
	c->low_ppm = accumulate(c->low_ppm, PPM - x_ppm);
	if (c->high_ppm <= THRESHOLD && c->low_ppm <= THRESHOLD)
		return false;
	ace_change_reset(c);
	return true;
}
