/* What slow paths cost: how many a thread took, and how long some of them lasted. One in
 * LATENCY_WEIGHT is timed and stands for all of them. The owner thread alone writes;
 * any thread may read. */
#ifndef HAK_COMMON_LATENCY_H
#define HAK_COMMON_LATENCY_H

#include "common/atomics.h"
#include "common/base.h"
#include "common/bits.h"

enum {
	LATENCY_WEIGHT = 8,
	LATENCY_STEPS = 4, /* buckets for each doubling: bounds are a quarter apart at most */
	LATENCY_BUCKETS = 36 * LATENCY_STEPS, /* the last from a minute on */
};

struct latency {
	_Atomic uint64_t allocs, frees;            /* slow ones */
	_Atomic uint64_t buckets[LATENCY_BUCKETS]; /* of both, weighted */
};

/* The bucket of a time. */
HAK_INLINE unsigned latency_bucket(uint64_t ns)
{
	unsigned high = bit_highest(ns | 1);
	unsigned bucket = high * LATENCY_STEPS + (unsigned)((ns << 2 >> high) % LATENCY_STEPS);
	return bucket < LATENCY_BUCKETS ? bucket : LATENCY_BUCKETS - 1;
}

/* The time, rounded down, from which on bucket i counts. */
HAK_INLINE uint64_t latency_bucket_ns(unsigned i)
{
	return (uint64_t)(LATENCY_STEPS + i % LATENCY_STEPS) << i / LATENCY_STEPS >> 2;
}

/* A slow path begins, counted in *count, allocs or frees. Returns what latency_end()
 * wants. */
uint64_t latency_begin(_Atomic uint64_t *count);
void latency_end(struct latency *l, uint64_t begin);

#endif
