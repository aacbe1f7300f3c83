/* common/heap.c: whose slabs are whose. Heaps are taken and used without threads,
 * so that each step of handing slabs and blocks on can be looked at; the end of
 * a heap, adoption, batches that come too late, double frees, maintenance.
 *
 * Runs with HAKMEM_ON_ERROR=report, so that a double free is counted and survived.
 */
#include "unit.h"

#include "common/heap.h"
#include "common/knobs.h"
#include "common/lock.h"
#include "common/options.h"
#include "common/os.h"
#include "common/purge.h"
#include "common/report.h"
#include "common/stats.h"
#include "common/superslab.h"
#include "hakmem/hakmem.h"

enum { CLASS = 25, MAX_BLOCKS = 4096, SLOTS = 64 };

static struct heap *owner_of(const void *block)
{
	return atomic_load_relaxed(&slab_of_block(block)->owner);
}

static bool is_free(const void *block)
{
	struct slab *s = slab_of_block(block);
	return slab_block_is_free(s, slab_block_index(s, block));
}

static struct heap *acquire(void)
{
	struct heap *h = heap_acquire();
	REQUIRE(h != NULL, "no memory");
	return h;
}

static unsigned capacity(void)
{
	return class_layout[CLASS].capacity;
}

/* n blocks of CLASS straight from the heap's slabs. */
static void take(struct heap *h, void **blocks, unsigned n)
{
	struct cached_block some[SLOTS];
	for (unsigned got = 0; got < n;) {
		unsigned now = heap_take(h, CLASS, some, n - got < SLOTS ? n - got : SLOTS);
		REQUIRE(now > 0, "no memory");
		while (now-- > 0) { /* the lowest address first */
			void *block = some[now].block;
			CHECK(owner_of(block) == h, "a block of another heap's slab");
			CHECK(!is_free(block), "a block that is given out is free");
			blocks[got++] = block;
		}
	}
}

static void put(struct heap *h, void **blocks, unsigned n)
{
	for (unsigned done = 0; done < n; done += SLOTS) {
		struct cached_block some[SLOTS];
		unsigned now = n - done < SLOTS ? n - done : SLOTS;
		for (unsigned i = 0; i < now; i++) {
			some[i] = slab_locate(CLASS, blocks[done + i]);
			atomic_store_relaxed(some[i].state, BLOCK_CACHED); /* as a free does */
		}
		heap_put(h, CLASS, some, now);
	}
}

static unsigned backlog(const struct heap *h)
{
	return inbox_backlog(&h->inboxes[CLASS]);
}

static void all_free(void **blocks, unsigned n, const char *when)
{
	for (unsigned i = 0; i < n; i++)
		CHECK(is_free(blocks[i]), "block %u is not free, %s", i, when);
}

static void maintain(uint32_t delay_ms)
{
	bool more;
	lock_acquire(purge_lock());
	heap_maintain_all(&(struct heap_maintenance){ .delay_ms = delay_ms, .min_run_pages = 1 },
			  &more);
	lock_release(purge_lock());
}

/* Every case leaves the allocator empty. */
static void finish(size_t slabs)
{
	hak_check_all();
	CHECK_U64(heap_counters().small_bytes, 0, "bytes of blocks out at the end");
	CHECK_U64(slab_count(), slabs, "slabs at the end");
}

static void *blocks[MAX_BLOCKS];

static void slabs_come_and_go(void)
{
	size_t before = slab_count();
	struct heap *h = acquire();
	unsigned n = 3 * capacity();
	take(h, blocks, n);
	CHECK_U64(slab_count() - before, 3, "slabs for three slabs' blocks");
	CHECK_U64(atomic_load_relaxed(&h->classes[CLASS].partial_count), 0,
		  "partial slabs when all are full");
	CHECK_U64(heap_counters().small_bytes, n * class_bytes(CLASS), "bytes of blocks out");
	for (unsigned i = 0; i < n; i++)
		for (unsigned j = i + 1; j < i + 3 && j < n; j++)
			CHECK(blocks[i] != blocks[j], "a block came twice");
	put(h, blocks, 1);
	CHECK_U64(atomic_load_relaxed(&h->classes[CLASS].partial_count), 1,
		  "partial slabs after one put");
	hak_check_all();
	take(h, blocks, 1);
	CHECK_U64(slab_count() - before, 3, "slabs: a free block was there");
	put(h, blocks, n);
	CHECK_U64(slab_count() - before, 1, "slabs when all blocks are back: one is kept");
	CHECK_U64(backlog(h), 0, "own blocks need no inbox");
	hak_check_all();
	heap_release(h);
	finish(before);
}

