/* The page map: address -> what lies there. The one structure, with no second
 * to fall back on, that says whether an address is ours, and the one place that
 * turns an address into a record and an offset.
 *
 * Two levels. The root has an entry per 4 GiB of a 48-bit address space; a leaf
 * has two words per 64 KiB unit: its record, and its tag, which is the base of the
 * slab or span that the unit belongs to and, in the low bits, the kind. The base is where
 * the first block starts: in the first unit, at a colour (size_class.h). So one cache
 * line answers, and an offset is a subtraction. Root entries hold the leaf's distance
 * from a leaf of zeros: the tag of an address never seen (0) is found there,
 * and a look-up tests nothing.
 *
 * A tag is written before a pointer into its unit leaves the allocator, and
 * cleared, or made UNIT_HUGE_FREE, after the last one came back; whoever holds such a
 * pointer may read it without a lock, and whoever makes one up reads some tag,
 * atomically.
 */
#ifndef HAK_COMMON_REGISTRY_H
#define HAK_COMMON_REGISTRY_H

#include "common/atomics.h"
#include "common/base.h"
#include "common/size_class.h"

/* What a unit belongs to: 1 .. HAK_CLASS_COUNT is a slab of that class, and its record
 * the slab's states. */
enum unit_kind {
	UNIT_NONE = 0,
	UNIT_LARGE = HAK_CLASS_COUNT + 1, /* record: struct large_span */
	UNIT_HUGE,      /* record: struct huge; only its first unit is entered */
	UNIT_HUGE_FREE, /* a free extent, no block; struct huge; its first and last unit */
	UNIT_GUARD,     /* record: struct guarded; all units of its region */
	UNIT_EMERGENCY,
	UNIT_KINDS,
};

enum {
	REGISTRY_LEAF_SHIFT = 32,
	REGISTRY_LEAF_UNITS = 1 << (REGISTRY_LEAF_SHIFT - HAK_UNIT_SHIFT),
	REGISTRY_ROOT_ENTRIES = 1 << (HAK_ADDRESS_BITS - REGISTRY_LEAF_SHIFT),
};

struct registry_unit {
	_Atomic(void *) record;
	_Atomic uintptr_t tag;
};

struct registry_leaf {
	struct registry_unit units[REGISTRY_LEAF_UNITS];
};

extern _Atomic uintptr_t registry_root[REGISTRY_ROOT_ENTRIES];
extern struct registry_leaf registry_absent;

HAK_INLINE bool registry_covers(uintptr_t addr)
{
	return addr >> REGISTRY_LEAF_SHIFT < REGISTRY_ROOT_ENTRIES;
}

/* registry_covers(addr) must hold. */
HAK_INLINE struct registry_unit *registry_unit_of(uintptr_t addr)
{
	uintptr_t distance = atomic_load_dependent(&registry_root[addr >> REGISTRY_LEAF_SHIFT]);
	uintptr_t leaf = (uintptr_t)&registry_absent + distance;
	size_t index = (uint32_t)addr >> HAK_UNIT_SHIFT;
	struct registry_unit *unit = (struct registry_unit *)(leaf + index * sizeof(*unit));
	return unit;
}

HAK_INLINE uintptr_t unit_tag(const struct registry_unit *unit)
{
	return atomic_load_relaxed(&unit->tag);
}

HAK_INLINE void *unit_record(const struct registry_unit *unit)
{
	return atomic_load_dependent(&unit->record);
}

HAK_INLINE unsigned tag_kind(uintptr_t tag)
{
	return (uint8_t)tag;
}

/* Of a unit that is UNIT_NONE: what it was before, UNIT_NONE if it never was anything. Its
 * record is still that of then, and its colour. */
HAK_INLINE unsigned tag_last_kind(uintptr_t tag)
{
	return tag_kind(tag) == UNIT_NONE ? (uint8_t)(tag >> 16) : UNIT_NONE;
}

/* Of any unit: the colour of what it belongs to or did last. */
HAK_INLINE uintptr_t tag_colour(uintptr_t tag)
{
	return tag & (HAK_COLOUR_END - 1) & ~(uintptr_t)(HAK_COLOUR_BYTES - 1);
}

/* Base of the slab or span: its first block. */
HAK_INLINE uintptr_t tag_base(uintptr_t tag)
{
	return tag & ~(uintptr_t)(HAK_COLOUR_BYTES - 1);
}

/* Byte offset of addr from that block; only for a kind other than NONE. */
HAK_INLINE uintptr_t tag_offset(uintptr_t tag, uintptr_t addr)
{
	return addr - tag + tag_kind(tag);
}

/* The record of a unit known to be ours. */
HAK_INLINE void *registry_record(const void *p)
{
	return unit_record(registry_unit_of((uintptr_t)p));
}

/* Kind and record of any address whatever; *record is NULL where kind is NONE. */
unsigned registry_lookup(uintptr_t addr, void **record);

/* Make sure that entries for [base, base + bytes) can be set. False: the range
 * is outside the map, or no memory. Thread-safe. */
bool registry_reserve(uintptr_t base, size_t bytes);

/* Enter `units` units, reserved before, of which the first has `base`, a multiple of
 * HAK_UNIT_BYTES and a colour. The caller owns the units. */
void registry_set(uintptr_t base, unsigned units, unsigned kind, void *record);
void registry_clear(uintptr_t base, unsigned units);

/* The colour of the large block that lay last in the unit of addr, which is nobody's: whoever uses
 * it next keeps that, for reports on pointers to the freed block. */
enum { NO_COLOUR = 1 }; /* it was something else */
uint16_t registry_former_colour(uintptr_t addr);

#endif
