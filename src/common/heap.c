#include "common/heap.h"

#include <sys/syscall.h>
#include <unistd.h>

#include "common/knobs.h"
#include "common/meta.h"
#include "common/options.h"
#include "common/os.h"
#include "common/registry.h"
#include "common/report.h"
#include "common/thread.h"

enum {
	/* The maintenance thread lets a heap's thread in, and looks at the time, after so many
	 * slabs, or batches of an inbox. */
	RELEASE_SLABS_PER_LOCK = 8,
	DRAIN_BATCHES_PER_LOCK = 16,
};

static struct heap orphans = { .lock = LOCK_INITIALIZER(LOCK_RANK_ORPHANS) };

static struct lock heaps_lock = LOCK_INITIALIZER(LOCK_RANK_HEAPS);
/* Under heaps_lock. New heaps are put in front and none is ever taken out, so
 * `next` of a member is constant: a walk needs the lock for its first step only. */
static struct list_node all_heaps = { &all_heaps, &all_heaps };
static struct heap *idle_heaps;
static _Atomic size_t release_pending_units; /* of all heaps' release queues */

#define FOR_EACH_CLASS(cls) for (unsigned cls = 1; cls <= HAK_CLASS_COUNT; cls++)
#define FOR_EACH_HEAP(h)                                                                           \
	for (struct heap *h = heap_first(); h != NULL; h = heap_next(h))

size_t heap_release_pending_bytes(void)
{
	return atomic_load_relaxed(&release_pending_units) * HAK_UNIT_BYTES;
}

/* ---- heaps */

static void heap_init(struct heap *h)
{
	FOR_EACH_CLASS(cls) {
		list_init(&h->classes[cls].partial);
		list_init(&h->classes[cls].full);
	}
	list_init(&h->release_queue);
}

struct heap *heap_orphans(void)
{
	return &orphans;
}

/* The orphans come first. */
static struct heap *heap_first(void)
{
	return &orphans;
}

static struct heap *heap_next(struct heap *h)
{
	struct list_node *n = h->all_link.next;
	if (h == &orphans) {
		lock_acquire(&heaps_lock);
		n = all_heaps.next;
		lock_release(&heaps_lock);
	}
	return n == &all_heaps ? NULL : LIST_ENTRY(n, struct heap, all_link);
}

static void heap_lock(struct heap *h)
{
	lock_acquire(&h->lock);
	if (HAK_UNLIKELY(h->release_queue.next == NULL)) /* the orphans, at their first use */
		heap_init(h);
}

/* The calling thread gets h. It has noted that before h counts as attached: it may be
 * interrupted by a signal handler that forks, and goes on in the child. */
static void heap_attach_locked(struct heap *h)
{
	h->attached_to = thread_number();
	atomic_compiler_fence();
	h->attached = true;
}

static struct heap *heap_create(void)
{
	struct {
		struct heap heap;
		struct tcache_entries entries;
	} *memory = meta_alloc(sizeof(*memory), HAK_CACHELINE);
	struct heap *h;
	if (memory == NULL)
		return NULL;
	h = &memory->heap;
	h->lock = (struct lock)LOCK_INITIALIZER(LOCK_RANK_HEAP);
	heap_init(h);
	tcache_init(&h->tcache, &memory->entries, h);
	lock_acquire(&heaps_lock);
	heap_attach_locked(h);
	list_push_front(&all_heaps, &h->all_link);
	lock_release(&heaps_lock);
	return h;
}

/* The calling thread has h. */
static void heap_set_thread(struct heap *h)
{
	atomic_store_relaxed(&h->thread_id, (uint32_t)syscall(SYS_gettid));
}

struct heap *heap_acquire(void)
{
	struct heap *h;
	lock_acquire(&heaps_lock);
	h = idle_heaps;
	if (h != NULL) {
		idle_heaps = h->next_idle;
		heap_attach_locked(h);
	}
	lock_release(&heaps_lock);
	if (h == NULL)
		h = heap_create();
	else
		tcache_refresh(&h->tcache);
	if (h != NULL)
		heap_set_thread(h);
	return h;
}

static void heap_make_idle_locked(struct heap *h)
{
	h->attached = false;
	h->next_idle = idle_heaps;
	idle_heaps = h;
}

/* ---- slabs in a heap's lists; the heap's lock is held */

