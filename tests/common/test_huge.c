/* common/huge.c: blocks from the kernel and from free extents, which split and merge;
 * growth in place, by moving and by copying; what happens when the kernel refuses. */
#include "unit.h"

#include <sys/mman.h>

#include "common/atomics.h"
#include "common/huge.h"
#include "common/knobs.h"
#include "common/os.h"
#include "common/registry.h"
#include "common/stats.h"
#include "common/superslab.h"
#include "hakmem/hakmem.h"

enum { MIB = 1 << 20, UNIT = HAK_UNIT_BYTES };

static struct huge *record_of(const void *p)
{
	void *record;
	CHECK_U64(registry_lookup((uintptr_t)p, &record), UNIT_HUGE, "kind of address");
	return record;
}

/* A new address may bring a leaf of the page map with it: without these. */
static size_t mapped_for_blocks(void)
{
	const size_t leaf_bytes = align_up(sizeof(struct registry_leaf), os_page_bytes());
	const size_t guarded_bytes = leaf_bytes + 2 * os_page_bytes();
	size_t bytes = os_counters().mapped_bytes;
	for (unsigned i = 0; i < REGISTRY_ROOT_ENTRIES; i++)
		if (atomic_load_relaxed(&registry_root[i]) != 0)
			bytes -= guarded_bytes;
	return bytes;
}

static unsigned char *alloc_zeroed(size_t bytes, size_t align, bool *zeroed)
{
	unsigned char *p = huge_alloc(bytes, align, zeroed);
	REQUIRE(p != NULL, "no memory for %zu bytes", bytes);
	CHECK((uintptr_t)p % max_size(align, HAK_UNIT_BYTES) == 0, "%p for alignment %zu",
	      (void *)p, align);
	CHECK_U64(record_of(p)->usable_bytes, align_up(bytes, os_page_bytes()), "usable bytes");
	CHECK(record_of(p)->mapped_bytes >= bytes && record_of(p)->mapped_bytes % UNIT == 0,
	      "%zu bytes mapped for %zu", record_of(p)->mapped_bytes, bytes);
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
	size_t mapped = mapped_for_blocks();
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
	CHECK(mapped_for_blocks() - mapped < 8 * MIB, "mapped bytes at the end: %zu more",
	      mapped_for_blocks() - mapped);
}

/* ---- free extents */

/* The free extent that begins at p is entered by its first and its last unit alone. */
static void is_extent(const unsigned char *p, size_t bytes)
{
	void *first, *last, *record;
	CHECK_U64(registry_lookup((uintptr_t)p, &first), UNIT_HUGE_FREE, "kind of the first unit");
	CHECK_U64(registry_lookup((uintptr_t)p + bytes - 1, &last), UNIT_HUGE_FREE,
		  "kind of the last unit");
	CHECK(first == last && first != NULL && ((struct huge *)first)->base == (uintptr_t)p &&
		      ((struct huge *)first)->mapped_bytes == bytes,
	      "the extent of %zu bytes at %p: records %p, %p", bytes, (const void *)p, first, last);
	for (size_t at = UNIT; at + UNIT < bytes; at += UNIT)
		if (!CHECK(registry_lookup((uintptr_t)p + at, &record) == UNIT_NONE,
			   "unit %zu of the extent is entered", at / UNIT))
			break;
	huge_check();
}

/* A free extent of so many bytes, alone; nothing beside it is free. */
static unsigned char *make_extent(size_t bytes)
{
	unsigned char *p = alloc(bytes);
	memset(p, 0xee, bytes);
	huge_free(record_of(p));
	is_extent(p, bytes);
	return p;
}

/* n blocks side by side, from the start of a new extent. */
static void alloc_row(unsigned char **row, unsigned n, size_t bytes)
{
	make_extent(n * bytes);
	for (unsigned i = 0; i < n; i++) {
		row[i] = alloc(bytes);
		CHECK_PTR(row[i], row[0] + i * bytes, "the next block of the row");
	}
	counted(n, n * bytes, 0);
}

