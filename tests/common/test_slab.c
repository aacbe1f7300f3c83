/* common/slab.c, what the property test prop_slab does not reach: several slabs of a class,
 * which begin at different colours, and pointers beside their blocks. */
#include "unit.h"

#include "common/entry.h"
#include "common/os.h"
#include "common/report.h"
#include "common/slab.h"
#include "common/superslab.h"

#define FOR_EACH_CLASS(cls) for (unsigned cls = 1; cls <= HAK_CLASS_COUNT; cls++)

enum { COLOURS_MAX = HAK_COLOUR_END / HAK_COLOUR_BYTES };

static unsigned colours_of(unsigned cls)
{
	return class_layout[cls].colours;
}

/* As many slabs as a class has colours have one each; the next begins again. */
static void colours(void)
{
	FOR_EACH_CLASS(cls)
	{
		struct slab *slabs[COLOURS_MAX + 1];
		uint32_t seen = 0;
		for (unsigned i = 0; i <= colours_of(cls); i++) {
			slabs[i] = slab_create(cls, NULL);
			REQUIRE(slabs[i] != NULL, "no memory for a slab");
			CHECK_U64(slab_colour(slabs[i]) % HAK_COLOUR_BYTES, 0, "rest of a colour");
			if (i < colours_of(cls))
				seen |= UINT32_C(1) << slab_colour(slabs[i]) / HAK_COLOUR_BYTES;
			slab_check(slabs[i]);
		}
		CHECK_U64(seen, (UINT32_C(1) << colours_of(cls)) - 1, "colours of a class");
		CHECK_U64(slab_colour(slabs[colours_of(cls)]), slab_colour(slabs[0]),
			  "the colour after the last");
		for (unsigned i = 0; i <= colours_of(cls); i++)
			slab_destroy(slabs[i]);
	}
	superslab_check();
}

/* The gate takes the starts of the blocks, and no other byte of the slab's units. */
static void every_byte(void)
{
	const uintptr_t step = test_scaled(1, 16);
	FOR_EACH_CLASS(cls)
	{
		for (unsigned c = 0; c < colours_of(cls); c++) {
			struct slab *s = slab_create(cls, NULL);
			uintptr_t begin = s->base - slab_colour(s),
				  end = begin + s->units * HAK_UNIT_BYTES;
			unsigned blocks = 0;
			CHECK(s->base + s->capacity * class_bytes(cls) <= end,
			      "class %u: %u blocks from %#zx on", cls, s->capacity, s->base);
			for (uintptr_t at = begin; at < end; at += step) {
				_Atomic uint8_t *state;
				bool starts = slab_holds(cls, (void *)at, &state);
				if (starts && at == s->base + s->capacity * class_bytes(cls)) {
					/* None, and its state says that it is free. */
					CHECK(atomic_load_relaxed(state) == BLOCK_FREE,
					      "block behind the last");
					continue;
				}
				if (starts && !CHECK(at == s->base + blocks * class_bytes(cls) &&
							     state == &s->states[blocks],
						     "class %u, slab %#zx: a block starts at %#zx",
						     cls, s->base, at))
					break;
				blocks += starts;
			}
			CHECK_U64(blocks, s->capacity, "blocks that start in a slab");
			slab_destroy(s);
		}
	}
}

/* Does slab_sound_run() say of an entry what slab_entry_is_sound() does, and `expected`? */
static void check_sound(unsigned cls, struct cached_block *entries, unsigned n, unsigned wrong,
			struct cached_block e, bool expected)
{
	struct cached_block saved = entries[wrong];
	entries[wrong] = e;
	CHECK_I64(slab_entry_is_sound(cls, &e), expected, "an entry's soundness");
	CHECK_U64(slab_sound_run(cls, entries, n), expected ? n : wrong, "sound entries of a run");
	entries[wrong] = saved;
}

static void entries_of_coloured_slabs(void)
{
	FOR_EACH_CLASS(cls)
	{
		struct slab *slabs[COLOURS_MAX];
		struct cached_block run[2 * COLOURS_MAX];
		unsigned n = 0;
		for (unsigned c = 0; c < colours_of(cls); c++) {
			slabs[c] = slab_create(cls, NULL);
			n += slab_take(slabs[c], run + n, 2);
		}
		CHECK_U64(n, 2 * colours_of(cls), "blocks taken");
		for (unsigned i = 0; i < n; i++) {
			const struct slab *s = slabs[i / 2];
			struct cached_block e = run[i];
			check_sound(cls, run, n, i, e, true);
			e.block = (char *)run[i].block + HAK_MIN_ALIGN;
			check_sound(cls, run, n, i, e, false);
			if (slab_colour(s) > 0) {
				e.block =
					(void *)(s->base - slab_colour(s)); /* as if it had none */
				check_sound(cls, run, n, i, e, false);
			}
		}
		for (unsigned c = 0; c < colours_of(cls); c++) {
			CHECK_U64(slab_put(slabs[c], run + 2 * c, 2), 2, "blocks put back");
			slab_destroy(slabs[c]);
		}
	}
}

