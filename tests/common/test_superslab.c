/* common/superslab.c against a model: words of bits per superslab, for what is in
 * use, what is dirty and what is zero.
 *
 * Random allocations, frees, extensions, purges and unmappings act on both. Each
 * span is the place that the rules ask for (dirty before clean, tightest
 * superslab, no new one while an old one has room), holds zeros if it says so,
 * and keeps its content whatever is done to its neighbours.
 */
#include "unit.h"

#include "common/bits.h"
#include "common/lock.h"
#include "common/os.h"
#include "common/purge.h"
#include "common/superslab.h"

enum {
	MAX_SUPERSLABS = 256,
	MAX_SPANS = 400,
	SMALL_PAGE_SUPERSLABS = 16, /* of the policy "filling", which is the default */
};

struct model {
	struct superslab *s;
	uintptr_t base;
	uint32_t used, dirty, zero;
	bool huge_pages;
};

struct live {
	struct span span;
	uint64_t tag;
};

static struct model models[MAX_SUPERSLABS];
static unsigned nmodels;
static struct live spans[MAX_SPANS];
static unsigned nspans;

static struct model *model_of(const struct superslab *s)
{
	for (unsigned i = 0; i < nmodels; i++)
		if (models[i].s == s)
			return &models[i];
	return NULL;
}

/* ---- content: a tag at the start and the end of each unit */

static uint64_t *unit_word(const struct span *sp, unsigned unit, bool end)
{
	uintptr_t at = sp->base + (uintptr_t)unit * HAK_UNIT_BYTES;
	return (uint64_t *)(end ? at + HAK_UNIT_BYTES - sizeof(uint64_t) : at);
}

static void tag_write(struct live *l, uint64_t tag)
{
	l->tag = tag;
	for (unsigned u = 0; u < l->span.units; u++)
		*unit_word(&l->span, u, false) = *unit_word(&l->span, u, true) = tag + u;
}

static bool tag_check(const struct live *l, const char *when)
{
	for (unsigned u = 0; u < l->span.units; u++)
		if (!CHECK(*unit_word(&l->span, u, false) == l->tag + u &&
				   *unit_word(&l->span, u, true) == l->tag + u,
			   "content of unit %u of the span at %#zx, %s", u, l->span.base, when))
			return false;
	return true;
}

/* ---- the rules */

static bool fits(uint32_t mask, unsigned units, unsigned align)
{
	for (unsigned i = 0; i + units <= 32; i += align)
		if ((mask >> i & mask32(0, units)) == mask32(0, units))
			return true;
	return false;
}

static unsigned longest(uint32_t mask)
{
	unsigned best = 0, now = 0;
	for (unsigned i = 0; i < 32; i++) {
		now = mask >> i & 1 ? now + 1 : 0;
		best = now > best ? now : best;
	}
	return best;
}

static uint32_t candidates_of(const struct model *m, bool dirty)
{
	return dirty ? m->dirty : ~m->used;
}

/* Longest run of the tightest superslab that has room; 0: none has. */
static unsigned tightest(unsigned units, unsigned align, bool dirty)
{
	unsigned best = 0;
	for (unsigned i = 0; i < nmodels; i++) {
		uint32_t mask = candidates_of(&models[i], dirty);
		unsigned run = longest(mask);
		if (fits(mask, units, align) && (best == 0 || run < best))
			best = run;
	}
	return best;
}

static void compare(const char *after)
{
	struct superslab_counters c = superslab_counters();
	size_t free_units = 0, dirty_units = 0;
	for (unsigned i = 0; i < nmodels; i++) {
		const struct model *m = &models[i];
		CHECK(m->s->free_mask == ~m->used && m->s->dirty_mask == m->dirty,
		      "superslab %u after %s: free %#x dirty %#x, model: free %#x dirty %#x", i,
		      after, m->s->free_mask, m->s->dirty_mask, ~m->used, m->dirty);
		CHECK(m->s->zero_mask == m->zero && m->s->huge_pages == m->huge_pages,
		      "superslab %u after %s: zero %#x huge pages %d, "
		      "model: zero %#x huge pages %d",
		      i, after, m->s->zero_mask, m->s->huge_pages, m->zero, m->huge_pages);
		free_units += bit_count(~m->used);
		dirty_units += bit_count(m->dirty);
	}
	CHECK_U64(c.superslabs, nmodels, "superslabs");
	CHECK_U64(c.units, nmodels * HAK_SUPERSLAB_UNITS, "units");
	CHECK_U64(c.free_units, free_units, "free units");
	CHECK_U64(c.dirty_units, dirty_units, "dirty units");
	CHECK_U64(superslab_dirty_bytes(), dirty_units * HAK_UNIT_BYTES, "dirty bytes");
	superslab_check();
}

