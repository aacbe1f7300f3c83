#include "common/registry.h"

#include "common/os.h"

_Atomic uintptr_t registry_root[REGISTRY_ROOT_ENTRIES];
struct registry_leaf registry_absent;

unsigned registry_lookup(uintptr_t addr, void **record)
{
	const struct registry_unit *unit;
	unsigned kind;
	*record = NULL;
	if (!registry_covers(addr))
		return UNIT_NONE;
	unit = registry_unit_of(addr);
	kind = tag_kind(unit_tag(unit));
	if (kind != UNIT_NONE)
		*record = unit_record(unit);
	return kind;
}

static bool reserve_leaf(uintptr_t root_index)
{
	const size_t bytes = align_up(sizeof(struct registry_leaf), os_page_bytes());
	uintptr_t absent = 0;
	void *leaf;
	if (atomic_load_relaxed(&registry_root[root_index]) != 0)
		return true;
	leaf = os_map_guarded(bytes);
	if (leaf == NULL)
		return false;
	/* Release: whoever finds the leaf finds zeros. Pairs with the dependent load. */
	if (!atomic_cas_acq_rel(&registry_root[root_index], &absent,
				(uintptr_t)leaf - (uintptr_t)&registry_absent))
		os_unmap_guarded(leaf, bytes); /* another thread was faster */
	return true;
}

bool registry_reserve(uintptr_t base, size_t bytes)
{
	uintptr_t last = base + bytes - 1;
	if (!registry_covers(base) || !registry_covers(last) || last < base)
		return false;
	for (uintptr_t i = base >> REGISTRY_LEAF_SHIFT; i <= last >> REGISTRY_LEAF_SHIFT; i++)
		if (!reserve_leaf(i))
			return false;
	return true;
}

void registry_set(uintptr_t base, unsigned units, unsigned kind, void *record)
{
	HAK_ASSERT(base % HAK_UNIT_BYTES < HAK_COLOUR_END && base % HAK_COLOUR_BYTES == 0);
	HAK_ASSERT(kind != UNIT_NONE);
	for (unsigned i = 0; i < units; i++) {
		struct registry_unit *unit = registry_unit_of(base + (uintptr_t)i * HAK_UNIT_BYTES);
		/* Record first: who sees the tag, by whatever luck, finds a record. */
		atomic_store_relaxed(&unit->record, record);
		atomic_store_release(&unit->tag, base | kind);
	}
}

uint16_t registry_former_colour(uintptr_t addr)
{
	uintptr_t tag = unit_tag(registry_unit_of(addr));
	return tag_last_kind(tag) == UNIT_LARGE ? (uint16_t)tag_colour(tag) : NO_COLOUR;
}

void registry_clear(uintptr_t base, unsigned units)
{
	/* The record stays: it is never unmapped, and a racing reader of a stale
	 * pointer then reads a record of that kind rather than NULL. */
	for (unsigned i = 0; i < units; i++) {
		struct registry_unit *unit = registry_unit_of(base + (uintptr_t)i * HAK_UNIT_BYTES);
		uintptr_t tag = unit_tag(unit), kind = tag_kind(tag);
		if (kind != UNIT_NONE) /* for reports: see tag_last_kind(), tag_colour() */
			atomic_store_relaxed(&unit->tag, kind << 16 | tag_colour(tag));
	}
}
