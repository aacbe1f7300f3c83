/* common/huge.c: mappings of their own, the cache of freed ones, growth in place
 * and by moving, and what happens when the kernel refuses. */
#include "unit.h"

#include "common/huge.h"
#include "common/os.h"
#include "common/registry.h"
#include "common/superslab.h"
#include "hakmem/hakmem.h"

enum { MIB = 1 << 20 };

static struct huge *record_of(const void *p)
{
	void *record;
	CHECK_U64(registry_lookup((uintptr_t)p, &record), UNIT_HUGE, "kind of address");
	return record;
}

static unsigned char *alloc_zeroed(size_t bytes, size_t align, bool *zeroed)
{
	unsigned char *p = huge_alloc(bytes, align, zeroed);
	REQUIRE(p != NULL, "no memory for %zu bytes", bytes);
	CHECK((uintptr_t)p % max_size(align, HAK_UNIT_BYTES) == 0, "%p for alignment %zu",
	      (void *)p, align);
	CHECK_U64(record_of(p)->usable_bytes, align_up(bytes, os_page_bytes()), "usable bytes");
	CHECK_PTR((void *)record_of(p)->base, p, "base");
	return p;
}

static unsigned char *alloc(size_t bytes)
{
	bool zeroed;
	return alloc_zeroed(bytes, 1, &zeroed);
}

static void empty_cache(void)
{
	huge_purge(0);
	CHECK_U64(huge_cached_bytes(), 0, "cached bytes");
}

static void counted(size_t live, size_t live_bytes, size_t cached)
{
	struct huge_counters c = huge_counters();
	CHECK_U64(c.live, live, "live blocks");
	CHECK_U64(c.live_bytes, live_bytes, "live bytes");
	CHECK_U64(c.cached_bytes, cached, "cached bytes");
	CHECK_U64(huge_cached_bytes(), cached, "cached bytes, without the lock");
	huge_check();
}

static void alignments(void)
{
	size_t mapped = os_counters().mapped_bytes;
	const size_t aligns[] = { 1,       4096,     HAK_UNIT_BYTES, 2 * MIB,
				  4 * MIB, 64 * MIB, (size_t)1 << 30 };
	for (unsigned i = 0; i < HAK_ARRAY_LEN(aligns); i++) {
		bool zeroed;
		unsigned char *p = alloc_zeroed(3 * MIB + 5, aligns[i], &zeroed);
		CHECK(zeroed && unit_first_nonzero(p, 3 * MIB) == 3 * MIB, "a new block is zero");
		test_fill(p, 3 * MIB + 5, i);
		huge_free(record_of(p));
		empty_cache();
	}
	counted(0, 0, 0);
	/* The page map has grown a leaf or two. */
	CHECK(os_counters().mapped_bytes - mapped < 8 * MIB, "mapped bytes at the end: %zu more",
	      os_counters().mapped_bytes - mapped);
}

static void cache(void)
{
	bool zeroed;
	unsigned char *p = alloc(8 * MIB), *q, *r;
	void *record;
	memset(p, 0xee, 8 * MIB);
	counted(1, 8 * MIB, 0);
	huge_free(record_of(p));
	counted(0, 0, 8 * MIB);
	CHECK_U64(registry_lookup((uintptr_t)p, &record), UNIT_NONE, "kind of a freed block");

	/* Too small, or so large that more than a quarter would be wasted. */
	q = alloc_zeroed(8 * MIB + 1, 1, &zeroed);
	r = alloc_zeroed(6 * MIB, 1, &zeroed);
	CHECK(q != p && r != p, "a cached mapping that does not fit was used");
	CHECK(zeroed, "a new mapping is zero");
	counted(2, 14 * MIB + os_page_bytes(), 8 * MIB);
	huge_free(record_of(q));
	huge_free(record_of(r));
	CHECK_U64(huge_purge(0), 22 * MIB + os_page_bytes(), "bytes of the whole cache");
	counted(0, 0, 0);

	p = alloc(8 * MIB);
	memset(p, 0xee, 8 * MIB);
	q = alloc(9 * MIB);
	huge_free(record_of(q));
	huge_free(record_of(p));
	r = alloc_zeroed(7 * MIB, 1, &zeroed);
	CHECK(r == p && !zeroed && r[0] == 0xee,
	      "the smallest cached mapping that fits is used as it is");
	counted(1, 8 * MIB, 9 * MIB);
	CHECK_U64(record_of(r)->usable_bytes, 7 * MIB, "usable bytes of a larger mapping");
	huge_free(record_of(r));
	empty_cache();
}