/* ---- steps */

static void check_place(const struct span *sp, unsigned units, unsigned align)
{
	unsigned by_dirty = tightest(units, align, true), by_free = tightest(units, align, false);
	struct model *m = model_of(sp->superslab);
	uint32_t mask = mask32(sp->first, units);
	CHECK(sp->units == units && sp->first % align == 0 && sp->first + units <= 32,
	      "units [%u, %u) for %u at multiples of %u", sp->first, sp->first + sp->units, units,
	      align);
	if (m == NULL) {
		CHECK(by_dirty == 0 && by_free == 0, "a new superslab while an old one has room");
		m = &models[nmodels++];
		*m = (struct model){ .s = sp->superslab,
				     .base = sp->superslab->base,
				     .zero = UINT32_MAX };
		CHECK(m->s->wants_huge_pages == (nmodels > SMALL_PAGE_SUPERSLABS),
		      "superslab %u wants huge pages: %d", nmodels, m->s->wants_huge_pages);
	} else if (by_dirty > 0) {
		CHECK((m->dirty & mask) == mask && longest(m->dirty) == by_dirty,
		      "a dirty run of %u was there; given %#x of a superslab with dirty %#x",
		      by_dirty, mask, m->dirty);
	} else {
		CHECK(longest(~m->used) == by_free,
		      "a free run of %u was there; given %#x of a superslab with free %#x", by_free,
		      mask, ~m->used);
	}
	CHECK(sp->base == m->base + (uintptr_t)sp->first * HAK_UNIT_BYTES &&
		      m->base % HAK_SUPERSLAB_BYTES == 0,
	      "a span at %#zx in the superslab at %#zx", sp->base, m->base);
	CHECK((m->used & mask) == 0, "units %#x are in use: %#x", mask, m->used & mask);
	CHECK(sp->zeroed == ((m->zero & mask) == mask), "zeroed is %d; zero of %#x: %#x",
	      sp->zeroed, mask, m->zero & mask);
}

static void model_take(struct model *m, uint32_t mask)
{
	if (m->s->wants_huge_pages && m->used == 0 && m->dirty == 0) {
		m->huge_pages = true;
		m->dirty = UINT32_MAX;
	}
	m->used |= mask;
	m->dirty &= ~mask;
	m->zero &= ~mask;
	if (m->s->wants_huge_pages && m->used == UINT32_MAX)
		m->huge_pages = true;
}

static void step_alloc(uint64_t *rng)
{
	unsigned units = unit_below(rng, 3) ? 1 + unit_below(rng, 4) : 1 + unit_below(rng, 32);
	unsigned align = unit_below(rng, 4) ? 1 : 1u << unit_below(rng, 6);
	struct live *l = &spans[nspans];
	if (nspans == MAX_SPANS || nmodels == MAX_SUPERSLABS)
		return;
	REQUIRE(span_alloc(&l->span, units, align), "no memory");
	check_place(&l->span, units, align);
	model_take(model_of(l->span.superslab), mask32(l->span.first, units));
	if (l->span.zeroed)
		for (unsigned u = 0; u < units; u++)
			CHECK(*unit_word(&l->span, u, false) == 0 &&
				      *unit_word(&l->span, u, true) == 0,
			      "unit %u of a zeroed span is not zero", u);
	tag_write(l, test_random(rng));
	nspans++;
}