static void release_and_adoption(void)
{
	size_t before = slab_count();
	struct heap *a = acquire(), *b = acquire();
	struct slab *s;
	CHECK(a != b && a->attached && b->attached, "two heaps");
	take(a, blocks, 5);
	s = slab_of_block(blocks[0]);
	heap_release(a);
	CHECK(!a->attached, "a heap that was given back");
	CHECK(owner_of(blocks[0]) == heap_orphans(), "its slab with live blocks is an orphan");
	CHECK_U64(slab_count() - before, 1, "slabs");
	hak_check_all();

	take(b, blocks + 5, 5);
	CHECK(slab_of_block(blocks[5]) == s && owner_of(blocks[0]) == b,
	      "the other heap adopts it");
	CHECK_U64(slab_count() - before, 1, "slabs after adoption");
	hak_check_all();

	put(b, blocks, 10);
	all_free(blocks, 10, "put by the new owner");
	CHECK_PTR(acquire(), a, "an idle heap is used again");
	heap_release(a);
	heap_release(b);
	finish(before);
}

/* Full slabs too become orphans; one block that comes back makes them adoptable, and
 * the last one ends them. */
static void orphans(void)
{
	size_t before = slab_count();
	struct heap *a = acquire();
	unsigned n = capacity();
	void *p;
	take(a, blocks, n);
	heap_release(a);
	CHECK(owner_of(blocks[0]) == heap_orphans(), "a full slab is orphaned");
	put(NULL, blocks, 1);
	CHECK(is_free(blocks[0]), "a block of an orphan goes straight to its slab");
	p = heap_orphans_take_one(CLASS);
	CHECK_PTR(p, blocks[0], "block for a thread without a heap");
	hak_check_all();
	put(NULL, blocks, n);
	CHECK_U64(slab_count(), before, "slabs when an orphan's last block is back");
	p = heap_orphans_take_one(CLASS); /* makes a slab of its own */
	CHECK(p != NULL && owner_of(p) == heap_orphans(), "block of a new orphan slab");
	put(NULL, &p, 1);
	finish(before);
}

static void remote_frees(void)
{
	size_t before = slab_count();
	struct heap *a = acquire(), *b = acquire();
	uint64_t sent = remote_batches_sent();
	int32_t threshold = knob_get(HAK_KNOB_DRAIN_THRESHOLD, CLASS);
	unsigned n = (unsigned)threshold;
	void *more[4];
	take(a, blocks, n + 4);
	put(b, blocks, n - 1);
	CHECK_U64(backlog(a), n - 1, "blocks in the owner's inbox");
	CHECK_U64(backlog(b), 0, "blocks in the sender's inbox");
	CHECK(remote_batches_sent() - sent >= (n - 1 + BATCH_BLOCKS - 1) / BATCH_BLOCKS,
	      "batches sent");
	CHECK(!is_free(blocks[0]), "a block on its way is not free yet");
	take(a, more, 1);
	CHECK_U64(backlog(a), n - 1, "the threshold is not reached: no drain");
	put(b, blocks + n - 1, 1);
	take(a, more + 1, 1);
	CHECK_U64(backlog(a), 0, "drained at the threshold");
	hak_check_all();
	put(a, more, 2);
	put(NULL, blocks + n, 4); /* as of a thread without a heap */
	CHECK_U64(backlog(a), 4, "blocks sent by no heap");
	heap_release(a);
	CHECK_U64(backlog(a), 0, "a heap drains its inbox at its end");
	heap_release(b);
	finish(before);
}

/* Blocks of several heaps that leave a cache together go each to its own, in one batch a heap. */
static void mixed_owners(void)
{
	enum { N = 30 };
	size_t before = slab_count();
	struct heap *a = acquire(), *b = acquire(), *c = acquire();
	void *of_a[N], *of_b[N];
	uint64_t sent = remote_batches_sent();
	take(a, of_a, N);
	take(b, of_b, N);
	for (unsigned i = 0; i < N; i++) {
		blocks[2 * i] = of_a[i];
		blocks[2 * i + 1] = of_b[i];
	}
	put(c, blocks, 2 * N);
	CHECK_U64(backlog(a), N, "blocks sent to a");
	CHECK_U64(backlog(b), N, "blocks sent to b");
	CHECK_U64(remote_batches_sent() - sent, 2, "batches");
	heap_release(a);
	heap_release(b);
	all_free(blocks, 2 * N, "when their owners have drained");
	heap_release(c);
	finish(before);
}