static void cache_and_alignment(void)
{
	unsigned char *p[8];
	bool zeroed;
	for (unsigned i = 0; i < 8; i++)
		p[i] = alloc(4 * MIB + HAK_UNIT_BYTES); /* an odd step, so few are aligned */
	for (unsigned i = 0; i < 8; i++)
		huge_free(record_of(p[i]));
	for (unsigned i = 0; i < 8; i++)
		p[i] = alloc_zeroed(4 * MIB, 4 * MIB, &zeroed); /* checks its alignment */
	for (unsigned i = 0; i < 8; i++)
		huge_free(record_of(p[i]));
	empty_cache();
}

static void cache_limits(void)
{
	unsigned char *p = alloc(32 * MIB + 1), *many[5];
	huge_free(record_of(p));
	counted(0, 0, 0); /* too large to be kept */
	for (unsigned i = 0; i < 5; i++)
		many[i] = alloc(15 * MIB);
	for (unsigned i = 0; i < 5; i++)
		huge_free(record_of(many[i]));
	counted(0, 0, 60 * MIB); /* the fifth would be more than 64 MiB in all */
	empty_cache();
}

static void purge(void)
{
	size_t mapped = os_counters().mapped_bytes;
	uint64_t purged;
	unsigned char *a = alloc(2 * MIB), *b = alloc(3 * MIB);
	huge_free(record_of(a));
	huge_free(record_of(b));
	CHECK_U64(huge_purge(UINT32_MAX / 2), 0, "bytes before they are due");
	counted(0, 0, 5 * MIB);
	CHECK_U64(huge_purge(0), 5 * MIB, "bytes when they are due");
	counted(0, 0, 0);
	CHECK_U64(os_counters().mapped_bytes, mapped, "mapped bytes");
	/* Where unmapping is refused the pages go at least. */
	a = alloc(2 * MIB);
	huge_free(record_of(a));
	purged = os_counters().purged_bytes;
	os_fault_arm(OS_MUNMAP, 1, 0);
	huge_purge(0);
	CHECK_U64(os_counters().purged_bytes - purged, 2 * MIB,
		  "bytes purged after a refused munmap");
	CHECK_U64(unit_first_nonzero(a, 2 * MIB), 2 * MIB, "content after it");
	CHECK(os_unmap(a, 2 * MIB), "it is still mapped");
}

/* A block with free addresses behind it. */
static unsigned char *alloc_with_room(size_t bytes, size_t room)
{
	unsigned char *p = alloc(bytes + room);
	CHECK_PTR(huge_resize(record_of(p), bytes), p, "shrinking");
	counted(1, bytes, 0);
	return p;
}

static void growth_in_place(void)
{
	unsigned char *p = alloc_with_room(4 * MIB, 12 * MIB), *q;
	test_fill(p, 4 * MIB, 7);
	q = huge_resize(record_of(p), 8 * MIB);
	CHECK_PTR(q, p, "address after growth into free addresses");
	CHECK_U64(test_verify(q, 4 * MIB, 7), 4 * MIB, "content");
	CHECK_U64(unit_first_nonzero(q + 4 * MIB, 4 * MIB), 4 * MIB, "zeros behind it");
	CHECK_U64(record_of(q)->usable_bytes, 8 * MIB, "usable bytes");
	counted(1, 10 * MIB, 0); /* a quarter to spare */
	/* The spare part needs no system call. */
	os_fault_arm(OS_MREMAP, 1, 1);
	CHECK_PTR(huge_resize(record_of(q), 10 * MIB), p,
		  "address after growth into the spare part");
	os_fault_arm(OS_MREMAP, 0, 0);
	CHECK_U64(test_verify(q, 4 * MIB, 7), 4 * MIB, "content");
	huge_free(record_of(q));
	empty_cache();
}