static void step_free(uint64_t *rng)
{
	struct live *l;
	struct model *m;
	if (nspans == 0)
		return;
	l = &spans[unit_below(rng, nspans)];
	tag_check(l, "at its end");
	m = model_of(l->span.superslab);
	span_free(l->span.superslab, l->span.first, l->span.units);
	m->used &= ~mask32(l->span.first, l->span.units);
	m->dirty |= mask32(l->span.first, l->span.units);
	*l = spans[--nspans];
}

static void step_extend(uint64_t *rng)
{
	struct live *l;
	struct model *m;
	unsigned end, more = 1 + unit_below(rng, 5);
	bool room, got;
	if (nspans == 0)
		return;
	l = &spans[unit_below(rng, nspans)];
	m = model_of(l->span.superslab);
	end = l->span.first + l->span.units;
	room = end + more <= 32 && (m->used & mask32(end, more)) == 0;
	got = span_extend(l->span.superslab, l->span.first, l->span.units, more);
	CHECK(got == room, "extending [%u, %u) by %u: %d, in use are %#x", l->span.first, end, more,
	      got, m->used);
	tag_check(l, "after an extension");
	if (!got)
		return;
	model_take(m, mask32(end, more));
	l->span.units = (uint16_t)(l->span.units + more);
	tag_write(l, test_random(rng));
}

static size_t model_dirty_units(void)
{
	size_t n = 0;
	for (unsigned i = 0; i < nmodels; i++)
		n += bit_count(models[i].dirty);
	return n;
}

static size_t purge(uint32_t delay_ms, uint64_t deadline_ns, bool *more)
{
	size_t bytes;
	lock_acquire(purge_lock());
	bytes = superslab_purge(delay_ms, deadline_ns, more);
	lock_release(purge_lock());
	return bytes;
}

static void step_purge(uint64_t *rng)
{
	size_t dirty = model_dirty_units() * HAK_UNIT_BYTES, done;
	bool more = false;
	if (unit_below(rng, 2) == 0) {
		CHECK_U64(purge(UINT32_MAX / 2, 0, &more), 0, "purged before it is due");
		CHECK(more == (dirty > 0), "more to purge later: %d", more);
		return;
	}
	done = purge(0, 0, &more);
	CHECK_U64(done, dirty, "purged bytes");
	CHECK(!more, "more to purge after all is purged");
	for (unsigned i = 0; i < nmodels; i++) {
		struct model *m = &models[i];
		if (m->dirty != 0 && m->dirty != UINT32_MAX)
			m->huge_pages = false;
		m->zero |= m->dirty;
		m->dirty = 0;
	}
	for (unsigned i = 0; i < nspans; i++)
		tag_check(&spans[i], "after a purge");
}

static void step_unmap(void)
{
	size_t mapped = os_counters().mapped_bytes, bytes, superslabs = 0;
	for (unsigned i = 0; i < nmodels;) {
		if (models[i].used != 0) {
			i++;
			continue;
		}
		models[i] = models[--nmodels];
		superslabs++;
	}
	bytes = superslab_unmap_free();
	CHECK(bytes >= superslabs * HAK_SUPERSLAB_BYTES, "%zu bytes unmapped, of %zu superslabs",
	      bytes, superslabs);
	CHECK_U64(mapped - os_counters().mapped_bytes, bytes, "bytes unmapped");
	CHECK_U64(superslab_unmap_free(), 0, "bytes of a second unmapping");
}

static void random_steps(void)
{
	uint64_t rng = unit_seed();
	unsigned steps = test_scaled(20000, 3000);
	for (unsigned i = 0; i < steps; i++) {
		/* Phases of growth and of decline. */
		unsigned grow = i / 1000 % 2 == 0 ? 60 : 35, what = unit_below(&rng, 100);
		if (what < grow)
			step_alloc(&rng);
		else if (what < 90)
			step_free(&rng);
		else if (what < 98)
			step_extend(&rng);
		else if (unit_below(&rng, 4))
			step_purge(&rng);
		else
			step_unmap();
		compare("a step");
	}
	while (nspans > 0)
		step_free(&rng);
	step_unmap();
	compare("the end");
	CHECK_U64(nmodels, 0, "superslabs at the end");
}

/* ---- single rules; each starts and ends without a superslab */