static bool is_shared(const struct heap *h)
{
	return h == &orphans;
}

static void count_partial_locked(struct heap *h, unsigned cls, int change)
{
	_Atomic uint32_t *count = &h->classes[cls].partial_count;
	atomic_store_relaxed(count, atomic_load_relaxed(count) + (uint32_t)change);
}

static void slab_link_locked(struct heap *h, struct slab *s)
{
	struct heap_class *c = &h->classes[s->cls];
	if (s->free_count == 0) {
		list_push_back(&c->full, &s->link);
		return;
	}
	list_push_back(&c->partial, &s->link);
	count_partial_locked(h, s->cls, 1);
}

static void slab_unlink_locked(struct heap *h, struct slab *s)
{
	list_remove(&s->link);
	if (s->free_count > 0)
		count_partial_locked(h, s->cls, -1);
}

static void release_enqueue_locked(struct heap *h, struct slab *s)
{
	if (!list_is_empty(&s->release_link))
		return;
	list_push_back(&h->release_queue, &s->release_link);
	h->release_count++;
	atomic_add_relaxed(&release_pending_units, s->units);
}

static bool release_dequeue_locked(struct heap *h, struct slab *s)
{
	if (list_is_empty(&s->release_link))
		return false;
	list_remove(&s->release_link);
	h->release_count--;
	atomic_sub_relaxed(&release_pending_units, s->units);
	return true;
}

static void add_bytes(_Atomic size_t *sum, size_t bytes)
{
	atomic_store_relaxed(sum, atomic_load_relaxed(sum) + bytes);
}

/* s comes to h, or leaves it. */
static void count_slab_locked(struct heap *h, const struct slab *s, bool comes)
{
	size_t used = (size_t)(s->capacity - s->free_count) * class_bytes(s->cls);
	size_t touched = s->carved * class_bytes(s->cls);
	add_bytes(&h->bytes.used, comes ? used : -used);
	add_bytes(&h->bytes.touched, comes ? touched : -touched);
}

static void slab_move_locked(struct slab *s, struct heap *from, struct heap *to)
{
	slab_unlink_locked(from, s);
	count_slab_locked(from, s, false);
	count_slab_locked(to, s, true);
	atomic_store_release(&s->owner, to); /* pairs with owner_of() */
	slab_link_locked(to, s);
	if (release_dequeue_locked(from, s))
		release_enqueue_locked(to, s);
}

static void slab_retire_locked(struct heap *h, struct slab *s)
{
	slab_unlink_locked(h, s);
	count_slab_locked(h, s, false);
	release_dequeue_locked(h, s);
	slab_destroy(s);
}

static bool should_retire_locked(const struct heap *h, const struct slab *s)
{
	if (s->free_count < s->capacity)
		return false;
	/* Keep a thread's last slab with free blocks: its next malloc wants it. */
	return is_shared(h) || atomic_load_relaxed(&h->classes[s->cls].partial_count) > 1;
}

/* ---- blocks in */

unsigned heap_sound_entries(unsigned cls, struct cached_block *entries, unsigned n,
			    const char *going)
{
	unsigned sound = HAKMEM_CHECKS ? slab_sound_run(cls, entries, n) : n;
	for (unsigned i = sound; i < n; i++) {
		if (HAK_LIKELY(slab_entry_is_sound(cls, &entries[i])))
			entries[sound++] = entries[i];
		else
			report_bad_entry(cls, &entries[i], going);
	}
	return sound;
}

/* Before entries lead to slabs. On their way into a depot they are not looked at, and on that out
 * of it they come by here, or by the bin that hands them out. */
static unsigned sound_for_slabs(unsigned cls, struct cached_block *entries, unsigned n)
{
	return heap_sound_entries(cls, entries, n, "found when it was returned to its slab");
}

/* Put n blocks that are s's. */
static void put_run_locked(struct heap *h, struct slab *s, const struct cached_block *blocks,
			   unsigned n, uint32_t now_ms)
{
	unsigned before = s->free_count;
	unsigned put = slab_put(s, blocks, n);
	while (HAK_UNLIKELY(put < n)) {
		report_double_free(blocks[put].block, "free",
				   "found when the block was returned to its slab");
		put++;
		put += slab_put(s, blocks + put, n - put);
	}
	if (HAK_UNLIKELY(s->free_count == before))
		return;
	add_bytes(&h->bytes.used, -((s->free_count - before) * class_bytes(s->cls)));
	s->freed_at_ms = now_ms;
	release_enqueue_locked(h, s);
	if (before == 0) {
		list_remove(&s->link);
		slab_link_locked(h, s);
	}
	if (HAK_UNLIKELY(should_retire_locked(h, s)))
		slab_retire_locked(h, s);
}