static void split(void)
{
	bool zeroed;
	unsigned char *p = make_extent(8 * MIB), *q, *r;
	counted(0, 0, 8 * MIB);
	q = alloc_zeroed(3 * MIB, 1, &zeroed);
	CHECK(q == p && !zeroed && q[0] == 0xee, "a block out of a larger extent");
	counted(1, 3 * MIB, 5 * MIB);
	is_extent(p + 3 * MIB, 5 * MIB);
	/* Whole units, however few bytes are asked for. */
	r = alloc_zeroed(3 * MIB + 1, 1, &zeroed);
	CHECK(r == p + 3 * MIB && !zeroed, "a block out of the rest");
	counted(2, 6 * MIB + UNIT, 2 * MIB - UNIT);
	is_extent(r + 3 * MIB + UNIT, 2 * MIB - UNIT);
	/* What does not fit is new; what fits to the unit leaves nothing. */
	p = alloc_zeroed(2 * MIB, 1, &zeroed);
	CHECK(zeroed && unit_first_nonzero(p, 2 * MIB) == 2 * MIB, "a new block");
	counted(3, 8 * MIB + UNIT, 2 * MIB - UNIT);
	huge_free(record_of(alloc_zeroed(2 * MIB - UNIT - 5, 1, &zeroed)));
	CHECK(!zeroed, "an exact fit");
	huge_free(record_of(p));
	huge_free(record_of(q));
	huge_free(record_of(r));
	CHECK_U64(huge_purge(0), 10 * MIB, "bytes of all extents");
	counted(0, 0, 0);
}

static void coalesce(void)
{
	unsigned char *p[5];
	alloc_row(p, 5, 2 * MIB);
	huge_free(record_of(p[1]));
	is_extent(p[1], 2 * MIB);
	huge_free(record_of(p[2])); /* what is left of it is free */
	is_extent(p[1], 4 * MIB);
	huge_free(record_of(p[0])); /* right of it */
	is_extent(p[0], 6 * MIB);
	huge_free(record_of(p[4]));
	is_extent(p[4], 2 * MIB);
	counted(1, 2 * MIB, 8 * MIB);
	huge_free(record_of(p[3])); /* both */
	is_extent(p[0], 10 * MIB);
	counted(0, 0, 10 * MIB);
	empty_cache();
}

static void fit(void)
{
	unsigned char *p[6];
	bool zeroed;
	alloc_row(p, 6, 3 * MIB);
	CHECK_PTR(huge_resize(record_of(p[4]), MIB), p[4], "shrinking");
	huge_free(record_of(p[3])); /* 3 MiB */
	huge_free(record_of(p[1])); /* the same, lower */
	is_extent(p[4] + MIB, 2 * MIB);
	CHECK_PTR(alloc(MIB + MIB / 2), p[4] + MIB, "the smallest that fits is taken");
	is_extent(p[4] + 2 * MIB + MIB / 2, MIB / 2);
	CHECK_PTR(alloc(2 * MIB), p[1], "of equals the lowest is taken");
	CHECK_PTR(alloc(3 * MIB), p[3], "an exact fit before all others");
	CHECK_PTR(alloc_zeroed(MIB / 2, 1, &zeroed), p[4] + 2 * MIB + MIB / 2, "half a MiB");
	for (unsigned i = 0; i < 6; i++)
		huge_free(record_of(p[i]));
	huge_free(record_of(p[4] + MIB));
	huge_free(record_of(p[4] + 2 * MIB + MIB / 2));
	is_extent(p[0], 18 * MIB);
	empty_cache();
}

static void fit_in_one_bucket(void)
{
	unsigned char *p[4], *q;
	alloc_row(p, 4, 3 * MIB + 2 * UNIT);
	huge_free(record_of(p[2]));
	q = alloc(2 * UNIT);
	CHECK_PTR(q, p[2], "a small block at its start");
	huge_free(record_of(p[0]));
	CHECK_PTR(alloc(3 * MIB), q + 2 * UNIT, "the smaller of two of nearly the same size");
	huge_free(record_of(q));
	huge_free(record_of(q + 2 * UNIT));
	huge_free(record_of(p[1]));
	huge_free(record_of(p[3]));
	empty_cache();
}