static void take(struct span *sp, unsigned units)
{
	REQUIRE(span_alloc(sp, units, 1), "no memory");
}

static void finish(void)
{
	superslab_unmap_free();
	CHECK_U64(superslab_counters().superslabs, 0, "superslabs at the end");
	CHECK_U64(superslab_dirty_bytes(), 0, "dirty bytes at the end");
}

static void refused_purges(void)
{
	struct span a, b, c;
	bool more;
	uint64_t failures = os_counters().purge_failures;
	take(&a, 3);
	take(&b, 2);
	take(&c, 1);
	memset((void *)a.base, 0xaa, 3 * HAK_UNIT_BYTES);
	memset((void *)c.base, 0xcc, HAK_UNIT_BYTES);
	test_fill((void *)b.base, 2 * HAK_UNIT_BYTES, 4);
	span_free(a.superslab, a.first, 3);
	span_free(c.superslab, c.first, 1);
	os_fault_arm(OS_MADVISE, 1, 1);
	CHECK_U64(purge(0, 0, &more), 0, "bytes of refused purges");
	CHECK(more, "refused purges are due again");
	CHECK_U64(superslab_dirty_bytes(), 4 * HAK_UNIT_BYTES, "dirty bytes after refusals");
	os_fault_arm(OS_MADVISE, 2, 0);
	CHECK_U64(purge(0, 0, &more), 3 * HAK_UNIT_BYTES, "bytes where the second run is refused");
	os_fault_arm(OS_MADVISE, 0, 0);
	CHECK_U64(superslab_dirty_bytes(), HAK_UNIT_BYTES, "dirty bytes after one refusal");
	CHECK_U64(os_counters().purge_failures - failures, 3, "refusals counted");
	superslab_check();
	CHECK_U64(test_verify((void *)b.base, 2 * HAK_UNIT_BYTES, 4), 2 * HAK_UNIT_BYTES,
		  "content between purged runs");
	/* The unit that was refused is dirty, so it is given out first, and not as zeroed. */
	take(&c, 1);
	CHECK(!c.zeroed && *(unsigned char *)c.base == 0xcc, "unit of a refused purge");
	take(&a, 3);
	CHECK(a.zeroed &&
		      unit_first_nonzero((void *)a.base, 3 * HAK_UNIT_BYTES) == 3 * HAK_UNIT_BYTES,
	      "purged units are zero");
	span_free(a.superslab, a.first, 3);
	span_free(b.superslab, b.first, 2);
	span_free(c.superslab, c.first, 1);
	finish();
}

static void deadlines(void)
{
	struct span s[3];
	bool more;
	for (unsigned i = 0; i < 3; i++)
		take(&s[i], 32);
	for (unsigned i = 0; i < 3; i++)
		span_free(s[i].superslab, 0, 32);
	for (unsigned i = 0; i < 3; i++) {
		CHECK_U64(purge(0, 1, &more), HAK_SUPERSLAB_BYTES,
			  "one superslab per pass that is late");
		CHECK(more == (i < 2), "more: %d", more);
		/* The one that was freed first goes first. */
		CHECK(s[i].superslab->dirty_mask == 0, "the oldest dirty superslab was left");
	}
	finish();
}

static void refused_memory(void)
{
	struct span s[64], none;
	unsigned n = 0;
	size_t mapped;
	take(&s[n++], 32);
	mapped = os_counters().mapped_bytes;
	os_fault_arm(OS_MMAP, 1, 1);
	while (n < 64 && span_alloc(&s[n], 32, 1))
		n++; /* what is reserved */
	CHECK(n < 64, "superslabs without mmap");
	CHECK(!span_alloc(&none, 1, 1), "a unit without mmap");
	CHECK_U64(os_counters().mapped_bytes, mapped, "mapped bytes after refusals");
	/* A large reservation is refused, a single superslab is had. */
	os_fault_arm(OS_MMAP, 1, 0);
	CHECK(span_alloc(&s[n], 32, 1), "the least that will do");
	CHECK_U64(os_counters().mapped_bytes, mapped + HAK_SUPERSLAB_BYTES, "mapped bytes for it");
	n++;
	os_fault_arm(OS_MMAP, 0, 0);
	superslab_check();
	while (n > 0) {
		n--;
		span_free(s[n].superslab, 0, 32);
	}
	os_fault_arm(OS_MUNMAP, 1, 1);
	CHECK_U64(superslab_unmap_free(), 0, "bytes of refused munmaps");
	os_fault_arm(OS_MUNMAP, 0, 0);
	CHECK(superslab_counters().superslabs > 0, "superslabs after refused munmaps");
	superslab_check();
	finish();
}