/* Return to their slabs those of n <= TCACHE_SLOTS blocks whose slab is h's. Moves the others
 * to the front of blocks[] and returns how many those are. */
static unsigned put_own_locked(struct heap *h, unsigned cls, struct cached_block *blocks,
			       unsigned n)
{
	struct slab *slabs[TCACHE_SLOTS];
	uint32_t now_ms = os_now_ms();
	unsigned nforeign = 0, end;
	HAK_ASSERT(n <= TCACHE_SLOTS);
	slab_find(cls, blocks, n, slabs);
	for (unsigned i = 0; i < n; i = end) {
		struct slab *s = slabs[i];
		for (end = i + 1; end < n && slabs[end] == s;)
			end++;
		/* Relaxed: only a holder of h's lock makes h the owner, or ends that. */
		if (HAK_LIKELY(atomic_load_relaxed(&s->owner) == h)) {
			put_run_locked(h, s, blocks + i, end - i, now_ms);
			continue;
		}
		while (i < end)
			blocks[nforeign++] = blocks[i++];
	}
	return nforeign;
}

static unsigned put_own(struct heap *h, unsigned cls, struct cached_block *blocks, unsigned n)
{
	unsigned nforeign;
	heap_lock(h);
	nforeign = put_own_locked(h, cls, blocks, n);
	lock_release(&h->lock);
	return nforeign;
}

HAK_STATIC_ASSERT((int)BATCH_BLOCKS <= (int)TCACHE_SLOTS, "a batch is put back at once");
/* The same of a batch's blocks. */
static void batch_put_own_locked(struct heap *h, struct batch *b)
{
	struct cached_block blocks[BATCH_BLOCKS];
	for (unsigned i = 0; i < b->count; i++)
		blocks[i] = slab_locate(b->cls, b->blocks[i]);
	b->count = put_own_locked(h, b->cls, blocks, b->count);
	for (unsigned i = 0; i < b->count; i++)
		b->blocks[i] = blocks[i].block;
}

static struct heap *owner_of(const struct slab *s)
{
	return atomic_load_dependent(&s->owner);
}

/* Move the blocks whose slab belongs to the owner of the first to the front. Returns how many
 * those are. */
static unsigned gather_owners(struct heap *owner, struct cached_block *blocks, struct slab **slabs,
			      unsigned n)
{
	unsigned front = 1;
	for (unsigned i = 1; i < n; i++) {
		struct cached_block b = blocks[i];
		struct slab *s = slabs[i];
		if (owner_of(s) != owner)
			continue;
		blocks[i] = blocks[front];
		slabs[i] = slabs[front];
		blocks[front] = b;
		slabs[front++] = s;
	}
	return front;
}

/* Pass n <= BATCH_BLOCKS blocks on to the heap that owns, or owned just now, their slabs.
 * Returns how many are left, in blocks[], as their slabs have changed hands. */
static unsigned send_to(struct heap *owner, unsigned cls, struct cached_block *blocks, unsigned n)
{
	struct batch *b = is_shared(owner) ? NULL : batch_alloc(cls, n);
	if (b == NULL) /* nobody would drain it; or no memory for a record */
		return put_own(owner, cls, blocks, n);
	for (; b->count < n; b->count++)
		b->blocks[b->count] = blocks[b->count].block;
	inbox_push(&owner->inboxes[cls], b);
	return 0;
}

/* Pass n <= TCACHE_SLOTS blocks on to the heaps that own their slabs. No lock is held. */
static void send_foreign(unsigned cls, struct cached_block *blocks, unsigned n)
{
	struct slab *slabs[TCACHE_SLOTS];
	while (n > 0) {
		unsigned left = 0;
		slab_find(cls, blocks, n, slabs);
		for (unsigned i = 0, end; i < n; i = end) {
			struct heap *owner = owner_of(slabs[i]);
			unsigned most = (unsigned)min_size(n - i, BATCH_BLOCKS), moved;
			end = i + gather_owners(owner, blocks + i, slabs + i, most);
			moved = send_to(owner, cls, blocks + i, end - i);
			for (unsigned k = 0; k < moved; k++)
				blocks[left++] = blocks[i + k];
		}
		n = left;
	}
}

