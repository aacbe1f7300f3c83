/*
 * HAKMEM_MTE=sync: an access past a block's end or to a freed block traps at the instruction and
 * is reported; programs that do nothing of the kind run as ever. HAKMEM_MTE=async: the same,
 * but that the report comes at the next system call, and says no more than that. Under qemu-user,
 * and on a kernel of its own, whose /init this program is then (tests/system). Skipped where memory
 * has no tags; the case `absent`, run by memtag_absent.sh, is for there alone. The C
 * library keeps its own malloc, since two emulators are not to be trusted with it: qemu-user 7.2
 * cannot clear memory with tags by DC ZVA, and qemu-system 7.2 keeps the tags of two granules for
 * a whole page, and takes those of other pages for the rest. What they cannot do is found out,
 * said, and left out.
 */
#include <pthread.h>
#include <sys/reboot.h>

#include "api.h"
#include "arch/arch.h"
#include "arch/memtag.h"
#include "common/os.h"
#include "common/slab.h"
#include "common/thread.h"
#include "hakmem/hakmem.h"

#define OVERRUN "[HAK_OVERRUN]"
#define AFTER_FREE "[HAK_USE_AFTER_FREE]"
#define DOUBLE_FREE "[TLS_SLL_DOUBLE_FREE]"

static volatile char sink;

static unsigned tag_of(const void *p)
{
	return (unsigned)((uintptr_t)p >> 56);
}

static int have_tags(void)
{
	static int answer = -1;
	void *p;

	if (answer < 0) {
		p = test_opaque(hak_malloc(4096));
		answer = tag_of(p) != 0;
		hak_free(p);
	}
	return answer;
}

/* ---- children */

static char said[65536];

struct call {
	void (*fn)(size_t);
	size_t size;
};

static void do_call(void *arg)
{
	const struct call *c = arg;

	c->fn(c->size);
	(void)getppid(); /* where a late report comes at the latest */
}

/* fn(size) in a child; its wait status. What it says goes to `said`. */
static int in_child(void (*fn)(size_t), size_t size)
{
	struct call c = { fn, size };

	return api_hear_child(do_call, &c, said, sizeof(said));
}

/* With a report that starts with `prefix` and has `verdict` in its first line. */
static void expect_report(void (*fn)(size_t), size_t size, const char *prefix, const char *verdict)
{
	int status = in_child(fn, size);
	const char *end = strchr(said, '\n'), *at = strstr(said, verdict);

	CHECK(strncmp(said, prefix, strlen(prefix)) == 0, "%zu bytes: expected %s, found:\n%.600s",
	      size, prefix, said);
	CHECK(at != NULL && at < end, "%zu bytes: expected \"%s\", found:\n%.600s", size, verdict,
	      said);
	CHECK(strstr(said, "call stack") != NULL, "%zu bytes: no stack:\n%.600s", size, said);
	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT,
	      "%zu bytes: expected SIGABRT, found status %#x", size, (unsigned)status);
}

static int is_late(void)
{
	const char *mode = getenv("HAKMEM_MTE");

	return mode != NULL && strcmp(mode, "async") == 0;
}

/* So too, of an access. */
static void expect_trap(void (*fn)(size_t), size_t size, const char *prefix, const char *verdict)
{
	if (is_late())
		expect_report(fn, size, AFTER_FREE, "was made before this point");
	else
		expect_report(fn, size, prefix, verdict);
}

/* ---- emulators */

/* Has each granule a tag of its own? */
static int tags_are_exact(void)
{
	static int answer = -1;
	const struct hak_memtag *m = arch_get()->memtag;
	uintptr_t page;

	if (answer >= 0)
		return answer;
	page = (uintptr_t)os_map_blocks(os_page_bytes(), os_page_bytes());
	m->set(m->choose(page, 1), MEMTAG_GRANULE_BYTES);
	answer = m->get(page + 2 * MEMTAG_GRANULE_BYTES) == page + 2 * MEMTAG_GRANULE_BYTES;
	os_unmap((void *)page, os_page_bytes());
	if (!answer)
		test_say("this emulator mixes up the tags of a page: single bytes of whole pages "
			 "only");
	return answer;
}

static void clear_block(size_t size)
{
	memset(test_opaque(hak_malloc(size)), 0, size);
}

