/* common/emergency.c, and the slow paths that lead there: what a signal handler gets
 * that interrupts its own thread inside the allocator. Here the test itself stands
 * inside: between slow_enter() and slow_leave(). */
#include "unit.h"

#include "common/atomics.h"
#include "common/emergency.h"
#include "common/entry.h"
#include "common/huge.h"
#include "common/options.h"
#include "common/registry.h"
#include "common/report.h"
#include "common/stats.h"
#include "hakmem/hakmem.h"

enum { GRANULE = 64, GRANULES = HAK_UNIT_BYTES / GRANULE };

static unsigned kind_of(const void *p)
{
	void *record;
	return registry_lookup((uintptr_t)p, &record);
}

static void scopes(void)
{
	struct slow_scope outer, inner;
	errno = 4711;
	CHECK(slow_enter(&outer), "the first to enter");
	errno = 1;
	CHECK(!slow_enter(&inner), "entered while inside");
	errno = 2;
	slow_leave(&inner);
	CHECK_I64(errno, 1, "errno of the inner scope");
	CHECK(!slow_enter(&inner), "entered while still inside");
	slow_leave(&inner);
	slow_leave(&outer);
	CHECK_I64(errno, 4711, "errno of the outer scope");
	CHECK(slow_enter(&outer), "entered afresh");
	slow_leave(&outer);
}

static void check_block(const unsigned char *p, size_t bytes, size_t align)
{
	if (!CHECK(p != NULL, "no block of %zu bytes aligned to %zu", bytes, align))
		return;
	CHECK_U64(kind_of(p), UNIT_EMERGENCY, "kind of block");
	CHECK((uintptr_t)p % align == 0, "%p for alignment %zu", (const void *)p, align);
	CHECK(hak_usable_size(p) >= bytes, "usable are %zu of %zu", hak_usable_size(p), bytes);
	CHECK_U64(unit_first_nonzero(p, hak_usable_size(p)), hak_usable_size(p), "zeros");
}

static void nested_allocation(void)
{
	struct slow_scope scope;
	uint64_t reports = report_count();
	unsigned char *p, *q, *aligned, *zeroed;
	CHECK(slow_enter(&scope), "the first to enter");
	errno = 4711;
	p = hak_malloc(100);
	check_block(p, 100, 16);
	aligned = hak_aligned_alloc(512, 100);
	check_block(aligned, 100, 512);
	zeroed = hak_calloc(10, 10);
	check_block(zeroed, 100, 16);
	CHECK_I64(errno, 4711, "errno after nested allocations");
	CHECK(hak_malloc(100000) == NULL && errno == ENOMEM, "more than there can be: errno %d",
	      errno);
	test_fill(p, 100, 1);
	test_fill(aligned, 100, 2);
	q = hak_realloc(p, 300);
	CHECK(q != NULL && q != p && kind_of(q) == UNIT_EMERGENCY, "nested realloc gives %p",
	      (void *)q);
	CHECK_U64(test_verify(q, 100, 1), 100, "content after nested realloc");
	hak_free(zeroed);
	CHECK_U64(hak_purge(), 0, "bytes of a nested purge");
	slow_leave(&scope);

	p = hak_malloc(100);
	CHECK(p != NULL && kind_of(p) != UNIT_EMERGENCY, "a usual block afterwards");
	hak_free(p);
	p = hak_realloc(q, 5000);
	CHECK(p != NULL && kind_of(p) != UNIT_EMERGENCY, "realloc outside moves the block");
	CHECK_U64(test_verify(p, 100, 1), 100, "content after it");
	hak_free(p);
	CHECK_U64(test_verify(aligned, 100, 2), 100, "content of the other block");
	hak_free(aligned);
	hak_free(hak_malloc(HAK_SMALL_MAX + 1));
	CHECK_U64(report_count() - reports, 0, "reports");
}

static void nested_free(void)
{
	struct slow_scope scope;
	uint64_t reports = report_count();
	unsigned char *large = hak_malloc(100000), *huge = hak_malloc(3 << 20),
		      *other = hak_malloc(100000);
	size_t live = huge_counters().live;
	REQUIRE(large != NULL && huge != NULL && other != NULL, "no memory");
	test_fill(large, 100000, 3);
	CHECK(slow_enter(&scope), "the first to enter");
	hak_free(large);
	hak_free(huge);
	CHECK(kind_of(large) == UNIT_LARGE && kind_of(huge) == UNIT_HUGE, "nested frees wait");
	CHECK_U64(test_verify(large, 100000, 3), 100000, "content of a block that waits");
	slow_leave(&scope);
	CHECK(kind_of(large) == UNIT_LARGE, "they wait for the next slow free");
	hak_free(other);
	hak_free(hak_malloc(100000)); /* each slow free takes one along */
	CHECK_U64(huge_counters().live, live - 1, "huge blocks when the waiting are freed");
	CHECK_PTR(emergency_take_deferred(), NULL, "no block waits");
	CHECK_U64(report_count() - reports, 0, "reports");
	hak_check_all();
}

/* What a handler deleted is freed later, when it is not known any more that it was deleted. */
static void delete_inside(void *full)
{
	const struct free_call call = { .name = "operator delete", .origin = ORIGIN_NEW };
	struct slow_scope scope;
	void *p;
	options.check_full = full != NULL;
	p = entry_alloc_for(100000, 1, ORIGIN_NEW);
	CHECK(slow_enter(&scope), "the first to enter");
	entry_free_call(p, &call);
	slow_leave(&scope);
	hak_free(hak_malloc(100000));
	CHECK_PTR(emergency_take_deferred(), NULL, "no block waits");
}

