/* Blocks on pages of their own, between pages that cannot be touched: a write or a
 * read past the end, or of a freed block, traps at the instruction that does it.
 * For sampled allocations (HAKMEM_SAMPLE_GUARD, the idea of GWP-ASan: Serebryany et
 * al., 2023) and, under full checking, for every block above HAK_SMALL_MAX.
 *
 * A block ends where its last accessible page ends, but for its alignment; bytes
 * that are left there are filled and looked at when it is freed. A freed block's
 * pages stay untouchable until GUARD_FREED_MAX others were freed.
 *
 * The page map leads from every unit of such a region (UNIT_GUARD) to its record. */
#ifndef HAK_COMMON_GUARD_H
#define HAK_COMMON_GUARD_H

#include "common/base.h"
#include "common/history.h"

struct lock;

enum {
	GUARD_LIVE_MAX = 4096, /* mappings are scarce: 65530 a process, three a block */
	GUARD_FREED_MAX = 1024,
	GUARD_SAMPLED_MAX = 256, /* live ones that were sampled, of */
	GUARD_SAMPLED_MAX_BYTES = 1 << 20,
};

struct guarded {
	struct guarded *next;  /* live: in the list of these; freed: the next younger one */
	struct guarded *prev;  /* live */
	uintptr_t region;      /* the whole of it, guard pages included */
	size_t region_bytes;
	uintptr_t first, end;  /* its accessible pages */
	uintptr_t block;
	bool sampled;
	bool quarantined;      /* something was wrong: never used again */
	struct history history;
};

/* A block of `bytes`; align is a power of two. NULL: too many, or no memory. All
 * bytes are zero. */
void *guard_alloc(size_t bytes, size_t align, bool sampled, enum origin origin);

/* Is p the start of g's live block? */
bool guard_starts(const struct guarded *g, uintptr_t p);

/* The gate has found that g's block starts at p. */
void guard_free(struct guarded *g, const struct free_call *call);

/* Sample one allocation in `every`. */
void guard_sample(uint32_t every);

/* Let those of SIGSEGV that hit a guarded region be reported; others go to the
 * handler that was there before. */
void guard_install_handler(void);

/* Live blocks now. */
size_t guard_count(void);
/* visit(h, arg) for each; the lock is held, and *h is never unmapped. */
void guard_each_live(void (*visit)(const struct history *h, void *arg), void *arg);

struct lock *guard_lock(void); /* for fork */

#endif
