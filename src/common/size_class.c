#include "common/size_class.h"

#include "common/bits.h"

enum {
	LINEAR_MAX = 128, /* steps of HAK_MIN_ALIGN up to here */
	FINE_MAX = 8192,  /* FINE_STEPS for each doubling up to here, COARSE_STEPS beyond */
	FINE_STEPS = 8,
	COARSE_STEPS = 4,
	COLOUR_MIN_STEP = 512, /* smaller multiples reach every 4th set, or more */
};

uint32_t class_block_bytes[HAK_CLASS_COUNT + 1];
uint64_t class_inverse[HAK_CLASS_COUNT + 1];
struct class_layout class_layout[HAK_CLASS_COUNT + 1];
uint8_t class_of_granules[HAK_SMALL_MAX / HAK_MIN_ALIGN + 1];
uint8_t class_for_align[2][HAK_CLASS_COUNT + 1];

/* The class after the one of `bytes`. */
static size_t next_class_bytes(size_t bytes)
{
	size_t power = (size_t)1 << bit_highest(bytes | 1);
	if (bytes < LINEAR_MAX)
		return bytes + HAK_MIN_ALIGN;
	return bytes + power / (bytes < FINE_MAX ? FINE_STEPS : COARSE_STEPS);
}

HAK_STATIC_ASSERT(COLOUR_MIN_STEP == 2 * HAK_COLOUR_BYTES,
		  "what is aligned to more than a colour is a multiple of the step");

static unsigned colours_for(size_t bytes, size_t tail)
{
	size_t step = min_size(bytes & (~bytes + 1), HAK_COLOUR_END);
	return step < COLOUR_MIN_STEP || tail == 0 ? 1 : (unsigned)(step / HAK_COLOUR_BYTES);
}

static struct class_layout layout_for(size_t bytes)
{
	unsigned units = 1;
	while (units < HAK_SLAB_MAX_UNITS && units * HAK_UNIT_BYTES / bytes < HAK_SLAB_MIN_BLOCKS)
		units++;
	/* Room for colours, where that is not a block. Only 24 KiB needs it. */
	if (units * HAK_UNIT_BYTES % bytes == 0 && !is_pow2(bytes))
		units++;
	return (struct class_layout){
		.capacity = (uint16_t)(units * HAK_UNIT_BYTES / bytes),
		.units = (uint8_t)units,
		.colours = (uint8_t)colours_for(bytes, units * HAK_UNIT_BYTES % bytes),
	};
}

void size_class_init(void)
{
	size_t granule = 0, bytes = 0;
	for (unsigned cls = 1; cls <= HAK_CLASS_COUNT; cls++) {
		bytes = next_class_bytes(bytes);
		class_block_bytes[cls] = (uint32_t)bytes;
		class_inverse[cls] = UINT64_MAX / bytes + 1;
		class_layout[cls] = layout_for(bytes);
		for (; granule <= bytes / HAK_MIN_ALIGN; granule++)
			class_of_granules[granule] = (uint8_t)cls;
	}
	HAK_VERIFY(class_bytes(HAK_CLASS_COUNT) == HAK_SMALL_MAX);
	for (unsigned cls = HAK_CLASS_COUNT, plain = 0; cls > 0; cls--) {
		if (class_bytes(cls) % COLOUR_MIN_STEP == 0 && class_layout[cls].colours == 1)
			plain = cls;
		class_for_align[0][cls] = (uint8_t)cls;
		class_for_align[1][cls] = (uint8_t)plain;
	}
}
