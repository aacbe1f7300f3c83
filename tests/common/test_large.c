/* common/large.c: spans of their own, what the page map says of them, and resizing
 * in place. */
#include "unit.h"

#include "common/large.h"
#include "common/os.h"
#include "common/registry.h"
#include "common/superslab.h"

enum { BLOCKS = 60 };

struct block {
	unsigned char *p;
	size_t bytes;
	uint64_t tag;
};

static struct block blocks[BLOCKS];

static struct large_span *span_of(const void *p)
{
	void *record;
	CHECK_U64(registry_lookup((uintptr_t)p, &record), UNIT_LARGE, "kind of address");
	return record;
}

static size_t units_for(size_t bytes)
{
	return (bytes + HAK_UNIT_BYTES - 1) / HAK_UNIT_BYTES;
}

/* By a block that starts there. */
static size_t units_needed(const void *p, size_t bytes)
{
	return units_for((uintptr_t)p % HAK_UNIT_BYTES + align_up(bytes, os_page_bytes()));
}

/* Every unit of the block, and none behind it, is in the map. */
static void check_map(const void *p, size_t bytes)
{
	const struct large_span *l = span_of(p);
	uintptr_t base = (uintptr_t)p;
	void *record;
	if (l == NULL)
		return;
	CHECK(l->base == base && l->units == units_needed(p, bytes), "record: %#zx, %u units",
	      l->base, l->units);
	CHECK_U64(l->usable_bytes, align_up(bytes, os_page_bytes()), "usable bytes");
	for (unsigned u = 0; u < l->units; u++) {
		uintptr_t addr = align_down(base, HAK_UNIT_BYTES) + (uintptr_t)u * HAK_UNIT_BYTES;
		uintptr_t tag = unit_tag(registry_unit_of(addr));
		CHECK(tag_kind(tag) == UNIT_LARGE && tag_base(tag) == base,
		      "unit %u: kind %u, base %#zx", u, tag_kind(tag), tag_base(tag));
		CHECK_U64(tag_offset(tag, addr + 5), addr + 5 - base, "offset");
		CHECK(registry_lookup(addr + 5, &record) == UNIT_LARGE && record == l,
		      "record of unit %u", u);
	}
	if (registry_lookup(base + (uintptr_t)l->units * HAK_UNIT_BYTES, &record) != UNIT_NONE)
		CHECK(record != l, "the unit behind the block is entered as its own");
}

static void *alloc(size_t bytes, size_t align)
{
	bool zeroed = false;
	unsigned char *p = large_alloc(bytes, align, &zeroed);
	REQUIRE(p != NULL, "no memory for %zu bytes", bytes);
	CHECK((uintptr_t)p % max_size(align, HAK_COLOUR_BYTES) == 0, "%p for alignment %zu",
	      (void *)p, align);
	CHECK((uintptr_t)p % HAK_UNIT_BYTES < HAK_COLOUR_END, "%p is no colour", (void *)p);
	if (zeroed)
		CHECK(unit_first_nonzero(p, align_up(bytes, os_page_bytes())) ==
			      align_up(bytes, os_page_bytes()),
		      "zeroed, and it is not");
	check_map(p, bytes);
	return p;
}

static void sizes_and_alignments(void)
{
	const size_t sizes[] = { 1,      HAK_SMALL_MAX + 1, HAK_UNIT_BYTES, HAK_UNIT_BYTES + 1,
				 300000, LARGE_MAX - 1,     LARGE_MAX };
	size_t before = large_bytes();
	for (size_t align = 1; align <= HAK_SUPERSLAB_BYTES; align *= 4)
		for (unsigned s = 0; s < HAK_ARRAY_LEN(sizes); s++) {
			unsigned char *p = alloc(sizes[s], align);
			void *record;
			CHECK_U64(large_bytes() - before, units_for(sizes[s]) * HAK_UNIT_BYTES,
				  "live bytes");
			test_fill(p, sizes[s], s);
			large_free(span_of(p));
			for (unsigned u = 0; u < units_for(sizes[s]); u++)
				CHECK_U64(
					registry_lookup((uintptr_t)p + u * HAK_UNIT_BYTES, &record),
					UNIT_NONE, "kind of a freed unit");
			CHECK_U64(large_bytes(), before, "live bytes at the end");
		}
	superslab_check();
}

static void verify(const struct block *b, size_t bytes, const char *when)
{
	size_t at = test_verify(b->p, bytes, b->tag);
	CHECK(at == bytes, "content of %p at %zu of %zu, %s", (void *)b->p, at, bytes, when);
}