static void nested_delete(void)
{
	static struct unit_child child;
	for (unsigned full = 0; full < 2; full++) {
		unit_child_passes(&child, delete_inside, full ? &child : NULL);
		CHECK(child.length == 0, "expected silence, found:\n%s", child.text);
	}
}

static void deferred(void *arg)
{
	char blocks[80];
	bool seen[80] = { false };
	unsigned n = 0;
	(void)arg;
	CHECK_PTR(emergency_take_deferred(), NULL, "none yet");
	for (unsigned i = 0; i < 80; i++)
		emergency_defer_free(&blocks[i]); /* those without room are lost */
	for (char *p; (p = emergency_take_deferred()) != NULL; n++)
		if (CHECK(p >= blocks && p < blocks + 80 && !seen[p - blocks],
			  "%p is nobody's, or twice", (void *)p))
			seen[p - blocks] = true;
	CHECK(n >= 32 && n < 80, "%u of 80 blocks were kept", n);
	for (unsigned i = 0; i < n; i++)
		CHECK(seen[i], "block %u of %u kept is missing", i, n);
	emergency_defer_free(blocks);
	CHECK_PTR(emergency_take_deferred(), blocks, "room again");
	CHECK_PTR(emergency_take_deferred(), NULL, "and none again");
}

static void deferred_frees(void)
{
	static struct unit_child child;
	unit_child_passes(&child, deferred, NULL);
}

static void exhaust(void *arg)
{
	uint64_t rng = *(const uint64_t *)arg;
	unsigned n = 0;
	size_t sum = 0;
	struct {
		unsigned char *p;
		size_t bytes;
	} all[GRANULES];
	CHECK_PTR(emergency_alloc(HAK_UNIT_BYTES, 16), NULL, "as much as the region has");
	CHECK_PTR(emergency_alloc(16, 8192), NULL, "more alignment than there is");
	while (n < GRANULES) {
		size_t bytes = unit_below(&rng, 8) ? unit_below(&rng, 200) : unit_below(&rng, 3000);
		size_t align = unit_below(&rng, 8) ? 16 : (size_t)16 << unit_below(&rng, 9);
		unsigned char *p = emergency_alloc(bytes, align);
		if (p == NULL)
			break;
		check_block(p, bytes, align);
		all[n].p = p;
		all[n++].bytes = emergency_usable((uintptr_t)p);
		sum += all[n - 1].bytes;
		test_fill(p, all[n - 1].bytes, n);
	}
	CHECK(sum > HAK_UNIT_BYTES / 4 && sum < HAK_UNIT_BYTES, "%u blocks, %zu bytes", n, sum);
	for (unsigned i = 0; i < n; i++)
		CHECK_U64(test_verify(all[i].p, all[i].bytes, i + 1), all[i].bytes,
			  "content, so that no two overlap");
	while (emergency_alloc(1, 1) != NULL)
		n++;
	for (unsigned i = 0; i < 3; i++)
		CHECK_PTR(emergency_alloc(1, 1), NULL, "once used up, always used up");
	CHECK(n <= GRANULES, "%u blocks of a region of %u granules", n, GRANULES);
}

static void exhaustion(void)
{
	static struct unit_child child;
	uint64_t seed = unit_seed();
	for (unsigned i = 0; i < 20; i++, seed++)
		unit_child_passes(&child, exhaust, &seed);
}

/* ---- threads, until the region is used up: no granule is given out twice */

static _Atomic unsigned char owners[GRANULES];
static _Atomic bool go;

static void *grab(void *arg)
{
	uint64_t rng = *(const uint64_t *)arg;
	while (!atomic_load_acquire(&go))
		;
	for (unsigned i = 0; i < 3000; i++) {
		/* Requests that fail must not disturb those that do not. */
		size_t bytes = unit_below(&rng, 4) ? HAK_UNIT_BYTES / 4 : 1;
		uintptr_t p = (uintptr_t)emergency_alloc(bytes, 16);
		if (p == 0)
			continue;
		for (size_t g = 0; g < emergency_usable(p); g += GRANULE)
			CHECK(atomic_add_relaxed(&owners[(p + g) % HAK_UNIT_BYTES / GRANULE], 1) ==
				      0,
			      "granule %zu is given out twice", (p + g) % HAK_UNIT_BYTES / GRANULE);
	}
	return NULL;
}

static void grab_in_child(void *arg)
{
	uint64_t seeds[4];
	pthread_t threads[4];
	for (unsigned i = 0; i < 4; i++) {
		seeds[i] = *(const uint64_t *)arg * 4 + i;
		threads[i] = unit_thread(grab, &seeds[i]);
	}
	atomic_store_release(&go, true);
	for (unsigned i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
}

static void threads(void)
{
	static struct unit_child child;
	uint64_t seed = unit_seed();
	for (unsigned i = 0; i < test_scaled(100, 5); i++, seed++)
		unit_child_passes(&child, grab_in_child, &seed);
}

static const struct test_case cases[] = {
	/* First those in children: they want a region that is unused. */
	{ "deferred_frees", deferred_frees },
	{ "exhaustion", exhaustion },
	{ "threads", threads },
	{ "scopes", scopes },
	{ "nested_allocation", nested_allocation },
	{ "nested_free", nested_free },
	{ "nested_delete", nested_delete },
};

UNIT_MAIN(cases)
