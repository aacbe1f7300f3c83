/* The page map: address -> what lies there. The one structure, with no second
 * to fall back on, that says whether an address is ours, and the one place that
 * turns an address into a record and a block index.
 *
 * Two levels. The root has an entry per 4 GiB of a 48-bit address space; a leaf
 * has, per 64 KiB unit, a 16-bit entry and a pointer to the unit's record. Root
 * entries hold the leaf's distance from a leaf of zeros, so that the entry of an
 * address never seen (0) leads there and a look-up tests nothing.
 *
 * An entry is written before a pointer into its unit leaves the allocator, and
 * cleared (or made UNIT_HUGE_FREE) after the last one came back; whoever holds such a pointer may read
 * it without a lock, and whoever makes one up reads some entry, atomically.
 */
#ifndef HAK_COMMON_REGISTRY_H
#define HAK_COMMON_REGISTRY_H

#include "common/atomics.h"
#include "common/base.h"
#include "common/size_class.h"

/* What a unit belongs to: 1 .. HAK_CLASS_COUNT is a slab of that class. */
enum unit_kind {
	UNIT_NONE = 0,
	UNIT_LARGE = 120, /* record: struct large_span */
	UNIT_HUGE = 121,  /* record: struct huge; only its first unit is entered */
	UNIT_EMERGENCY = 122,
	UNIT_HUGE_FREE = 123, /* a free extent: no block, struct huge; its first and last unit */
};

/* Bits 0-6 the kind, bits 7-11 the unit's index in its slab or span. Kept in 16
 * bits. */
typedef uint32_t unit_entry;

enum {
	UNIT_KIND_BITS = 7,
	REGISTRY_LEAF_SHIFT = 32,
	REGISTRY_LEAF_UNITS = 1 << (REGISTRY_LEAF_SHIFT - HAK_UNIT_SHIFT),
	REGISTRY_ROOT_ENTRIES = 1 << (HAK_ADDRESS_BITS - REGISTRY_LEAF_SHIFT),
};

struct registry_leaf {
	_Atomic uint16_t entries[REGISTRY_LEAF_UNITS];
	_Atomic(void *) records[REGISTRY_LEAF_UNITS];
};

extern _Atomic uintptr_t registry_root[REGISTRY_ROOT_ENTRIES];
extern struct registry_leaf registry_absent;

HAK_INLINE unsigned unit_entry_kind(unit_entry e)
{
	return e & ((1u << UNIT_KIND_BITS) - 1);
}

HAK_INLINE unsigned unit_entry_index(unit_entry e)
{
	return e >> UNIT_KIND_BITS;
}

HAK_INLINE bool registry_covers(uintptr_t addr)
{
	return addr >> HAK_ADDRESS_BITS == 0;
}

/* registry_covers(addr) must hold. */
HAK_INLINE struct registry_leaf *registry_leaf_of(uintptr_t addr)
{
	uintptr_t distance = atomic_load_dependent(&registry_root[addr >> REGISTRY_LEAF_SHIFT]);
	return (struct registry_leaf *)((uintptr_t)&registry_absent + distance);
}

HAK_INLINE uint32_t registry_unit_of(uintptr_t addr)
{
	return (uint32_t)addr >> HAK_UNIT_SHIFT;
}

HAK_INLINE unit_entry registry_entry(const struct registry_leaf *leaf, uintptr_t addr)
{
	uint32_t e = atomic_load_relaxed(&leaf->entries[registry_unit_of(addr)]);
	HAK_OPAQUE(e);
	return e;
}

HAK_INLINE void *registry_record(const struct registry_leaf *leaf, uintptr_t addr)
{
	return atomic_load_dependent(&leaf->records[registry_unit_of(addr)]);
}

/* Byte offset of addr in its slab or span, from its unit's entry. */
HAK_INLINE uint32_t registry_offset(unit_entry e, uintptr_t addr)
{
	return unit_entry_index(e) << HAK_UNIT_SHIFT | (uint32_t)(addr & (HAK_UNIT_BYTES - 1));
}

/* Kind and record of any address whatever; *record is NULL where kind is NONE. */
unsigned registry_lookup(uintptr_t addr, void **record);

/* Make sure that entries for [base, base + bytes) can be set. False: the range
 * is outside the map, or no memory. Thread-safe. */
bool registry_reserve(uintptr_t base, size_t bytes);

/* Enter `units` units from `base` on, index 0, 1, ...; reserved before. The
 * caller owns the units. */
void registry_set(uintptr_t base, unsigned units, unsigned kind, void *record);
void registry_clear(uintptr_t base, unsigned units);

#endif
