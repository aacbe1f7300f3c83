/* common/os.c: what the rest relies on the kernel for, the counters, and the fault
 * injection that the tests of the rest rely on. */
#include "unit.h"

#include <sys/mman.h>

#include "common/os.h"

#define page os_page_bytes()

static void *map(size_t bytes, size_t align)
{
	void *p = os_map(bytes, align);
	REQUIRE(p != NULL, "no memory for %zu bytes", bytes);
	return p;
}

static void page_size(void)
{
	CHECK_U64(page, sysconf(_SC_PAGESIZE), "page size");
}

static void mapping(void)
{
	const size_t aligns[] = { 1, page, 64 << 10, 2 << 20, 32 << 20, (size_t)1 << 30 };
	const size_t sizes[] = { page, 3 * page, 64 << 10, 2 << 20, 5 << 20 };
	size_t before = os_counters().mapped_bytes;
	for (unsigned a = 0; a < HAK_ARRAY_LEN(aligns); a++) {
		char *p[HAK_ARRAY_LEN(sizes)];
		size_t sum = 0;
		for (unsigned s = 0; s < HAK_ARRAY_LEN(sizes); s++) {
			p[s] = map(sizes[s], aligns[a]);
			sum += sizes[s];
			CHECK(((uintptr_t)p[s] & (aligns[a] - 1)) == 0 &&
				      (uintptr_t)p[s] % page == 0,
			      "%zu bytes aligned to %zu at %p", sizes[s], aligns[a], (void *)p[s]);
			CHECK(unit_first_nonzero(p[s], sizes[s]) == sizes[s],
			      "new memory is not zero");
			test_fill(p[s], sizes[s], s);
			CHECK_U64(os_counters().mapped_bytes, before + sum, "mapped bytes");
		}
		for (unsigned s = 0; s < HAK_ARRAY_LEN(sizes); s++) {
			CHECK_U64(test_verify(p[s], sizes[s], s), sizes[s], "mappings overlap at");
			CHECK(os_unmap(p[s], sizes[s]), "unmapping");
		}
		CHECK_U64(os_counters().mapped_bytes, before, "mapped bytes at the end");
	}
}

static void purge(void)
{
	uint64_t purged = os_counters().purged_bytes, failures = os_counters().purge_failures;
	char *p = map(8 * page, page);
	test_fill(p, 8 * page, 3);
	CHECK(os_purge(p + 2 * page, 3 * page), "purge");
	CHECK_U64(test_verify(p, 2 * page, 3), 2 * page, "content before it");
	CHECK_U64(unit_first_nonzero(p + 2 * page, 3 * page), 3 * page, "zeros in it");
	CHECK_U64(test_verify(p + 5 * page, 3 * page, 3 + 5 * page), 3 * page, "content behind it");
	test_fill(p + 2 * page, 3 * page, 9);
	CHECK_U64(test_verify(p + 2 * page, 3 * page, 9), 3 * page, "it can be used again");
	CHECK_U64(os_counters().purged_bytes - purged, 3 * page, "purged bytes");

	os_fault_arm(OS_MADVISE, 1, 0);
	CHECK(!os_purge(p, 8 * page), "a refused purge");
	CHECK_U64(test_verify(p, 2 * page, 3), 2 * page, "content after a refused purge");
	CHECK_U64(os_counters().purged_bytes - purged, 3 * page, "purged bytes after a refusal");
	CHECK_U64(os_counters().purge_failures - failures, 1, "refused purges");
	os_prefer_huge_pages(p, 8 * page, true); /* at least harmless */
	os_prefer_huge_pages(p, 8 * page, false);
	CHECK_U64(test_verify(p, 2 * page, 3), 2 * page, "content after os_prefer_huge_pages");
	os_unmap(p, 8 * page);
}

static void unmap_refused(void)
{
	size_t before = os_counters().mapped_bytes;
	char *p = map(page, page);
	test_fill(p, page, 1);
	os_fault_arm(OS_MUNMAP, 1, 0);
	CHECK(!os_unmap(p, page), "a refused munmap");
	CHECK_U64(os_counters().mapped_bytes, before + page, "mapped bytes");
	CHECK_U64(test_verify(p, page, 1), page, "content");
	CHECK(os_unmap(p, page), "the next one");
	CHECK_U64(os_counters().mapped_bytes, before, "mapped bytes at the end");
}