/* Under a limit on address space: a superslab in part, of what was asked for.
 * One unit, as more could lie across the border of two superslabs. */
static void scarce(void *arg)
{
	struct rlimit limit;
	struct span s, again;
	unsigned long pages = 0;
	FILE *f = fopen("/proc/self/statm", "r");
	(void)arg;
	REQUIRE(f != NULL && fscanf(f, "%lu", &pages) == 1, "/proc/self/statm");
	fclose(f);
	limit.rlim_cur = limit.rlim_max = (pages * os_page_bytes()) + 5 * (HAK_SUPERSLAB_BYTES / 8);
	REQUIRE(setrlimit(RLIMIT_AS, &limit) == 0, "setrlimit");
	if (!CHECK(span_alloc(&s, 1, 1), "a unit while there is room for some"))
		return;
	CHECK(s.zeroed && bit_count(s.superslab->present_mask) == 1, "a superslab with units %#x",
	      s.superslab->present_mask);
	CHECK_U64(superslab_counters().units, 1, "units");
	CHECK_U64(unit_first_nonzero((void *)s.base, HAK_UNIT_BYTES), HAK_UNIT_BYTES, "zeros");
	test_fill((void *)s.base, HAK_UNIT_BYTES, 5);
	CHECK(!span_extend(s.superslab, s.first, 1, 1), "grown into what is not mapped");
	CHECK(!span_alloc(&again, 32, 1), "a whole superslab where there is no room");
	superslab_check();
	span_free(s.superslab, s.first, 1);
	CHECK(span_alloc(&again, 1, 1) && again.superslab == s.superslab && !again.zeroed,
	      "its unit is used again");
	span_free(again.superslab, again.first, 1);
	superslab_check();
	CHECK_U64(superslab_unmap_free(), HAK_UNIT_BYTES, "bytes unmapped");
	finish();
}

static void scarce_memory(void)
{
	static struct unit_child child;
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
	test_skip_case("a sanitizer needs address space of its own");
	return;
#endif
	if (test_under_qemu()) {
		test_skip_case("an emulator needs address space of its own");
		return;
	}
	unit_child_passes(&child, scarce, NULL);
}

static void *churn(void *arg)
{
	uint64_t rng = *(const uint64_t *)arg, tag = rng << 40;
	struct live mine[8];
	unsigned n = 0;
	for (unsigned i = 0; i < test_scaled(4000, 400); i++) {
		if (n < 8 && unit_below(&rng, 2)) {
			if (!CHECK(span_alloc(&mine[n].span, 1 + unit_below(&rng, 6), 1),
				   "no memory"))
				break;
			tag_write(&mine[n++], tag | i);
		} else if (n > 0) {
			n--;
			tag_check(&mine[n], "between threads");
			span_free(mine[n].span.superslab, mine[n].span.first, mine[n].span.units);
		}
		if (i % 50 == 0) {
			bool more;
			purge(0, 0, &more);
		}
	}
	while (n-- > 0)
		span_free(mine[n].span.superslab, mine[n].span.first, mine[n].span.units);
	return NULL;
}

static void threads(void)
{
	uint64_t seeds[4] = { 1, 2, 3, 4 };
	unit_threads(4, churn, seeds, sizeof(seeds[0]));
	superslab_check();
	finish();
}

static const struct test_case cases[] = {
	{ "random_steps", random_steps },   { "refused_purges", refused_purges },
	{ "deadlines", deadlines },         { "refused_memory", refused_memory },
	{ "scarce_memory", scarce_memory }, { "threads", threads },
};

UNIT_MAIN(cases)