/* A heap without free blocks of its own drains before it makes a slab. */
static void drain_before_growth(void)
{
	size_t before = slab_count();
	struct heap *a = acquire(), *b = acquire();
	unsigned n = capacity();
	void *p;
	take(a, blocks, n);
	put(b, blocks, 3);
	take(a, &p, 1);
	CHECK_U64(slab_count() - before, 1, "slabs");
	CHECK_U64(backlog(a), 0, "backlog");
	put(a, &p, 1);
	put(a, blocks + 3, n - 3);
	heap_release(a);
	heap_release(b);
	finish(before);
}

/* Blocks in the inbox are used before one that was never out, whose page is not in memory yet. */
static void drain_before_untouched(void)
{
	size_t before = slab_count();
	struct heap *a = acquire(), *b = acquire();
	const struct slab *s;
	void *p[2];
	hak_purge(); /* so that a's slab is a fresh span */
	take(a, blocks, 5);
	s = slab_of_block(blocks[0]);
	REQUIRE(s->carved == 5, "a slab of which 5 blocks were out: %u", s->carved);
	put(b, blocks + 1, 2);
	take(a, p, 1);
	CHECK_PTR(p[0], blocks[1], "the block taken");
	CHECK_U64(backlog(a), 0, "backlog");
	put(b, blocks + 3, 1);
	take(a, p + 1, 1);
	CHECK_PTR(p[1], blocks[2], "the block taken, while one that was out is in its slab");
	CHECK_U64(backlog(a), 1, "backlog");
	CHECK_U64(s->carved, 5, "blocks that were ever out");
	put(a, p, 2);
	put(a, blocks, 1);
	put(a, blocks + 4, 1);
	heap_release(a);
	heap_release(b);
	finish(before);
}

static void push_late(struct heap *h, void **some, unsigned n)
{
	struct batch *b = batch_alloc(CLASS, n);
	REQUIRE(b != NULL, "no memory");
	b->count = n;
	memcpy(b->blocks, some, n * sizeof(some[0]));
	inbox_push(&h->inboxes[CLASS], b);
}

/* Batches that reach a heap after it has passed their slabs on: one batch with
 * blocks of three slabs, one adopted by another heap, one orphaned, one the heap's own
 * again. */
static void late_batches(void)
{
	size_t before = slab_count();
	struct heap *a = acquire(), *b = acquire(), *c = acquire();
	uint64_t sent;
	void *late[9], *p;
	take(a, blocks, capacity() - 1);
	heap_release(a);
	take(b, &p, 1); /* adopts a's slab, and fills it */
	CHECK(owner_of(blocks[0]) == b && owner_of(p) == b, "b has a's slab");
	take(c, blocks + capacity(), 3);
	heap_release(c); /* an orphan */
	CHECK(owner_of(blocks[capacity()]) == heap_orphans(), "c's slab is an orphan");
	a = acquire();
	if (a == b)
		a = acquire();
	memcpy(late, blocks, 3 * sizeof(late[0]));
	memcpy(late + 3, blocks + capacity(), 3 * sizeof(late[0]));
	sent = remote_batches_sent();
	push_late(a, late, 6);
	push_late(a, blocks + 3, 2);
	CHECK_U64(backlog(a), 8, "blocks that came late");
	maintain(0); /* notes how often a has been visited ... */
	maintain(0); /* ... and drains, as it has not been since */
	CHECK_U64(backlog(a), 0, "blocks that came late, after a drain");
	CHECK_U64(remote_batches_sent() - sent, 4,
		  "batches sent, passed on to the owner of their first");
	maintain(0); /* b too, if its turn came before a's */
	CHECK_U64(backlog(b), 0, "blocks passed on, after the owner's drain");
	all_free(blocks, 5, "when it was passed on to the adopter");
	/* Those of the orphan, its last ones, go straight there: the slab has gone. */
	CHECK_U64(slab_count() - before, 1, "slabs: the orphan's last blocks are back");
	hak_check_all();
	put(b, blocks + 5, capacity() - 6);
	put(b, &p, 1);
	heap_release(a);
	heap_release(b);
	finish(before);
}

