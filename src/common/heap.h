/* A heap: the slabs that a thread allocates from, its thread cache, and the
 * inboxes in which others leave blocks for it.
 *
 * The lock guards the slab lists and the slabs. Its thread takes it on slow paths
 * only, so it is uncontended but for the maintenance thread and for statistics.
 * Heaps are never freed. When a thread ends, its slabs go to the orphans, a heap
 * without a thread, from which other heaps adopt them, and the heap waits for
 * the next thread. Blocks sent to a heap that has passed their slab on are
 * forwarded when the inbox is drained.
 */
#ifndef HAK_COMMON_HEAP_H
#define HAK_COMMON_HEAP_H

#include "common/depot.h"
#include "common/list.h"
#include "common/lock.h"
#include "common/remote.h"
#include "common/slab.h"
#include "common/tcache.h"

/* Of a heap's slabs. */
struct heap_bytes {
	_Atomic size_t used;    /* blocks that are not free in their slab */
	_Atomic size_t touched; /* blocks that were ever out of it */
};

struct heap_class {
	struct list_node partial; /* slabs with free blocks, to be used from the front */
	struct list_node full;    /* slabs without */
	_Atomic uint32_t partial_count; /* written under the lock; a hint elsewhere */
};

struct heap {
	struct lock lock;
	struct heap_class classes[HAK_CLASS_COUNT + 1];
	struct list_node release_queue; /* slabs whose pages may be free, about oldest first */
	size_t release_count;           /* its length */
	struct depots depots;
	struct heap_bytes bytes; /* written under the lock */
	struct list_node all_link; /* under the heaps' lock, as is the next */
	struct heap *next_idle;
	bool attached;        /* has a thread; written under the heaps' lock */
	uint32_t attached_to; /* thread_number() of that; written before */
	_Atomic uint32_t thread_id; /* its thread, or its last one, as the kernel numbers it */
	alignas(64) struct tcache tcache;
	alignas(HAK_CACHELINE) struct inbox inboxes[HAK_CLASS_COUNT + 1];
};

/* An idle heap, or a new one. NULL: no memory. */
struct heap *heap_acquire(void);

/* The thread ends: return its blocks, orphan its slabs, make the heap idle. */
void heap_release(struct heap *h);

/* No memory: return the thread's cached blocks and every wholly free slab, also
 * those that a class would keep for its next malloc. */
void heap_reclaim(struct heap *h);

/* The heap without a thread. */
struct heap *heap_orphans(void);

/* Get up to `want` >= 1 blocks, in the order of slab_take(); returns how many. 0: no
 * memory. Locks the heap. */
unsigned heap_take(struct heap *h, unsigned cls, struct cached_block *out, unsigned want);

/* Drop those of n entries that are not what a cache of the class may hold, and report each;
 * `going` says when they were found. Returns how many are left. */
unsigned heap_sound_entries(unsigned cls, struct cached_block *entries, unsigned n,
			    const char *going);

/* Return n <= TCACHE_SLOTS blocks of one class to their slabs, whosever they are; blocks[] is
 * used up. h may be NULL: all are then treated as remote. Locks heaps. */
void heap_put(struct heap *h, unsigned cls, struct cached_block *blocks, unsigned n);

/* The same, but for what the depot keeps for a later heap_take(). Does it keep all? */
bool heap_keep_or_put(struct heap *h, unsigned cls, struct cached_block *blocks, unsigned n);

/* A block for a thread without a heap. NULL: no memory. */
void *heap_orphans_take_one(unsigned cls);

/* The knobs have moved: let every thread look at its next free. */
void heap_notify_knobs(void);

struct heap_maintenance {
	uint32_t delay_ms;      /* leave alone what was touched since */
	uint32_t min_run_pages; /* shortest run of free pages worth giving back */
	uint64_t deadline_ns;   /* os_now_ns(); 0: none */
};

/* Empty inboxes and depots to which their thread does not come round (with delay_ms = 0 all), and
 * give free pages of partly used slabs back, in steps of well below a millisecond. A
 * call that runs out of time leaves off where the next one goes on. Returns the bytes given
 * back. The maintenance lock is held. */
size_t heap_maintain_all(const struct heap_maintenance *how, bool *more);

/* Bytes of the slabs that wait for a partial release, read without locks. */
size_t heap_release_pending_bytes(void);

struct heap_counters {
	size_t heaps;
	size_t small_bytes;  /* blocks not free in their slab */
	size_t cached_bytes; /* of these, in thread caches */
	size_t slab_bytes;   /* spans of slabs */
};
struct heap_counters heap_counters(void);

/* Show every slab to visit(), its heap's lock held, and count the blocks of each class
 * that are in caches of whatever kind. */
void heap_survey(void (*visit)(const struct slab *s, void *arg), void *arg,
		 uint64_t cached[HAK_CLASS_COUNT + 1]);

/* What all heaps did and hold, the orphans' too. Without walking slabs. */
struct heap_sums {
	size_t heaps;
	uint64_t ops, slow_allocs, slow_frees; /* so far */
	uint64_t latency[LATENCY_BUCKETS];
	uint32_t class_backlog[HAK_CLASS_COUNT + 1]; /* blocks in inboxes */
	size_t used_bytes, touched_bytes;            /* see struct heap_bytes */
	size_t cached_bytes; /* of used_bytes, in caches, depots and inboxes */
};
void heap_sums(struct heap_sums *out);

/* Walk everything and abort on a broken invariant. Only when no other thread is
 * in the allocator. */
void heap_check_all(void);

/* For fork: the locks of all heaps and of their list, in the order of ranks, until
 * visit() says false. */
bool heap_for_each_lock(bool (*visit)(struct lock *l, void *arg), void *arg);
/* In the child: the heaps of all other threads have lost their thread. */
void heap_after_fork(void);

#endif
