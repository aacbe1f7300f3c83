/* realloc: in place inside the block's class; in place into free units behind a
 * large block; by moving pages for a huge one; else a copy. */
#include "arch/inline.h"
#include "common/bulk.h"
#include "common/entry.h"
#include "common/huge.h"
#include "common/large.h"
#include "common/memtag.h"
#include "common/options.h"
#include "common/profile.h"
#include "common/report.h"

/* Is a block of `usable` bytes worth keeping for `bytes` <= usable? A copy costs
 * time once; more than half a block unused costs memory for as long as it lives. */
static bool keep_in_place(size_t usable, size_t bytes)
{
	return bytes >= usable / 2 || usable <= 4 * HAK_MIN_ALIGN;
}

/* A block of operator new? That is only said. */
static void look_at_origin(const void *p, size_t usable, const enum origin *origin)
{
	if (origin != NULL && !origin_fits(*origin, ORIGIN_MALLOC))
		report_mismatch((uintptr_t)p, usable, *origin, "realloc");
}

/* The heap profile forgets p before: once it has moved, another thread may have a block there. */
static void *resize_huge(struct huge *h, const void *p, size_t bytes)
{
	struct profile_site *sampled = profile_has_spans() ? profile_forget(p) : NULL;
	void *q = huge_resize(h, bytes);
	if (q == NULL && sampled != NULL)
		profile_remember(p, sampled);
	return q;
}

/* Resize without a copy. NULL: not possible. */
static void *resize_kind(void *p, size_t bytes, size_t usable)
{
	void *record;
	unsigned kind = registry_lookup((uintptr_t)p, &record);
	look_at_origin(p, usable, entry_origin(kind, record));
	/* With tags a block's end is where it was asked for. */
	if (kind == UNIT_LARGE && bytes > HAK_SMALL_MAX && bytes <= LARGE_MAX && !memtag_is_on())
		return large_resize(record, bytes) ? p : NULL;
	if (kind == UNIT_HUGE && bytes > LARGE_MAX)
		return resize_huge(record, p, bytes);
	return bytes <= usable && keep_in_place(usable, bytes) ? p : NULL;
}

static void *resize_in_scope(void *p, size_t bytes, size_t usable)
{
	struct slow_scope scope;
	void *q = NULL;
	if (slow_enter(&scope)) {
		q = resize_kind(p, bytes, usable);
		/* To the heap profile, a new block. */
		if (q == p && profile_has_spans())
			profile_forget(p);
		if (q != NULL && profile_is_on())
			profile_consider(q, bytes, false);
	}
	slow_leave(&scope);
	return q;
}

/* A block that grows by little will grow again: a quarter to spare, so that the copies of
 * n steps cost O(n). One that grows by much, as a vector that doubles, has its own. */
static size_t with_spare(size_t bytes, size_t usable)
{
	bool by_little = bytes > usable && bytes - usable < usable / 4;
	return by_little && bytes <= LARGE_MAX / 2 ? bytes + bytes / 4 : bytes;
}

static void *resize_by_copy(void *p, size_t bytes, size_t usable)
{
	void *q = entry_malloc(with_spare(bytes, usable));
	if (q == NULL) /* a smaller block was wanted and could not be had: keep this one */
		return bytes <= usable ? p : NULL;
	bulk_copy(q, p, min_size(usable, bytes));
	entry_free(p);
	return q;
}

/* Where sizes are known to the byte, and old addresses are to be caught. */
static void *resize_checked(void *p, size_t bytes, size_t usable)
{
	void *q = entry_malloc(bytes);
	if (q != NULL) {
		memcpy(q, p, min_size(usable, bytes));
		entry_free_slow(p);
	}
	return q;
}

void *entry_realloc(void *p, size_t bytes)
{
	size_t usable = entry_usable_bytes(p, "realloc");
	void *q, *block = (void *)hak_untagged((uintptr_t)p);
	if (usable == 0 || !entry_size_is_possible(bytes)) /* 0: reported, and we go on */
		return NULL;
	if (HAK_UNLIKELY(options.check_full))
		return resize_checked(p, bytes, usable);
	if (usable > HAK_SMALL_MAX) {
		q = resize_in_scope(block, bytes, usable);
		if (q != NULL)
			return q == block ? p : q;
	} else if (bytes <= usable && keep_in_place(usable, bytes)) {
		return p;
	}
	return resize_by_copy(p, bytes, usable);
}
