/* Heap profile: who allocated what is live, and what was allocated at all, by samples.
 *
 * A block of s bytes is sampled with probability 1 - exp(-s / rate), as if one byte in
 * `rate` were marked at random (a Poisson process): readers divide by it and are right in
 * the mean, for each size. Small classes are offered by the samplers' countdown, one
 * allocation in `every`, and thinned out; of classes above DIRECT bytes nothing is cached
 * while sampling goes on, so that each allocation passes the slow path and is looked at;
 *
 *   every = rate / DIRECT,  so that for s <= DIRECT the probability is at most 1 / every.
 *
 * A sampled block of a slab has the state BLOCK_SAMPLED, which free's hit does not know:
 * its slow path then forgets the sample. It can be switched on and off in a live process.
 * Stacks: stack_walk(). Written as text in the format heap_v2 of gperftools, for pprof and jeprof.
 */
#ifndef HAK_COMMON_PROFILE_H
#define HAK_COMMON_PROFILE_H

#include "arch/probe.h"
#include "common/atomics.h"
#include "common/base.h"

struct lock;

/* Sample one byte in `rate`; 0: no more samples, those there are stay until their blocks
 * are freed. 0, or -ENOMEM. */
int profile_set_rate(uint32_t rate);
uint32_t profile_rate(void);

/* Samples of live blocks. */
uint64_t profile_samples(void);

/* Write the profile to a new file. 0, or -errno; *bytes is its length. */
int profile_dump(const char *path, int64_t *bytes);

/* Samples of live blocks of one size and stack, and how many blocks and bytes they stand for. */
struct profile_live {
	const uintptr_t *frames; /* innermost first; valid for ever */
	uint32_t depth;
	uint64_t samples, blocks, bytes;
};

/* visit(live, arg) for each; the profile's lock is held. */
void profile_each_live(void (*visit)(const struct profile_live *live, void *arg), void *arg);

enum {
	PROFILE_LEAKS_RATE = 65536,   /* of HAKMEM_LEAKS without HAKMEM_PROFILE */
	PROFILE_TRACER_RATE = 524288, /* while a tracer listens, if no other is set */
};

/* At start, as HAKMEM_PROFILE and HAKMEM_LEAKS say; at exit, if the first asks for it, the file
 * hakmem.PID.heap and a line. */
void profile_start(void);
void profile_stop(void);

/* Blocks of more bytes than this are not cached now. */
extern _Atomic size_t profile_direct_bytes;
/* Written by profile.c alone. */
extern _Atomic uint32_t profile_rate_now;
extern _Atomic uint32_t profile_live_spans;

/* Probes at a sample and at its end: otel_memory:alloc(block, bytes, bytes that the sample stands
 * for), otel_memory:free(block). */
HAK_PROBE_DECLARE(otel_memory, alloc);
HAK_PROBE_DECLARE(otel_memory, free);

/* Are allocations to be considered? Also if only a tracer wants them. */
HAK_INLINE bool profile_is_on(void)
{
	return HAK_UNLIKELY(atomic_load_relaxed(&profile_rate_now) != 0) ||
	       HAK_PROBE_IS_ON(otel_memory, alloc);
}

/* May large and huge blocks be among the samples? */
HAK_INLINE bool profile_has_spans(void)
{
	return HAK_UNLIKELY(atomic_load_relaxed(&profile_live_spans) != 0);
}

/* In slow paths, without locks. An allocation that the countdown has not chosen (`due`
 * false), or has. */
void profile_consider(void *block, size_t bytes, bool due);
/* A block may be a sample and goes: before another can be in its place. Returns where it was
 * allocated; NULL: it was no sample. */
struct profile_site;
struct profile_site *profile_forget(const void *block);
/* One of a large or huge block that has not gone after all. */
void profile_remember(const void *block, struct profile_site *site);

struct lock *profile_lock(void); /* for fork */

#if HAKMEM_TESTING
void profile_seed(uint64_t seed);
/* Sums of the samples, each scaled as a reader does. */
void profile_sums(uint64_t *live_bytes, uint64_t *allocated_bytes);
/* 2^64 (1 - exp(-bytes / rate)), at most 2^64 - 1. */
uint64_t profile_probability(size_t bytes, uint32_t rate);
#endif

#endif