/* Blocks of all colours keep malloc's promise and that of an alignment, and do not overlap. */
static void alignments(void)
{
	static void *blocks[2048];
	for (size_t align = 1; align <= HAK_UNIT_BYTES; align *= 2)
		FOR_EACH_CLASS(cls)
		{
			size_t size = class_bytes(cls) - (align > HAK_MIN_ALIGN ? 1 : 0);
			unsigned n = colours_of(cls) > 1 ? class_layout[cls].capacity * 3u : 3;
			n = (unsigned)min_size(n, HAK_ARRAY_LEN(blocks));
			for (unsigned i = 0; i < n; i++) {
				blocks[i] = align <= HAK_MIN_ALIGN
						    ? entry_malloc(size)
						    : entry_aligned_alloc(align, size);
				REQUIRE(blocks[i] != NULL, "no memory");
				CHECK((uintptr_t)blocks[i] % max_size(align, HAK_MIN_ALIGN) == 0,
				      "%zu bytes aligned to %zu: %p", size, align, blocks[i]);
				memset(blocks[i], (int)(i % 251), size);
			}
			for (unsigned i = 0; i < n; i++) {
				const unsigned char *p = blocks[i];
				CHECK(p[0] == i % 251 && p[size - 1] == i % 251,
				      "block %u of %zu bytes has %u, %u", i, size, p[0],
				      p[size - 1]);
				entry_free(blocks[i]);
			}
		}
}

/* ---- what is wrong */

/* Block 0 of a slab with a colour. */
static uintptr_t first_block(void)
{
	for (unsigned i = 0; i < 100; i++) {
		uintptr_t p = (uintptr_t)entry_malloc(12288);
		const struct slab *s = slab_of_block((void *)p);
		if (p == s->base && slab_colour(s) > 0)
			return p;
	}
	test_say("no such block");
	exit(1);
}

enum { LARGE_BYTES = 300 * 1024 };

static uintptr_t large_block(void)
{
	uintptr_t p;
	do
		p = (uintptr_t)entry_malloc(LARGE_BYTES);
	while (p % HAK_UNIT_BYTES == 0);
	return p;
}

static void free_before_first(void *arg)
{
	uintptr_t p = first_block();
	entry_free((void *)(p - *(size_t *)arg));
}

static void realloc_before_first(void *arg)
{
	(void)arg;
	entry_realloc((void *)(first_block() - HAK_COLOUR_BYTES), 100);
}

static void free_inside(void *arg)
{
	(void)arg;
	entry_free((void *)(first_block() + HAK_COLOUR_BYTES));
}

static void free_twice(void *arg)
{
	void *p = (void *)first_block();
	(void)arg;
	entry_free(p);
	entry_free(p);
}

static void free_before_large(void *arg)
{
	(void)arg;
	entry_free((void *)(large_block() - HAK_COLOUR_BYTES));
}

static void free_large_twice(void *arg)
{
	void *p = (void *)large_block();
	(void)arg;
	entry_free(p);
	entry_free(p);
}

static bool is_in_slab(const void *p)
{
	void *record;
	unsigned kind = registry_lookup((uintptr_t)p, &record);
	return kind >= 1 && kind <= HAK_CLASS_COUNT;
}

/* A large block's unit becomes a slab, of blocks of which none begins where it did. */
static void free_large_under_slab(void *arg)
{
	enum { SMALL = 48 };
	void *p = NULL;
	(void)arg;
	HAK_STATIC_ASSERT(HAK_COLOUR_BYTES % SMALL != 0, "an interior address");
	for (unsigned i = 0; i < 100 && (uintptr_t)p % HAK_UNIT_BYTES != HAK_COLOUR_BYTES; i++)
		p = entry_malloc(HAK_SMALL_MAX + 5000);
	entry_free(p);
	for (unsigned i = 0; i < 10 * HAK_UNIT_BYTES / SMALL && !is_in_slab(p); i++)
		REQUIRE(entry_malloc(SMALL) != NULL, "no memory");
	entry_free(p);
}

static void flush_before_first(void *arg)
{
	uintptr_t p = first_block();
	struct cached_block e = slab_locate(size_class(12288), (void *)p);
	(void)arg;
	e.block = (void *)(p - HAK_COLOUR_BYTES);
	report_bad_entry(size_class(12288), &e, "going nowhere");
}

static void bad_pointers(void)
{
	size_t before = HAK_COLOUR_BYTES;
	char words[64];
	unit_child_aborts(free_before_first, &before,
			  "points before the first block of a slab of class 58\n");
	unit_child_aborts(free_before_first, &before,
			  "- 256: before block 0 of 10, 12288 bytes each");
	before = HAK_MIN_ALIGN;
	unit_child_aborts(free_before_first, &before, "[TLS_SLL_PUSH_MISALIGNED] hakmem: free(");
	unit_child_aborts(realloc_before_first, NULL, "points before the first block");
	unit_child_aborts(free_inside, NULL, "points 256 bytes into a live 12288-byte block");
	unit_child_aborts(free_twice, NULL, "already free: it is in a thread's cache");
	unit_child_aborts(flush_before_first, NULL,
			  "points before the first block of a slab: going");
	/* Large blocks fill their units: no room for colours. */
	if (os_page_bytes() == HAK_UNIT_BYTES)
		return;
	snprintf(words, sizeof(words), "points 256 bytes before a live %zu-byte block",
		 entry_good_bytes(LARGE_BYTES));
	unit_child_aborts(free_before_large, NULL, words);
	unit_child_aborts(free_large_twice, NULL, "[TLS_SLL_DOUBLE_FREE] hakmem: free(");
	unit_child_aborts(free_large_under_slab, NULL,
			  "its place is used again, by a slab of class");
}

static const struct test_case cases[] = {
	{ "bad_pointers", bad_pointers }, /* first: no large block has been freed anywhere yet */
	{ "colours", colours },
	{ "every_byte", every_byte },
	{ "entries_of_coloured_slabs", entries_of_coloured_slabs },
	{ "alignments", alignments },
};

UNIT_MAIN(cases)
