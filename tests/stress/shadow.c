/* Writing, checking and explaining the content of blocks: see shadow.h. */
#include "shadow.h"

#include "granules.h"
#include "names.h"

#include <stdio.h>
#include <string.h>

#define SHADOW_STEP UINT64_C(0x9e3779b97f4a7c15)

enum { SAMPLE_PAGE = 4096, DUMP_BYTES = 32, ZERO_WHOLE_BYTES = 1 << 20 };

static void (*walk_records)(shadow_visit_fn *visit, void *arg);

void shadow_set_walker(void (*walk)(shadow_visit_fn *visit, void *arg))
{
	walk_records = walk;
}

static uint64_t word_at(uint64_t seed, size_t offset)
{
	return seed + (uint64_t)(offset / 8) * SHADOW_STEP;
}

static unsigned char byte_at(uint64_t seed, size_t offset)
{
	uint64_t word = word_at(seed, offset);
	unsigned char bytes[8];

	memcpy(bytes, &word, sizeof(bytes));
	return bytes[offset % 8];
}

/* --- the stretches of a block that carry its pattern --------------------------- */

struct stretch {
	size_t from, to;
};

static size_t stripes_of(size_t size)
{
	size_t pages = size / SAMPLE_PAGE;

	if (size <= SHADOW_WHOLE_BYTES)
		return 0;
	return pages < SHADOW_MAX_STRIPES ? pages : SHADOW_MAX_STRIPES;
}

/* Stretch i of a block; false after the last. Starts are multiples of 8. Stretches
 * may overlap: a byte's value depends on its offset alone. */
static bool stretch_get(const struct shadow_block *b, size_t i, struct stretch *s)
{
	size_t nstripes = stripes_of(b->filled);

	if (!nstripes) {
		*s = (struct stretch){ 0, b->filled };
		return i == 0;
	}
	if (i < nstripes) {
		size_t page = i * (b->filled / SAMPLE_PAGE) / nstripes;
		size_t room = (SAMPLE_PAGE - SHADOW_STRIPE_BYTES) / 8;
		s->from = page * SAMPLE_PAGE + mix64(b->seed + page) % room * 8;
		s->to = s->from + SHADOW_STRIPE_BYTES;
		return true;
	}
	if (i == nstripes)
		*s = (struct stretch){ 0, SHADOW_EDGE_BYTES };
	else
		*s = (struct stretch){ (b->filled - SHADOW_EDGE_BYTES) & ~(size_t)7, b->filled };
	return i < nstripes + 2;
}

static void fill(const struct shadow_block *b)
{
	struct stretch s;

	for (size_t i = 0; stretch_get(b, i, &s); i++) {
		size_t o = s.from;
		for (; o + 8 <= s.to; o += 8) {
			uint64_t word = word_at(b->seed, o);
			memcpy(b->at + o, &word, 8);
		}
		for (; o < s.to; o++)
			b->at[o] = byte_at(b->seed, o);
	}
}

/* First offset in [from, to) whose byte at p is not the pattern's; `to` if none. */
static size_t first_bad(uint64_t seed, const unsigned char *p, size_t from, size_t to)
{
	size_t o = from;

	for (; o + 8 <= to; o += 8) {
		uint64_t word;
		memcpy(&word, p + o, 8);
		if (word != word_at(seed, o))
			break;
	}
	while (o < to && p[o] == byte_at(seed, o))
		o++;
	return o;
}

/* --- reports --------------------------------------------------------------------- */

struct culprit {
	const void *at;       /* address looked for, or NULL */
	uint64_t word;        /* content looked for */
	const struct shadow_block *self;
	char text[512];
};

/* SHADOW_STEP is odd, so a word of a block's pattern gives its place in that block. */
static uint64_t step_inverse(void)
{
	uint64_t inverse = SHADOW_STEP;

	for (int i = 0; i < 5; i++)
		inverse *= 2 - SHADOW_STEP * inverse;
	return inverse;
}

