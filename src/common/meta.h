/* Memory for the allocator's own records: carved from mappings of its own, with
 * a page before and behind each that traps who runs over the program's blocks, and
 * never given back or used for another kind of record. A reader that races with the
 * end of a record therefore still reads a record of that kind. */
#ifndef HAK_COMMON_META_H
#define HAK_COMMON_META_H

#include "common/base.h"

struct lock;

/* Zeroed memory for a record; align is a power of two up to HAK_CACHELINE.
 * NULL: the kernel refused. Thread-safe. */
void *meta_alloc(size_t bytes, size_t align);

/* Records of one size, recycled among themselves. The first word of a free record
 * is the list's. */
struct meta_pool {
	void *free; /* under the meta lock */
};

/* At least; more where the lines of the caches are longer. */
enum { META_RECORD_ALIGN = 64 };

/* A record, zeroed only when it is new. The bytes must be the same in each call
 * for one pool. NULL: no memory. Thread-safe. */
void *meta_pool_alloc(struct meta_pool *pool, size_t bytes);
void meta_pool_free(struct meta_pool *pool, void *record);

/* Bytes carved so far, and mapped to carve from. */
size_t meta_bytes(void);
size_t meta_mapped_bytes(void);

struct lock *meta_lock(void); /* for fork */

#endif