static void aligned_out_of_extent(void)
{
	unsigned char *p = make_extent(24 * MIB), *q, *expected;
	size_t front;
	bool zeroed;
	q = alloc(UNIT); /* so that the extent is not aligned */
	CHECK_PTR(q, p, "a block at the start of the extent");
	expected = p + (align_up((uintptr_t)q + UNIT, 8 * MIB) - (uintptr_t)p);
	front = (size_t)(expected - p) - UNIT;
	p = alloc_zeroed(4 * MIB, 8 * MIB, &zeroed);
	CHECK_PTR(p, expected, "the first aligned place in the extent");
	CHECK(!zeroed, "it is not new");
	is_extent(q + UNIT, front);
	is_extent(p + 4 * MIB, 20 * MIB - UNIT - front);
	counted(2, 4 * MIB + UNIT, 20 * MIB - UNIT);
	/* Both parts are as old as before: the youngest block's age is not theirs. */
	huge_free(record_of(p));
	is_extent(q + UNIT, 24 * MIB - UNIT);
	/* Large enough, but not where it would be aligned. */
	p = alloc_zeroed(20 * MIB, 64 * MIB, &zeroed);
	CHECK(zeroed || (uintptr_t)p % (64 * MIB) == 0, "alignment");
	huge_free(record_of(p));
	huge_free(record_of(q));
	empty_cache();
	for (unsigned i = 0; i < 24; i++) { /* the hint of luck varies */
		make_extent(4 * MIB + i * UNIT);
		q = alloc_zeroed(4 * MIB, 2 * MIB, &zeroed); /* checks its alignment */
		huge_free(record_of(q));
		empty_cache();
	}
}

static void limits(void)
{
	unsigned char *p = alloc(32 * MIB + 1), *row[13];
	size_t mapped;
	huge_free(record_of(p));
	counted(0, 0, 0); /* too large to be kept */
	for (unsigned i = 0; i < 13; i++) {
		row[i] = alloc(15 * MIB);
		row[i][0] = 1;
	}
	for (unsigned i = 0; i < 12; i++)
		huge_free(record_of(row[i]));
	counted(13 - 12, 15 * MIB, 180 * MIB);
	/* The last would make 195 MiB of 192: three of the oldest go. */
	mapped = mapped_for_blocks();
	huge_free(record_of(row[12]));
	counted(0, 0, 192 * MIB);
	CHECK_U64(mapped - mapped_for_blocks(), 3 * MIB, "bytes unmapped");
	empty_cache();
}

/* Larger ones are kept if the knob says so, but never beside memory that is newly mapped. */
static void larger_ones(void)
{
	unsigned char *p = alloc(60 * MIB), *q;
	uint64_t declined = huge_declined_bytes(), unmapped = huge_unmapped_bytes();
	huge_free(record_of(p));
	counted(0, 0, 0);
	CHECK_U64(huge_declined_bytes() - declined, 60 * MIB, "bytes not kept");
	CHECK_U64(huge_unmapped_bytes() - unmapped, 60 * MIB, "bytes given back");
	knob_set(HAK_KNOB_HUGE_CACHE_MB, 0, 64);
	huge_free(record_of(alloc(60 * MIB)));
	counted(0, 0, 60 * MIB);
	p = alloc(50 * MIB);
	counted(1, 50 * MIB, 10 * MIB);
	q = alloc(20 * MIB); /* not larger than what is kept anyway */
	counted(2, 70 * MIB, 10 * MIB);
	huge_free(record_of(p));
	counted(1, 20 * MIB, 60 * MIB);
	p = alloc(61 * MIB);
	counted(2, 81 * MIB, 0);
	huge_free(record_of(p));
	counted(1, 20 * MIB, 61 * MIB);
	/* Not into what is free: it grows from the kernel. */
	p = huge_resize(record_of(q), 90 * MIB);
	REQUIRE(p != NULL, "no room to grow");
	CHECK_U64(huge_cached_bytes(), 0, "bytes kept beside a block that grows");
	huge_free(record_of(p));
	q = alloc(20 * MIB);
	counted(1, 20 * MIB, 0);
	huge_free(record_of(alloc(64 * MIB + 1))); /* no room for it beside the other */
	counted(1, 20 * MIB, 0);
	knob_set(HAK_KNOB_HUGE_CACHE_MB, 0, 256);
	p = alloc(200 * MIB);
	huge_free(record_of(alloc(250 * MIB)));
	huge_free(record_of(p)); /* 450 MiB in all: the oldest make room */
	counted(1, 20 * MIB, 384 * MIB);
	huge_check();
	knob_set(HAK_KNOB_HUGE_CACHE_MB, 0, 32);
	huge_free(record_of(q)); /* the room is less again */
	counted(0, 0, 192 * MIB);
	huge_check();
	empty_cache();
}

static _Atomic bool knob_rests;

static void *move_knob(void *arg)
{
	(void)arg;
	while (!atomic_load_relaxed(&knob_rests)) {
		knob_set(HAK_KNOB_HUGE_CACHE_MB, 0, 32);
		knob_set(HAK_KNOB_HUGE_CACHE_MB, 0, 256);
	}
	return NULL;
}

