/* common/limit.c: what is held is counted, the hard limit refuses and leaves the heap whole, the
 * soft one makes the heap give back what it keeps. Each case in a child. */
#include "unit.h"

#include <sys/mman.h>
#include <sys/syscall.h>

#include "common/heap.h"
#include "common/huge.h"
#include "common/knobs.h"
#include "common/limit.h"
#include "common/os.h"
#include "common/purge.h"
#include "common/stats.h"
#include "common/superslab.h"
#include "hakmem/hakmem.h"

enum { KIB = 1024, MIB = 1 << 20, MAX_BLOCKS = 20000 };

static struct unit_child child;

static struct {
	unsigned char *p;
	size_t bytes;
} blocks[MAX_BLOCKS];
static unsigned nblocks;

/* So much of a block has content: all, where that doesn't take too long. */
static size_t filled(size_t bytes)
{
	return min_size(bytes, test_scaled(UINT32_MAX, 512));
}

/* A block with content; false: there is no memory. */
static bool make(size_t bytes)
{
	unsigned char *p = hak_malloc(bytes);
	if (p == NULL)
		return false;
	REQUIRE(nblocks < MAX_BLOCKS, "too many blocks");
	test_fill(p, filled(bytes), nblocks);
	blocks[nblocks].p = p;
	blocks[nblocks++].bytes = bytes;
	return true;
}

static void drop_last(void)
{
	nblocks--;
	CHECK_U64(test_verify(blocks[nblocks].p, filled(blocks[nblocks].bytes), nblocks),
		  filled(blocks[nblocks].bytes), "content of a block");
	hak_free(blocks[nblocks].p);
}

static void drop_all(void)
{
	while (nblocks > 0)
		drop_last();
}

static uint64_t allow(uint64_t more)
{
	limit_set(0, limit_held_bytes() + more);
	return limit_held_bytes() + more;
}

/* ---- what is held */

static void held_follows(void *arg)
{
	uint64_t rng = *(uint64_t *)arg;
	for (unsigned i = 0; i < test_scaled(600, 200); i++) {
		static const size_t most[] = { 1000, 30000, 900000, 3 * MIB };
		if (nblocks > 0 && unit_below(&rng, 2) == 0)
			drop_last();
		else
			make(1 + unit_below(&rng, (unsigned)most[i % 4]));
		if (nblocks > 0 && i % 7 == 0) {
			unsigned n = nblocks - 1;
			size_t bytes = 1 + unit_below(&rng, 3 * MIB);
			blocks[n].p = hak_realloc(blocks[n].p, bytes);
			blocks[n].bytes = bytes;
			test_fill(blocks[n].p, filled(bytes), n);
		}
		if (i % 31 == 0)
			hak_purge();
		if (i % 10 == 0)
			hak_check_all(); /* compares what is held with what was charged */
	}
	drop_all();
	hak_purge();
	hak_check_all();
}

static void held(void)
{
	uint64_t seed = unit_seed();
	unit_child_passes(&child, held_follows, &seed);
}

/* ---- the hard limit */

struct sizes {
	const char *what;
	size_t min, max;
};

static void refuses(void *arg)
{
	const struct sizes *s = arg;
	uint64_t rng = 1, limit = allow(16 * MIB);
	unsigned full;
	size_t bytes = 0;
	errno = 0;
	while (make(s->min + unit_below(&rng, (unsigned)(s->max - s->min + 1))))
		bytes += blocks[nblocks - 1].bytes;
	CHECK_I64(errno, ENOMEM, "errno");
	CHECK(limit_held_bytes() <= limit, "%llu bytes held, %llu allowed",
	      (unsigned long long)limit_held_bytes(), (unsigned long long)limit);
	CHECK(bytes >= 9 * MIB, "refused after %zu bytes of %s blocks", bytes, s->what);
	full = nblocks;
	/* Growth is refused as well, and the block stays what it is. */
	CHECK(hak_realloc(blocks[0].p, 40 * MIB) == NULL && errno == ENOMEM,
	      "growth beyond the limit");
	CHECK_U64(test_verify(blocks[0].p, filled(blocks[0].bytes), 0), filled(blocks[0].bytes),
		  "content after that");
	while (nblocks > full / 2)
		drop_last();
	for (unsigned i = full / 2; i < full * 3 / 4; i++)
		if (!CHECK(make(s->min), "block %u of %u, after half were freed", i, full))
			break;
	hak_check_all();
	drop_all();
	CHECK(make(8 * MIB), "all that was freed can be used for something else");
	drop_all();
	limit_set(0, 0);
	CHECK(make(64 * MIB), "without the limit");
	drop_all();
	hak_check_all();
}

static void hard_limit(void)
{
	static struct sizes rows[] = {
		{ "small", 2000, 8000 },
		{ "large", 40 * KIB, 200 * KIB },
		{ "huge", MIB + 1, 2 * MIB },
		{ "all kinds of", 2000, 2 * MIB },
	};
	for (unsigned i = 0; i < HAK_ARRAY_LEN(rows); i++)
		unit_child_passes(&child, refuses, &rows[i]);
}