void heap_put(struct heap *h, unsigned cls, struct cached_block *blocks, unsigned n)
{
	n = sound_for_slabs(cls, blocks, n);
	if (h != NULL && !options.rare_paths)
		n = put_own(h, cls, blocks, n);
	send_foreign(cls, blocks, n);
}

bool heap_keep_or_put(struct heap *h, unsigned cls, struct cached_block *blocks, unsigned n)
{
	bool kept;
	heap_lock(h);
	while (n > 0) {
		unsigned bundle = (unsigned)min_size(n, TCACHE_BUNDLE_MAX);
		if (!depot_push(&h->depots, cls, blocks, bundle))
			break;
		blocks += bundle;
		n -= bundle;
	}
	kept = n == 0;
	if (!kept)
		n = sound_for_slabs(cls, blocks, n);
	if (!kept && !options.rare_paths)
		n = put_own_locked(h, cls, blocks, n);
	lock_release(&h->lock);
	if (!kept)
		send_foreign(cls, blocks, n);
	return kept;
}

/* Return what a class's depot holds to the slabs. No lock is held. */
static void depot_flush(struct heap *h, unsigned cls)
{
	for (;;) {
		struct cached_block kept[TCACHE_BUNDLE_MAX];
		unsigned n;
		heap_lock(h);
		n = depot_pop(&h->depots, cls, kept, TCACHE_BUNDLE_MAX);
		lock_release(&h->lock);
		if (n == 0)
			return;
		heap_put(h, cls, kept, n);
	}
}

static void depot_flush_all(struct heap *h)
{
	FOR_EACH_CLASS(cls)
		depot_flush(h, cls);
}

/* A batch holds blocks whose slabs h does not own any more: pass it on. Its
 * first block's owner may have to do the same with the others. */
static void batch_forward_locked(struct heap *h, struct batch *b)
{
	struct heap *owner = owner_of(slab_of_block(b->blocks[0]));
	HAK_ASSERT(owner != h);
	(void)h;
	if (is_shared(owner)) {
		heap_lock(owner);
		batch_put_own_locked(owner, b);
		lock_release(&owner->lock);
		if (b->count == 0) {
			batch_free(b);
			return;
		}
		owner = owner_of(slab_of_block(b->blocks[0]));
		if (is_shared(owner))
			owner = h; /* orphaned meanwhile: look again at the next drain */
	}
	inbox_push(&owner->inboxes[b->cls], b);
}

static void batch_put_locked(struct heap *h, struct batch *b)
{
	batch_put_own_locked(h, b);
	if (b->count == 0)
		batch_free(b);
	else
		batch_forward_locked(h, b);
}

static void inbox_drain_locked(struct heap *h, unsigned cls)
{
	struct batch *next;
	for (struct batch *b = inbox_take(&h->inboxes[cls]); b != NULL; b = next) {
		next = b->next;
		batch_put_locked(h, b);
	}
}

static void inbox_drain_all_locked(struct heap *h)
{
	FOR_EACH_CLASS(cls)
		if (inbox_backlog(&h->inboxes[cls]) > 0)
			inbox_drain_locked(h, cls);
}

/* ---- blocks out */

static struct slab *adopt_slab_locked(struct heap *h, unsigned cls)
{
	struct heap_class *c = &orphans.classes[cls];
	struct slab *s = NULL;
	/* A hint, read without the orphans' lock: to miss one costs a fresh slab. */
	if (is_shared(h) || atomic_load_relaxed(&c->partial_count) == 0)
		return NULL;
	heap_lock(&orphans);
	if (!list_is_empty(&c->partial)) {
		s = LIST_ENTRY(c->partial.next, struct slab, link);
		slab_move_locked(s, &orphans, h);
	}
	lock_release(&orphans.lock);
	return s;
}