/* Too large for one value of the knob, and for all that the other keeps. */
static void knob_moves(void)
{
	pthread_t mover = unit_thread(move_knob, NULL);
	for (unsigned i = 0; i < test_scaled(20000, 500); i++)
		huge_free(record_of(alloc(200 * MIB)));
	atomic_store_relaxed(&knob_rests, true);
	pthread_join(mover, NULL);
	knob_set(HAK_KNOB_HUGE_CACHE_MB, 0, 32);
	huge_check();
	empty_cache();
}

/* The oldest are unmapped, not the one just freed, even if it is merged with none. */
static void oldest_goes(void)
{
	unsigned char *old = alloc(20 * MIB), *wall = alloc(2 * MIB), *p[8];
	void *record;
	for (unsigned i = 0; i < 8; i++)
		p[i] = alloc(31 * MIB);
	huge_free(record_of(old));
	is_extent(old, 20 * MIB);
	for (unsigned i = 0; i < 6; i++) /* 206 in all: 14 of the old extent go */
		huge_free(record_of(p[i]));
	is_extent(old, 6 * MIB);
	huge_free(record_of(p[6]));
	CHECK_U64(registry_lookup((uintptr_t)old, &record), UNIT_NONE, "kind of the oldest");
	CHECK_U64(registry_lookup((uintptr_t)p[7], &record), UNIT_HUGE, "kind of a live block");
	huge_free(record_of(p[7]));
	counted(1, 2 * MIB, 192 * MIB);
	huge_free(record_of(wall));
	counted(0, 0, 192 * MIB);
	empty_cache();
}

/* A block that comes and goes keeps its own memory young, and the rest goes without a clock: a
 * step for every 128 of them that are freed. */
static void turnover(void)
{
	unsigned char *old = alloc(6 * MIB), *wall = alloc(2 * MIB);
	const unsigned frees_per_step = 128 * 4 / 7;
	unsigned fresh = 0;
	void *record;
	huge_free(record_of(old));
	is_extent(old, 6 * MIB);
	for (unsigned i = 0; i < 3 * frees_per_step; i++)
		huge_free(record_of(alloc(7 * MIB)));
	CHECK_U64(registry_lookup((uintptr_t)old, &record), UNIT_NONE, "kind of the oldest");
	CHECK(huge_cached_bytes() <= 7 * MIB, "%zu bytes kept", huge_cached_bytes());
	/* Of what is in use all the time little goes. */
	for (unsigned i = 0; i < 8 * frees_per_step; i++) {
		bool zeroed[2];
		unsigned char *p = alloc_zeroed(3 * MIB, 1, &zeroed[0]);
		unsigned char *q = alloc_zeroed(4 * MIB, 1, &zeroed[1]);
		fresh += zeroed[0] + zeroed[1];
		huge_free(record_of(p));
		huge_free(record_of(q));
	}
	CHECK(fresh <= 9 * 2, "%u blocks were mapped anew", fresh);
	huge_free(record_of(wall));
	empty_cache();
}

static void purge(void)
{
	size_t mapped = mapped_for_blocks(), purged;
	unsigned char *a = alloc(2 * MIB), *b = alloc(3 * MIB);
	huge_free(record_of(a));
	huge_free(record_of(b));
	CHECK_U64(huge_purge(UINT32_MAX / 2), 0, "bytes before they are due");
	counted(0, 0, 5 * MIB);
	CHECK_U64(huge_purge(0), 5 * MIB, "bytes when they are due");
	counted(0, 0, 0);
	CHECK_U64(mapped_for_blocks(), mapped, "mapped bytes");
	/* Where unmapping is refused the pages go at least. */
	a = make_extent(2 * MIB);
	purged = os_counters().purged_bytes;
	os_fault_arm(OS_MUNMAP, 1, 0);
	CHECK_U64(huge_purge(0), 2 * MIB, "bytes that went");
	counted(0, 0, 0);
	CHECK_U64(os_counters().purged_bytes - purged, 2 * MIB,
		  "bytes purged after a refused munmap");
	CHECK_U64(unit_first_nonzero(a, 2 * MIB), 2 * MIB, "content after it");
	CHECK(os_unmap(a, 2 * MIB), "it is still mapped");
	a = make_extent(2 * MIB);
	os_fault_arm(OS_MUNMAP, 1, 0);
	os_fault_arm(OS_MADVISE, 1, 0);
	CHECK_U64(huge_purge(0), 0, "bytes that went where all is refused");
	counted(0, 0, 0);
	CHECK_U64(huge_counters().stuck_bytes, 2 * MIB, "bytes that are stuck");
	hak_check_all();
	os_fault_arm(OS_MUNMAP, 1, 0);
	os_fault_arm(OS_MADVISE, 1, 0);
	CHECK_U64(huge_purge(0), 0, "bytes that went where all is refused again");
	CHECK_U64(huge_purge(UINT32_MAX / 2), 2 * MIB, "bytes that went at last");
	CHECK_U64(huge_counters().stuck_bytes, 0, "bytes that are stuck");
	CHECK_U64(mapped_for_blocks(), mapped, "mapped bytes");
	hak_check_all();
}

