#include "common/sample.h"

enum { READ_TRIES = 100 };

static struct {
	_Atomic(const struct sampler_hooks *) hooks;
	_Atomic uint32_t every; /* 0: off */
} samplers[SAMPLER_COUNT];

void sampler_set(enum sampler which, const struct sampler_hooks *hooks, uint32_t every)
{
	atomic_store_release(&samplers[which].hooks, hooks); /* pairs with hooks_of() */
	atomic_store_relaxed(&samplers[which].every, hooks == NULL ? 0 : every);
}

static const struct sampler_hooks *hooks_of(unsigned which)
{
	return atomic_load_acquire(&samplers[which].hooks);
}

/* ---- the clock */

/* Marsaglia, Xorshift RNGs (2003). */
static uint32_t draw_random(struct sample_clock *c)
{
	c->random ^= c->random << 13;
	c->random ^= c->random >> 17;
	c->random ^= c->random << 5;
	return c->random;
}

/* Between a half and one and a half of `every`, `every` in the mean. */
static int32_t draw_interval(struct sample_clock *c, uint32_t every)
{
	return (int32_t)(every - every / 2 + ((uint64_t)draw_random(c) * (every | 1) >> 32));
}

/* `elapsed` allocations have passed. Is the sampler due? */
static bool advance(struct sample_clock *c, unsigned which, int32_t elapsed)
{
	uint32_t every = atomic_load_relaxed(&samplers[which].every);
	int32_t *left = &c->left[which];
	bool due = false;
	every = every < INT32_MAX / 2 ? every : INT32_MAX / 2;
	if (every == 0) {
		*left = 0;
		return false;
	}
	if (*left > 0) {
		*left -= elapsed;
		due = *left <= 0;
	}
	if (*left <= 0 || (uint32_t)*left > 2 * every) /* due, new, or asked for more often */
		*left = draw_interval(c, every);
	return due;
}

/* `until` is 0 while the two figures do not belong together. */
static void set_clock(struct sample_clock *c, int32_t next)
{
	uint64_t ops =
		atomic_load_relaxed(&c->ops_at_zero) - (uint64_t)atomic_load_relaxed(&c->until);
	atomic_store_relaxed(&c->until, 0);
	/* These pair with sample_ops(). */
	atomic_store_release(&c->ops_at_zero, ops + (uint64_t)next);
	atomic_store_release(&c->until, next);
	c->step = (uint32_t)next;
}

static unsigned restart(struct sample_clock *c)
{
	int32_t elapsed = (int32_t)c->step - atomic_load_relaxed(&c->until);
	int32_t next = SAMPLE_IDLE_OPS;
	unsigned due = 0;
	for (unsigned i = 0; i < SAMPLER_COUNT; i++) {
		if (advance(c, i, elapsed))
			due |= 1u << i;
		if (c->left[i] > 0 && c->left[i] < next)
			next = c->left[i];
	}
	set_clock(c, next);
	return due;
}

void sample_clock_init(struct sample_clock *c)
{
	*c = (struct sample_clock){ .random = (uint32_t)((uintptr_t)c >> 6) | 1 };
	restart(c);
}

void sample_clock_follow(struct sample_clock *c)
{
	(void)restart(c);
}

unsigned sample_count_slow(struct sample_clock *c)
{
	/* At 0 a hit has counted it. */
	if (HAK_LIKELY(atomic_load_relaxed(&c->until) > 0) &&
	    HAK_LIKELY(!hak_count_down(&c->until)))
		return 0;
	return restart(c);
}

uint64_t sample_ops(const struct sample_clock *c)
{
	uint64_t at_zero = 0;
	int32_t until = 0;
	/* In the child of a fork a clock may stand in the middle for ever: its figure is wrong
	 * by one step then. */
	for (int i = 0; i < READ_TRIES; i++) {
		at_zero = atomic_load_acquire(&c->ops_at_zero);
		until = atomic_load_acquire(&c->until);
		if (until > 0 && at_zero == atomic_load_relaxed(&c->ops_at_zero))
			break;
		hak_cpu_relax();
	}
	return at_zero - (uint64_t)(int64_t)until;
}

/* ---- the samplers */

void *sample_provide(unsigned due, size_t bytes, size_t align)
{
	for (unsigned i = 0; i < SAMPLER_COUNT; i++) {
		const struct sampler_hooks *hooks = due >> i & 1 ? hooks_of(i) : NULL;
		void *p = hooks != NULL && hooks->provide != NULL ? hooks->provide(bytes, align)
								  : NULL;
		if (p != NULL)
			return p;
	}
	return NULL;
}

void sample_look(unsigned due, void *block, size_t bytes)
{
	for (unsigned i = 0; i < SAMPLER_COUNT; i++) {
		const struct sampler_hooks *hooks = due >> i & 1 ? hooks_of(i) : NULL;
		if (hooks != NULL && hooks->look != NULL)
			hooks->look(block, bytes);
	}
}
