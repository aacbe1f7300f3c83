/* Size classes: what a request is rounded up to, and the arithmetic of a slab of
 * that class.
 *
 * Steps of 16 bytes to 128, then eight classes for each doubling to 8 KiB, and four
 * to 32 KiB: 64 classes. At most 1/9 of a block is wasted above 128 bytes, and 1/5
 * above 8 KiB, where it is pages that nobody touches, and fewer classes mean fewer
 * slabs in part use. Class 0 is no class: the page map says it of memory that is not
 * a slab.
 *
 * offset -> block index, and "is this where a block starts?", are one multiplication
 * (Lemire, Kaser, Kurz: Faster Remainder by Direct Computation, 2019). With
 * m = ceil(2^64 / size), and offset and size below 2^32, of the 128 bits of
 * offset * m the upper half is floor(offset / size), and the lower half is below m
 * iff size divides offset. Of an offset -x, which an address before the first block of a
 * slab has, the lower half is 2^64 - x * m, and at least m for each x below size - 1.
 *
 * Blocks whose size is a multiple of COLOUR_MIN_STEP would all begin on a few sets of
 * a first-level cache. Where a slab of them has a tail, the first block begins at one of the
 * class's *colours*, a multiple of HAK_COLOUR_BYTES, another one in each slab. Sizes and tails
 * are multiples of the same power of two: all colours below it fit, and larger ones would be
 * the same sets again.
 */
#ifndef HAK_COMMON_SIZE_CLASS_H
#define HAK_COMMON_SIZE_CLASS_H

#include "common/base.h"

enum {
	HAK_CLASS_COUNT = 64,  /* classes are 1 .. HAK_CLASS_COUNT */
	HAK_SMALL_MAX = 32768, /* bytes; larger requests get spans of their own */
	HAK_SLAB_MAX_UNITS = 8,
	HAK_SLAB_MIN_BLOCKS = 8,
	HAK_COLOUR_BYTES = 256, /* so aligned are blocks of coloured slabs, whatever their size */
	HAK_COLOUR_END = 4096,  /* colours are below: a page, where the sets begin again */
};

struct class_layout {
	uint16_t capacity; /* blocks per slab */
	uint8_t units;     /* units per slab */
	uint8_t colours;   /* a power of two; 1: every slab begins with a block */
};

extern uint32_t class_block_bytes[HAK_CLASS_COUNT + 1];
extern uint64_t class_inverse[HAK_CLASS_COUNT + 1]; /* ceil(2^64 / size) */
extern struct class_layout class_layout[HAK_CLASS_COUNT + 1];
extern uint8_t class_of_granules[HAK_SMALL_MAX / HAK_MIN_ALIGN + 1];
/* Row 0: the class itself. Row 1: the first from it on that is aligned to more than
 * HAK_COLOUR_BYTES. */
extern uint8_t class_for_align[2][HAK_CLASS_COUNT + 1];

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
	return class_block_bytes[cls];
}

/* Index of the block in which byte `offset` of a slab of this class lies. */
HAK_INLINE uint32_t class_block_index(unsigned cls, uint32_t offset)
{
	return (uint32_t)(((unsigned __int128)class_inverse[cls] * offset) >> 64);
}

/* Does a block start at byte `offset` of a slab, whose class has this inverse? No, if
 * the inverse is 0. *index is the block's. */
HAK_INLINE bool block_starts(uint64_t inverse, uint64_t offset, uint64_t *index)
{
	unsigned __int128 product = (unsigned __int128)inverse * offset;
	*index = (uint64_t)(product >> 64);
	return HAKMEM_CHECKS ? (uint64_t)product < inverse : inverse != 0;
}

/* Smallest class of at least `bytes` whose blocks all lie at multiples of
 * `align`, a power of two; 0 if none. */
HAK_INLINE unsigned size_class_aligned(size_t bytes, size_t align)
{
	/* A slab's blocks are as aligned as their size is, if it has no colour, else to
	 * HAK_COLOUR_BYTES at most. Where classes are `step` apart, all are multiples of
	 * step: an alignment up to step holds for each; with a larger one, bytes rounded up to
	 * its multiple is a multiple of step, and so a class itself. If that has colours, the
	 * next without is a power of two, and so aligned as well. */
	if (bytes > HAK_SMALL_MAX || align > HAK_SMALL_MAX)
		return 0;
	bytes = align_up(bytes + (bytes == 0), align);
	return bytes <= HAK_SMALL_MAX ? class_for_align[align > HAK_COLOUR_BYTES][size_class(bytes)]
				      : 0;
}

#endif