/* In steps, the upper part first; a deadline that is over lets one step through. */
static void purge_until(void)
{
	unsigned char *p = make_extent(20 * MIB);
	CHECK_U64(huge_purge_until(0, 1), 4 * MIB, "bytes of one step");
	is_extent(p, 16 * MIB);
	CHECK_U64(huge_purge_until(UINT32_MAX / 2, 1), 0, "bytes that are not due");
	CHECK_U64(huge_purge_until(0, os_now_ns() + 1000000000000), 16 * MIB, "all the rest");
	counted(0, 0, 0);
}

enum { HOUR_MS = 3600 * 1000 };

static void make_older(const unsigned char *p)
{
	void *record;
	CHECK_U64(registry_lookup((uintptr_t)p, &record), UNIT_HUGE_FREE, "kind of an extent");
	((struct huge *)record)->freed_at_ms -= 2 * HOUR_MS;
}

/* What is left of a split extent keeps its age, and a merged one is as young as the
 * youngest part. */
static void ages(void)
{
	unsigned char *p[3], *q;
	alloc_row(p, 3, 4 * MIB);
	huge_free(record_of(p[0]));
	make_older(p[0]);
	q = alloc(2 * MIB);
	CHECK_PTR(q, p[0], "half of the old extent");
	CHECK_U64(huge_purge(HOUR_MS), 2 * MIB, "the rest is due");
	huge_free(record_of(q));
	CHECK_U64(huge_purge(HOUR_MS), 0, "the block is not");
	huge_free(record_of(p[2]));
	make_older(q);
	make_older(p[2]);
	huge_free(record_of(p[1]));
	is_extent(p[1], 8 * MIB); /* the rest before it was unmapped */
	CHECK_U64(huge_purge(HOUR_MS), 2 * MIB, "the block is due, the merged extent is not");
	counted(0, 0, 8 * MIB);
	make_older(p[1]);
	q = alloc_zeroed(UNIT, 4 * MIB, &(bool){ false }); /* splits in three, most often */
	CHECK_U64(huge_purge(HOUR_MS), 8 * MIB - UNIT, "both parts are due");
	huge_free(record_of(q));
	empty_cache();
}

/* ---- resizing */

/* A block with free addresses behind it. */
static unsigned char *alloc_with_room(size_t bytes, size_t room)
{
	unsigned char *p = alloc(bytes + room);
	CHECK_PTR(huge_resize(record_of(p), bytes), p, "shrinking");
	counted(1, bytes, room);
	empty_cache();
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
	is_extent(q, 10 * MIB);
	empty_cache();
}

static void growth_into_free(void)
{
	unsigned char *p[3];
	alloc_row(p, 3, 8 * MIB);
	test_fill(p[0], 8 * MIB, 7);
	test_fill(p[2], 8 * MIB, 8);
	huge_free(record_of(p[1]));
	os_fault_arm(OS_MREMAP, 1, 1);
	os_fault_arm(OS_MMAP, 1, 1); /* no system call */
	CHECK_PTR(huge_resize(record_of(p[0]), 10 * MIB), p[0], "address after growth");
	counted(2, 20 * MIB + MIB / 2, 4 * MIB - MIB / 2); /* a quarter to spare */
	CHECK_U64(record_of(p[0])->usable_bytes, 10 * MIB, "usable bytes");
	is_extent(p[0] + 12 * MIB + MIB / 2, 4 * MIB - MIB / 2);
	/* What there is, if it is enough. */
	CHECK_PTR(huge_resize(record_of(p[0]), 15 * MIB), p[0], "address after growth");
	counted(2, 24 * MIB, 0);
	CHECK_PTR(huge_resize(record_of(p[0]), 16 * MIB + 1), NULL, "growth over a live block");
	os_fault_arm(OS_MREMAP, 0, 0);
	os_fault_arm(OS_MMAP, 0, 0);
	counted(2, 24 * MIB, 0);
	CHECK_U64(test_verify(p[0], 8 * MIB, 7), 8 * MIB, "content");
	CHECK_U64(test_verify(p[2], 8 * MIB, 8), 8 * MIB, "content of the block behind");
	huge_free(record_of(p[0]));
	huge_free(record_of(p[2]));
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
	empty_cache();
	os_fault_arm(OS_MREMAP, 1, 0);
	os_fault_arm(OS_MMAP, 1, 1);
	p = huge_resize(record_of(q), 6 * MIB);
	os_fault_arm(OS_MREMAP, 0, 0);
	os_fault_arm(OS_MMAP, 0, 0);
	CHECK_PTR(p, q, "address after growth by no more than asked");
	counted(1, 6 * MIB, 0);
	CHECK_U64(test_verify(q, 4 * MIB, 8), 4 * MIB, "content");
	huge_free(record_of(q));
	empty_cache();
}

