#include "common/profile.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "common/diag.h"
#include "common/knobs.h"
#include "common/lock.h"
#include "common/options.h"
#include "common/os.h"
#include "common/outfile.h"
#include "common/registry.h"
#include "common/sample.h"
#include "common/slab.h"
#include "common/stack.h"

enum {
	DIRECT_BYTES = 2048, /* a block of more is looked at each time */
	EVERY_MAX = 65536,
	FRAMES_MAX = 32,
	SITES = 8192,   /* powers of two: places that allocate, by stack and size */
	BLOCKS = 65536, /* live samples */
	PROBES_MAX = 256,
	Q64_STEPS = 37, /* of profile_probability(): 2^4 .. 2^-32 */
};

/* Allocations of one size from one place. */
struct profile_site {
	uint64_t hash; /* 0: free */
	uint64_t bytes;
	uint64_t live, allocated; /* samples */
	uint32_t depth;
	uintptr_t frames[FRAMES_MAX];
};

struct sampled_block {
	uintptr_t block; /* 0: never used; 1: used and free again */
	struct profile_site *site;
	bool is_span; /* large or huge */
};

/* A table that is not there yet takes no memory; under the lock. */
static struct tables {
	struct profile_site sites[SITES];
	struct sampled_block blocks[BLOCKS];
} *tables;
static uint64_t lost; /* samples for which there was no room */
static uint32_t last_rate; /* of the samples, when sampling is off by now */
static struct stack_range library;
static struct lock lock = LOCK_INITIALIZER(LOCK_RANK_PROFILE);
static _Atomic uint64_t random_state, live_samples;
/* Of 2^64 blocks of the class that are looked at, so many are sampled. */
static _Atomic uint64_t class_threshold[HAK_CLASS_COUNT + 1];

static _Atomic uint32_t tracer_started; /* 1: the rate is a tracer's, not the user's */

HAK_PROBE_DEFINE(otel_memory, alloc);
HAK_PROBE_DEFINE(otel_memory, free);

_Atomic size_t profile_direct_bytes = SIZE_MAX;
_Atomic uint32_t profile_rate_now, profile_live_spans;

struct lock *profile_lock(void)
{
	return &lock;
}

uint32_t profile_rate(void)
{
	return atomic_load_relaxed(&profile_rate_now);
}

uint64_t profile_samples(void)
{
	return atomic_load_relaxed(&live_samples);
}

/* ---- chance */

/* exp(-2^k) in units of 2^-64, k = 4 .. -32: the exponential of a sum of powers of two is
 * a product of these. */
static const uint64_t exp_minus_pow2[Q64_STEPS] = {
	0x1e355bbaee8,      0x15fc21041027ac,   0x4b0556e084f3d1d,  0x22a555477f03973f,
	0x5e2d58d8b3bcdf1a, 0x9b4597e37cb04ff3, 0xc75f7cf564105743, 0xe1eb51276c110c3c,
	0xf07d5fde38151e72, 0xf81fab5445aebc8a, 0xfc07f55ff77d2493, 0xfe01feab551127cb,
	0xff007fd55ffdde38, 0xff801ffaab554445, 0xffc007ff555fff77, 0xffe001ffeaab5551,
	0xfff0007ffd555fff, 0xfff8001fffaaab55, 0xfffc0007fff5555f, 0xfffe0001fffeaaab,
	0xffff00007fffd555, 0xffff80001ffffaaa, 0xffffc00007ffff55, 0xffffe00001ffffea,
	0xfffff000007ffffd, 0xfffff800001fffff, 0xfffffc000007ffff, 0xfffffe000001ffff,
	0xffffff0000007fff, 0xffffff8000001fff, 0xffffffc0000007ff, 0xffffffe0000001ff,
	0xfffffff00000007f, 0xfffffff80000001f, 0xfffffffc00000007, 0xfffffffe00000001,
	0xffffffff00000000,
};

/* 2^64 (1 - exp(-bytes / rate)). */
static uint64_t probability(size_t bytes, uint32_t rate)
{
	unsigned __int128 x = ((unsigned __int128)bytes << 32) / rate; /* 2^-32 */
	uint64_t e = UINT64_MAX;
	if (x >> 37 != 0) /* exp(-32) is nothing */
		return UINT64_MAX;
	for (unsigned i = 0; i < Q64_STEPS; i++)
		if (x >> (Q64_STEPS - 1 - i) & 1)
			e = (uint64_t)((unsigned __int128)e * exp_minus_pow2[i] >> 64);
	return UINT64_MAX - e;
}