static int clearing_works(void)
{
	static int answer = -1;

	if (answer < 0)
		answer = in_child(clear_block, 4096) == 0;
	return answer;
}

/* ---- sizes */

static const size_t any_sizes[] = { 1,    16,   24,    48,    64,    100,    1000,   4096,
				    5000, 8192, 20000, 32768, 65536, 100000, 1000000 };
static const size_t paged_sizes[] = { 4096, 8192, 16384, 32768, 65536, 131072, 524288 };
enum { AROUND = 5 };

static const size_t *sizes;
static unsigned size_count;

static void choose_sizes(void)
{
	sizes = tags_are_exact() ? any_sizes : paged_sizes;
	size_count = tags_are_exact() ? sizeof(any_sizes) / sizeof(any_sizes[0])
				      : sizeof(paged_sizes) / sizeof(paged_sizes[0]);
}

/* Where tags of a page are mixed up, one of whole pages: blocks may begin in the middle of one. */
static char *alloc(size_t size)
{
	return test_opaque(tags_are_exact() ? hak_malloc(size) : hak_aligned_alloc(4096, size));
}

/* A block of `size` among others of its size. */
static char *block(size_t size)
{
	static char *around[AROUND];
	unsigned i;

	for (i = 0; i < AROUND; i++) {
		around[i] = alloc(size);
		if (tags_are_exact())
			memset(around[i], 1, size);
	}
	return around[AROUND / 2];
}

static size_t granules(size_t size)
{
	return (size + 15) / 16 * 16;
}

/* ---- faults */

static void write_behind(size_t size)
{
	((volatile char *)block(size))[granules(size)] = 1;
}

static void read_behind(size_t size)
{
	sink = ((volatile char *)block(size))[granules(size)];
}

static void write_before(size_t size)
{
	((volatile char *)block(size))[-1] = 1;
}

static void write_freed(size_t size)
{
	char *p = block(size);

	hak_free(p);
	((volatile char *)p)[size / 2] = 1;
}

static void read_freed(size_t size)
{
	char *p = block(size);

	hak_free(p);
	sink = ((volatile char *)p)[size - 1];
}

static char *freed_and_used_again(size_t size)
{
	char *p = block(size);
	unsigned i;

	hak_free(p);
	for (i = 0; i < 100; i++)
		if ((((uintptr_t)alloc(size) ^ (uintptr_t)p) & 0xffffffffffff) == 0)
			return p;
	_exit(6);
}

static void read_used_again(size_t size)
{
	sink = ((volatile char *)freed_and_used_again(size))[0];
}

static void free_used_again(size_t size)
{
	hak_free(freed_and_used_again(size));
}

static void realloc_used_again(size_t size)
{
	(void)!hak_realloc(freed_and_used_again(size), size * 2);
}

static void usable_size_used_again(size_t size)
{
	sink = (char)hak_usable_size(freed_and_used_again(size));
}

static void *write_in_thread(void *p)
{
	((volatile char *)p)[0] = 1;
	return NULL;
}

static void write_freed_by_other_thread(size_t size)
{
	char *p = block(size);
	pthread_t t;

	hak_free(p);
	if (pthread_create(&t, NULL, write_in_thread, p) != 0)
		_exit(6);
	pthread_join(t, NULL);
}

static void overruns(void)
{
	unsigned i;

	for (i = 0; i < size_count; i++) {
		expect_trap(write_behind, sizes[i], OVERRUN, " 0 bytes past the end of the live");
		expect_trap(read_behind, sizes[i], OVERRUN, " 0 bytes past the end of the live");
	}
	for (i = 0; sizes[i] <= 4096; i++)
		expect_trap(write_before, sizes[i], OVERRUN, " 1 bytes before the live");
}

static void uses_after_free(void)
{
	unsigned i;

	for (i = 0; i < size_count; i++) {
		const char *verdict =
			sizes[i] <= 32768 ? "into the freed" : "where no block is any more";
		expect_trap(write_freed, sizes[i], AFTER_FREE, verdict);
		expect_trap(read_freed, sizes[i], AFTER_FREE, verdict);
	}
	expect_trap(write_freed_by_other_thread, sizes[0], AFTER_FREE, "into the freed");
}

