/* Large blocks: above HAK_SMALL_MAX, up to LARGE_MAX, each a span of its own in a
 * superslab. Thread-safe; no lock of the caller's beyond its heap's rank. */
#ifndef HAK_COMMON_LARGE_H
#define HAK_COMMON_LARGE_H

#include "common/base.h"
#include "common/history.h"

enum { LARGE_MAX = HAK_SUPERSLAB_BYTES / 2 };

struct superslab;

struct large_span {
	void *pool_link;
	struct superslab *superslab;
	uintptr_t base;
	size_t usable_bytes; /* whole pages; changed by whoever resizes the block */
	uint8_t first_unit;
	uint8_t units;
	uint16_t former_colour; /* constant; see registry_former_colour() */
	enum origin origin; /* the owner's of the block */
};

/* bytes <= LARGE_MAX; align a power of two <= HAK_SUPERSLAB_BYTES. *zeroed: every
 * byte is zero. NULL: no memory. */
void *large_alloc(size_t bytes, size_t align, bool *zeroed);

void large_free(struct large_span *l);

/* Resize in place, giving up units behind it or taking free ones there. False:
 * not possible; unchanged. */
bool large_resize(struct large_span *l, size_t bytes);

/* Bytes of the spans of live large blocks. */
size_t large_bytes(void);

#endif