static void refuses_with_huge_pages(void *arg)
{
	knob_set(HAK_KNOB_HUGE_PAGES, 0, HUGE_PAGES_ALWAYS);
	refuses(arg);
}

static void hard_limit_huge_pages(void)
{
	static struct sizes row = { "small", 2000, 8000 };
	unit_child_passes(&child, refuses_with_huge_pages, &row);
}

/* A superslab of huge pages would be charged as a whole: where it does not fit, small pages do. */
static void fills_up(void *arg)
{
	uint64_t limit, held;
	(void)arg;
	knob_set(HAK_KNOB_HUGE_PAGES, 0, HUGE_PAGES_ALWAYS);
	while (nblocks < 2000) /* superslabs that have asked for huge pages, and are clean again */
		REQUIRE(make(4000), "no memory");
	drop_all();
	hak_purge();
	limit = allow(5 * MIB);
	while (make(4000))
		;
	held = limit_held_bytes();
	CHECK(held <= limit && limit - held < 256 * KIB, "%llu bytes held, %llu allowed",
	      (unsigned long long)held, (unsigned long long)limit);
	drop_all();
	hak_check_all();
}

static void to_the_last_unit(void)
{
	unit_child_passes(&child, fills_up, NULL);
}

/* Free units between live ones are given back before anything is refused. */
static void gives_back_first(void *arg)
{
	(void)arg;
	allow(16 * MIB);
	while (make(100 * KIB))
		;
	for (unsigned i = 0; i < nblocks; i++)
		if (i % 8 != 0)
			hak_free(blocks[i].p);
	CHECK(hak_malloc(8 * MIB) != NULL, "half of the memory, of which seven eighths are free");
	hak_check_all();
}

static void holes(void)
{
	unit_child_passes(&child, gives_back_first, NULL);
}

/* What the kernel refuses is not charged. */
static void refused_by_kernel(void *arg)
{
	uint64_t before;
	(void)arg;
	hak_free(hak_malloc(2 * MIB));
	hak_purge();
	before = limit_held_bytes();
	os_fault_arm(OS_MMAP, 1, 1);
	os_fault_arm(OS_MREMAP, 1, 1);
	CHECK(hak_malloc(40 * MIB) == NULL, "refused by the kernel");
	CHECK_U64(limit_held_bytes(), before, "bytes held");
	os_fault_arm(OS_MMAP, 0, 0);
	REQUIRE(make(2 * MIB), "no memory");
	before = limit_held_bytes();
	os_fault_arm(OS_MMAP, 1, 1);
	CHECK(hak_realloc(blocks[0].p, 40 * MIB) == NULL, "growth refused by the kernel");
	CHECK_U64(limit_held_bytes(), before, "bytes held, after growth was refused");
	os_fault_arm(OS_MMAP, 0, 0);
	os_fault_arm(OS_MREMAP, 0, 0);
	drop_all();
	hak_check_all();
}

static void kernel(void)
{
	unit_child_passes(&child, refused_by_kernel, NULL);
}

/* A vector grows until it can't; nothing is lost then. */
static void grows_until_refused(void *arg)
{
	size_t bytes = 2 * MIB;
	unsigned char *p = hak_malloc(bytes), *q;
	uint64_t limit = allow(24 * MIB);
	(void)arg;
	memset(p, 7, bytes);
	while ((q = hak_realloc(p, bytes + MIB)) != NULL) {
		p = q;
		memset(p + bytes, 7, MIB);
		bytes += MIB;
		if (!CHECK(bytes < 32 * MIB, "it grows without end"))
			break;
	}
	CHECK_I64(errno, ENOMEM, "errno");
	CHECK(bytes >= 10 * MIB, "it stopped at %zu MiB", bytes / MIB);
	CHECK(limit_held_bytes() <= limit, "more is held than allowed");
	for (size_t i = 0; i < bytes; i++)
		if (!CHECK(p[i] == 7, "byte %zu is %d", i, p[i]))
			break;
	hak_free(p);
	hak_check_all();
}

static void growth(void)
{
	unit_child_passes(&child, grows_until_refused, NULL);
}

static _Atomic uint64_t allowed;

static void *press(void *arg)
{
	uint64_t rng = *(uint64_t *)arg;
	void *held_here[200] = { NULL };
	for (unsigned i = 0; i < test_scaled(20000, 1000); i++) {
		unsigned slot = unit_below(&rng, 200);
		hak_free(held_here[slot]);
		held_here[slot] = hak_malloc(1 + unit_below(&rng, i % 8 == 0 ? 2 * MIB : 60000));
		/* A charge that is refused shows for a moment. */
		CHECK(limit_held_bytes() <=
			      atomic_load_relaxed(&allowed) + UNIT_MAX_THREADS * 2 * MIB,
		      "more is held than allowed");
	}
	for (unsigned i = 0; i < 200; i++)
		hak_free(held_here[i]);
	return NULL;
}