static void growth_by_moving(void)
{
	unsigned char *p = alloc(4 * MIB), *q;
	void *record;
	test_fill(p, 4 * MIB, 7);
	os_fault_arm(OS_MREMAP, 1, 0); /* not in place */
	q = huge_resize(record_of(p), 8 * MIB);
	os_fault_arm(OS_MREMAP, 0, 0);
	REQUIRE(q != NULL, "could not move");
	CHECK(q != p, "moved to where it was");
	CHECK_U64((uintptr_t)q % HAK_UNIT_BYTES, 0, "alignment");
	CHECK_U64(registry_lookup((uintptr_t)p, &record), UNIT_NONE, "kind of the old address");
	CHECK_PTR((void *)record_of(q)->base, q, "base");
	CHECK_U64(record_of(q)->usable_bytes, 8 * MIB, "usable bytes");
	CHECK_U64(test_verify(q, 4 * MIB, 7), 4 * MIB, "content");
	CHECK_U64(unit_first_nonzero(q + 4 * MIB, 4 * MIB), 4 * MIB, "zeros behind it");
	counted(1, 10 * MIB, 0);

	/* Not with room to spare, but as asked: the second attempt in place. */
	test_fill(q, 8 * MIB, 8);
	CHECK_PTR(huge_resize(record_of(q), 4 * MIB), q, "shrinking");
	os_fault_arm(OS_MREMAP, 1, 0);
	os_fault_arm(OS_MMAP, 1, 0);
	p = huge_resize(record_of(q), 6 * MIB);
	os_fault_arm(OS_MREMAP, 0, 0);
	os_fault_arm(OS_MMAP, 0, 0);
	CHECK_PTR(p, q, "address after growth by no more than asked");
	counted(1, 6 * MIB, 0);
	CHECK_U64(test_verify(q, 4 * MIB, 8), 4 * MIB, "content");
	huge_free(record_of(q));
	empty_cache();
}

static void refused_growth(void)
{
	unsigned char *p = alloc(4 * MIB);
	size_t mapped = os_counters().mapped_bytes;
	test_fill(p, 4 * MIB, 7);
	os_fault_arm(OS_MREMAP, 1, 1);
	CHECK_PTR(huge_resize(record_of(p), 8 * MIB), NULL, "growth without mremap");
	os_fault_arm(OS_MMAP, 1, 1);
	CHECK_PTR(huge_resize(record_of(p), 8 * MIB), NULL, "growth without mremap and mmap");
	os_fault_arm(OS_MREMAP, 0, 0);
	os_fault_arm(OS_MMAP, 0, 0);
	CHECK_PTR(huge_resize(record_of(p), (size_t)PTRDIFF_MAX + 1), NULL, "an impossible size");
	CHECK_PTR(huge_resize(record_of(p), SIZE_MAX), NULL, "the largest size");
	CHECK_PTR(huge_resize(record_of(p), (size_t)1 << 62), NULL, "more than there is");
	counted(1, 4 * MIB, 0);
	CHECK_U64(record_of(p)->usable_bytes, 4 * MIB, "usable bytes");
	CHECK_U64(test_verify(p, 4 * MIB, 7), 4 * MIB, "content");
	CHECK_U64(os_counters().mapped_bytes, mapped, "mapped bytes");
	huge_free(record_of(p));
	empty_cache();
}

static void shrinking(void)
{
	size_t mapped = os_counters().mapped_bytes;
	unsigned char *p = alloc(16 * MIB);
	test_fill(p, 16 * MIB, 3);
	CHECK_PTR(huge_resize(record_of(p), 9 * MIB), p, "a little smaller");
	counted(1, 16 * MIB, 0);
	CHECK_U64(record_of(p)->usable_bytes, 9 * MIB, "usable bytes");
	CHECK_PTR(huge_resize(record_of(p), 16 * MIB), p, "back, in what was kept");
	CHECK_U64(test_verify(p, 9 * MIB, 3), 9 * MIB, "content");
	CHECK_PTR(huge_resize(record_of(p), 4 * MIB), p, "less than half");
	counted(1, 4 * MIB, 0);
	CHECK_U64(os_counters().mapped_bytes, mapped + 4 * MIB, "mapped bytes");
	CHECK_U64(test_verify(p, 4 * MIB, 3), 4 * MIB, "content");
	os_fault_arm(OS_MUNMAP, 1, 1);
	CHECK_PTR(huge_resize(record_of(p), MIB + 1), p, "shrinking without munmap");
	os_fault_arm(OS_MUNMAP, 0, 0);
	counted(1, 4 * MIB, 0);
	CHECK_U64(record_of(p)->usable_bytes, MIB + os_page_bytes(), "usable bytes");
	huge_free(record_of(p));
	empty_cache();
}

