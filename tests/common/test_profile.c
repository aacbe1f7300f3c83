/* The heap profile: the probabilities, sums against what was allocated, samples that go
 * with their blocks, the file. */
#include "common/profile.h"

#include <fcntl.h>
#include <math.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "common/entry.h"
#include "common/options.h"
#include "common/os.h"
#include "unit.h"

enum { RATE = 65536, KEPT = 4000 };

static void probabilities(void)
{
	static const size_t sizes[] = { 16, 100, 4096, 65536, 1 << 20, 3 << 20 };
	for (unsigned i = 0; i < HAK_ARRAY_LEN(sizes); i++) {
		double expected = -expm1(-(double)sizes[i] / (512 * 1024));
		double found = (double)profile_probability(sizes[i], 512 * 1024) * 0x1p-64;
		CHECK(fabs(found - expected) <= expected * 1e-4 + 1e-12,
		      "%zu bytes: %.9f, not %.9f", sizes[i], found, expected);
	}
	CHECK(profile_probability(SIZE_MAX / 4, 1) == UINT64_MAX, "a huge block is certain");
}

/* Within four standard deviations: 2 % and less where there are 40000 samples. */
static void sum_is_right(const char *what, uint64_t found, uint64_t expected)
{
	double samples = (double)expected / RATE;
	double error = ((double)found - (double)expected) / (double)expected;
	test_say("%s: %.1f MiB, %+.2f %%, about %.0f samples", what, (double)expected * 0x1p-20,
		 error * 100, samples);
	CHECK(fabs(error) <= 4 / sqrt(samples), "%s: %llu, not %llu", what,
	      (unsigned long long)found, (unsigned long long)expected);
}

static void sums_are_unbiased(void)
{
	/* Sizes of classes: readers see those. Small, not cached any more, large. */
	static const size_t sizes[] = { 64, 512, 4096, 8192, 16384, 131072 };
	static void *kept[KEPT];
	const unsigned rounds = test_scaled(18000, 2000);
	uint64_t rng = unit_seed(), live = 0, all = 0, live_found, all_found;
	REQUIRE(profile_set_rate(RATE) == 0, "no memory");
	profile_seed(rng);
	/* The cache that filled before has to be used up. */
	for (unsigned i = 0; i < 70000; i++)
		entry_free(test_opaque(entry_malloc(64)));
	profile_sums(&live_found, &all_found);
	all = all_found;
	for (unsigned i = 0; i < rounds * HAK_ARRAY_LEN(sizes); i++) {
		size_t bytes = sizes[unit_below(&rng, HAK_ARRAY_LEN(sizes))];
		unsigned place = unit_below(&rng, KEPT);
		if (kept[place] != NULL) {
			live -= entry_usable_bytes(kept[place], "test");
			entry_free(kept[place]);
		}
		kept[place] = entry_malloc(bytes);
		all += bytes;
		live += bytes;
	}
	profile_sums(&live_found, &all_found);
	sum_is_right("allocated", all_found, all);
	sum_is_right("live", live_found, live);
	for (unsigned i = 0; i < KEPT; i++)
		entry_free(kept[i]);
	profile_sums(&live_found, &all_found);
	CHECK_U64(live_found, 0, "live bytes when all are freed");
	CHECK_U64(profile_samples(), 0, "samples when all are freed");
	CHECK_U64(atomic_load_relaxed(&profile_live_spans), 0, "large ones");
	REQUIRE(profile_set_rate(0) == 0, "off");
}

static void realloc_moves_samples(void)
{
	uint64_t live, all;
	void *p;
	REQUIRE(profile_set_rate(1) == 0, "on");
	p = entry_malloc(200000);
	for (size_t bytes = 200000; bytes < 64000000; bytes *= 2)
		p = entry_realloc(p, bytes);
	CHECK(profile_samples() >= 1, "no sample of a block that was surely sampled");
	entry_free(p);
	profile_sums(&live, &all);
	CHECK_U64(profile_samples(), 0, "samples after realloc and free");
	REQUIRE(profile_set_rate(0) == 0, "off");
}