static void growth_by_copying(void)
{
	unsigned char *p = alloc(4 * MIB), *q;
	size_t mapped = mapped_for_blocks();
	test_fill(p, 4 * MIB, 7);
	os_fault_arm(OS_MREMAP, 1, 1);
	q = huge_resize(record_of(p), 8 * MIB);
	os_fault_arm(OS_MREMAP, 0, 0);
	REQUIRE(q != NULL && q != p, "a copy");
	CHECK_U64(test_verify(q, 4 * MIB, 7), 4 * MIB, "content");
	CHECK_U64(record_of(q)->usable_bytes, 8 * MIB, "usable bytes");
	counted(1, 10 * MIB, 4 * MIB);
	is_extent(p, 4 * MIB);
	CHECK_U64(mapped_for_blocks() - mapped, 10 * MIB, "mapped bytes");
	huge_free(record_of(q));
	empty_cache();

	/* A block in two mappings of the kernel, which does not move it. */
	p = alloc(8 * MIB);
	test_fill(p, 8 * MIB, 9);
	mapped = mapped_for_blocks();
	REQUIRE(madvise(p + 4 * MIB, 4 * MIB, MADV_DONTDUMP) == 0, "madvise: %s", strerror(errno));
	q = huge_resize(record_of(p), 12 * MIB);
	REQUIRE(q != NULL && (q != p || test_under_qemu()), "a copy");
	CHECK_U64(test_verify(q, 8 * MIB, 9), 8 * MIB, "content");
	if (!test_under_qemu())
		counted(1, 15 * MIB, 8 * MIB);
	huge_free(record_of(q));
	empty_cache();
	CHECK_U64(mapped_for_blocks(), mapped - 8 * MIB, "mapped bytes");
}

static void refused_growth(void)
{
	unsigned char *p = alloc(4 * MIB);
	size_t mapped = mapped_for_blocks();
	test_fill(p, 4 * MIB, 7);
	os_fault_arm(OS_MREMAP, 1, 1);
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
	CHECK_U64(mapped_for_blocks(), mapped, "mapped bytes");
	huge_free(record_of(p));
	empty_cache();
}

