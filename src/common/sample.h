/* Sampling: who wants to see one allocation in so many, and the count of all of them.
 *
 * Each thread cache has a clock that every allocation counts down: a hit of malloc with
 * one decrement, and a branch to the slow path when it has run out. There the allocation is
 * offered to the samplers that are due, and the clock is set to the next one that will be;
 * so sampling needs no flag on the hot path. If nobody wants samples the clock runs
 * for SAMPLE_IDLE_OPS, and only counts:
 *
 *   allocations of a cache = ops_at_zero - until.
 *
 * Intervals are random, between a half and one and a half times what was asked for, so that
 * a program that repeats itself isn't always sampled at the same place. The owner
 * thread alone writes a clock; any thread may read the count.
 */
#ifndef HAK_COMMON_SAMPLE_H
#define HAK_COMMON_SAMPLE_H

#include "arch/inline.h"
#include "common/atomics.h"
#include "common/base.h"

enum sampler {
	SAMPLER_MISS_RATE, /* times a load of the block */
	SAMPLER_GUARD,     /* gives the program a guarded block instead */
	SAMPLER_PROFILE,   /* notes who allocated it */
	SAMPLER_COUNT
};

/* What a sampler does; either may be NULL. Called in a slow path, without locks; may not
 * allocate from the heap. */
struct sampler_hooks {
	/* Make the allocation; NULL: no, let the heap do it. */
	void *(*provide)(size_t bytes, size_t align);
	/* See the block that is about to be handed out; not one that a sampler made. */
	void (*look)(void *block, size_t bytes);
};

/* Show `hooks`, a constant, about one allocation in `every`; 0: none any more. Thread-safe. A
 * running thread follows within SAMPLE_IDLE_OPS allocations. */
void sampler_set(enum sampler which, const struct sampler_hooks *hooks, uint32_t every);

enum { SAMPLE_IDLE_OPS = 65536 };

struct sample_clock {
	_Atomic int32_t until;        /* allocations to go; <= 0 in a slow path only */
	_Atomic uint64_t ops_at_zero; /* allocations so far when `until` gets there */
	uint32_t step;                /* what `until` was last set to */
	uint32_t random;
	int32_t left[SAMPLER_COUNT];  /* per sampler; 0: not asked for */
};

void sample_clock_init(struct sample_clock *c);

/* Look now whether samplers were set since the clock was wound up, by the clock's thread outside
 * of the slow path. */
void sample_clock_follow(struct sample_clock *c);

/* A hit of malloc. True: it has to go through the slow path, where it counts as one. */
HAK_INLINE bool sample_count_hit(struct sample_clock *c)
{
	return HAK_UNLIKELY(hak_count_down(&c->until));
}

/* An allocation in the slow path. Returns the samplers that are due, bit by bit. */
unsigned sample_count_slow(struct sample_clock *c);

/* The first of the samplers in `due` that makes the allocation; NULL: none does. */
void *sample_provide(unsigned due, size_t bytes, size_t align);
void sample_look(unsigned due, void *block, size_t bytes);

/* Allocations so far. Exact while the owner is outside of the slow path. */
uint64_t sample_ops(const struct sample_clock *c);

#endif