static void late_batch_of_orphans(void)
{
	size_t before = slab_count();
	struct heap *a = acquire(), *b = acquire();
	take(a, blocks, 5);
	heap_release(a);
	push_late(b, blocks, 4);
	maintain(0);
	maintain(0);
	CHECK_U64(backlog(b), 0, "backlog");
	all_free(blocks, 4, "sent for an orphan");
	CHECK(owner_of(blocks[4]) == heap_orphans(), "the slab is an orphan still");
	put(NULL, blocks + 4, 1);
	heap_release(b);
	finish(before);
}

/* The cache of a heap without a thread is flushed at its end. */
static void cache_at_the_end(void)
{
	size_t before = slab_count();
	struct heap *a = acquire();
	void *p = tcache_refill(&a->tcache, CLASS);
	REQUIRE(p != NULL, "no memory");
	CHECK(tcache_count(&a->tcache, CLASS) > 0, "a refill leaves blocks in the cache");
	CHECK_U64(heap_counters().cached_bytes,
		  tcache_count(&a->tcache, CLASS) * class_bytes(CLASS), "cached bytes");
	heap_release(a);
	CHECK_U64(heap_counters().cached_bytes, 0, "cached bytes at the end");
	CHECK_U64(heap_counters().small_bytes, class_bytes(CLASS), "the live block");
	put(NULL, &p, 1);
	finish(before);
}

static void double_frees(void *arg)
{
	struct heap *a = acquire(), *b = acquire();
	void *pair[2], *other[2], *p;
	uint64_t reports = report_count();
	(void)arg;
	CHECK_I64(options.on_error_report, 1, "HAKMEM_ON_ERROR=report");
	take(a, blocks, 3);
	pair[0] = pair[1] = blocks[0];
	put(a, pair, 2);
	CHECK_U64(report_count() - reports, 1, "reports: twice in one put");
	put(a, pair, 1);
	CHECK_U64(report_count() - reports, 2, "reports: in a later put");
	put(b, pair, 1);
	CHECK_U64(report_count() - reports, 2, "reports: not before the owner has it");
	heap_release(a); /* drains */
	CHECK_U64(report_count() - reports, 3, "reports: from an inbox");
	put(NULL, pair, 1);
	CHECK_U64(report_count() - reports, 4, "reports: of an orphan's block");
	take(b, other, 2);
	CHECK(other[0] != other[1], "the block is given out twice");
	put(b, other, 2);
	put(b, blocks + 1, 2);
	heap_release(b);

	/* Through the public names: cached, flushed, and of another thread. */
	reports = report_count();
	p = hak_malloc(100);
	hak_free(p);
	hak_free(test_opaque(p));
	CHECK_U64(report_count() - reports, 1, "reports: of a cached block");
	hak_purge();
	CHECK(hak_malloc(100) != NULL, "the heap lives on");
	other[0] = hak_malloc(5000);
	other[1] = hak_malloc(5000);
	CHECK(other[0] != other[1], "two blocks");
	hak_free(other[0]);
	tcache_flush_all(thread_state.tcache);
	hak_free(test_opaque(other[0]));
	CHECK_U64(report_count() - reports, 2, "reports: of a block that is back in its slab");
	hak_check_all();
}

static void double_free(void)
{
	static struct unit_child child;
	unit_child_passes(&child, double_frees, NULL);
	CHECK_U64(unit_count(child.text, "[TLS_SLL_DOUBLE_FREE] hakmem: free("), 6,
		  "reports on stderr");
	CHECK_U64(unit_count(child.text, "already free"), 6, "verdicts on stderr");
}

static void refused_memory(void)
{
	size_t before = slab_count();
	struct heap *a = acquire();
	struct cached_block some[3];
	hak_purge();
	superslab_unmap_free();
	os_fault_arm(OS_MMAP, 1, 1);
	CHECK_U64(heap_take(a, CLASS, some, 3), 0, "blocks without mmap");
	CHECK_PTR(heap_orphans_take_one(CLASS), NULL, "an orphan's block without mmap");
	CHECK_PTR(tcache_refill(&a->tcache, CLASS), NULL, "a refill without mmap");
	os_fault_arm(OS_MMAP, 0, 0);
	take(a, blocks, 3);
	put(a, blocks, 3);
	heap_release(a);
	finish(before);
}

/* ---- depots */