static bool culprit_visit(const struct shadow_block *b, void *arg)
{
	struct culprit *c = arg;
	uint64_t k = (c->word - b->seed) * step_inverse();

	if (!b->at || b == c->self)
		return false;
	size_t inside = (size_t)((uintptr_t)c->at - (uintptr_t)b->at);
	if (c->at ? inside < (b->usable ? b->usable : 1) : k < b->filled / 8) {
		(void)snprintf(c->text, sizeof(c->text),
			       "that is %s %llu of the block at %p of %zu bytes (usable %zu), "
			       "from %s in thread %s at its op %llu",
			       c->at ? "byte" : "word",
			       c->at ? (unsigned long long)inside : (unsigned long long)k,
			       (void *)b->at, b->asked, b->usable, b->born_how, b->born_thread,
			       (unsigned long long)b->born_op);
		return true;
	}
	return false;
}

static void find_culprit(struct culprit *c)
{
	if (walk_records)
		walk_records(culprit_visit, c);
}

static void hex(char *out, const unsigned char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		(void)snprintf(out + 3 * i, 4, "%02x ", p[i]);
}

static _Noreturn void fail_content(const struct shadow_block *b, const unsigned char *p,
				   size_t bad, size_t to, const char *doing)
{
	size_t n = to - bad < DUMP_BYTES ? to - bad : DUMP_BYTES, wrong = 0;
	unsigned char want[DUMP_BYTES];
	char want_hex[3 * DUMP_BYTES + 1] = "", found_hex[3 * DUMP_BYTES + 1] = "";
	struct culprit c = { .self = b, .text = "the bytes are of no block now live" };
	size_t whole = (bad + 7) & ~(size_t)7;

	for (size_t i = 0; i < n; i++)
		want[i] = byte_at(b->seed, bad + i);
	for (size_t o = bad; o < to; o++)
		wrong += p[o] != byte_at(b->seed, o);
	hex(want_hex, want, n);
	hex(found_hex, p + bad, n);
	if (whole + 8 <= to) {
		memcpy(&c.word, p + whole, 8);
		find_culprit(&c);
	}
	fail("content of block %p is wrong at %s\n"
	     "  block: asked %zu, used %zu, usable %zu, align %zu, from %s in thread %s "
	     "at its op %llu, now at %p\n"
	     "  first bad byte at offset %zu (%zu before the end), expected 0x%02x, found 0x%02x; "
	     "%zu of %zu bytes wrong from there\n"
	     "  expected %s\n  found    %s\n  %s",
	     (void *)b->at, doing, b->asked, b->filled, b->usable, b->align, b->born_how,
	     b->born_thread, (unsigned long long)b->born_op, (const void *)p, bad, b->filled - bad,
	     want[0], p[bad], wrong, to - bad, want_hex, found_hex, c.text);
}

/* --- the model's steps -------------------------------------------------------------- */

static void claim(const struct shadow_block *b, const char *doing)
{
	const void *taken = granules_claim(b->at, b->usable);

	if (!taken)
		return;
	struct culprit c = { .at = taken,
			     .self = b,
			     .text = "(the other block's record is on its way)" };
	find_culprit(&c);
	fail("overlap: %s gave block %p of %zu bytes (usable %zu, align %zu, op %llu), but %p is "
	     "in a live block: %s",
	     doing, (void *)b->at, b->asked, b->usable, b->align, (unsigned long long)b->born_op,
	     taken, c.text);
}

void shadow_born(struct shadow_block *b, void *at, size_t asked, size_t align,
		 const char *how, uint64_t op, struct rng *rng)
{
	*b = (struct shadow_block){ .at = at, .asked = asked, .filled = asked, .align = align,
				    .seed = rng_next(rng), .born_op = op, .born_how = how };
	(void)snprintf(b->born_thread, sizeof(b->born_thread), "%s", thread_name());
	if (((uintptr_t)at & 15) || ((uintptr_t)at & (align - 1)))
		fail("%s of %zu bytes (op %llu) gave %p, not aligned to %zu", how, asked,
		     (unsigned long long)op, at, align < 16 ? (size_t)16 : align);
	b->usable = st_usable(at);
	if (b->usable < asked)
		fail("%s of %zu bytes (op %llu) gave %p, of which only %zu are usable", how,
		     asked, (unsigned long long)op, at, b->usable);
	claim(b, how);
	if (rng_one_in(rng, 4))
		b->filled = b->usable;
	fill(b);
}

