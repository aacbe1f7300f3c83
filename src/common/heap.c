#include "common/heap.h"

#include "common/knobs.h"
#include "common/meta.h"
#include "common/options.h"
#include "common/os.h"
#include "common/registry.h"
#include "common/report.h"

enum {
	/* The maintenance thread lets a heap's thread in after so many slabs. */
	RELEASE_SLABS_PER_LOCK = 8,
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
	h->attached = true;
	list_push_front(&all_heaps, &h->all_link);
	lock_release(&heaps_lock);
	return h;
}

struct heap *heap_acquire(void)
{
	struct heap *h;
	lock_acquire(&heaps_lock);
	h = idle_heaps;
	if (h != NULL) {
		idle_heaps = h->next_idle;
		h->attached = true;
	}
	lock_release(&heaps_lock);
	if (h == NULL)
		return heap_create();
	tcache_refresh(&h->tcache);
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

bool heap_keep(struct heap *h, unsigned cls, const struct cached_block *blocks, unsigned n)
{
	bool kept;
	heap_lock(h);
	kept = depot_push(&h->depots, cls, blocks, n);
	lock_release(&h->lock);
	return kept;
}

/* ---- blocks in */

static void double_free(const void *block)
{
	report_double_free(block, "found when the block was returned to its slab");
}

/* Put those of n blocks, from the first on, that are s's; returns how many. */
static unsigned put_run_locked(struct heap *h, struct slab *s, void *const *blocks, unsigned n,
			       uint32_t now_ms)
{
	unsigned before = s->free_count;
	n = slab_put(s, blocks, n, double_free);
	if (HAK_UNLIKELY(s->free_count == before))
		return n;
	add_bytes(&h->bytes.used, -((s->free_count - before) * class_bytes(s->cls)));
	s->freed_at_ms = now_ms;
	release_enqueue_locked(h, s);
	if (before == 0) {
		list_remove(&s->link);
		slab_link_locked(h, s);
	}
	if (HAK_UNLIKELY(should_retire_locked(h, s)))
		slab_retire_locked(h, s);
	return n;
}

/* Return to their slabs those of n blocks whose slab is h's; the others go to
 * foreign[], which may be blocks[] itself. Returns how many those are. */
static unsigned put_own_locked(struct heap *h, void **blocks, unsigned n, void **foreign)
{
	uint32_t now_ms = os_now_ms();
	unsigned nforeign = 0;
	for (unsigned i = 0; i < n; i++)
		slab_prefetch(blocks[i]);
	for (unsigned i = 0; i < n;) {
		struct slab *s = slab_of_block(blocks[i]);
		/* Relaxed: only a holder of h's lock makes h the owner, or ends that. */
		if (HAK_LIKELY(atomic_load_relaxed(&s->owner) == h))
			i += put_run_locked(h, s, blocks + i, n - i, now_ms);
		else
			foreign[nforeign++] = blocks[i++];
	}
	return nforeign;
}

static unsigned put_own(struct heap *h, void **blocks, unsigned n, void **foreign)
{
	unsigned nforeign;
	heap_lock(h);
	nforeign = put_own_locked(h, blocks, n, foreign);
	lock_release(&h->lock);
	return nforeign;
}

static struct heap *owner_of(const void *block)
{
	return atomic_load_dependent(&slab_of_block(block)->owner);
}

/* Move the blocks of `owner`, at most BATCH_BLOCKS, from blocks[0..*n) into b. */
static void batch_collect(struct batch *b, const struct heap *owner, void **blocks, unsigned *n)
{
	unsigned kept = 0;
	for (unsigned i = 0; i < *n; i++) {
		if (b->count < BATCH_BLOCKS && owner_of(blocks[i]) == owner)
			b->blocks[b->count++] = blocks[i];
		else
			blocks[kept++] = blocks[i];
	}
	*n = kept;
}

/* Pass n blocks on to the heaps that own their slabs. No lock is held. */
static void send_foreign(unsigned cls, void **blocks, unsigned n)
{
	while (n > 0) {
		struct heap *owner = owner_of(blocks[0]);
		struct batch *b = is_shared(owner) ? NULL : batch_alloc();
		if (b == NULL) { /* nobody would drain it; or no memory for a record */
			n = put_own(owner, blocks, n, blocks);
			continue;
		}
		b->cls = cls;
		batch_collect(b, owner, blocks, &n);
		if (b->count > 0)
			inbox_push(&owner->inboxes[cls], b);
		else
			batch_free(b); /* the slab has just changed hands */
	}
}

void heap_put(struct heap *h, unsigned cls, void **blocks, unsigned n)
{
	if (h != NULL && !options.rare_paths)
		n = put_own(h, blocks, n, blocks);
	send_foreign(cls, blocks, n);
}

void heap_put_cached(struct heap *h, unsigned cls, const struct cached_block *cached, unsigned n)
{
	void *blocks[TCACHE_SLOTS];
	HAK_ASSERT(n <= TCACHE_SLOTS);
	for (unsigned i = 0; i < n; i++)
		blocks[i] = cached[i].block;
	heap_put(h, cls, blocks, n);
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
		heap_put_cached(h, cls, kept, n);
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
	struct heap *owner = owner_of(b->blocks[0]);
	HAK_ASSERT(owner != h);
	(void)h;
	if (is_shared(owner)) {
		b->count = put_own(owner, b->blocks, b->count, b->blocks);
		if (b->count == 0) {
			batch_free(b);
			return;
		}
		owner = owner_of(b->blocks[0]);
		if (is_shared(owner))
			owner = h; /* orphaned meanwhile: look again at the next drain */
	}
	inbox_push(&owner->inboxes[b->cls], b);
}

static void inbox_drain_locked(struct heap *h, unsigned cls)
{
	struct batch *next;
	for (struct batch *b = inbox_take(&h->inboxes[cls]); b != NULL; b = next) {
		next = b->next;
		b->count = put_own_locked(h, b->blocks, b->count, b->blocks);
		if (b->count == 0)
			batch_free(b);
		else
			batch_forward_locked(h, b);
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
	if (inbox_backlog(&h->inboxes[cls]) >= (uint32_t)knob_get(HAK_KNOB_DRAIN_THRESHOLD, cls))
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

/* What lay in an inbox at the last pass and still does, its owner does not come for. */
static void drain_stale_inboxes_locked(struct heap *h)
{
	FOR_EACH_CLASS(cls) {
		struct inbox *in = &h->inboxes[cls];
		if (in->stale && inbox_backlog(in) > 0)
			inbox_drain_locked(h, cls);
		in->stale = inbox_backlog(in) > 0;
	}
}

/* Flush depots that were not used since the last pass; with delay_ms = 0, all. */
static void flush_stale_depots(struct heap *h, uint32_t delay_ms)
{
	uint8_t classes[HAK_CLASS_COUNT];
	unsigned n = 0;
	heap_lock(h);
	FOR_EACH_CLASS(cls) {
		struct depot *d = &h->depots.of_class[cls];
		if (d->count == 0)
			continue;
		if (d->stale || delay_ms == 0) {
			classes[n++] = (uint8_t)cls;
			d->limit = 0;
		}
		d->stale = true;
	}
	lock_release(&h->lock);
	while (n > 0)
		depot_flush(h, classes[--n]);
}

static bool has_work(const struct heap *h)
{
	if (h->release_count > 0)
		return true;
	FOR_EACH_CLASS(cls)
		if (inbox_backlog(&h->inboxes[cls]) > 0 || h->depots.of_class[cls].count > 0)
			return true;
	return false;
}

size_t heap_maintain_all(uint32_t delay_ms, uint64_t deadline_ns, bool *more)
{
	unsigned min_pages = (unsigned)knob_get(HAK_KNOB_PARTIAL_RELEASE_PAGES, 0);
	size_t bytes = 0;
	*more = false;
	FOR_EACH_HEAP(h) {
		size_t visits_left;
		flush_stale_depots(h, delay_ms);
		heap_lock(h);
		drain_stale_inboxes_locked(h);
		visits_left = h->release_count;
		lock_release(&h->lock);
		while (release_some(h, delay_ms, min_pages, &bytes, &visits_left))
			if (deadline_ns != 0 && os_now_ns() >= deadline_ns)
				break;
		heap_lock(h);
		*more |= has_work(h);
		lock_release(&h->lock);
		if (deadline_ns != 0 && os_now_ns() >= deadline_ns) {
			*more = true;
			break;
		}
	}
	return bytes;
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
		HAK_VERIFY((uintptr_t)blocks[i].block == s->base + index * class_bytes(cls));
		HAK_VERIFY(blocks[i].state == &s->states[index]);
		HAK_VERIFY(atomic_load_relaxed(blocks[i].state) == BLOCK_CACHED);
		for (unsigned k = 0; k < i; k++)
			HAK_VERIFY(blocks[k].block != blocks[i].block);
	}
}

static void check_cache(const struct tcache *tc, unsigned cls)
{
	const struct cached_block *bottom = tc->bins[cls].bottom;
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

void heap_after_fork(const struct heap *mine)
{
	/* They keep their slabs and cached blocks for the child's next threads. */
	LIST_FOR_EACH(n, &all_heaps) {
		struct heap *h = LIST_ENTRY(n, struct heap, all_link);
		if (h->attached && h != mine)
			heap_make_idle_locked(h);
	}
}