static unsigned kept_bundles(const struct heap *h)
{
	unsigned n = 0;
	for (const struct bundle *b = h->depots.of_class[CLASS].bundles; b != NULL; b = b->next)
		n++;
	CHECK_U64(h->depots.of_class[CLASS].count, n, "bundles, counted");
	return n;
}

static void take_some(struct heap *h, struct cached_block *out, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		REQUIRE(heap_take(h, CLASS, &out[i], 1) == 1, "no memory");
}

static void depots(void)
{
	enum { N = 16 };
	size_t before = slab_count();
	const unsigned most = 65536 / (N * (unsigned)class_bytes(CLASS));
	static struct cached_block out[64][N];
	struct cached_block again[N];
	struct heap *h = acquire();
	REQUIRE(most >= 3 && most < 60, "%u bundles of the class fit", most);
	for (unsigned i = 0; i <= most; i++)
		take_some(h, out[i], N);
	/* None at first; after a refill that found none where one had been refused, one, then
	 * twice as many, up to the bytes that a depot holds. */
	for (unsigned fit = 0, kept = 0; kept < most; fit = fit == 0 ? 1 : 2 * fit) {
		for (kept = 0; depot_push(&h->depots, CLASS, out[kept], N); kept++)
			continue;
		CHECK_U64(kept, fit < most ? fit : most, "bundles kept");
		CHECK_U64(kept_bundles(h), kept, "bundles");
		if (kept == most)
			break;
		for (unsigned i = kept; i-- > 0;)
			CHECK_U64(heap_take(h, CLASS, out[i], N), N, "blocks of a kept bundle");
		REQUIRE(heap_take(h, CLASS, again, 1) == 1, "no memory");
		blocks[0] = again[0].block;
		put(h, blocks, 1);
	}
	hak_check_all();
	CHECK_U64(heap_take(h, CLASS, again, N), N, "blocks of a kept bundle");
	CHECK(memcmp(again, out[most - 1], sizeof(again)) == 0, "the bundle kept last comes first");
	CHECK_U64(heap_take(h, CLASS, again, N / 2), N / 2, "fewer than a bundle: from a slab");
	CHECK_U64(kept_bundles(h), most - 1, "bundles");
	for (unsigned i = 0; i < N / 2; i++)
		blocks[i] = again[i].block;
	put(h, blocks, N / 2);
	for (unsigned i = 0; i < N; i++) {
		blocks[i] = out[most - 1][i].block;
		blocks[N + i] = out[most][i].block;
		blocks[2 * N + i] = out[0][i].block;
	}
	put(h, blocks, 2 * N);
	/* A pass leaves alone what was used since the one before. */
	maintain(1000000);
	CHECK_U64(kept_bundles(h), most - 1, "bundles after one pass");
	maintain(1000000);
	CHECK_U64(kept_bundles(h), 0, "bundles after two passes without use");
	CHECK_U64(h->depots.of_class[CLASS].limit, 0, "bundles that it keeps then");
	all_free(blocks, 3 * N, "after the depot was emptied");
	heap_release(h);
	finish(before);
}

/* A depot may hold other heaps' blocks; at the thread's end they go home. */
static void depot_of_foreign_blocks(void)
{
	enum { N = 16 };
	size_t before = slab_count();
	struct cached_block some[N];
	struct heap *a = acquire(), *b = acquire();
	take_some(a, some, N);
	for (unsigned i = 0; i < N; i++)
		blocks[i] = some[i].block;
	b->depots.of_class[CLASS].limit = 1;
	CHECK(depot_push(&b->depots, CLASS, some, N), "another heap's blocks are not kept");
	CHECK_U64(backlog(a), 0, "blocks sent home");
	heap_release(b);
	CHECK_U64(kept_bundles(b), 0, "bundles of a heap without a thread");
	CHECK_U64(backlog(a), N, "blocks sent home");
	heap_release(a);
	all_free(blocks, N, "at the end");
	finish(before);
}

enum { SPOILT = 16, SPOILT_AT = 5 };

/* Entries of which one points 16 bytes on go back to their slabs: through a depot, or straight. */
static void spoilt_entries(void *through_depot)
{
	struct cached_block some[SPOILT];
	struct heap *h = acquire();
	uint64_t reports = report_count();
	take_some(h, some, SPOILT);
	some[SPOILT_AT].block = (char *)some[SPOILT_AT].block + HAK_MIN_ALIGN;
	if (through_depot != NULL)
		h->depots.of_class[CLASS].limit = 1;
	CHECK_I64(heap_keep_or_put(h, CLASS, some, SPOILT), through_depot != NULL, "kept");
	CHECK_U64(report_count() - reports, through_depot == NULL,
		  "reports: before a depot was emptied");
	heap_reclaim(h);
	CHECK_U64(report_count() - reports, 1, "reports");
	CHECK_U64(heap_counters().small_bytes, class_bytes(CLASS),
		  "bytes of the block that is lost");
}