void shadow_verify(const struct shadow_block *b, const void *at, size_t limit, const char *doing)
{
	const unsigned char *p = at;
	struct stretch s;

	for (size_t i = 0; stretch_get(b, i, &s); i++) {
		size_t to = s.to < limit ? s.to : limit;
		if (s.from >= to)
			continue;
		size_t bad = first_bad(b->seed, p, s.from, to);
		if (bad < to)
			fail_content(b, p, bad, to, doing);
	}
}

static void zero_stretch(const unsigned char *p, size_t from, size_t to, size_t size,
			 const char *how)
{
	static const unsigned char zeros[SAMPLE_PAGE];

	while (from < to) {
		size_t n = to - from < SAMPLE_PAGE ? to - from : SAMPLE_PAGE;
		if (memcmp(p + from, zeros, n)) {
			while (!p[from])
				from++;
			struct culprit c = { .text = "the bytes are of no block now live" };
			char found[3 * DUMP_BYTES + 1] = "";
			if (from + 16 <= to)
				memcpy(&c.word, p + ((from + 7) & ~(size_t)7), 8);
			find_culprit(&c);
			hex(found, p + from, to - from < DUMP_BYTES ? to - from : DUMP_BYTES);
			fail("%s gave block %p of %zu bytes that is not zero at offset %zu: "
			     "found %s\n  %s",
			     how, (const void *)p, size, from, found, c.text);
		}
		from += n;
	}
}

void shadow_verify_zero(const void *p, size_t size, const char *how, struct rng *rng)
{
	if (size <= ZERO_WHOLE_BYTES || rng_one_in(rng, 4)) {
		zero_stretch(p, 0, size, size, how);
		return;
	}
	zero_stretch(p, 0, SAMPLE_PAGE, size, how);
	zero_stretch(p, size - SAMPLE_PAGE, size, size, how);
	for (int i = 0; i < 64; i++) {
		size_t page = rng_below(rng, size / SAMPLE_PAGE);
		zero_stretch(p, page * SAMPLE_PAGE, (page + 1) * SAMPLE_PAGE, size, how);
	}
}

void shadow_leave(const struct shadow_block *b, const char *doing)
{
	shadow_verify(b, b->at, b->filled, doing);
	size_t usable = st_usable(b->at);
	if (usable != b->usable)
		fail("usable size of block %p (asked %zu, from %s) was %zu and is %zu at %s",
		     (void *)b->at, b->asked, b->born_how, b->usable, usable, doing);
	const void *lost = granules_release(b->at, b->usable);
	if (lost)
		fail("the model lost granule %p of block %p (asked %zu) at %s", lost,
		     (void *)b->at, b->asked, doing);
}

void shadow_return(const struct shadow_block *b, const char *doing)
{
	claim(b, doing);
	shadow_verify(b, b->at, b->filled, doing);
}

#ifndef STRESS_LIBC
void shadow_check_nothing_live(void)
{
	enum { PURGES = 10 };
	struct hak_stats st = { .struct_bytes = sizeof(st) };

	/* Blocks on their way between heaps take some purges to arrive. */
	for (int i = 0; i < PURGES; i++) {
		st_purge();
		if (!hak_stats_get(&st))
			fail("hak_stats_get failed");
		if (!st.small_bytes)
			break;
	}
	st_check_all();
	if (st.small_bytes || st.large_bytes || st.huge_bytes)
		fail("all blocks are freed, but statistics count as live: %zu bytes small (%zu of "
		     "them cached), %zu large, %zu huge",
		     st.small_bytes, st.small_cached_bytes, st.large_bytes, st.huge_bytes);
}
#else
void shadow_check_nothing_live(void)
{
	st_purge();
}
#endif