static void map_refused(void)
{
	struct os_counters before = os_counters();
	void *p;
	os_fault_arm(OS_MMAP, 1, 1);
	CHECK_PTR(os_map(page, page), NULL, "a refused mmap");
	CHECK_PTR(os_map(2 << 20, 2 << 20), NULL, "a refused mmap, aligned");
	CHECK_PTR(os_reserve(page, page), NULL, "a refused reservation");
	os_fault_arm(OS_MMAP, 0, 0);
	CHECK_U64(os_counters().map_failures - before.map_failures, 3, "refusals counted");
	CHECK_U64(os_counters().mapped_bytes, before.mapped_bytes, "mapped bytes");
	/* The second mmap of an aligned mapping, if there has to be one. */
	os_fault_arm(OS_MMAP, 2, 0);
	p = os_map(page, (size_t)1 << 30);
	os_fault_arm(OS_MMAP, 0, 0);
	if (p != NULL)
		os_unmap(p, page);
	CHECK_U64(os_counters().mapped_bytes, before.mapped_bytes,
		  "mapped bytes after half a mapping");
}

static void resize(void)
{
	bool movable;
	size_t before = os_counters().mapped_bytes;
	char *p = map(8 * page, page);
	test_fill(p, 8 * page, 5);
	/* The pages behind are in use: no room. */
	CHECK(!os_resize_in_place(p, 2 * page, 4 * page, &movable),
	      "grown over pages that are in use");
	CHECK_U64(test_verify(p, 8 * page, 5), 8 * page, "content");
	CHECK(os_resize_in_place(p, 8 * page, 3 * page, &movable), "shrinking");
	CHECK_U64(os_counters().mapped_bytes, before + 3 * page, "mapped bytes when shrunk");
	CHECK_U64(test_verify(p, 3 * page, 5), 3 * page, "content when shrunk");
	os_fault_arm(OS_MREMAP, 1, 0);
	CHECK(!os_resize_in_place(p, 3 * page, 4 * page, &movable), "a refused mremap");
	CHECK_U64(os_counters().mapped_bytes, before + 3 * page, "mapped bytes after a refusal");
	/* Nothing has been mapped since: the pages behind are free. */
	CHECK(os_resize_in_place(p, 3 * page, 6 * page, &movable), "growing into free addresses");
	CHECK_U64(os_counters().mapped_bytes, before + 6 * page, "mapped bytes when grown");
	CHECK_U64(test_verify(p, 3 * page, 5), 3 * page, "content when grown");
	CHECK_U64(unit_first_nonzero(p + 3 * page, 3 * page), 3 * page, "zeros when grown");
	os_unmap(p, 6 * page);
	CHECK_U64(os_counters().mapped_bytes, before, "mapped bytes at the end");
}

/* Not one mapping to the kernel: that is said apart from want of room. */
static void resize_of_two_mappings(void)
{
	bool movable = false;
	char *p = map(8 * page, page);
	CHECK(!os_resize_in_place(p, 4 * page, 6 * page, &movable) && movable,
	      "grown over pages that are in use, or not movable");
	REQUIRE(madvise(p + 4 * page, 4 * page, MADV_DONTDUMP) == 0, "madvise: %s",
		strerror(errno));
	if (!test_under_qemu())
		CHECK(!os_resize_in_place(p, 8 * page, 12 * page, &movable) && !movable,
		      "two mappings are movable");
	os_unmap(p, 8 * page);
}

/* msync says ENOMEM of what is not mapped. */
static bool is_mapped(void *p, size_t bytes)
{
	return msync(p, bytes, MS_ASYNC) == 0;
}

