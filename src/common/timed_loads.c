#include "common/timed_loads.h"

#include <string.h>

#include "arch/pmu.h"
#include "common/os.h"

enum {
	ROUNDS = 256,
	LINES = 64, /* lines of the calibration's own that are loaded */
	/* A gap between hit and miss of fewer ticks than this is a coarse clock's. */
	FINE_CLOCK_TICKS = 16,
	/* In calibration: so many times as long as three quarters of the loads. */
	OUTLIER = 4,
	/* Misses beyond this many times the gap are something else: a page fault takes longer. */
	CLIP_GAPS = 4,
	MILLION = 1000000,
};

/* Two lines of the adjacent-line prefetcher each. Its content does not matter. */
static alignas(HAK_CACHELINE) char lines[LINES][HAK_CACHELINE];

static void insertion_sort(uint32_t *v, unsigned n)
{
	for (unsigned i = 1; i < n; i++) {
		uint32_t x = v[i];
		unsigned at = i;
		for (; at > 0 && v[at - 1] > x; at--)
			v[at] = v[at - 1];
		v[at] = x;
	}
}

/* Mean of sorted v, without what an interrupt has made long. The rest is all kept, as with a
 * coarse clock the time of one load lies on either side of the mean. */
static uint64_t mean(const uint32_t *v, unsigned n)
{
	uint32_t longest = OUTLIER * (v[n / 4 * 3] + 1);
	uint64_t sum = 0;
	unsigned kept = 0;
	for (; kept < n && v[kept] <= longest; kept++)
		sum += v[kept];
	return (sum << TIMED_LOADS_FRACTION_BITS) / kept;
}

struct levels {
	uint32_t hits[ROUNDS], misses[ROUNDS]; /* ticks, sorted */
};

static void measure(const struct hak_pmu *pmu, struct levels *l)
{
	for (unsigned i = 0; i < ROUNDS; i++) {
		const void *line = lines[i * 37 % LINES]; /* in no order that a prefetcher knows */
		for (volatile unsigned n = i % 8; n > 0; n = n - 1)
			; /* out of step with a coarse clock */
		(void)pmu->timed_load(line);
		l->hits[i] = pmu->timed_load(line);
		pmu->flush_line(line);
		l->misses[i] = pmu->timed_load(line);
	}
	insertion_sort(l->hits, ROUNDS);
	insertion_sort(l->misses, ROUNDS);
}

static uint32_t cost_ns(const struct hak_pmu *pmu)
{
	uint64_t start = os_now_ns();
	for (unsigned i = 0; i < ROUNDS; i++)
		(void)pmu->timed_load(lines[0]);
	return (uint32_t)((os_now_ns() - start + ROUNDS - 1) / ROUNDS);
}

/* An emulator's flush does nothing, and some clocks stand still for longer than a miss. */
static bool can_be_told_apart(const struct timed_loads *t)
{
	return t->miss_mean * 2 >= t->hit_mean * 3 &&
	       t->miss_mean >= t->hit_mean + (1 << TIMED_LOADS_FRACTION_BITS);
}

bool timed_loads_calibrate(struct timed_loads *t, const struct hak_pmu *pmu)
{
	struct levels l;
	uint32_t hit, miss;
	if (pmu->timed_load == NULL || pmu->flush_line == NULL)
		return false;
	measure(pmu, &l);
	/* Half of the hits are slower than the first; three quarters of the misses than the
	 * second, as some had been fetched again before their load. */
	hit = l.hits[ROUNDS / 2];
	miss = l.misses[ROUNDS / 4];
	*t = (struct timed_loads){
		.by_mean = miss < hit + FINE_CLOCK_TICKS,
		.threshold_ticks = hit + (miss - hit + 1) / 2,
		.hit_mean = mean(l.hits, ROUNDS),
		.miss_mean = mean(l.misses, ROUNDS),
		.cost_ns = cost_ns(pmu),
	};
	if (!can_be_told_apart(t))
		return false;
	t->clip_ticks = (uint32_t)((t->hit_mean + CLIP_GAPS * (t->miss_mean - t->hit_mean)) >>
				   TIMED_LOADS_FRACTION_BITS) + 1;
	return true;
}

bool timed_loads_add(const struct timed_loads *t, const struct hak_pmu *pmu, const void *p,
		     struct timed_sum *sum)
{
	uint32_t ticks = pmu->timed_load(p);
	if (ticks >= t->clip_ticks)
		return false;
	sum->loads++;
	sum->misses += ticks >= t->threshold_ticks;
	sum->ticks += ticks;
	return true;
}

static uint64_t ppm_by_mean(const struct timed_loads *t, const struct timed_sum *sum)
{
	uint64_t mean = (sum->ticks << TIMED_LOADS_FRACTION_BITS) / sum->loads;
	if (mean <= t->hit_mean)
		return 0;
	return (mean - t->hit_mean) * MILLION / (t->miss_mean - t->hit_mean);
}

uint32_t timed_loads_ppm(const struct timed_loads *t, const struct timed_sum *sum)
{
	uint64_t ppm = t->by_mean ? ppm_by_mean(t, sum) : sum->misses * MILLION / sum->loads;
	return (uint32_t)(ppm < MILLION ? ppm : MILLION);
}