static void shrinking(void)
{
	size_t mapped = mapped_for_blocks();
	unsigned char *p = alloc(16 * MIB);
	test_fill(p, 16 * MIB, 3);
	CHECK_PTR(huge_resize(record_of(p), 9 * MIB), p, "a little smaller");
	counted(1, 16 * MIB, 0);
	CHECK_U64(record_of(p)->usable_bytes, 9 * MIB, "usable bytes");
	CHECK_PTR(huge_resize(record_of(p), 16 * MIB), p, "back, in what was kept");
	CHECK_U64(test_verify(p, 9 * MIB, 3), 9 * MIB, "content");
	CHECK_PTR(huge_resize(record_of(p), 4 * MIB - 5), p, "less than half");
	counted(1, 4 * MIB, 12 * MIB);
	is_extent(p + 4 * MIB, 12 * MIB);
	CHECK_U64(record_of(p)->usable_bytes, 4 * MIB, "usable bytes");
	CHECK_PTR(huge_resize(record_of(p), MIB + 1), p, "and again");
	is_extent(p + MIB + UNIT, 15 * MIB - UNIT); /* with what was behind */
	counted(1, MIB + UNIT, 15 * MIB - UNIT);
	CHECK_U64(test_verify(p, MIB + 1, 3), MIB + 1, "content");
	empty_cache();
	CHECK_U64(mapped_for_blocks(), mapped + MIB + UNIT, "mapped bytes");
	huge_free(record_of(p));
	empty_cache();
	/* A tail too large to be kept goes at once. */
	p = alloc(40 * MIB);
	CHECK_PTR(huge_resize(record_of(p), 2 * MIB), p, "a large tail");
	counted(1, 2 * MIB, 0);
	CHECK_U64(mapped_for_blocks(), mapped + 2 * MIB, "mapped bytes");
	/* One unit, the least that there is, and less. */
	huge_free(record_of(p));
	empty_cache();
	p = alloc_zeroed(1, 4 * MIB, &(bool){ false });
	counted(1, UNIT, 0);
	CHECK_PTR(huge_resize(record_of(p), 1), p, "no tail");
	counted(1, UNIT, 0);
	huge_free(record_of(p));
	is_extent(p, UNIT);
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
	/* malloc gives up free extents that do not fit for a mapping that does. */
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

/* ---- reports */

static void finding(void)
{
	unsigned char *p = alloc(5 * MIB), *q = alloc(3 * MIB);
	struct huge_place at;
	CHECK(huge_find((uintptr_t)p + 4 * MIB, &at) && at.live && at.base == (uintptr_t)p &&
		      at.bytes == 5 * MIB,
	      "address inside a block: %#zx, %zu", at.base, at.bytes);
	CHECK(huge_find((uintptr_t)q, &at) && at.live && at.base == (uintptr_t)q &&
		      at.bytes == 3 * MIB,
	      "address of a block: %#zx, %zu", at.base, at.bytes);
	CHECK(!huge_find((uintptr_t)&at, &at), "an address of the stack is found");
	huge_free(record_of(q));
	CHECK(huge_find((uintptr_t)q + 5, &at) && !at.live && at.base == (uintptr_t)q &&
		      at.bytes == 3 * MIB,
	      "address in a freed block: %#zx, %zu", at.base, at.bytes);
	huge_free(record_of(p));
	empty_cache();
	CHECK(!huge_find((uintptr_t)p, &at), "an unmapped block is found");
}

static void free_twice(void *arg)
{
	unsigned char *p[3];
	alloc_row(p, 3, MIB + UNIT); /* too little for the maintenance thread */
	for (unsigned i = 0; i < 3; i++)
		hak_free(p[i]);
	hak_free(p[1] + *(const size_t *)arg);
}

static void double_free(void)
{
	size_t at = 0;
	unit_child_aborts(free_twice, &at, "[TLS_SLL_DOUBLE_FREE]");
	unit_child_aborts(free_twice, &at, "already free: it lies in 3342336 bytes of freed huge");
	at = 100;
	unit_child_aborts(free_twice, &at, "[TLS_SLL_PUSH_MISALIGNED]");
}

/* ---- many steps */

enum { EDGE = 5000 }; /* the edges are enough: whole blocks would take too long */

struct block {
	unsigned char *p;
	size_t bytes;
	uint64_t tag;
};

static void block_mark(struct block *b, uint64_t *rng)
{
	b->tag = test_random(rng);
	test_fill(b->p, EDGE, b->tag);
	test_fill(b->p + b->bytes - EDGE, EDGE, ~b->tag);
}

static void block_verify(const struct block *b)
{
	CHECK_U64(test_verify(b->p, EDGE, b->tag), EDGE, "content at the start");
	CHECK_U64(test_verify(b->p + b->bytes - EDGE, EDGE, ~b->tag), EDGE, "content at the end");
}

static void block_alloc(struct block *b, size_t bytes, size_t align)
{
	bool zeroed;
	b->p = alloc_zeroed(bytes, align, &zeroed);
	b->bytes = bytes;
	if (zeroed)
		CHECK(unit_first_nonzero(b->p, EDGE) == EDGE &&
			      unit_first_nonzero(b->p + bytes - EDGE, EDGE) == EDGE,
		      "zeroed, and it is not");
}

static void block_free(struct block *b)
{
	huge_free(record_of(b->p));
	b->p = NULL;
}

static void block_resize(struct block *b, size_t bytes)
{
	unsigned char *q = huge_resize(record_of(b->p), bytes);
	REQUIRE(q != NULL, "no memory");
	CHECK_U64(test_verify(q, EDGE, b->tag), EDGE, "start after a resize");
	if (bytes >= b->bytes)
		CHECK_U64(test_verify(q + b->bytes - EDGE, EDGE, ~b->tag), EDGE,
			  "old end after growth");
	b->p = q;
	b->bytes = bytes;
}

/* One block made, resized or freed. */
static void block_step(struct block *b, uint64_t *rng, bool refusals)
{
	size_t bytes = MIB + unit_below(rng, unit_below(rng, 8) == 0 ? 30 * MIB : 5 * MIB);
	if (b->p == NULL) {
		block_alloc(b, bytes, (size_t)1 << unit_below(rng, 24));
	} else {
		block_verify(b);
		if (unit_below(rng, 3) == 0) {
			block_free(b);
			return;
		}
		if (refusals && unit_below(rng, 3) == 0)
			os_fault_arm(OS_MREMAP, 1 + unit_below(rng, 2), 1);
		block_resize(b, bytes);
		if (refusals)
			os_fault_arm(OS_MREMAP, 0, 0);
	}
	block_mark(b, rng);
}

enum { MODEL_BLOCKS = 16 };

static void check_model(struct block *b)
{
	size_t live = 0, bytes = 0;
	struct huge_counters c = huge_counters();
	huge_check();
	for (unsigned i = 0; i < MODEL_BLOCKS; i++) {
		if (b[i].p == NULL)
			continue;
		live++;
		bytes += record_of(b[i].p)->mapped_bytes;
		for (unsigned j = 0; j < i; j++)
			CHECK(b[j].p == NULL || b[i].p + b[i].bytes <= b[j].p ||
				      b[j].p + b[j].bytes <= b[i].p,
			      "blocks %u and %u overlap", j, i);
	}
	CHECK_U64(c.live, live, "live blocks");
	CHECK_U64(c.live_bytes, bytes, "live bytes");
}

static void random_steps(void)
{
	static struct block blocks[MODEL_BLOCKS];
	uint64_t rng = unit_seed();
	size_t mapped = mapped_for_blocks();
	for (unsigned i = 0; i < test_scaled(4000, 200); i++) {
		block_step(&blocks[unit_below(&rng, MODEL_BLOCKS)], &rng, true);
		if (i % 64 == 0)
			huge_purge(unit_below(&rng, 2) * 5);
		check_model(blocks);
	}
	for (unsigned k = 0; k < MODEL_BLOCKS; k++)
		if (blocks[k].p != NULL)
			block_free(&blocks[k]);
	check_model(blocks);
	empty_cache();
	counted(0, 0, 0);
	/* Records stay. */
	CHECK(mapped_for_blocks() - mapped < 8 * MIB, "mapped bytes at the end: %zu more",
	      mapped_for_blocks() - mapped);
}

static void *steps_of_thread(void *arg)
{
	struct block blocks[4] = { { 0 } };
	uint64_t rng = *(uint64_t *)arg;
	for (unsigned i = 0; i < test_scaled(1500, 100); i++) {
		block_step(&blocks[unit_below(&rng, 4)], &rng, false);
		if (i % 16 == 0)
			huge_check();
		if (i % 128 == 0)
			huge_purge(unit_below(&rng, 2) * 5);
	}
	for (unsigned k = 0; k < 4; k++)
		if (blocks[k].p != NULL)
			block_free(&blocks[k]);
	return NULL;
}

static void threads(void)
{
	uint64_t seeds[4], rng = unit_seed();
	for (unsigned i = 0; i < 4; i++)
		seeds[i] = test_random(&rng);
	unit_threads(4, steps_of_thread, seeds, sizeof(seeds[0]));
	huge_check();
	empty_cache();
	counted(0, 0, 0);
}

static const struct test_case cases[] = {
	{ "double_free", double_free }, /* first: a child, so before there are threads */
	{ "alignments", alignments },
	{ "split", split },
	{ "coalesce", coalesce },
	{ "fit", fit },
	{ "fit_in_one_bucket", fit_in_one_bucket },
	{ "aligned_out_of_extent", aligned_out_of_extent },
	{ "limits", limits },
	{ "larger_ones", larger_ones },
	{ "knob_moves", knob_moves },
	{ "oldest_goes", oldest_goes },
	{ "turnover", turnover },
	{ "purge", purge },
	{ "purge_until", purge_until },
	{ "ages", ages },
	{ "growth_in_place", growth_in_place },
	{ "growth_into_free", growth_into_free },
	{ "growth_by_moving", growth_by_moving },
	{ "growth_by_copying", growth_by_copying },
	{ "refused_growth", refused_growth },
	{ "shrinking", shrinking },
	{ "refused_memory", refused_memory },
	{ "finding", finding },
	{ "random_steps", random_steps },
	{ "threads", threads },
};

UNIT_MAIN(cases)