/* What needs no tags is seen by the gate; these would pass it. */
static void stale_pointers(void)
{
	unsigned i;

	for (i = 0; sizes[i] <= 5000; i++) {
		expect_trap(read_used_again, sizes[i], AFTER_FREE, "into the live");
		expect_report(free_used_again, sizes[i], DOUBLE_FREE,
			      "a pointer to a former block");
		expect_report(realloc_used_again, sizes[i], DOUBLE_FREE,
			      "a pointer to a former block");
		expect_report(usable_size_used_again, sizes[i], DOUBLE_FREE,
			      "a pointer to a former block");
	}
}

/* ---- no faults */

static int need_exact_tags(void)
{
	if (!tags_are_exact())
		test_skip_case("this emulator mixes up the tags of a page");
	return tags_are_exact();
}

static void ordinary(void)
{
	enum { LIVE = 300 };
	static struct {
		unsigned char *p, value;
		size_t size;
	} live[LIVE];
	unsigned ops = test_scaled(200000, 20000), i, k;
	uint64_t rng = 1;
	size_t n, usable;
	unsigned char *p;
	int resized;

	if (!need_exact_tags())
		return;
	for (i = 0; i < ops; i++) {
		k = (unsigned)(test_random(&rng) % LIVE);
		n = 1 + test_random(&rng) % (i % 256 == 0 ? 2000000 : i % 16 == 0 ? 40000 : 400);
		resized = live[k].p != NULL && i % 3 == 0; /* may have some to spare */
		if (live[k].p != NULL) {
			CHECK(live[k].p[0] == live[k].value &&
				      live[k].p[live[k].size - 1] == live[k].value,
			      "%zu bytes: content", live[k].size);
			if (resized) {
				p = hak_realloc(live[k].p, n);
				usable = n < live[k].size ? n : live[k].size;
				CHECK(p[0] == live[k].value && p[usable - 1] == live[k].value,
				      "realloc from %zu to %zu", live[k].size, n);
			} else {
				hak_free(live[k].p);
				p = i % 3 == 1 ? hak_malloc(n) : hak_aligned_alloc(64, n);
			}
		} else if (clearing_works()) {
			p = hak_calloc(1, n);
			for (usable = 0; usable < n; usable++)
				if (p[usable] != 0)
					break;
			CHECK_U64(usable, n, "zeros of calloc");
		} else {
			p = hak_malloc(n);
		}
		usable = hak_usable_size(p);
		CHECK(usable >= n && (resized || n > 1000000 || usable == granules(n)),
		      "usable %zu of %zu", usable, n);
		live[k].p = p;
		live[k].size = usable;
		live[k].value = (unsigned char)(i | 1);
		memset(p, live[k].value, usable);
	}
	if (!clearing_works())
		test_say("this emulator cannot clear memory with tags: without calloc");
	for (k = 0; k < LIVE; k++)
		hak_free(live[k].p);
	hak_purge();
}

static void system_calls(void)
{
	char *p = hak_malloc(100);
	int fds[2];

	if (!need_exact_tags())
		return;
	REQUIRE(pipe(fds) == 0, "pipe failed");
	memset(p, 7, 100);
	CHECK(write(fds[1], p, 100) == 100, "write: %s", strerror(errno));
	memset(p, 0, 100);
	CHECK(read(fds[0], p, 100) == 100 && p[99] == 7, "read: %s", strerror(errno));
	close(fds[0]);
	close(fds[1]);
	hak_free(p);
}

/* ---- fork, purges and reuse */

/* Blocks of many sizes, each with content of its own. */
enum { KEPT = 240 };
static struct kept {
	unsigned char *p;
	size_t size;
} kept[KEPT];

static void keep(unsigned i)
{
	struct kept *k = &kept[i];

	k->size = any_sizes[i % (sizeof(any_sizes) / sizeof(any_sizes[0]))];
	if (k->size > 100000) /* few of these: much to emulate */
		k->size = i < KEPT / 4 ? k->size / 4 : 40000;
	k->p = (unsigned char *)alloc(k->size);
	test_fill(k->p, k->size, i);
}

