/* bench_scavenge: how a large heap with holes gives its free pages back, and what that costs.
 *
 * Blocks of min..max (16..1024) bytes are allocated and fully written until `bytes` (4 GiB) are
 * alive; then `percent` (90) of them are freed, chosen at random. The program then makes pairs of
 * malloc and free of random sizes, `rate` (100000) per second, until resident memory has not
 * fallen for a second, `wait` (60) seconds at most. --seed (1).
 * One operation: one of these pairs; CPU time is that of the whole process, so what the allocator
 * does in the background is in it.
 * extra: resident memory before, after the frees and at the end; settle_s: time until 95 % of what
 * was given back had been; pair_max_us and pair_p999_us: the slowest pair, and the 1000th part; and
 * of hakmem longest_pass_us (by the clock), longest_pass_cpu_us, passes, and pass_us_N: passes
 * that took N/2..N us of processor time.
 */
#include "common/bench.h"

#include <stdio.h>
#include <time.h>

/* hakmem's; absent under another allocator. */
extern size_t hak_stats_json(char *buf, size_t size) __attribute__((weak));

enum { MAX_SAMPLES = 4096, SAMPLE_MS = 20, STILL_MS = 1000, MAX_PAIRS = 1 << 24, MS = 1000000 };

/* Resident memory in the course of time. */
static struct {
	uint64_t ns, kib;
} samples[MAX_SAMPLES];
static unsigned nsamples;

static uint32_t *pair_ns; /* each pair's time */
static uint64_t npairs;

static uint64_t number_behind(const char *json, const char *key)
{
	const char *s = strstr(json, key);

	return s ? strtoull(s + strlen(key), NULL, 10) : 0;
}

static void report_passes(void)
{
	static char json[65536];
	const char *s;
	char key[32];

	if (!hak_stats_json)
		return;
	hak_stats_json(json, sizeof(json));
	bench_extra("passes", (double)number_behind(json, "\"purge_passes\":"));
	bench_extra("longest_pass_us", (double)number_behind(json, "\"purge_longest_ns\":") / 1e3);
	bench_extra("longest_pass_cpu_us",
		    (double)number_behind(json, "\"purge_longest_cpu_ns\":") / 1e3);
	s = strstr(json, "\"purge_passes_by_log2_cpu_ns\":");
	for (unsigned i = 0; s && (s = strpbrk(s, "[,]")) && *s != ']'; i++) {
		uint64_t n = strtoull(++s, NULL, 10);

		if (!n)
			continue;
		snprintf(key, sizeof(key), "pass_us_%llu",
			 (unsigned long long)((UINT64_C(2) << i) / 1000));
		bench_extra(key, (double)n);
	}
}

/* When 95 % of the fall had happened. */
static double settle_s(void)
{
	uint64_t from = samples[0].kib, to = samples[nsamples - 1].kib;
	uint64_t mark = to + (from - to) / 20;

	for (unsigned i = 0; i < nsamples; i++)
		if (samples[i].kib <= mark)
			return (double)(samples[i].ns - samples[0].ns) / 1e9;
	return 0;
}

static int by_value(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static void make_pairs(struct bench_rng *rng, uint64_t n, size_t min, size_t max)
{
	for (uint64_t i = 0; i < n && npairs < MAX_PAIRS; i++) {
		uint64_t t = bench_now_ns();
		void *p = bench_malloc(bench_rng_range(rng, min, max));

		memset(p, 2, min);
		free(p);
		pair_ns[npairs++] = (uint32_t)(bench_now_ns() - t);
	}
}

/* Note resident memory. False: it has not fallen for a while. */
static bool take_sample(uint64_t now)
{
	static uint64_t lowest = UINT64_MAX, lowest_ns;
	uint64_t kib = bench_rss_kib();

	samples[nsamples].ns = now;
	samples[nsamples++].kib = kib;
	if (kib < lowest - lowest / 1000) { /* a fall of less is none */
		lowest = kib;
		lowest_ns = now;
	}
	return now - lowest_ns < (uint64_t)STILL_MS * MS && nsamples < MAX_SAMPLES;
}

static void watch(struct bench_rng *rng, uint64_t rate, size_t min, size_t max, uint64_t end)
{
	for (uint64_t now, next = 0; (now = bench_now_ns()) < end;) {
		if (now >= next && !take_sample(now))
			return;
		if (now >= next)
			next = now + (uint64_t)SAMPLE_MS * MS;
		make_pairs(rng, rate / 1000, min, max);
		nanosleep(&(struct timespec){ .tv_nsec = MS }, NULL);
	}
}

int main(int argc, char **argv)
{
	void **table;
	struct bench_rng rng;
	uint64_t bytes, percent, n = 0, capacity, have = 0, target, wait, rate, before;
	size_t min, max;

	bench_init(argc, argv, "scavenge");
	bytes = bench_scaled(bench_param("bytes", UINT64_C(4) << 30));
	percent = bench_param("percent", 90);
	wait = bench_param("wait", 60);
	rate = bench_param("rate", 100000);
	min = bench_param("min", 16);
	max = bench_param("max", 1024);
	rng = bench_rng_seed(bench_param("seed", 1));
	if (!min || max < min || percent > 100 || rate < 1000 || !wait)
		bench_die("1 <= min <= max, percent <= 100, rate >= 1000, wait >= 1");
	capacity = bytes / ((min + max) / 2) * 5 / 4 + 1000;
	table = bench_map(capacity * sizeof(*table));
	pair_ns = bench_map(MAX_PAIRS * sizeof(*pair_ns));
	while (have < bytes && n < capacity) {
		size_t size = bench_rng_range(&rng, min, max);

		table[n] = bench_malloc(size);
		memset(table[n++], 1, size);
		have += size;
	}
	before = bench_rss_kib();
	for (target = n - n * percent / 100; n > target;) {
		uint64_t pick = bench_rng_below(&rng, n);

		free(table[pick]);
		table[pick] = table[--n];
	}
	bench_start();
	watch(&rng, rate, min, max, bench_now_ns() + wait * 1000 * MS);
	bench_stop();
	qsort(pair_ns, npairs, sizeof(*pair_ns), by_value);
	bench_extra("rss_before_kib", (double)before);
	bench_extra("rss_freed_kib", (double)samples[0].kib);
	bench_extra("rss_settled_kib", (double)samples[nsamples - 1].kib);
	bench_extra("settle_s", settle_s());
	bench_extra("pair_max_us", pair_ns[npairs - 1] / 1e3);
	bench_extra("pair_p999_us", pair_ns[npairs - 1 - npairs / 1000] / 1e3);
	report_passes();
	return bench_report(npairs);
}
