/* The statistics page while it is written at full speed: what the reader of the tools
 * (tools/page.c) takes of what the allocator writes (common/statpage.c) is whole.
 *
 * The program is built several times: with the sources as they are, where no torn copy may be
 * accepted, and with mutants of them, where one must be: then the test can fail. What a missing
 * fence lets a CPU do, a store that is seen before or after others, the mutants do
 * by the order of the stores; that a fence is there no test on x86_64 can tell.
 *
 *	test_page_race -- right|wrong
 */
#include <pthread.h>
#include <stddef.h>
#include <sys/syscall.h>

#include "common/entry.h"
#include "common/statpage.h"
#include "page.h"
#include "common/unit.h"

enum {
	BLOCK_BYTES = 96,
	MAX_BURST = 16,       /* updates that nothing holds up */
	PIECE_BYTES = 4096,   /* of a copy: so that updates come in between */
	PIECES = sizeof(struct statpage) / PIECE_BYTES,
	WRONG_ROUNDS = 20000, /* for a mutant to be caught */
};

static struct page_file file;
static struct statpage copy;
static _Atomic unsigned accepted; /* copies */
static _Atomic bool stop;
static uint64_t first_decision;   /* number of the first that the writer makes */
static unsigned rounds;

/* In place of the C library's, for page.c: in pieces, as the kernel may. */
ssize_t pread(int fd, void *buf, size_t n, off_t at)
{
	sched_yield();
	return syscall(SYS_pread64, fd, buf, n < PIECE_BYTES ? n : PIECE_BYTES, at);
}

/* ---- the writer: each update has another number of live blocks, each decision its own */

static void update(int32_t i)
{
	statpage_decision(HAK_KNOB_BUNDLE_WIDTH, 0, i, i + 1, "race");
	(void)entry_malloc(BLOCK_BYTES);
	statpage_tick_now();
}

/* Bursts; between them until one more copy was accepted, so that there are some, and a while, so
 * that bursts begin anywhere in the next. */
static void *writer(void *arg)
{
	uint64_t rng = 1;
	int32_t updates = 0;
	(void)arg;
	for (unsigned r = 0; r < rounds && !atomic_load(&stop); r++) {
		unsigned before = atomic_load(&accepted);
		for (unsigned n = 1 + unit_below(&rng, MAX_BURST); n > 0; n--)
			update(updates++);
		while (atomic_load(&accepted) == before && !atomic_load(&stop))
			sched_yield();
		for (unsigned n = unit_below(&rng, PIECES); n > 0; n--)
			sched_yield();
	}
	atomic_store(&stop, true);
	return NULL;
}

/* ---- the reader */

static bool same_moment(const struct statpage *p)
{
	const struct statpage_sample *last = &p->samples[p->nsamples - 1];
	return last->time_ms == p->now.time_ms && last->mallocs == p->now.metrics.mallocs &&
	       last->live_bytes == p->now.metrics.live_bytes &&
	       last->rss_bytes == p->now.metrics.rss_bytes;
}

static bool decisions_follow(const struct statpage *p)
{
	uint64_t oldest =
		p->ndecisions < STATPAGE_DECISIONS ? 0 : p->ndecisions - STATPAGE_DECISIONS;
	for (uint64_t n = oldest > first_decision ? oldest : first_decision; n < p->ndecisions; n++)
		if (p->decisions[n % STATPAGE_DECISIONS].old_value != (int32_t)(n - first_decision))
			return false;
	return true;
}

static bool is_whole(const struct statpage *p)
{
	return p->nsamples > 0 && same_moment(p) && decisions_follow(p);
}

/* The updates that are due anyway too: one without a sample would pass for a torn copy. */
static void sample_in_each_update(void)
{
	const uint32_t period_ms = 0;
	REQUIRE(pwrite(file.fd, &period_ms, sizeof(period_ms),
		       offsetof(struct statpage, sample_period_ms)) == sizeof(period_ms),
		"the page cannot be written");
	statpage_tick_now();
}

static void race(void)
{
	bool right = test_extra_argc == 0 || strcmp(test_extra_argv[0], "right") == 0;
	unsigned torn = 0;
	pthread_t thread;
	if (page_open(&file, getpid(), true) != PAGE_OK)
		test_skip("this process's page cannot be opened (no shared memory here?)");
	sample_in_each_update();
	REQUIRE(page_read(&file, &copy) == PAGE_OK && copy.nsamples > 0, "the page at rest");
	first_decision = copy.ndecisions;
	rounds = right ? test_scaled(100, 30) : WRONG_ROUNDS;
	thread = unit_thread(writer, NULL);
	while (!atomic_load(&stop)) {
		enum page_error e = page_read(&file, &copy);
		if (e == PAGE_BUSY)
			continue;
		CHECK_I64(e, PAGE_OK, "page_read");
		torn += !is_whole(&copy);
		atomic_fetch_add(&accepted, 1);
		if (!right && torn > 0)
			atomic_store(&stop, true);
	}
	pthread_join(thread, NULL);
	page_close(&file);
	test_say("%s: %u copies accepted, %u of them torn", right ? "right" : "wrong",
		 atomic_load(&accepted), torn);
	if (right)
		CHECK_U64(torn, 0, "torn copies");
	else
		CHECK(torn > 0, "the mutant is not caught");
}

static const struct test_case cases[] = {
	{ "race", race },
};

UNIT_MAIN(cases)