static void spoilt_entry(void)
{
	static struct unit_child child;
	static bool yes;
	for (unsigned i = 0; i < 2; i++) {
		unit_child_passes(&child, spoilt_entries, i == 0 ? NULL : &yes);
		CHECK_U64(unit_count(child.text, "points 16 bytes into a free 576-byte block"), 1,
			  "verdicts");
		CHECK_U64(unit_count(child.text, "found when it was returned to its slab"), 1,
			  "times");
	}
}

/* Pages of a slab that is used in part go back; what is live stays. */
static void page_release(void)
{
	const unsigned n = capacity();
	size_t before = slab_count(), bytes = class_bytes(CLASS), page = os_page_bytes(), expected,
	       purged;
	struct heap *a = acquire();
	struct heap_maintenance how = { .min_run_pages = 1 };
	bool more;
	take(a, blocks, n);
	for (unsigned i = 0; i < n; i++)
		test_fill(blocks[i], bytes, i);
	put(a, blocks + 1, n - 2);
	CHECK(heap_release_pending_bytes() >= HAK_UNIT_BYTES, "a slab waits for its release");
	lock_acquire(purge_lock());
	how.delay_ms = UINT32_MAX / 2;
	CHECK_U64(heap_maintain_all(&how, &more), 0, "bytes before they are due");
	CHECK(more, "it is due later");
	/* Whole pages between the first and the last block. */
	expected = max_size(align_down((n - 1) * bytes, page), page) - align_up(bytes, page);
	how.delay_ms = 0;
	purged = heap_maintain_all(&how, &more);
	CHECK_U64(purged, expected, "bytes of whole free pages");
	CHECK(!more, "more to do after all is done");
	lock_release(purge_lock());
	CHECK_U64(heap_release_pending_bytes(), 0, "slabs that wait");
	CHECK_U64(test_verify(blocks[0], bytes, 0), bytes, "first block's content");
	CHECK_U64(test_verify(blocks[n - 1], bytes, n - 1), bytes, "last block's content");
	put(a, blocks, 1);
	put(a, blocks + n - 1, 1);
	heap_release(a);
	finish(before);
}

static void counters(void)
{
	size_t before = slab_count();
	size_t heaps = heap_counters().heaps;
	struct heap *h[4];
	for (unsigned i = 0; i < 4; i++)
		h[i] = acquire();
	CHECK(heap_counters().heaps >= 4, "heaps");
	for (unsigned i = 0; i < 4; i++)
		heap_release(h[i]);
	CHECK(heap_counters().heaps >= heaps, "heaps are never freed");
	heaps = heap_counters().heaps;
	for (unsigned i = 0; i < 4; i++)
		h[i] = acquire();
	CHECK_U64(heap_counters().heaps, heaps, "heaps: idle ones are used again");
	for (unsigned i = 0; i < 4; i++)
		heap_release(h[i]);
	finish(before);
}

/* ---- fork */

static void fork_child_goes_on(void *heap)
{
	struct heap *h = heap;
	CHECK(h->attached, "a heap of the thread that forked is idle");
	CHECK(heap_acquire() != h, "a heap was given out twice");
}

/* The forking thread may be a signal handler's that interrupted it when it was about to note its
 * heap. */
static void fork_while_attaching(void)
{
	static struct unit_child child;
	struct heap *h = acquire();
	CHECK(h != thread_state.heap, "the thread does not know of the heap");
	unit_child_passes(&child, fork_child_goes_on, h);
	heap_release(h);
}

enum { PUSHES = 20000 };
static struct batch *to_push[PUSHES];
static _Atomic bool pushing;

static void *push_all(void *heap)
{
	for (unsigned i = 0; i < PUSHES; i++) {
		inbox_push(&((struct heap *)heap)->inboxes[CLASS], to_push[i]);
		atomic_store_relaxed(&pushing, true);
	}
	return NULL;
}

