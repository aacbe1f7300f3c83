/* common/sample.c: the count of allocations, who is shown one and how often, blocks that a
 * sampler makes itself, samplers that come and go while the clock runs. */
#include "unit.h"

#include "common/entry.h"
#include "common/sample.h"
#include "hakmem/hakmem.h"

enum { CLOCK_STEPS = 100000 };

/* ---- the clock alone */

static void counts_alone(void)
{
	struct sample_clock c;
	sample_clock_init(&c);
	for (uint64_t n = 1; n <= 3 * SAMPLE_IDLE_OPS + 7; n++) {
		/* Hits, but one in five is slow, and the hit that ends a step is too. */
		if (n % 5 == 0 || sample_count_hit(&c))
			CHECK(sample_count_slow(&c) == 0, "a sampler is due, and none was set");
		if (n % 1000 == 0 || n == SAMPLE_IDLE_OPS || n == SAMPLE_IDLE_OPS + 1)
			CHECK_U64(sample_ops(&c), n, "allocations");
	}
}

static void see(void *block, size_t bytes)
{
	(void)block;
	(void)bytes;
}

static const struct sampler_hooks seeing = { .look = see };

/* How often a sampler is due in CLOCK_STEPS allocations. */
static unsigned times_due(struct sample_clock *c, enum sampler which)
{
	unsigned n = 0;
	for (unsigned i = 0; i < CLOCK_STEPS; i++)
		if (sample_count_hit(c))
			n += sample_count_slow(c) >> which & 1;
	return n;
}

static void intervals(void)
{
	static const uint32_t every[] = { 1, 2, 3, 10, 64, 1024 };
	struct sample_clock c;
	for (unsigned i = 0; i < HAK_ARRAY_LEN(every); i++) {
		unsigned n, expected = CLOCK_STEPS / every[i];
		sampler_set(SAMPLER_PROFILE, &seeing, every[i]);
		sample_clock_init(&c);
		n = times_due(&c, SAMPLER_PROFILE);
		CHECK(n >= expected * 7 / 8 - 1 && n <= expected * 9 / 8 + 1,
		      "every %u: due %u times in %u", every[i], n, CLOCK_STEPS);
		CHECK_U64(sample_ops(&c), CLOCK_STEPS, "allocations");
	}
	sampler_set(SAMPLER_PROFILE, NULL, 0);
}

static void follows_at_once(void)
{
	struct sample_clock c;
	unsigned n = 0;
	sample_clock_init(&c);
	for (unsigned i = 0; i < 100; i++)
		CHECK(!sample_count_hit(&c), "nobody wants samples");
	sampler_set(SAMPLER_PROFILE, &seeing, 10);
	sample_clock_follow(&c);
	CHECK_U64(sample_ops(&c), 100, "allocations");
	for (unsigned i = 0; i < 1000; i++)
		if (sample_count_hit(&c))
			n += sample_count_slow(&c) >> SAMPLER_PROFILE & 1;
	CHECK(n >= 80 && n <= 120, "every 10: due %u times in 1000", n);
	CHECK_U64(sample_ops(&c), 1100, "allocations");
	sampler_set(SAMPLER_PROFILE, NULL, 0);
}

static void two_at_once(void)
{
	struct sample_clock c;
	unsigned guard = 0, profile = 0;
	sampler_set(SAMPLER_GUARD, &seeing, 100);
	sampler_set(SAMPLER_PROFILE, &seeing, 1000);
	sample_clock_init(&c);
	for (unsigned i = 0; i < CLOCK_STEPS; i++) {
		unsigned due = sample_count_slow(&c);
		guard += due >> SAMPLER_GUARD & 1;
		profile += due >> SAMPLER_PROFILE & 1;
		CHECK((due >> SAMPLER_MISS_RATE & 1) == 0, "due, and nobody asked");
	}
	CHECK(guard > 875 && guard < 1125, "one in 100: %u of %u", guard, CLOCK_STEPS);
	CHECK(profile > 80 && profile < 120, "one in 1000: %u of %u", profile, CLOCK_STEPS);
	sampler_set(SAMPLER_GUARD, NULL, 0);
	sampler_set(SAMPLER_PROFILE, NULL, 0);
}