static void (*at_huge_pages)(void); /* before they are asked for the next time */

/* In place of the C library's. */
int madvise(void *p, size_t bytes, int advice)
{
	void (*fn)(void) = at_huge_pages;
	if (advice == MADV_HUGEPAGE && fn != NULL) {
		at_huge_pages = NULL;
		fn();
	}
	return (int)syscall(SYS_madvise, p, bytes, advice);
}

enum { HUGE_BYTES = 8 << 20 };

static void *follower;

static void *allocate_follower(void *arg)
{
	(void)arg;
	follower = entry_malloc(HUGE_BYTES);
	return NULL;
}

static void let_follow(void)
{
	pthread_join(unit_thread(allocate_follower, NULL), NULL);
}

/* While realloc is still at it, another thread's block takes the place that was left. */
static void realloc_leaves_others_samples(void)
{
	void *p = entry_malloc(HUGE_BYTES), *q;
	REQUIRE(profile_set_rate(1) == 0, "on");
	os_fault_arm(OS_MREMAP, 1, 1); /* a copy: the place is free, and not unmapped */
	at_huge_pages = let_follow;
	q = entry_realloc(p, HUGE_BYTES / 2 * 3);
	os_fault_arm(OS_MREMAP, 0, 0);
	REQUIRE(q != NULL && q != p && follower == p, "%p moved to %p, followed by %p", p, q,
		follower);
	CHECK_U64(profile_samples(), 2, "samples: what moved, and what followed");
	entry_free(follower);
	CHECK_U64(profile_samples(), 1, "samples: what moved");
	entry_free(q);
	CHECK_U64(profile_samples(), 0, "samples when all are freed");
	REQUIRE(profile_set_rate(0) == 0, "off");
}

static void refused_realloc_keeps_sample(void)
{
	uint64_t live, all, live_before, all_before;
	void *p;
	REQUIRE(profile_set_rate(1) == 0, "on");
	p = entry_malloc(HUGE_BYTES);
	profile_sums(&live_before, &all_before);
	os_fault_arm(OS_MREMAP, 1, 1);
	os_fault_arm(OS_MMAP, 1, 1);
	CHECK(entry_realloc(p, 100 * HUGE_BYTES) == NULL, "memory that there is not");
	os_fault_arm(OS_MREMAP, 0, 0);
	os_fault_arm(OS_MMAP, 0, 0);
	CHECK_U64(profile_samples(), 1, "samples after the refusal");
	profile_sums(&live, &all);
	CHECK_U64(live, live_before, "live bytes");
	CHECK_U64(all, all_before, "allocated bytes");
	entry_free(p);
	CHECK_U64(profile_samples(), 0, "samples after free");
	REQUIRE(profile_set_rate(0) == 0, "off");
}

static HAK_NOINLINE void *allocate_here(void)
{
	return test_opaque(entry_malloc(300000));
}

static void file_is_written(void)
{
	char path[] = "/tmp/hakmem-profile-XXXXXX", text[4096];
	int fd = mkstemp(path);
	int64_t bytes = 0;
	void *p;
	ssize_t n;
	REQUIRE(fd >= 0, "no temporary file");
	REQUIRE(profile_set_rate(1000) == 0, "on");
	p = allocate_here();
	CHECK_I64(profile_dump(path, &bytes), -EEXIST, "a file that is there");
	unlink(path);
	close(fd);
	CHECK_I64(profile_dump(path, &bytes), 0, "dump");
	fd = open(path, O_RDONLY);
	n = read(fd, text, sizeof(text) - 1);
	REQUIRE(n > 0, "an empty file");
	text[n] = '\0';
	CHECK(strncmp(text, "heap profile: ", 14) == 0, "it begins: %.60s", text);
	CHECK(strstr(text, "@ heap_v2/1000\n") != NULL, "no rate");
	CHECK(strstr(text, "@ 0x") != NULL, "no stack in %.200s", text);
	CHECK(bytes > n || strstr(text, "MAPPED_LIBRARIES:") != NULL, "no mappings");
	close(fd);
	unlink(path);
	entry_free(p);
	REQUIRE(profile_set_rate(0) == 0, "off");
}