static void look_at_inbox(void *heap)
{
	const struct inbox *in = &((struct heap *)heap)->inboxes[CLASS];
	size_t count = 0;
	for (const struct batch *b = atomic_load_relaxed(&in->head); b != NULL; b = b->next)
		count += b->count;
	CHECK(count > 0, "nothing was pushed before the fork");
	CHECK_U64(inbox_backlog(in), count, "backlog");
	CHECK_U64(remote_bytes(), count * class_bytes(CLASS), "bytes under way");
}

/* In the child a thread of the parent's stops between the counting of a batch and its push, say. */
static void fork_while_pushing(void)
{
	static struct unit_child child;
	struct heap *h = acquire();
	CHECK_U64(remote_bytes(), 0, "bytes under way before");
	for (unsigned round = 0; round < test_scaled(30, 10) && test_failures == 0; round++) {
		pthread_t pusher;
		struct batch *next;
		for (unsigned i = 0; i < PUSHES; i++) {
			to_push[i] = batch_alloc(CLASS, 1);
			REQUIRE(to_push[i] != NULL, "no memory");
			to_push[i]->count = 1; /* the block is never looked at */
		}
		atomic_store_relaxed(&pushing, false);
		pusher = unit_thread(push_all, h);
		while (!atomic_load_relaxed(&pushing))
			sched_yield();
		unit_child_passes(&child, look_at_inbox, h);
		pthread_join(pusher, NULL);
		for (struct batch *b = inbox_take(&h->inboxes[CLASS]); b != NULL; b = next) {
			next = b->next;
			batch_free(b);
		}
	}
	CHECK_U64(remote_bytes(), 0, "bytes under way at the end");
	heap_release(h);
}

/* ---- threads: blocks go round, each thread ends with blocks of its own out */

enum { THREADS = 4, MAILBOXES = 64 };
static _Atomic(uint64_t *) mailboxes[MAILBOXES];

static void *exchange(void *arg)
{
	uint64_t rng = *(const uint64_t *)arg;
	for (unsigned i = 0; i < test_scaled(30000, 3000); i++) {
		uint64_t *mine = hak_malloc(16 + unit_below(&rng, 2000)), *other;
		if (!CHECK(mine != NULL, "no memory"))
			break;
		mine[0] = (uint64_t)(uintptr_t)mine;
		mine[1] = ~mine[0];
		other = atomic_exchange_explicit(&mailboxes[unit_below(&rng, MAILBOXES)], mine,
						 memory_order_acq_rel);
		if (other == NULL)
			continue;
		CHECK(other[0] == (uint64_t)(uintptr_t)other && other[1] == ~other[0],
		      "a block in a mailbox has other content");
		hak_free(other);
	}
	return NULL;
}

static void threads(void)
{
	uint64_t seed = unit_seed(), seeds[THREADS];
	for (unsigned round = 0; round < 3; round++) {
		for (unsigned i = 0; i < THREADS; i++)
			seeds[i] = seed + round * THREADS + i;
		unit_threads(THREADS, exchange, seeds, sizeof(seeds[0]));
	}
	for (unsigned i = 0; i < MAILBOXES; i++)
		hak_free(atomic_load_relaxed(&mailboxes[i]));
	if (tcache_is_real(thread_state.tcache))
		tcache_flush_all(thread_state.tcache);
	maintain(0);
	maintain(0);
	hak_check_all();
	CHECK_U64(heap_counters().small_bytes, 0, "bytes of blocks out at the end");
}

static const struct test_case cases[] = {
	{ "slabs_come_and_go", slabs_come_and_go },
	{ "release_and_adoption", release_and_adoption },
	{ "orphans", orphans },
	{ "remote_frees", remote_frees },
	{ "mixed_owners", mixed_owners },
	{ "drain_before_growth", drain_before_growth },
	{ "drain_before_untouched", drain_before_untouched },
	{ "late_batches", late_batches },
	{ "late_batch_of_orphans", late_batch_of_orphans },
	{ "cache_at_the_end", cache_at_the_end },
	{ "depots", depots },
	{ "depot_of_foreign_blocks", depot_of_foreign_blocks },
	{ "spoilt_entry", spoilt_entry },
	{ "page_release", page_release },
	{ "counters", counters },
	{ "double_free", double_free },
	{ "refused_memory", refused_memory },
	{ "fork_while_attaching", fork_while_attaching },
	{ "fork_while_pushing", fork_while_pushing },
	{ "threads", threads },
};

UNIT_MAIN(cases)
