#include "common/latency.h"

#include "common/os.h"

static void add(_Atomic uint64_t *figure, uint64_t n)
{
	atomic_store_relaxed(figure, atomic_load_relaxed(figure) + n);
}

uint64_t latency_begin(_Atomic uint64_t *count)
{
	add(count, 1);
	return HAK_UNLIKELY(atomic_load_relaxed(count) % LATENCY_WEIGHT == 0) ? os_now_ns() : 0;
}

void latency_end(struct latency *l, uint64_t begin)
{
	if (HAK_LIKELY(begin == 0))
		return;
	add(&l->buckets[latency_bucket(os_now_ns() - begin)], LATENCY_WEIGHT);
}