/* One sample stands for 1 / probability blocks. */
static uint64_t scaled(uint64_t samples, uint64_t factor, uint64_t bytes, uint32_t rate)
{
	return (uint64_t)(((unsigned __int128)samples * factor << 64) / probability(bytes, rate));
}

/* Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators (2014). */
static uint64_t draw(void)
{
	uint64_t z = atomic_add_relaxed(&random_state, UINT64_C(0x9e3779b97f4a7c15));
	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

static uint32_t every_for(uint32_t rate)
{
	uint32_t every = rate / DIRECT_BYTES;
	return every < 1 ? 1 : every > EVERY_MAX ? EVERY_MAX : every;
}

static void set_thresholds(uint32_t rate)
{
	for (unsigned cls = 1; cls <= HAK_CLASS_COUNT; cls++) {
		size_t bytes = class_bytes(cls);
		uint64_t p = probability(bytes, rate);
		if (bytes <= DIRECT_BYTES && __builtin_mul_overflow(p, every_for(rate), &p))
			p = UINT64_MAX;
		atomic_store_relaxed(&class_threshold[cls], p);
	}
}

/* ---- stacks */

static uint64_t hash_of(const uintptr_t *frames, uint32_t depth, uint64_t bytes)
{
	uint64_t h = bytes * UINT64_C(0x9e3779b97f4a7c15);
	for (uint32_t i = 0; i < depth; i++)
		h = (h ^ frames[i]) * UINT64_C(0xff51afd7ed558ccd) ^ h >> 29;
	return h | 1;
}

/* ---- tables; the lock is held */

static struct profile_site *find_site_locked(const uintptr_t *frames, uint32_t depth,
					     uint64_t bytes)
{
	uint64_t hash = hash_of(frames, depth, bytes);
	for (unsigned i = 0; i < PROBES_MAX; i++) {
		struct profile_site *s = &tables->sites[(hash + i) % SITES];
		if (s->hash == hash)
			return s;
		if (s->hash != 0)
			continue;
		s->hash = hash;
		s->bytes = bytes;
		s->depth = depth;
		memcpy(s->frames, frames, depth * sizeof(*frames));
		return s;
	}
	return NULL;
}

static size_t block_place(uintptr_t block)
{
	return (size_t)((block >> 4) * UINT64_C(0x9e3779b97f4a7c15) >> 40);
}

static struct sampled_block *find_block_locked(uintptr_t block)
{
	for (unsigned i = 0; i < PROBES_MAX; i++) {
		struct sampled_block *b = &tables->blocks[(block_place(block) + i) % BLOCKS];
		if (b->block == block)
			return b;
		if (b->block == 0)
			break;
	}
	return NULL;
}

static struct sampled_block *free_place_locked(uintptr_t block)
{
	for (unsigned i = 0; i < PROBES_MAX; i++) {
		struct sampled_block *b = &tables->blocks[(block_place(block) + i) % BLOCKS];
		if (b->block <= 1)
			return b;
	}
	return NULL;
}

static void enter_locked(struct sampled_block *place, uintptr_t block, struct profile_site *site,
			 bool is_span)
{
	site->live++;
	*place = (struct sampled_block){ block, site, is_span };
	atomic_add_relaxed(&live_samples, 1);
	atomic_add_relaxed(&profile_live_spans, is_span);
}

static bool remember_locked(uintptr_t block, uint64_t bytes, bool is_span, const uintptr_t *frames,
			    uint32_t depth)
{
	struct sampled_block *place = free_place_locked(block);
	struct profile_site *site = place == NULL ? NULL : find_site_locked(frames, depth, bytes);
	if (site == NULL) {
		lost++;
		return false;
	}
	enter_locked(place, block, site, is_span);
	site->allocated++;
	return true;
}

/* The rate of the samples there are. */
static uint32_t samples_rate(void)
{
	const uint32_t rate = profile_rate();
	return rate != 0 ? rate : last_rate;
}

/* ---- on and off */

/* What is due is passed to profile_consider() by who knows the whole of it. */
static const struct sampler_hooks hooks = { NULL, NULL };

static int set_rate(uint32_t rate)
{
	const size_t bytes = align_up(sizeof(*tables), os_page_bytes());
	void *memory = NULL;
	if (rate != 0 && tables == NULL) {
		memory = os_map(bytes, os_page_bytes());
		if (memory == NULL)
			return -ENOMEM;
		library = stack_own_library();
		if (atomic_load_relaxed(&random_state) == 0)
			atomic_store_relaxed(&random_state, os_now_ns());
	}
	lock_acquire(&lock);
	if (tables == NULL) {
		tables = memory;
		memory = NULL;
	}
	if (rate != 0)
		last_rate = rate;
	lock_release(&lock);
	if (memory != NULL) /* somebody else was faster */
		os_unmap(memory, bytes);
	if (rate != 0)
		set_thresholds(rate);
	atomic_store_relaxed(&profile_rate_now, rate);
	sampler_set(SAMPLER_PROFILE, rate == 0 ? NULL : &hooks, rate == 0 ? 0 : every_for(rate));
	atomic_store_relaxed(&profile_direct_bytes, rate == 0 ? SIZE_MAX : (size_t)DIRECT_BYTES);
	/* Threads look at their caches' limits again. */
	atomic_add_release(&knob_epoch_counter, 1);
	return 0;
}

int profile_set_rate(uint32_t rate)
{
	atomic_store_relaxed(&tracer_started, 0);
	return set_rate(rate);
}

/* Sampling begins when a tracer comes, and ends when it is gone. Returns the rate. */
static uint32_t follow_tracer(void)
{
	bool listens = HAK_PROBE_IS_ON(otel_memory, alloc);
	uint32_t expected = 0;
	uint32_t rate = profile_rate();
	if (HAK_LIKELY(rate != 0 && (listens || atomic_load_relaxed(&tracer_started) == 0)))
		return rate;
	if (!listens) {
		if (rate != 0)
			profile_set_rate(0);
		return 0;
	}
	if (!atomic_cas_acquire(&tracer_started, &expected, 1))
		return 0; /* another thread is at it */
	if (set_rate(PROFILE_TRACER_RATE) != 0)
		atomic_store_relaxed(&tracer_started, 0);
	return profile_rate();
}

/* ---- samples */

/* Not inlined: one probe, whoever it tells of. */
static HAK_NOINLINE void tell_tracer(const void *block, uint64_t bytes, uint32_t rate)
{
	if (HAK_PROBE_IS_ON(otel_memory, alloc))
		HAK_PROBE3(otel_memory, alloc, (uintptr_t)block, bytes,
			   scaled(1, bytes, bytes, rate));
}

static void take_sample(void *block, size_t bytes, unsigned cls, uint32_t rate)
{
	uintptr_t frames[FRAMES_MAX];
	uintptr_t here = (uintptr_t)__builtin_frame_address(0);
	uint32_t depth = stack_walk(frames, FRAMES_MAX, here, &library);
	bool kept;
	lock_acquire(&lock);
	kept = remember_locked((uintptr_t)block, bytes, cls == 0, frames, depth);
	lock_release(&lock);
	if (kept && cls != 0)
		atomic_store_relaxed(slab_locate(cls, block).state, BLOCK_SAMPLED);
	if (kept)
		tell_tracer(block, bytes, rate);
}

void profile_consider(void *block, size_t bytes, bool due)
{
	uint32_t rate = follow_tracer();
	uint64_t threshold;
	void *record;
	unsigned kind, cls;
	if (rate == 0)
		return;
	kind = registry_lookup((uintptr_t)block, &record);
	if (kind == UNIT_NONE || kind == UNIT_EMERGENCY)
		return;
	cls = kind <= HAK_CLASS_COUNT ? kind : 0;
	if (cls != 0)
		bytes = class_bytes(cls);
	if (bytes <= DIRECT_BYTES && !due)
		return;
	threshold =
		cls != 0 ? atomic_load_relaxed(&class_threshold[cls]) : probability(bytes, rate);
	if (draw() <= threshold)
		take_sample(block, bytes, cls, rate);
}

struct profile_site *profile_forget(const void *block)
{
	struct profile_site *site = NULL;
	struct sampled_block *b;
	lock_acquire(&lock);
	b = tables == NULL ? NULL : find_block_locked((uintptr_t)block);
	if (b != NULL) {
		site = b->site;
		site->live--;
		b->block = 1;
		atomic_sub_relaxed(&live_samples, 1);
		atomic_sub_relaxed(&profile_live_spans, b->is_span);
	}
	lock_release(&lock);
	if (b != NULL && HAK_PROBE_IS_ON(otel_memory, free))
		HAK_PROBE1(otel_memory, free, (uintptr_t)block);
	return site;
}

void profile_remember(const void *block, struct profile_site *site)
{
	struct sampled_block *place;
	lock_acquire(&lock);
	place = free_place_locked((uintptr_t)block);
	if (place != NULL)
		enter_locked(place, (uintptr_t)block, site, true);
	else
		lost++;
	lock_release(&lock);
	if (place != NULL)
		tell_tracer(block, site->bytes, samples_rate());
}

/* ---- the file */

static void write_site(struct outfile *o, const struct profile_site *s)
{
	outfile_printf(o, "%6lu: %8lu [%6lu: %8lu] @", (unsigned long)s->live,
		       (unsigned long)(s->live * s->bytes), (unsigned long)s->allocated,
		       (unsigned long)(s->allocated * s->bytes));
	for (uint32_t i = 0; i < s->depth; i++)
		outfile_printf(o, " %p", (void *)s->frames[i]);
	outfile_printf(o, "\n");
}

static void write_profile_locked(struct outfile *o, uint32_t rate)
{
	uint64_t live = 0, live_bytes = 0, all = 0, all_bytes = 0;
	for (unsigned i = 0; i < SITES; i++) {
		const struct profile_site *s = &tables->sites[i];
		live += s->live;
		live_bytes += s->live * s->bytes;
		all += s->allocated;
		all_bytes += s->allocated * s->bytes;
	}
	outfile_printf(o, "heap profile: %lu: %lu [%lu: %lu] @ heap_v2/%u\n", (unsigned long)live,
		       (unsigned long)live_bytes, (unsigned long)all, (unsigned long)all_bytes,
		       rate);
	for (unsigned i = 0; i < SITES; i++)
		if (tables->sites[i].allocated > 0)
			write_site(o, &tables->sites[i]);
}

int profile_dump(const char *path, int64_t *bytes)
{
	struct outfile o;
	uint32_t rate = samples_rate();
	int err;
	if (tables == NULL)
		return -ENODATA;
	err = outfile_create(&o, path);
	if (err != 0)
		return err;
	lock_acquire(&lock);
	write_profile_locked(&o, rate);
	lock_release(&lock);
	outfile_printf(&o, "\nMAPPED_LIBRARIES:\n");
	outfile_copy(&o, "/proc/self/maps");
	err = outfile_close(&o);
	*bytes = o.written;
	return err;
}

void profile_each_live(void (*visit)(const struct profile_live *live, void *arg), void *arg)
{
	uint32_t rate = samples_rate();
	lock_acquire(&lock);
	for (unsigned i = 0; tables != NULL && i < SITES; i++) {
		const struct profile_site *s = &tables->sites[i];
		struct profile_live live = { .frames = s->frames,
					     .depth = s->depth,
					     .samples = s->live };
		if (s->live == 0)
			continue;
		live.blocks = scaled(s->live, 1, s->bytes, rate);
		live.bytes = scaled(s->live, s->bytes, s->bytes, rate);
		visit(&live, arg);
	}
	lock_release(&lock);
}

/* HAKMEM_LEAKS needs samples too, unless full checking knows all blocks. */
static int32_t rate_at_start(void)
{
	if (options.profile_rate == 0 && options_want_leaks() && !options.check_full)
		return PROFILE_LEAKS_RATE;
	return options.profile_rate;
}

void profile_start(void)
{
	int32_t rate = rate_at_start();
	if (rate != 0 && profile_set_rate((uint32_t)rate) != 0)
		diag_line("HAKMEM_PROFILE=%d: no memory for the samples", rate);
}

void profile_stop(void)
{
	char path[64];
	struct text t;
	int64_t bytes;
	int err;
	if (options.profile_rate == 0)
		return;
	text_init(&t, path, sizeof(path));
	text_printf(&t, "hakmem.%d.heap", (int)getpid());
	err = profile_dump(path, &bytes);
	if (err != 0)
		diag_line("%s: the heap profile cannot be written (errno %d)", path, -err);
	else
		diag_line("%s: heap profile with %lu samples of blocks that are live at exit; for "
			  "`go tool pprof` or jeprof",
			  path, (unsigned long)profile_samples());
}

#if HAKMEM_TESTING
void profile_seed(uint64_t seed)
{
	atomic_store_relaxed(&random_state, seed);
}

uint64_t profile_probability(size_t bytes, uint32_t rate)
{
	return probability(bytes, rate);
}

void profile_sums(uint64_t *live_bytes, uint64_t *allocated_bytes)
{
	*live_bytes = *allocated_bytes = 0;
	for (unsigned i = 0; tables != NULL && i < SITES; i++) {
		const struct profile_site *s = &tables->sites[i];
		if (s->hash == 0)
			continue;
		*live_bytes += scaled(s->live, s->bytes, s->bytes, profile_rate());
		*allocated_bytes += scaled(s->allocated, s->bytes, s->bytes, profile_rate());
	}
}
#endif