static void move(void)
{
	struct os_counters before = os_counters();
	const size_t small = 4 * page, big = align_up(11 * page, 64 << 10);
	char *p = map(small, page), *target = os_reserve(big, 64 << 10);
	REQUIRE(target != NULL, "no address space");
	CHECK_U64((uintptr_t)target % (64 << 10), 0, "alignment of a reservation");
	CHECK_U64(os_counters().mapped_bytes, before.mapped_bytes + small + big,
		  "with a reservation");
	test_fill(p, small, 8);
	CHECK(os_move(p, small, target, big), "move");
	CHECK_U64(test_verify(target, small, 8), small, "content");
	CHECK_U64(unit_first_nonzero(target + small, big - small), big - small, "zeros behind it");
	test_fill(target, big, 9);
	CHECK_U64(os_counters().mapped_bytes, before.mapped_bytes + big, "mapped bytes");
	if (!test_under_qemu())
		CHECK(!is_mapped(p, page), "the old pages are still mapped");
	os_unmap(target, big);

	p = map(small, page);
	test_fill(p, small, 8);
	target = os_reserve(big, page);
	REQUIRE(target != NULL, "no address space");
	os_fault_arm(OS_MREMAP, 1, 0);
	CHECK(!os_move(p, small, target, big), "a refused move");
	CHECK_U64(test_verify(p, small, 8), small, "content after a refused move");
	CHECK_U64(os_counters().mapped_bytes, before.mapped_bytes + small,
		  "the target is given up");
	CHECK_U64(os_counters().map_failures - before.map_failures, 1, "refusals counted");
	if (!test_under_qemu())
		CHECK(!is_mapped(target, page), "the target is still mapped");
	os_unmap(p, small);
	CHECK_U64(os_counters().mapped_bytes, before.mapped_bytes, "mapped bytes at the end");
}

static void faults(void)
{
	for (unsigned call = 0; call < OS_CALL_COUNT; call++) {
		enum os_call c = (enum os_call)call;
		CHECK(!os_fault_due(c), "call %u fails unasked", call);
		for (unsigned nth = 1; nth <= 5; nth++)
			for (unsigned period = 0; period <= 4; period++) {
				uint64_t hits = os_fault_hits(c), expected = 0;
				os_fault_arm(c, nth, period);
				for (unsigned i = 1; i <= 20; i++) {
					bool due = i == nth || (period > 0 && i > nth &&
								(i - nth) % period == 0);
					expected += due;
					CHECK(os_fault_due(c) == due,
					      "call %u, nth %u, period %u: the %u. one is wrong",
					      call, nth, period, i);
					for (unsigned o = 0; o < OS_CALL_COUNT; o++)
						CHECK(o == call || !os_fault_due((enum os_call)o),
						      "call %u fails instead of %u", o, call);
				}
				CHECK_U64(os_fault_hits(c) - hits, expected, "failures counted");
			}
		os_fault_arm(c, 3, 1);
		os_fault_arm(c, 0, 0);
		for (unsigned i = 0; i < 5; i++)
			CHECK(!os_fault_due(c), "disarmed, and call %u fails", call);
	}
}

static void *count_faults(void *arg)
{
	uint64_t *seen = arg;
	for (unsigned i = 0; i < 5000; i++)
		*seen += os_fault_due(OS_THREAD);
	return NULL;
}

/* Every period-th of all threads' calls together, no more and no fewer. */
static void faults_of_threads(void)
{
	uint64_t seen[4] = { 0 }, hits = os_fault_hits(OS_THREAD);
	os_fault_arm(OS_THREAD, 7, 7);
	unit_threads(4, count_faults, seen, sizeof(seen[0]));
	os_fault_arm(OS_THREAD, 0, 0);
	CHECK_U64(seen[0] + seen[1] + seen[2] + seen[3], 20000 / 7, "failures of all threads");
	CHECK_U64(os_fault_hits(OS_THREAD) - hits, 20000 / 7, "failures counted");
}

static void clocks(void)
{
	const uint32_t slack = 1000; /* tells units apart, not good clocks from bad */
	uint64_t last = 0;
	uint32_t ms = os_now_ms(), again;
	for (unsigned i = 0; i < 1000; i++) {
		uint64_t now = os_now_ns();
		CHECK(now >= last, "the clock goes backwards");
		last = now;
	}
	again = os_now_ms();
	CHECK(again - ms < 60000, "the coarse clock goes from %u to %u ms", ms, again);
	CHECK((uint32_t)(last / 1000000) - again + slack < 2 * slack,
	      "%u ms by one clock, %u by the other", (uint32_t)(last / 1000000), again);
}

static const struct test_case cases[] = {
	{ "page_size", page_size },
	{ "mapping", mapping },
	{ "purge", purge },
	{ "unmap_refused", unmap_refused },
	{ "map_refused", map_refused },
	{ "resize", resize },
	{ "resize_of_two_mappings", resize_of_two_mappings },
	{ "move", move },
	{ "faults", faults },
	{ "faults_of_threads", faults_of_threads },
	{ "clocks", clocks },
};

UNIT_MAIN(cases)
