/* What slow paths cost: how many a thread took, and how long some of them lasted. One in
 * LATENCY_WEIGHT is timed and stands for all of them. The owner thread alone writes;
 * any thread may read. */
#ifndef HAK_COMMON_LATENCY_H
#define HAK_COMMON_LATENCY_H

#include "common/atomics.h"
#include "common/base.h"

enum {
	LATENCY_WEIGHT = 8,
	LATENCY_BUCKETS = 36, /* bucket i: from 2^i ns on; the last from half a minute on */
};

struct latency {
	_Atomic uint64_t allocs, frees;            /* slow ones */
	_Atomic uint64_t buckets[LATENCY_BUCKETS]; /* of both, weighted */
};

/* A slow path begins, counted in *count, allocs or frees. Returns what latency_end()
 * wants. */
uint64_t latency_begin(_Atomic uint64_t *count);
void latency_end(struct latency *l, uint64_t begin);

#endif