static struct slab *slab_with_free_block_locked(struct heap *h, unsigned cls)
{
	struct list_node *partial = &h->classes[cls].partial;
	struct slab *s;
	if (list_is_empty(partial) && inbox_backlog(&h->inboxes[cls]) > 0)
		inbox_drain_locked(h, cls);
	if (!list_is_empty(partial))
		return LIST_ENTRY(partial->next, struct slab, link);
	s = adopt_slab_locked(h, cls);
	if (s != NULL)
		return s;
	s = slab_create(cls, h);
	if (s != NULL) {
		slab_link_locked(h, s);
		count_slab_locked(h, s, true);
	}
	return s;
}

/* Blocks that wait in the inbox are taken in when there are many, or before a block is handed out
 * that never was: its page may have to come from the kernel. */
static bool should_drain_locked(const struct heap *h, unsigned cls)
{
	const struct list_node *partial = &h->classes[cls].partial;
	uint32_t backlog = inbox_backlog(&h->inboxes[cls]);
	if (backlog == 0)
		return false;
	return backlog >= (uint32_t)knob_get(HAK_KNOB_DRAIN_THRESHOLD, cls) ||
	       list_is_empty(partial) ||
	       !slab_has_used_block(LIST_ENTRY(partial->next, struct slab, link));
}

static unsigned take_from_locked(struct heap *h, struct slab *s, struct cached_block *out,
				 unsigned want)
{
	unsigned carved = s->carved;
	unsigned got = slab_take(s, out, want);
	add_bytes(&h->bytes.used, got * class_bytes(s->cls));
	add_bytes(&h->bytes.touched, (s->carved - carved) * class_bytes(s->cls));
	return got;
}

static unsigned take_locked(struct heap *h, unsigned cls, struct cached_block *out, unsigned want)
{
	struct list_node *partial = &h->classes[cls].partial;
	unsigned got = depot_pop(&h->depots, cls, out, want);
	if (got > 0)
		return got;
	depot_missed(&h->depots, cls);
	if (should_drain_locked(h, cls))
		inbox_drain_locked(h, cls);
	/* A bundle may come from several slabs, but a fresh slab is not begun for
	 * the rest of one. */
	while (got < want && (got == 0 || !list_is_empty(partial))) {
		struct slab *s = slab_with_free_block_locked(h, cls);
		if (s == NULL)
			break;
		got += take_from_locked(h, s, out + got, want - got);
		if (s->free_count == 0) {
			list_remove(&s->link);
			count_partial_locked(h, cls, -1);
			slab_link_locked(h, s);
		}
	}
	return got;
}

unsigned heap_take(struct heap *h, unsigned cls, struct cached_block *out, unsigned want)
{
	unsigned got;
	heap_lock(h);
	got = take_locked(h, cls, out, want);
	lock_release(&h->lock);
	return got;
}

void *heap_orphans_take_one(unsigned cls)
{
	struct cached_block b;
	if (heap_take(&orphans, cls, &b, 1) == 0)
		return NULL;
	atomic_store_relaxed(b.state, BLOCK_LIVE);
	return b.block;
}

void heap_release(struct heap *h)
{
	tcache_flush_all(&h->tcache);
	depot_flush_all(h);
	heap_lock(h);
	inbox_drain_all_locked(h);
	heap_lock(&orphans);
	FOR_EACH_CLASS(cls) {
		LIST_FOR_EACH_SAFE(n, &h->classes[cls].full)
			slab_move_locked(LIST_ENTRY(n, struct slab, link), h, &orphans);
		LIST_FOR_EACH_SAFE(m, &h->classes[cls].partial) {
			struct slab *s = LIST_ENTRY(m, struct slab, link);
			if (s->free_count == s->capacity)
				slab_retire_locked(h, s);
			else
				slab_move_locked(s, h, &orphans);
		}
	}
	lock_release(&orphans.lock);
	lock_release(&h->lock);

	lock_acquire(&heaps_lock);
	heap_make_idle_locked(h);
	lock_release(&heaps_lock);
}

void heap_reclaim(struct heap *h)
{
	tcache_flush_all(&h->tcache);
	depot_flush_all(h);
	heap_lock(h);
	inbox_drain_all_locked(h);
	FOR_EACH_CLASS(cls) {
		LIST_FOR_EACH_SAFE(n, &h->classes[cls].partial) {
			struct slab *s = LIST_ENTRY(n, struct slab, link);
			if (s->free_count == s->capacity)
				slab_retire_locked(h, s);
		}
	}
	lock_release(&h->lock);
}