static void check_kept(unsigned i, const char *when)
{
	const struct kept *k = &kept[i];

	CHECK(test_verify(k->p, k->size, i) == k->size, "%s: content of block %u, %zu bytes", when,
	      i, k->size);
	CHECK(hak_usable_size(k->p) == granules(k->size),
	      "%s: %zu of %zu bytes of block %u have its tag", when, hak_usable_size(k->p), k->size,
	      i);
}

static void read_kept(size_t i)
{
	sink = (char)kept[i].p[0];
}

static void write_behind_kept(size_t i)
{
	((volatile unsigned char *)kept[i].p)[granules(kept[i].size)] = 1;
}

/* Each step-th block is freed, so that its memory gets another tag, and others are made. */
static void change_tags(unsigned step)
{
	unsigned i;

	for (i = 0; i < KEPT; i += step)
		hak_free(kept[i].p);
	for (i = 0; i < 8; i += step)
		expect_trap(read_kept, i, AFTER_FREE, "into the freed");
	for (i = 0; i < KEPT; i += step)
		keep(i);
}

/* In the child: what came from the parent is as it was; some of it is freed, and its place used
 * again. */
static void after_fork(void)
{
	unsigned i;

	for (i = 0; i < KEPT; i++)
		check_kept(i, "child");
	expect_trap(write_behind_kept, 3, OVERRUN, " 0 bytes past the end of the live");
	change_tags(2);
	hak_purge();
	for (i = 0; i < KEPT; i++)
		check_kept(i, "child, later");
	for (i = 1; i < 8; i += 2)
		expect_trap(write_behind_kept, i, OVERRUN, " 0 bytes past the end of the live");
}

static void *keep_some(void *arg)
{
	unsigned i;

	(void)arg;
	for (i = 0; i < KEPT; i += 3)
		keep(i);
	return NULL;
}

static void fork_keeps_tags(void)
{
	unsigned i, round;
	pthread_t t;
	pid_t pid;

	if (!need_exact_tags())
		return;
	for (i = 0; i < KEPT; i++)
		keep(i);
	/* Some of a thread that has ended. */
	for (i = 0; i < KEPT; i += 3)
		hak_free(kept[i].p);
	REQUIRE(pthread_create(&t, NULL, keep_some, NULL) == 0, "no thread");
	pthread_join(t, NULL);
	for (round = 0; round < 2; round++) {
		pid = fork();
		REQUIRE(pid >= 0, "no child");
		if (pid == 0) {
			after_fork();
			test_child_exit();
		}
		api_expect_clean_exit(pid, test_scaled(20000, 60000), "child");
		for (i = 0; i < KEPT; i++)
			check_kept(i, "parent");
		expect_trap(write_behind_kept, 2, OVERRUN, " 0 bytes past the end of the live");
		/* The parent's go on changing, too. */
		change_tags(4);
	}
	for (i = 0; i < KEPT; i++)
		hak_free(kept[i].p);
}

/* Slabs of which most pages are given back: what is live keeps its tags, what was freed traps, and
 * the pages get tags anew when they are used again. */
static void partial_purge(void)
{
	enum { COUNT_MAX = 3000 };
	/* Of `count` blocks one in `every` stays, so that there are free pages between them. */
	static const struct {
		size_t size;
		unsigned count, every;
	} of[] = { { 48, 3000, 500 }, { 1000, 640, 40 }, { 1536, 600, 40 },
		   { 3000, 400, 20 }, { 5000, 200, 10 }, { 20000, 100, 10 } };
	static unsigned char *p[COUNT_MAX];
	unsigned k, i, round;
	size_t purged;

	if (!need_exact_tags())
		return;
	for (k = 0; k < sizeof(of) / sizeof(of[0]); k++) {
		const size_t size = of[k].size;
		const unsigned count = of[k].count, every = of[k].every;

		for (i = 0; i < count; i++)
			test_fill(p[i] = (unsigned char *)alloc(size), size, i);
		for (round = 0; round < 3; round++) {
			for (i = 0; i < count; i++)
				if (i % every != 0)
					hak_free(p[i]);
			purged = slab_purged_bytes();
			hak_purge();
			CHECK(slab_purged_bytes() > purged, "%zu bytes: no page was given back",
			      size);
			for (i = 0; i < count; i += every) {
				CHECK_U64(test_verify(p[i], size, i), size,
					  "content of a live block");
				CHECK_U64(hak_usable_size(p[i]), granules(size),
					  "tags of a live block");
			}
			kept[0] = (struct kept){ p[every / 2], size };
			expect_trap(read_kept, 0, AFTER_FREE, "access to ");
			for (i = 0; i < count; i++)
				if (i % every != 0)
					test_fill(p[i] = (unsigned char *)alloc(size), size, i);
			for (i = 0; i < count; i++) {
				CHECK_U64(test_verify(p[i], size, i), size, "content, used again");
				CHECK_U64(hak_usable_size(p[i]), granules(size),
					  "tags, used again");
			}
			kept[0] = (struct kept){ p[every / 2], size };
			expect_trap(write_behind_kept, 0, OVERRUN,
				    " 0 bytes past the end of the live");
		}
		for (i = 0; i < count; i++)
			hak_free(p[i]);
	}
}

