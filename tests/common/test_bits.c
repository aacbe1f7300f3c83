/* common/bits.h against loops that look at one bit at a time. */
#include "unit.h"

#include "common/bits.h"

static unsigned naive_lowest(uint64_t x)
{
	unsigned i = 0;
	while (!(x >> i & 1))
		i++;
	return i;
}

static unsigned naive_highest(uint64_t x)
{
	unsigned i = 63;
	while (!(x >> i & 1))
		i--;
	return i;
}

static unsigned naive_count(uint64_t x)
{
	unsigned n = 0;
	for (; x != 0; x >>= 1)
		n += x & 1;
	return n;
}

static bool naive_run_at(uint32_t x, unsigned first, unsigned n)
{
	for (unsigned i = first; i < first + n; i++)
		if (i >= 32 || !(x >> i & 1))
			return false;
	return true;
}

static uint32_t naive_runs(uint32_t x, unsigned n)
{
	uint32_t runs = 0;
	for (unsigned i = 0; i < 32; i++)
		runs |= (uint32_t)naive_run_at(x, i, n) << i;
	return runs;
}

static unsigned naive_longest(uint32_t x)
{
	unsigned best = 0, now = 0;
	for (unsigned i = 0; i < 32; i++) {
		now = x >> i & 1 ? now + 1 : 0;
		if (now > best)
			best = now;
	}
	return best;
}

static void check_scans(uint64_t x)
{
	if (x != 0) {
		CHECK(bit_lowest(x) == naive_lowest(x), "lowest of %#llx", (unsigned long long)x);
		CHECK(bit_highest(x) == naive_highest(x), "highest of %#llx",
		      (unsigned long long)x);
	}
	CHECK(bit_count(x) == naive_count(x), "count of %#llx", (unsigned long long)x);
}

static void check_runs(uint32_t x)
{
	CHECK(mask32_longest_run(x) == naive_longest(x), "longest run of %#x: %u, not %u", x,
	      mask32_longest_run(x), naive_longest(x));
	for (unsigned n = 1; n <= 32; n++)
		CHECK(mask32_runs(x, n) == naive_runs(x, n), "runs of %u in %#x: %#x, not %#x", n,
		      x, mask32_runs(x, n), naive_runs(x, n));
}

static void scans(void)
{
	uint64_t rng = unit_seed();
	for (unsigned i = 0; i < 64; i++) {
		check_scans(UINT64_C(1) << i);
		check_scans(UINT64_MAX << i);
		check_scans(UINT64_MAX >> i);
		for (unsigned j = 0; j < i; j++)
			check_scans(UINT64_C(1) << i | UINT64_C(1) << j);
	}
	check_scans(0);
	for (unsigned i = 0; i < 10000; i++)
		check_scans(test_random(&rng) >> unit_below(&rng, 64));
}

static void masks(void)
{
	for (unsigned first = 0; first <= 32; first++)
		for (unsigned count = 0; first + count <= 32; count++) {
			uint32_t expected = 0;
			for (unsigned i = first; i < first + count; i++)
				expected |= UINT32_C(1) << i;
			CHECK(mask32(first, count) == expected, "mask32(%u, %u) = %#x", first,
			      count, mask32(first, count));
		}
}

static void runs(void)
{
	uint64_t rng = unit_seed();
	unsigned step = test_scaled(1, 7);
	for (uint32_t x = 0; x < 65536; x += step) {
		check_runs(x);
		check_runs(x << 16);
	}
	for (unsigned i = 0; i < 32; i++)
		for (unsigned j = 0; i + j <= 32; j++) {
			check_runs(mask32(i, j));
			check_runs(~mask32(i, j));
		}
	/* Dense words, in which long runs are not rare. */
	for (unsigned i = 0; i < 20000 / step; i++)
		check_runs((uint32_t)(test_random(&rng) | test_random(&rng) | test_random(&rng)));
}

static void alignment(void)
{
	for (unsigned shift = 0; shift < 40; shift++) {
		uintptr_t align = (uintptr_t)1 << shift;
		CHECK(is_pow2(align) && (shift < 2 || !is_pow2(align - 1)), "is_pow2 near %#zx",
		      align);
		CHECK(align_up(0, align) == 0 && align_up(1, align) == align &&
			      align_up(align, align) == align &&
			      align_up(align + 1, align) == 2 * align,
		      "align_up to %#zx", align);
		CHECK(align_down(align, align) == align &&
			      align_down(2 * align - 1, align) == (2 * align - 1) / align * align,
		      "align_down to %#zx", align);
	}
	CHECK(!is_pow2(0), "0 is no power of two");
	CHECK(min_size(3, 4) == 3 && min_size(4, 3) == 3 && max_size(3, 4) == 4 &&
		      max_size(4, 3) == 4,
	      "min_size, max_size");
}

static const struct test_case cases[] = {
	{ "scans", scans },
	{ "masks", masks },
	{ "runs", runs },
	{ "alignment", alignment },
};

int main(int argc, char **argv)
{
	return TEST_MAIN(argc, argv, cases);
}