static void random_steps(void)
{
	uint64_t rng = unit_seed();
	size_t before = large_bytes(), sum = 0;
	unsigned grown = 0, refused = 0;
	for (unsigned i = 0; i < test_scaled(3000, 300); i++) {
		struct block *b = &blocks[unit_below(&rng, BLOCKS)];
		size_t bytes =
			1 + unit_below(&rng, unit_below(&rng, 3) ? 5 * HAK_UNIT_BYTES : LARGE_MAX);
		if (b->p == NULL) {
			b->p = alloc(bytes, 1);
			b->tag = test_random(&rng);
			b->bytes = bytes;
			sum += units_for(bytes);
		} else if (unit_below(&rng, 2)) {
			size_t old = b->bytes, usable = span_of(b->p)->usable_bytes;
			size_t had = span_of(b->p)->units, wants = units_needed(b->p, bytes);
			bool done = large_resize(span_of(b->p), bytes);
			CHECK(done || wants > had, "could not shrink in place");
			if (!done) {
				refused++;
				verify(b, old, "after a refused growth");
				CHECK_U64(span_of(b->p)->usable_bytes, usable,
					  "usable bytes after a refusal");
				check_map(b->p, old);
				continue;
			}
			grown += wants > had;
			verify(b, min_size(old, bytes), "after a resize");
			check_map(b->p, bytes);
			sum += wants - had;
			b->bytes = bytes;
		} else {
			verify(b, b->bytes, "at its end");
			sum -= span_of(b->p)->units;
			large_free(span_of(b->p));
			b->p = NULL;
			continue;
		}
		test_fill(b->p, b->bytes, b->tag);
		CHECK_U64(large_bytes() - before, sum * HAK_UNIT_BYTES, "live bytes");
	}
	CHECK(grown > 5 && refused > 5, "%u grew, %u could not: both should be seen", grown,
	      refused);
	for (unsigned i = 0; i < BLOCKS; i++)
		if (blocks[i].p != NULL) {
			verify(&blocks[i], blocks[i].bytes, "at the end");
			large_free(span_of(blocks[i].p));
		}
	CHECK_U64(large_bytes(), before, "live bytes at the end");
	superslab_check();
	CHECK_U64(superslab_counters().free_units,
		  superslab_counters().superslabs * HAK_SUPERSLAB_UNITS, "free units at the end");
}

/* Blocks of a size begin at different colours, and touch no page more for it, or, from 256 KiB
 * on, one. */
static void colours(void)
{
	static const struct {
		size_t bytes;
		unsigned expected;
	} sizes[] = { { 40 * 1024, 1 },         { 40 * 1024 - 256, 2 }, { 40 * 1024 - 3840, 16 },
		      { HAK_UNIT_BYTES, 1 },    { 256 * 1024, 1 },      { 300 * 1024, 16 },
		      { LARGE_MAX - 4096, 16 }, { LARGE_MAX, 1 } };
	if (os_page_bytes() != 4096) {
		test_skip_case("the sizes are of pages of 4 KiB");
		return;
	}
	for (unsigned s = 0; s < HAK_ARRAY_LEN(sizes); s++) {
		uint32_t seen = 0;
		for (unsigned i = 0; i < 16; i++) {
			uintptr_t at = (uintptr_t)alloc(sizes[s].bytes, 1);
			seen |= UINT32_C(1) << at % HAK_UNIT_BYTES / HAK_COLOUR_BYTES;
			large_free(span_of((void *)at));
		}
		CHECK_U64(seen, (UINT32_C(1) << sizes[s].expected) - 1, "colours of a size");
	}
	for (unsigned i = 0; i < 2; i++)
		large_free(span_of(alloc(300 * 1024, 512))); /* alloc() looks at the alignment */
}

static void refused_memory(void)
{
	size_t before = large_bytes();
	bool zeroed;
	superslab_unmap_free();
	os_fault_arm(OS_MMAP, 1, 1);
	CHECK_PTR(large_alloc(LARGE_MAX, 1, &zeroed), NULL, "a block without mmap");
	CHECK_PTR(large_alloc(HAK_SMALL_MAX + 1, 1, &zeroed), NULL, "a small one without mmap");
	os_fault_arm(OS_MMAP, 0, 0);
	CHECK_U64(large_bytes(), before, "live bytes after refusals");
	large_free(span_of(alloc(LARGE_MAX, 1)));
}

static const struct test_case cases[] = {
	{ "sizes_and_alignments", sizes_and_alignments },
	{ "random_steps", random_steps },
	{ "colours", colours },
	{ "refused_memory", refused_memory },
};

UNIT_MAIN(cases)