/* Units that held large blocks become slabs, whose blocks begin at colours: that clears tags of
 * former blocks there, and none of the blocks in the units beside. */
static void used_spans(void)
{
	static const size_t of[] = { 1536, 3072, 5120, 6144, 12288 };
	enum { SPANS = 48, BLOCKS = 200 };
	static unsigned char *large[SPANS], *small[BLOCKS];
	unsigned k, i;

	if (!need_exact_tags())
		return;
	for (k = 0; k < sizeof(of) / sizeof(of[0]); k++) {
		for (i = 0; i < SPANS; i++)
			test_fill(large[i] = (unsigned char *)alloc(60000), 60000, i);
		for (i = 0; i < SPANS; i += 2)
			hak_free(large[i]);
		for (i = 0; i < BLOCKS; i++)
			test_fill(small[i] = (unsigned char *)alloc(of[k]), of[k], i);
		for (i = 1; i < SPANS; i += 2) {
			CHECK_U64(hak_usable_size(large[i]), granules(60000),
				  "tags of a neighbour");
			CHECK_U64(test_verify(large[i], 60000, i), 60000, "content of a neighbour");
			hak_free(large[i]);
		}
		for (i = 0; i < BLOCKS; i++) {
			CHECK_U64(test_verify(small[i], of[k], i), of[k], "content of a block");
			hak_free(small[i]);
		}
	}
}

/* ---- how */

#define CASE(fn)                                                                                   \
	static void case_##fn(void)                                                                \
	{                                                                                          \
		if (have_tags())                                                                   \
			choose_sizes(), fn();                                                      \
		else                                                                               \
			test_skip_case("memory has no tags here");                                 \
	}
CASE(overruns)
CASE(uses_after_free)
CASE(stale_pointers)
CASE(ordinary)
CASE(system_calls)
CASE(fork_keeps_tags)
CASE(partial_purge)
CASE(used_spans)

static void absent(void)
{
	unsigned i;

	for (i = 0; i < sizeof(any_sizes) / sizeof(any_sizes[0]); i++) {
		void *p = hak_malloc(any_sizes[i]);
		CHECK_U64(tag_of(p), 0, "tag");
		hak_free(p);
	}
}

static const struct test_case cases[] = {
	{ "overruns", case_overruns },
	{ "uses_after_free", case_uses_after_free },
	{ "stale_pointers", case_stale_pointers },
	{ "ordinary", case_ordinary },
	{ "system_calls", case_system_calls },
	{ "fork_keeps_tags", case_fork_keeps_tags },
	{ "partial_purge", case_partial_purge },
	{ "used_spans", case_used_spans },
};
static const struct test_case without[] = { { "absent", absent } };

int main(int argc, char **argv)
{
	int rc;

	hak_init_once();
	if (argc == 2 && strcmp(argv[1], "absent") == 0)
		return TEST_MAIN(1, argv, without);
	if (getpid() == 1) {
		CHECK(have_tags(), "this kernel and CPU should have tags");
		rc = test_failures != 0 || TEST_MAIN(1, argv, cases) != 0;
		test_say("RESULT %d", rc);
		sync();
		reboot(RB_POWER_OFF);
	}
	if (!have_tags())
		test_skip("memory has no tags here");
	return TEST_MAIN(argc, argv, cases);
}