/* ---- maintenance */

/* Look at up to RELEASE_SLABS_PER_LOCK slabs and release pages of those that are
 * due. False: that was the last one to look at. */
static bool release_some(struct heap *h, uint32_t delay_ms, unsigned min_pages, size_t *bytes,
			 size_t *visits_left)
{
	bool any;
	heap_lock(h);
	for (unsigned i = 0; i < RELEASE_SLABS_PER_LOCK && *visits_left > 0 && h->release_count > 0;
	     i++) {
		struct slab *s = LIST_ENTRY(h->release_queue.next, struct slab, release_link);
		--*visits_left;
		release_dequeue_locked(h, s);
		if (os_now_ms() - s->freed_at_ms < delay_ms) {
			release_enqueue_locked(h, s); /* touched since: back to the end */
			continue;
		}
		*bytes += slab_release_pages(s, min_pages);
	}
	any = *visits_left > 0 && h->release_count > 0;
	lock_release(&h->lock);
	return any;
}

static bool time_is_up(uint64_t deadline_ns)
{
	return deadline_ns != 0 && os_now_ns() >= deadline_ns;
}

/* The classes whose inbox or depot nobody has used since the last pass; with delay_ms = 0
 * all that have something in it. */
struct stale_classes {
	unsigned ninboxes, ndepots;
	uint8_t inboxes[HAK_CLASS_COUNT], depots[HAK_CLASS_COUNT];
};

static void find_stale(struct heap *h, uint32_t delay_ms, struct stale_classes *stale)
{
	stale->ninboxes = stale->ndepots = 0;
	heap_lock(h);
	FOR_EACH_CLASS(cls) {
		struct inbox *in = &h->inboxes[cls];
		struct depot *d = &h->depots.of_class[cls];
		bool waiting = inbox_backlog(in) > 0;
		if (waiting && (in->stale || delay_ms == 0))
			stale->inboxes[stale->ninboxes++] = (uint8_t)cls;
		in->stale = waiting;
		if (d->count > 0 && (d->stale || delay_ms == 0)) {
			stale->depots[stale->ndepots++] = (uint8_t)cls;
			d->limit = 0;
		}
		d->stale = d->count > 0;
	}
	lock_release(&h->lock);
}

/* False: there was nothing more. */
static bool drain_some(struct heap *h, unsigned cls)
{
	struct batch *b = NULL;
	heap_lock(h);
	for (unsigned i = 0; i < DRAIN_BATCHES_PER_LOCK; i++) {
		b = inbox_take_one(&h->inboxes[cls]);
		if (b == NULL)
			break;
		batch_put_locked(h, b);
	}
	lock_release(&h->lock);
	return b != NULL;
}

/* False: the time is up. */
static bool clear_stale(struct heap *h, uint32_t delay_ms, uint64_t deadline_ns)
{
	struct stale_classes stale;
	find_stale(h, delay_ms, &stale);
	for (unsigned i = 0; i < stale.ndepots; i++) {
		depot_flush(h, stale.depots[i]);
		if (time_is_up(deadline_ns))
			return false;
	}
	for (unsigned i = 0; i < stale.ninboxes; i++) {
		unsigned cls = stale.inboxes[i];
		/* There are no more batches than blocks; what comes meanwhile can wait. */
		uint32_t turns = inbox_backlog(&h->inboxes[cls]) / DRAIN_BATCHES_PER_LOCK + 1;
		while (turns-- > 0 && drain_some(h, cls))
			if (time_is_up(deadline_ns))
				return false;
	}
	return !time_is_up(deadline_ns);
}

static bool has_work(struct heap *h)
{
	bool work;
	heap_lock(h);
	work = h->release_count > 0;
	FOR_EACH_CLASS(cls)
		work |= inbox_backlog(&h->inboxes[cls]) > 0 || h->depots.of_class[cls].count > 0;
	lock_release(&h->lock);
	return work;
}

static size_t release_count(struct heap *h)
{
	size_t count;
	heap_lock(h);
	count = h->release_count;
	lock_release(&h->lock);
	return count;
}

/* Where a pass is, and one that ran out of time goes on. Under the maintenance lock. */
static struct {
	struct heap *heap;
	bool cleared; /* its inboxes and depots are done */
	size_t visits_left;
} at;