/* A clock that runs follows at the end of its step at the latest, and faster if what was asked
 * for was rarer. */
static void follows(void)
{
	struct sample_clock c;
	unsigned first = 0;
	sample_clock_init(&c);
	sampler_set(SAMPLER_PROFILE, &seeing, 1000);
	for (unsigned n = 1; first == 0 && n <= 2 * SAMPLE_IDLE_OPS; n++)
		if (sample_count_slow(&c) != 0)
			first = n;
	CHECK(first > 0 && first <= SAMPLE_IDLE_OPS + 1500, "seen first at allocation %u", first);
	sampler_set(SAMPLER_PROFILE, &seeing, INT32_MAX / 2);
	(void)times_due(&c, SAMPLER_PROFILE);
	sampler_set(SAMPLER_PROFILE, &seeing, 10);
	(void)times_due(&c, SAMPLER_PROFILE);
	CHECK(times_due(&c, SAMPLER_PROFILE) > CLOCK_STEPS / 10 * 7 / 8, "asked for more often");
	sampler_set(SAMPLER_PROFILE, NULL, 0);
	(void)times_due(&c, SAMPLER_PROFILE);
	CHECK_U64(times_due(&c, SAMPLER_PROFILE), 0, "after it was switched off");
}

/* ---- in malloc */

static char made_here[64];
static unsigned looks, look_bytes;
static void *last_block;

static void note(void *block, size_t bytes)
{
	looks++;
	look_bytes += (unsigned)bytes;
	last_block = block;
}

static void *make(size_t bytes, size_t align)
{
	CHECK_U64(align, HAK_MIN_ALIGN, "alignment");
	return bytes == 24 ? made_here : NULL;
}

static const struct sampler_hooks noting = { .look = note };
static const struct sampler_hooks making = { .provide = make, .look = note };

/* Until the thread's clock has seen what is asked for. */
static void let_clock_follow(void)
{
	for (unsigned i = 0; i <= SAMPLE_IDLE_OPS; i++)
		hak_free(hak_malloc(16));
}

static void blocks_are_seen(void)
{
	sampler_set(SAMPLER_GUARD, &noting, 1);
	let_clock_follow();
	looks = look_bytes = 0;
	for (unsigned i = 0; i < 100; i++) {
		void *p = hak_malloc(40);
		CHECK_PTR(last_block, p, "the block that was looked at");
		hak_free(p);
	}
	CHECK_U64(looks, 100, "looks");
	CHECK_U64(look_bytes, 4000, "bytes asked for");
	hak_free(hak_malloc(100000)); /* whatever the size */
	CHECK_U64(looks, 101, "a large block is seen");
	sampler_set(SAMPLER_GUARD, NULL, 0);
	hak_free(hak_malloc(40));
	looks = 0;
	hak_free(hak_malloc(40));
	CHECK_U64(looks, 0, "looks after the end");
}

static void blocks_are_made(void)
{
	void *p, *q;
	sampler_set(SAMPLER_GUARD, &making, 1);
	let_clock_follow();
	looks = 0;
	p = hak_malloc(24);
	CHECK_PTR(p, made_here, "the sampler's block");
	CHECK_U64(looks, 0, "looks at a block of its own");
	q = hak_malloc(25);
	CHECK(q != NULL && q != (void *)made_here, "one that it does not make");
	CHECK_U64(looks, 1, "looks at that");
	hak_free(q);
	memset(made_here, 1, sizeof(made_here));
	p = hak_calloc(1, 24);
	CHECK_U64(unit_first_nonzero(p, 24), 24, "zeros of a sampler's block");
	sampler_set(SAMPLER_GUARD, NULL, 0);
	hak_free(hak_malloc(40));
}

static const struct test_case cases[] = {
	{ "counts_alone", counts_alone },
	{ "intervals", intervals },
	{ "follows_at_once", follows_at_once },
	{ "two_at_once", two_at_once },
	{ "follows", follows },
	{ "blocks_are_seen", blocks_are_seen },
	{ "blocks_are_made", blocks_are_made },
};

UNIT_MAIN(cases)