static void refused_memory(void)
{
	bool zeroed;
	unsigned char *p;
	superslab_unmap_free();
	os_fault_arm(OS_MMAP, 1, 1);
	CHECK_PTR(huge_alloc(2 * MIB, 1, &zeroed), NULL, "a block without mmap");
	os_fault_arm(OS_MMAP, 0, 0);
	CHECK_PTR(huge_alloc(SIZE_MAX, 1, &zeroed), NULL, "the largest size");
	CHECK_PTR(huge_alloc((size_t)1 << 62, 1, &zeroed), NULL, "more than there is");
	counted(0, 0, 0);
	/* malloc gives up a cached mapping that does not fit for one that does. */
	p = alloc(4 * MIB);
	huge_free(record_of(p));
	os_fault_arm(OS_MMAP, 1, 0);
	p = hak_malloc(20 * MIB);
	os_fault_arm(OS_MMAP, 0, 0);
	REQUIRE(p != NULL, "no memory although the next try would have had it");
	counted(1, 20 * MIB, 0);
	hak_free(p);
	empty_cache();
}

static void finding(void)
{
	unsigned char *p = alloc(5 * MIB), *q = alloc(3 * MIB);
	uintptr_t base = 0;
	size_t bytes = 0;
	CHECK(huge_find((uintptr_t)p + 4 * MIB, &base, &bytes) && base == (uintptr_t)p &&
		      bytes == 5 * MIB,
	      "address inside a block: %#zx, %zu", base, bytes);
	CHECK(huge_find((uintptr_t)q, &base, &bytes) && base == (uintptr_t)q && bytes == 3 * MIB,
	      "address of a block: %#zx, %zu", base, bytes);
	CHECK(!huge_find((uintptr_t)&base, &base, &bytes), "an address of the stack is found");
	huge_free(record_of(q));
	CHECK(!huge_find((uintptr_t)q, &base, &bytes), "a freed block is found");
	huge_free(record_of(p));
	empty_cache();
}

static void random_steps(void)
{
	struct {
		unsigned char *p;
		size_t bytes;
		uint64_t tag;
	} blocks[6] = { { 0 } };
	uint64_t rng = unit_seed();
	for (unsigned i = 0; i < test_scaled(1500, 100); i++) {
		unsigned k = unit_below(&rng, 6);
		size_t bytes = MIB + unit_below(&rng, 6 * MIB), kept = blocks[k].bytes;
		unsigned char *p = blocks[k].p, *q;
		bool zeroed;
		/* The edges are enough: whole blocks would take too long. */
#define EDGE 5000
		if (p == NULL) {
			p = alloc_zeroed(bytes, (size_t)1 << unit_below(&rng, 24), &zeroed);
			if (zeroed)
				CHECK(unit_first_nonzero(p, EDGE) == EDGE &&
					      unit_first_nonzero(p + bytes - EDGE, EDGE) == EDGE,
				      "zeroed, and it is not");
		} else {
			CHECK_U64(test_verify(p, EDGE, blocks[k].tag), EDGE,
				  "content at the start");
			CHECK_U64(test_verify(p + kept - EDGE, EDGE, ~blocks[k].tag), EDGE,
				  "content at the end");
			if (unit_below(&rng, 3) == 0) {
				huge_free(record_of(p));
				blocks[k].p = NULL;
				continue;
			}
			if (unit_below(&rng, 4) == 0)
				os_fault_arm(OS_MREMAP, 1, 0);
			q = huge_resize(record_of(p), bytes);
			os_fault_arm(OS_MREMAP, 0, 0);
			REQUIRE(q != NULL, "no memory");
			CHECK_U64(test_verify(q, EDGE, blocks[k].tag), EDGE,
				  "start after a resize");
			if (bytes >= kept)
				CHECK_U64(test_verify(q + kept - EDGE, EDGE, ~blocks[k].tag), EDGE,
					  "old end after growth");
			p = q;
		}
		blocks[k].p = p;
		blocks[k].bytes = bytes;
		blocks[k].tag = test_random(&rng);
		test_fill(p, EDGE, blocks[k].tag);
		test_fill(p + bytes - EDGE, EDGE, ~blocks[k].tag);
#undef EDGE
		if (i % 64 == 0)
			huge_purge(0);
		huge_check();
	}
	for (unsigned k = 0; k < 6; k++)
		if (blocks[k].p != NULL)
			huge_free(record_of(blocks[k].p));
	empty_cache();
	counted(0, 0, 0);
}

static const struct test_case cases[] = {
	{ "alignments", alignments },
	{ "cache", cache },
	{ "cache_and_alignment", cache_and_alignment },
	{ "cache_limits", cache_limits },
	{ "purge", purge },
	{ "growth_in_place", growth_in_place },
	{ "growth_by_moving", growth_by_moving },
	{ "refused_growth", refused_growth },
	{ "shrinking", shrinking },
	{ "refused_memory", refused_memory },
	{ "finding", finding },
	{ "random_steps", random_steps },
};

UNIT_MAIN(cases)