/* Do what is left of at.heap. False: the time is up. */
static bool maintain_heap(const struct heap_maintenance *how, size_t *bytes)
{
	if (!at.cleared) {
		bool in_time = clear_stale(at.heap, how->delay_ms, how->deadline_ns);
		at.cleared = true;
		at.visits_left = release_count(at.heap);
		if (!in_time)
			return false;
	}
	while (release_some(at.heap, how->delay_ms, how->min_run_pages, bytes, &at.visits_left))
		if (time_is_up(how->deadline_ns))
			return false;
	return true;
}

size_t heap_maintain_all(const struct heap_maintenance *how, bool *more)
{
	struct heap *first;
	size_t bytes = 0;
	if (at.heap == NULL)
		at.heap = heap_first();
	if (how->deadline_ns == 0) /* all there is, of each heap */
		at.cleared = false;
	first = at.heap;
	*more = false;
	do {
		if (!maintain_heap(how, &bytes)) {
			*more = true;
			break;
		}
		*more |= has_work(at.heap);
		at.heap = heap_next(at.heap);
		if (at.heap == NULL)
			at.heap = heap_first();
		at.cleared = false;
	} while (at.heap != first);
	return bytes;
}

void heap_notify_knobs(void)
{
	FOR_EACH_HEAP(h)
	if (!is_shared(h))
		tcache_notify(&h->tcache);
}

/* ---- figures and checks */

static void count_list(const struct list_node *head, struct heap_counters *c)
{
	LIST_FOR_EACH(n, head) {
		const struct slab *s = LIST_ENTRY(n, struct slab, link);
		c->small_bytes += (size_t)(s->capacity - s->free_count) * class_bytes(s->cls);
		c->slab_bytes += (size_t)s->units * HAK_UNIT_BYTES;
	}
}

struct heap_counters heap_counters(void)
{
	struct heap_counters c = { 0 };
	FOR_EACH_HEAP(h) {
		heap_lock(h);
		FOR_EACH_CLASS(cls) {
			count_list(&h->classes[cls].partial, &c);
			count_list(&h->classes[cls].full, &c);
			if (!is_shared(h))
				c.cached_bytes += tcache_count(&h->tcache, cls) * class_bytes(cls);
			c.cached_bytes += inbox_backlog(&h->inboxes[cls]) * class_bytes(cls);
			c.cached_bytes += depot_bytes(&h->depots, cls);
		}
		lock_release(&h->lock);
		c.heaps += !is_shared(h);
	}
	return c;
}

static void visit_list(const struct list_node *head, void (*visit)(const struct slab *s, void *arg),
		       void *arg)
{
	LIST_FOR_EACH(n, head)
		visit(LIST_ENTRY(n, struct slab, link), arg);
}

void heap_survey(void (*visit)(const struct slab *s, void *arg), void *arg,
		 uint64_t cached[HAK_CLASS_COUNT + 1])
{
	FOR_EACH_CLASS(cls)
		cached[cls] = 0;
	FOR_EACH_HEAP(h) {
		heap_lock(h);
		FOR_EACH_CLASS(cls) {
			visit_list(&h->classes[cls].partial, visit, arg);
			visit_list(&h->classes[cls].full, visit, arg);
			if (!is_shared(h))
				cached[cls] += tcache_count(&h->tcache, cls);
			cached[cls] += inbox_backlog(&h->inboxes[cls]);
			cached[cls] += depot_bytes(&h->depots, cls) / class_bytes(cls);
		}
		lock_release(&h->lock);
	}
}

static void sum_cache(const struct tcache *tc, struct heap_sums *sums)
{
	sums->ops += sample_ops(&tc->clock);
	sums->slow_allocs += atomic_load_relaxed(&tc->latency.allocs);
	sums->slow_frees += atomic_load_relaxed(&tc->latency.frees);
	for (unsigned i = 0; i < LATENCY_BUCKETS; i++)
		sums->latency[i] += atomic_load_relaxed(&tc->latency.buckets[i]);
	FOR_EACH_CLASS(cls)
		sums->cached_bytes += tcache_count(tc, cls) * class_bytes(cls);
}

