/* ace/ace_fixed.c against values known to six decimals. */
#include "ace/ace_fixed.h"
#include "testing.h"

static void near_to(int64_t found, int64_t expected, int64_t tolerance, const char *what)
{
	CHECK(found >= expected - tolerance && found <= expected + tolerance,
	      "%s: expected %lld, found %lld", what, (long long)expected, (long long)found);
}

static void logarithms(void)
{
	near_to(ppm_ln(0), 0, 0, "ln 0");
	near_to(ppm_ln(PPM), 0, 0, "ln 1");
	near_to(ppm_ln(2 * PPM), 693147, 2, "ln 2");
	near_to(ppm_ln(2718282), 1000000, 2, "ln e");
	near_to(ppm_ln(10 * (int64_t)PPM), 2302585, 4, "ln 10");
	near_to(ppm_ln(1000 * (int64_t)PPM), 6907755, 10, "ln 1000");
	near_to(ppm_ln((int64_t)PPM * PPM), 13815511, 20, "ln 10^6");
	for (int64_t x = PPM; x < 1000 * (int64_t)PPM; x += 7777777)
		CHECK(ppm_ln(x + 7777777) > ppm_ln(x), "ln does not rise at %lld", (long long)x);
}

static void roots(void)
{
	near_to(ppm_sqrt(0), 0, 0, "sqrt 0");
	near_to(ppm_sqrt(PPM), PPM, 0, "sqrt 1");
	near_to(ppm_sqrt(2 * PPM), 1414213, 0, "sqrt 2");
	near_to(ppm_sqrt(PPM / 4), PPM / 2, 0, "sqrt 1/4");
	near_to(ppm_sqrt(1000000 * (int64_t)PPM), 1000 * (int64_t)PPM, 0, "sqrt 10^6");
}

static void ratios(void)
{
	CHECK_I64(ppm_ratio(1, 4), 250000, "1/4");
	CHECK_I64(ppm_ratio(1, 0), 0, "1/0");
	CHECK_I64(ppm_ratio(UINT64_MAX, UINT64_MAX), PPM, "max/max");
	CHECK_I64(ppm_ratio(UINT64_MAX, 1), INT32_MAX, "max/1");
	CHECK_I64(ppm_ratio(UINT64_MAX / 2, UINT64_MAX), PPM / 2 - 1, "half");
}

static const struct test_case cases[] = {
	{ "logarithms", logarithms }, { "roots", roots }, { "ratios", ratios }
};

int main(int argc, char **argv)
{
	return TEST_MAIN(argc, argv, cases);
}
