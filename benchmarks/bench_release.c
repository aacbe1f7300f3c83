/* bench_release: does freed memory go back to the kernel?
 *
 * Blocks of min..max (16..4096) bytes are allocated and fully written until `bytes` (1 GiB) are
 * alive; then `percent` (90) of them are freed, chosen at random, and the program sleeps
 * `wait` (2000) ms. --seed (1).
 * One operation: one free; measured: the frees and, in CPU time, what runs during the wait.
 * rss_kib: resident before, right after the frees and after the wait. live_page_kib: pages of
 * 4 KiB that still hold a byte of a live block; over_live: resident after the wait, less what was
 * resident at the start, over these: the row's figure.
 */
#include "common/bench.h"

#include <time.h>

struct object {
	char *block;
	uint32_t size;
};

static int by_address(const void *a, const void *b)
{
	uintptr_t x = (uintptr_t)((const struct object *)a)->block;
	uintptr_t y = (uintptr_t)((const struct object *)b)->block;

	return x < y ? -1 : x > y;
}

/* In place, without the heap: qsort of the C library may call malloc. */
static void sort(struct object *t, uint64_t n)
{
	for (uint64_t i = n / 2, end = n; end > 1;) {
		struct object moved;
		uint64_t at, child;

		if (i > 0) {
			moved = t[--i];
		} else {
			moved = t[--end];
			t[end] = t[0];
		}
		for (at = i; (child = 2 * at + 1) < end; at = child) {
			if (child + 1 < end && by_address(&t[child], &t[child + 1]) < 0)
				child++;
			if (by_address(&moved, &t[child]) >= 0)
				break;
			t[at] = t[child];
		}
		t[at] = moved;
	}
}

static uint64_t live_pages(struct object *t, uint64_t n)
{
	uint64_t pages = 0;
	uintptr_t next = 0;

	sort(t, n);
	for (uint64_t i = 0; i < n; i++) {
		uintptr_t first = (uintptr_t)t[i].block >> 12;
		uintptr_t last = ((uintptr_t)t[i].block + t[i].size - 1) >> 12;

		if (first < next)
			first = next;
		if (last >= first) {
			pages += last - first + 1;
			next = last + 1;
		}
	}
	return pages;
}

int main(int argc, char **argv)
{
	struct object *table;
	struct bench_rng rng;
	uint64_t bytes, percent, n = 0, capacity, have = 0, target, wait, ops;
	uint64_t base, before, freed, settled, pages;
	size_t min, max;

	bench_init(argc, argv, "release");
	bytes = bench_scaled(bench_param("bytes", 1 << 30));
	percent = bench_param("percent", 90);
	wait = bench_param("wait", 2000);
	min = bench_param("min", 16);
	max = bench_param("max", 4096);
	rng = bench_rng_seed(bench_param("seed", 1));
	if (!min || max < min || percent > 100)
		bench_die("1 <= min <= max, percent <= 100");
	capacity = bytes / ((min + max) / 2) * 5 / 4 + 1000;
	table = bench_map(capacity * sizeof(*table));
	base = bench_rss_kib();
	while (have < bytes && n < capacity) {
		size_t size = bench_rng_range(&rng, min, max);

		table[n].block = bench_malloc(size);
		table[n].size = (uint32_t)size;
		memset(table[n++].block, 1, size);
		have += size;
	}
	before = bench_rss_kib();
	target = n - n * percent / 100;
	ops = n - target;
	bench_start();
	while (n > target) {
		uint64_t pick = bench_rng_below(&rng, n);

		free(table[pick].block);
		table[pick] = table[--n];
	}
	freed = bench_rss_kib();
	nanosleep(&(struct timespec){ .tv_sec = (time_t)(wait / 1000),
				      .tv_nsec = (long)(wait % 1000) * 1000000 }, NULL);
	bench_stop();
	settled = bench_rss_kib();
	pages = live_pages(table, n);
	bench_extra("rss_before_kib", (double)before);
	bench_extra("rss_freed_kib", (double)freed);
	bench_extra("rss_settled_kib", (double)settled);
	bench_extra("live_page_kib", (double)(pages * 4));
	bench_extra("over_live", (double)(settled - base) / (double)(pages * 4));
	return bench_report(ops);
}
