/* Size classes: what a request is rounded up to, and the arithmetic of a slab of
 * that class.
 *
 * Steps of 16 bytes to 128, then eight classes for each doubling to 32 KiB: 72
 * classes, at most 1/9 of a block wasted above 128 bytes. Class 0 is no class:
 * the page map says it of memory that is not a slab.
 *
 * offset -> block index is a multiplication (Granlund, Montgomery 1994): with
 * s = block/16 <= 2^11, o = offset/16 < 2^15 and m = ceil(2^31/s), floor(o/s)
 * equals (o * m) >> 31, as the error o * (m - 2^31/s) / 2^31 < 2^-16 < 1/s.
 */
#ifndef HAK_COMMON_SIZE_CLASS_H
#define HAK_COMMON_SIZE_CLASS_H

#include "common/base.h"

enum {
	HAK_CLASS_COUNT = 72,    /* classes are 1 .. HAK_CLASS_COUNT */
	HAK_SMALL_MAX = 32768,   /* bytes; larger requests get spans of their own */
	HAK_SLAB_MAX_UNITS = 8,
	HAK_SLAB_MIN_BLOCKS = 8,
};

/* What the hot path of free needs, 8 bytes per class. */
struct class_geometry {
	uint32_t block_bytes;
	uint32_t magic; /* ceil(2^31 / (block_bytes / 16)) */
};

struct class_layout {
	uint16_t capacity; /* blocks per slab */
	uint8_t units;     /* units per slab */
};

extern struct class_geometry class_geometry[HAK_CLASS_COUNT + 1];
extern struct class_layout class_layout[HAK_CLASS_COUNT + 1];
extern uint8_t class_of_granules[HAK_SMALL_MAX / HAK_MIN_ALIGN + 1];

/* Fill the tables. Once, before any slab exists; until then every size is of
 * class 0, whose cache is empty. */
void size_class_init(void);

/* Class for a request of `bytes` <= HAK_SMALL_MAX; 0 bytes count as 1. */
HAK_INLINE unsigned size_class(size_t bytes)
{
	return class_of_granules[(bytes + HAK_MIN_ALIGN - 1) / HAK_MIN_ALIGN];
}

HAK_INLINE size_t class_bytes(unsigned cls)
{
	return class_geometry[cls].block_bytes;
}

/* Index of the block in which byte `offset` of a slab of this class lies. */
HAK_INLINE uint32_t class_block_index(unsigned cls, uint32_t offset)
{
	return (uint32_t)(((uint64_t)(offset / HAK_MIN_ALIGN) * class_geometry[cls].magic) >> 31);
}

/* Smallest class of at least `bytes` whose blocks all lie at multiples of
 * `align`; 0 if none. */
unsigned size_class_aligned(size_t bytes, size_t align);

#endif
