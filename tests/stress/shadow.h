/* The model of one block: what the program asked for and what its bytes are.
 *
 * Word k of a block is seed + k * SHADOW_STEP, whatever its address, so content
 * is followed through realloc and from thread to thread, and a foreign word found
 * in a block tells which block it was meant for. Blocks up to SHADOW_WHOLE_BYTES
 * are written and checked whole, bigger ones at head, tail and a stripe in up to
 * SHADOW_MAX_STRIPES pages between. Each record belongs to one thread at a time.
 */
#ifndef HAK_TESTS_STRESS_SHADOW_H
#define HAK_TESTS_STRESS_SHADOW_H

#include "support.h"

enum {
	SHADOW_WHOLE_BYTES = 16 * 1024,
	SHADOW_EDGE_BYTES = 1024,
	SHADOW_STRIPE_BYTES = 64,
	SHADOW_MAX_STRIPES = 384,
};

struct shadow_block {
	unsigned char *at;
	size_t asked;         /* last requested size */
	size_t filled;        /* bytes that the program uses: asked, or all usable */
	size_t usable;        /* as the allocator said; claimed in the granule map */
	size_t align;
	uint64_t seed;
	uint64_t born_op;
	const char *born_how; /* the call that made or last moved it */
	char born_thread[32];
};

/* Take note of a block that a call just returned: alignment, usable size, overlap
 * with every other live block; then write its pattern. */
void shadow_born(struct shadow_block *b, void *at, size_t asked, size_t align,
		 const char *how, uint64_t op, struct rng *rng);

/* Fail unless the first `limit` bytes of b's pattern, as now seen at `at`, are right. */
void shadow_verify(const struct shadow_block *b, const void *at, size_t limit,
		   const char *doing);

/* Fail unless [p, p + size) is zero; large ones are sampled three times in four. */
void shadow_verify_zero(const void *p, size_t size, const char *how, struct rng *rng);

/* Before a free or a realloc: verify, and leave the granule map. */
void shadow_leave(const struct shadow_block *b, const char *doing);

/* After a realloc that failed: the block is the program's again, untouched. */
void shadow_return(const struct shadow_block *b, const char *doing);

/* When every block is freed and every other thread has ended: purge, walk the
 * structures, and fail if statistics still count a live block. */
void shadow_check_nothing_live(void);

/* Called with every record that exists, to name a block's neighbours in a report;
 * unlocked, for a process that is about to abort. */
typedef bool shadow_visit_fn(const struct shadow_block *b, void *arg);
void shadow_set_walker(void (*walk)(shadow_visit_fn *visit, void *arg));

#endif
