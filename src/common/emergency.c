#include "common/emergency.h"

#include "common/atomics.h"
#include "common/os.h"
#include "common/registry.h"

enum {
	REGION_BYTES = HAK_UNIT_BYTES,
	GRANULE = 64,
	SIZES = REGION_BYTES / GRANULE,
	DEFERRED_SLOTS = 64,
};

/* At the region's start, one entry per granule: bytes of the block that begins
 * there. The rest of the region is blocks. */
struct region {
	_Atomic uint32_t next; /* offset of the first byte not handed out */
	uint32_t bytes[SIZES];
};

static _Atomic(struct region *) region;
static _Atomic(void *) deferred[DEFERRED_SLOTS];
static _Atomic uint32_t deferred_count; /* a hint: 0 means that all slots are empty */

static struct region *region_get(void)
{
	struct region *r = atomic_load_acquire(&region);
	struct region *none = NULL;
	if (r != NULL)
		return r;
	r = os_map(REGION_BYTES, HAK_UNIT_BYTES);
	if (r == NULL)
		return NULL;
	if (!registry_reserve((uintptr_t)r, REGION_BYTES)) {
		os_unmap(r, REGION_BYTES);
		return NULL;
	}
	atomic_store_relaxed(&r->next, (uint32_t)align_up(sizeof(*r), GRANULE));
	registry_set((uintptr_t)r, 1, UNIT_EMERGENCY, r);
	if (atomic_cas_acq_rel(&region, &none, r))
		return r;
	registry_clear((uintptr_t)r, 1);
	os_unmap(r, REGION_BYTES);
	return none;
}

void *emergency_alloc(size_t bytes, size_t align)
{
	struct region *r = region_get();
	uint32_t offset, next;
	if (r == NULL || bytes > REGION_BYTES / 4 || align > 4096)
		return NULL;
	bytes = align_up(max_size(bytes, 1), GRANULE);
	align = max_size(align, GRANULE);
	next = atomic_load_relaxed(&r->next);
	do {
		offset = (uint32_t)align_up(next, align);
		if (offset + bytes > REGION_BYTES)
			return NULL;
	} while (!atomic_cas_weak_release(&r->next, &next, offset + (uint32_t)bytes));
	r->bytes[offset / GRANULE] = (uint32_t)bytes;
	return (void *)((uintptr_t)r + offset);
}

size_t emergency_usable(uintptr_t block)
{
	const struct region *r = atomic_load_acquire(&region);
	return r->bytes[(block - (uintptr_t)r) / GRANULE];
}

void emergency_defer_free(void *p)
{
	for (unsigned i = 0; i < DEFERRED_SLOTS; i++) {
		void *empty = NULL;
		if (atomic_cas_acq_rel(&deferred[i], &empty, p)) {
			atomic_add_relaxed(&deferred_count, 1);
			return;
		}
	}
}

void *emergency_take_deferred(void)
{
	if (HAK_LIKELY(atomic_load_relaxed(&deferred_count) == 0))
		return NULL;
	for (unsigned i = 0; i < DEFERRED_SLOTS; i++) {
		void *p = atomic_swap_acquire(&deferred[i], NULL);
		if (p != NULL) {
			atomic_sub_relaxed(&deferred_count, 1);
			return p;
		}
	}
	return NULL;
}