void heap_sums(struct heap_sums *out)
{
	*out = (struct heap_sums){ 0 };
	FOR_EACH_HEAP(h) {
		if (!is_shared(h))
			sum_cache(&h->tcache, out);
		heap_lock(h);
		FOR_EACH_CLASS(cls) {
			uint32_t backlog = inbox_backlog(&h->inboxes[cls]);
			out->class_backlog[cls] += backlog;
			out->cached_bytes += backlog * class_bytes(cls);
			out->cached_bytes += depot_bytes(&h->depots, cls);
		}
		lock_release(&h->lock);
		out->used_bytes += atomic_load_relaxed(&h->bytes.used);
		out->touched_bytes += atomic_load_relaxed(&h->bytes.touched);
		out->heaps += !is_shared(h);
	}
}

static void check_list(const struct heap *h, const struct list_node *head, bool full)
{
	LIST_FOR_EACH(n, head) {
		const struct slab *s = LIST_ENTRY(n, struct slab, link);
		HAK_VERIFY(atomic_load_relaxed(&s->owner) == h);
		HAK_VERIFY((s->free_count == 0) == full);
		slab_check(s);
	}
}

static void check_cached(unsigned cls, const struct cached_block *blocks, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		const struct slab *s = slab_of_block(blocks[i].block);
		uint32_t index = slab_block_index(s, blocks[i].block);
		HAK_VERIFY(s->cls == cls);
		HAK_VERIFY((uintptr_t)blocks[i].block == slab_block_start(s, index));
		HAK_VERIFY(blocks[i].state == &s->states[index]);
		HAK_VERIFY(atomic_load_relaxed(blocks[i].state) == BLOCK_CACHED);
		for (unsigned k = 0; k < i; k++)
			HAK_VERIFY(blocks[k].block != blocks[i].block);
	}
}

static void check_cache(const struct tcache *tc, unsigned cls)
{
	const struct cached_block *bottom = bin_bottom(&tc->bins[cls]);
	if (bottom == NULL)
		return;
	HAK_VERIFY(bottom->block == NULL);
	HAK_VERIFY(tcache_count(tc, cls) <= TCACHE_SLOTS);
	check_cached(cls, bottom + 1, tcache_count(tc, cls));
}

static void check_depot(const struct depot *d, unsigned cls)
{
	unsigned n = 0;
	for (const struct bundle *b = d->bundles; b != NULL; b = b->next, n++) {
		HAK_VERIFY(b->count > 0 && b->count <= TCACHE_BUNDLE_MAX);
		check_cached(cls, b->blocks, b->count);
	}
	HAK_VERIFY(n == d->count);
}

void heap_check_all(void)
{
	FOR_EACH_HEAP(h) {
		heap_lock(h);
		FOR_EACH_CLASS(cls) {
			check_list(h, &h->classes[cls].partial, false);
			check_list(h, &h->classes[cls].full, true);
			check_depot(&h->depots.of_class[cls], cls);
			if (!is_shared(h))
				check_cache(&h->tcache, cls);
		}
		lock_release(&h->lock);
	}
}

/* ---- fork */

bool heap_for_each_lock(bool (*visit)(struct lock *l, void *arg), void *arg)
{
	/* The list's lock first: then the list stands still. Were it skipped, its
	 * holder waits, and it stands still too. */
	if (!visit(&heaps_lock, arg))
		return false;
	LIST_FOR_EACH(n, &all_heaps)
		if (!visit(&LIST_ENTRY(n, struct heap, all_link)->lock, arg))
			return false;
	return visit(&orphans.lock, arg);
}

static void recount_inboxes(void)
{
	LIST_FOR_EACH(n, &all_heaps)
		FOR_EACH_CLASS(cls)
			inbox_recount(&LIST_ENTRY(n, struct heap, all_link)->inboxes[cls]);
}

void heap_after_fork(void)
{
	/* Not in a signal handler: what it interrupted goes on here. */
	if (thread_state.slow_depth == 0 && remote_begin_recount())
		recount_inboxes();
	LIST_FOR_EACH(n, &all_heaps) {
		struct heap *h = LIST_ENTRY(n, struct heap, all_link);
		if (!h->attached)
			continue;
		if (h->attached_to == thread_number())
			heap_set_thread(h);
		else /* it keeps its slabs and cached blocks for the child's next threads */
			heap_make_idle_locked(h);
	}
}