static void presses_by_threads(void *arg)
{
	uint64_t seeds[4] = { 1, 2, 3, 4 };
	(void)arg;
	atomic_store_relaxed(&allowed, allow(16 * MIB));
	unit_threads(4, press, seeds, sizeof(seeds[0]));
	CHECK(limit_held_bytes() <= atomic_load_relaxed(&allowed), "at the end");
	hak_check_all();
}

static void by_threads(void)
{
	unit_child_passes(&child, presses_by_threads, NULL);
}

/* ---- the soft limit */

static void gives_back(void *arg)
{
	/* As much held as resident, for the pressure that resident memory makes not to come
	 * first. */
	void *ballast = hak_malloc(os_resident_bytes() + 32 * MIB);
	uint64_t limit = limit_held_bytes() + 32 * MIB;
	(void)arg;
	REQUIRE(ballast != NULL, "no memory");
	knob_set(HAK_KNOB_PURGE_DELAY_MS, 0, 10000);
	limit_set(limit, 0);
	for (unsigned i = 0; i < 5000; i++)
		make(5000);
	drop_all();
	CHECK(limit_held_bytes() > limit - 10 * MIB, "freed memory is kept: %llu bytes held",
	      (unsigned long long)limit_held_bytes());
	for (unsigned i = 0; i < 24; i++) {
		CHECK(make(MIB + KIB), "a soft limit refuses nothing");
		CHECK(limit_held_bytes() <= limit + 3 * MIB, "%llu bytes held after %u MiB",
		      (unsigned long long)limit_held_bytes(), i + 1);
	}
	for (unsigned i = 0; i < 40; i++)
		CHECK(make(MIB + KIB), "a soft limit refuses nothing");
	CHECK(limit_held_bytes() > limit, "more is in use than the limit");
	drop_all();
	hak_free(ballast);
	hak_check_all();
}

/* An emulator that plays another page size passes the kernel's figures on as they are: pages of
 * the host. */
static bool resident_is_true(void)
{
	static unsigned char touched[8 * MIB];
	uint64_t before = os_resident_bytes();
	memset(touched, 1, sizeof(touched));
	return os_resident_bytes() - before < 2 * sizeof(touched);
}

static void soft_limit(void)
{
	if (!resident_is_true()) {
		test_skip_case("resident memory is given in pages of another size than ours");
		return;
	}
	unit_child_passes(&child, gives_back, NULL);
}

/* With purges_max > 0 each is slow, and makes work for another. */
static unsigned purges, purges_max;

/* In place of the C library's. */
int madvise(void *p, size_t bytes, int advice)
{
	struct span s;
	if (advice == MADV_DONTNEED && purges < purges_max) {
		purges++;
		nanosleep(&(struct timespec){ .tv_nsec = 5000000 }, NULL);
		if (span_alloc(&s, HAK_SUPERSLAB_UNITS, 1))
			span_free(s.superslab, s.first, HAK_SUPERSLAB_UNITS);
	}
	return (int)syscall(SYS_madvise, p, bytes, advice);
}

/* More is freed as fast as it is given back, and what is live is above the limit. */
static void others_free(void *arg)
{
	(void)arg;
	REQUIRE(make(16 * MIB) && make(MIB - 4 * KIB), "no memory");
	drop_last();
	purges_max = 100;
	limit_set(8 * MIB, 0);
	purge_for_limit();
	CHECK(purges > 0 && purges < purges_max / 2, "%u purges", purges);
	purges_max = 0;
	CHECK(!limit_is_due(), "it is looked at again only when the heap has grown");
	drop_all();
	hak_check_all();
}

static void bounded(void)
{
	unit_child_passes(&child, others_free, NULL);
}

static unsigned capacity(void)
{
	const struct tcache_bin *bin = &thread_state.tcache->bins[size_class(64)];
	tcache_refresh(thread_state.tcache);
	return (unsigned)(bin->limit - bin_bottom(bin));
}

static void is_pressed(void *arg)
{
	uint64_t resident;
	(void)arg;
	hak_free(hak_malloc(64));
	CHECK(!limit_update_pressure() && capacity() == 64, "without a limit");
	resident = os_resident_bytes();
	limit_set(resident / 2, 0);
	CHECK(limit_update_pressure() && limit_pressure(), "above the limit");
	CHECK_U64(capacity(), 16, "capacity under pressure");
	limit_set(resident * 16 / 15, 0);
	CHECK(limit_update_pressure(), "it lasts until there is some room");
	limit_set(resident * 2, 0);
	CHECK(!limit_update_pressure(), "below the limit");
	CHECK_U64(capacity(), 64, "capacity afterwards");
}

static void pressure(void)
{
	unit_child_passes(&child, is_pressed, NULL);
}

static const struct test_case cases[] = {
	{ "held", held },
	{ "hard_limit", hard_limit },
	{ "hard_limit_huge_pages", hard_limit_huge_pages },
	{ "to_the_last_unit", to_the_last_unit },
	{ "holes", holes },
	{ "kernel", kernel },
	{ "growth", growth },
	{ "by_threads", by_threads },
	{ "soft_limit", soft_limit },
	{ "bounded", bounded },
	{ "pressure", pressure },
};

UNIT_MAIN(cases)