static char own_file[64];

static void allocate_in_handler(int sig)
{
	(void)sig;
	unlink(own_file);
	CHECK(test_opaque(entry_malloc(10000)) != NULL, "no memory");
}

/* It ends where a file may not grow: the kernel signals that while the profile is written. */
static void exits_in_child(void *arg)
{
	const struct rlimit nothing = { 0, RLIM_INFINITY };
	(void)arg;
	options.profile_rate = 1;
	REQUIRE(chdir("/tmp") == 0 && profile_set_rate(1) == 0, "on");
	snprintf(own_file, sizeof(own_file), "hakmem.%d.heap", (int)getpid());
	for (size_t i = 0; i < 300; i++)
		REQUIRE(entry_malloc(HAK_SMALL_MAX + 1000 * i) != NULL, "no memory");
	signal(SIGXFSZ, allocate_in_handler);
	REQUIRE(setrlimit(RLIMIT_FSIZE, &nothing) == 0, "no limit");
	exit(0);
}

static void written_at_exit(void)
{
	static struct unit_child child;
	unit_child_passes(&child, exits_in_child, NULL);
	CHECK(strstr(child.text, "the heap profile cannot be written") != NULL, "it said:\n%s",
	      child.text);
}

/* As a signal handler does that came in the middle of malloc. */
static void exits_in_slow_path(void *arg)
{
	struct slow_scope scope;
	(void)arg;
	options.stats_at_exit = 1;
	CHECK(slow_enter(&scope), "not the first to enter");
	exit(0);
}

static void not_written_in_slow_path(void)
{
	static struct unit_child child;
	unit_child_passes(&child, exits_in_slow_path, NULL);
	CHECK(strstr(child.text, "neither a profile nor statistics") != NULL, "it said:\n%s",
	      child.text);
}

/* A tracer raises the semaphore, and lowers it when it goes. */
static void tracer_is_followed(void)
{
	void *p;
	CHECK_U64(profile_rate(), 0, "the rate before");
	otel_memory_alloc_semaphore = 1;
	p = entry_malloc(100000000);
	CHECK_U64(profile_rate(), PROFILE_TRACER_RATE, "the rate while a tracer listens");
	CHECK_U64(profile_samples(), 1, "samples");
	entry_free(p);
	CHECK_U64(profile_samples(), 0, "samples after free");
	otel_memory_alloc_semaphore = 0;
	entry_free(test_opaque(entry_malloc(100000000)));
	CHECK_U64(profile_rate(), 0, "the rate when it is gone");

	REQUIRE(profile_set_rate(1000) == 0, "on");
	otel_memory_alloc_semaphore = 1;
	entry_free(test_opaque(entry_malloc(100000000)));
	CHECK_U64(profile_rate(), 1000, "a rate that was set, while a tracer listens");
	otel_memory_alloc_semaphore = 0;
	entry_free(test_opaque(entry_malloc(100000000)));
	CHECK_U64(profile_rate(), 1000, "when it is gone");
	REQUIRE(profile_set_rate(0) == 0, "off");
}

static const struct test_case cases[] = {
	{ "probabilities", probabilities },
	{ "sums_are_unbiased", sums_are_unbiased },
	{ "realloc_moves_samples", realloc_moves_samples },
	{ "realloc_leaves_others_samples", realloc_leaves_others_samples },
	{ "refused_realloc_keeps_sample", refused_realloc_keeps_sample },
	{ "file_is_written", file_is_written },
	{ "written_at_exit", written_at_exit },
	{ "not_written_in_slow_path", not_written_in_slow_path },
	{ "tracer_is_followed", tracer_is_followed },
};
UNIT_MAIN(cases)
