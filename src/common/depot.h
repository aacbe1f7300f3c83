/* Depots: bundles of blocks that a full bin of the thread cache gave up, kept for the
 * next bin that is empty; the one kept last comes first.
 *
 * A thread whose number of live blocks swings by more than its bins hold need not
 * sort them into slabs each time, nor send those of other heaps' slabs home. How many
 * bundles a class keeps grows as refills come for what was refused before, so that
 * a thread that only frees keeps none; and a class that is not used is emptied by the
 * maintenance passes.
 *
 * A heap's depots are under its lock. After the magazine depot of Bonwick and Adams,
 * Magazines and Vmem (2001).
 */
#ifndef HAK_COMMON_DEPOT_H
#define HAK_COMMON_DEPOT_H

#include "common/base.h"
#include "common/slab.h"
#include "common/tcache.h"

struct bundle {
	struct bundle *next;
	uint32_t count;
	struct cached_block blocks[TCACHE_BUNDLE_MAX];
};

/* Of one class. All zeros: empty. */
struct depot {
	struct bundle *bundles;
	uint16_t count;
	uint16_t limit; /* bundles kept at most */
	bool refused;   /* a bundle since the last refill */
	bool stale;     /* not used since the last maintenance pass */
};

struct depots {
	struct depot of_class[HAK_CLASS_COUNT + 1];
	struct bundle *spare; /* empty ones */
};

/* Keep n blocks. False: no room, or more than TCACHE_BUNDLE_MAX; nothing is done. */
bool depot_push(struct depots *d, unsigned cls, const struct cached_block *blocks, unsigned n);

/* The bundle kept last, if it has no more than `most` blocks; returns how many. */
unsigned depot_pop(struct depots *d, unsigned cls, struct cached_block *out, unsigned most);

/* A refill of the class found nothing. */
void depot_missed(struct depots *d, unsigned cls);

/* Bytes of its blocks. */
size_t depot_bytes(const struct depots *d, unsigned cls);

#endif
