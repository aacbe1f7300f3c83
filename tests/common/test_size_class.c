/* common/size_class.c: every size, and every offset of every class, against plain
 * arithmetic. */
#include "unit.h"

#include "common/size_class.h"

#define FOR_EACH_CLASS(cls) for (unsigned cls = 1; cls <= HAK_CLASS_COUNT; cls++)

static void table(void)
{
	size_t last = 0;
	FOR_EACH_CLASS(cls)
	{
		size_t bytes = class_bytes(cls);
		CHECK(bytes > last, "class %u has %zu bytes, the one before %zu", cls, bytes, last);
		CHECK_U64(bytes % HAK_MIN_ALIGN, 0,
			  "bytes beyond a multiple of the least alignment");
		last = bytes;
	}
	CHECK_U64(class_bytes(1), HAK_MIN_ALIGN, "smallest class");
	CHECK_U64(class_bytes(HAK_CLASS_COUNT), HAK_SMALL_MAX, "largest class");
	CHECK_U64(class_bytes(0), 0, "bytes of class 0, which is none");
}

static void sizes(void)
{
	for (size_t size = 0; size <= HAK_SMALL_MAX; size++) {
		size_t wanted = size == 0 ? 1 : size;
		unsigned cls = size_class(size);
		size_t waste;
		if (!CHECK(cls >= 1 && cls <= HAK_CLASS_COUNT, "size %zu has class %u", size, cls))
			continue;
		waste = class_bytes(cls) - wanted;
		CHECK(class_bytes(cls) >= wanted, "size %zu in a block of %zu", size,
		      class_bytes(cls));
		CHECK(cls == 1 || class_bytes(cls - 1) < wanted, "size %zu fits in class %u", size,
		      cls - 1);
		if (wanted <= 128)
			CHECK(waste < 16, "size %zu wastes %zu bytes", size, waste);
		else
			CHECK(waste * (wanted <= 8192 ? 8 : 5) <= class_bytes(cls),
			      "size %zu wastes %zu of %zu bytes", size, waste, class_bytes(cls));
	}
}

static void layouts(void)
{
	FOR_EACH_CLASS(cls)
	{
		size_t bytes = class_bytes(cls);
		size_t units = class_layout[cls].units, slab = units * HAK_UNIT_BYTES;
		CHECK(units >= 1 && units <= HAK_SLAB_MAX_UNITS, "class %u: %zu units", cls, units);
		CHECK_U64(class_layout[cls].capacity, slab / bytes, "blocks per slab");
		CHECK(slab / bytes >= HAK_SLAB_MIN_BLOCKS || units == HAK_SLAB_MAX_UNITS,
		      "class %u: %zu blocks in %zu units", cls, slab / bytes, units);
		CHECK(units == 1 || (units - 1) * HAK_UNIT_BYTES / bytes < HAK_SLAB_MIN_BLOCKS ||
			      (units - 1) * HAK_UNIT_BYTES % bytes == 0,
		      "class %u: %zu units, and one fewer would do", cls, units);
	}
}

static size_t tail_of(unsigned cls)
{
	return class_layout[cls].units * HAK_UNIT_BYTES -
	       class_layout[cls].capacity * class_bytes(cls);
}

/* Blocks of a multiple of 512 bytes that is no power of two have as many colours as reach other
 * sets of a page; others have one. */
static void colours(void)
{
	FOR_EACH_CLASS(cls)
	{
		size_t bytes = class_bytes(cls), expected = 1;
		while (bytes % (512 * expected) == 0 && !is_pow2(bytes) && expected < 16)
			expected *= 2;
		CHECK_U64(class_layout[cls].colours, expected, "colours");
		CHECK((expected - 1) * HAK_COLOUR_BYTES <= tail_of(cls),
		      "class %u: %zu colours in %zu bytes", cls, expected, tail_of(cls));
	}
}

/* Nothing starts before the first block, as far as the colours go. */
static void before_the_first(void)
{
	FOR_EACH_CLASS(cls)
	{
		for (uint64_t x = 1; x <= (class_layout[cls].colours - 1u) * HAK_COLOUR_BYTES;
		     x++) {
			uint64_t index;
			if (!CHECK(!block_starts(class_inverse[cls], 0 - x, &index),
				   "class %u: a block starts %u bytes before the first", cls,
				   (unsigned)x))
				break;
		}
	}
}

static void offsets(void)
{
	FOR_EACH_CLASS(cls)
	{
		const uint32_t bytes = (uint32_t)class_bytes(cls);
		const uint32_t slab = class_layout[cls].units * (uint32_t)HAK_UNIT_BYTES;
		for (uint32_t offset = 0; offset < slab; offset++) {
			uint64_t index;
			bool starts = block_starts(class_inverse[cls], offset, &index);
			if (!CHECK(class_block_index(cls, offset) == offset / bytes,
				   "class %u of %u bytes: offset %u is in block %u, not %u", cls,
				   bytes, offset, class_block_index(cls, offset), offset / bytes) ||
			    !CHECK(index == offset / bytes && starts == (offset % bytes == 0),
				   "class %u of %u bytes: offset %u: block %u starts there: %d",
				   cls, bytes, offset, (unsigned)index, starts))
				break;
		}
	}
	for (uint64_t offset = 0; offset < 4096; offset++) {
		uint64_t index;
		CHECK(!block_starts(0, offset, &index), "a block without an inverse");
	}
}

static unsigned naive_aligned(size_t bytes, size_t align)
{
	FOR_EACH_CLASS(cls)
	{
		bool all = true;
		if (class_bytes(cls) < bytes)
			continue;
		for (unsigned i = 0; i < 3; i++) /* of blocks 0, 1, 2 follow the others */
			for (unsigned c = 0; c < class_layout[cls].colours; c++)
				all &= (c * HAK_COLOUR_BYTES + i * class_bytes(cls)) % align == 0;
		if (all)
			return cls;
	}
	return 0;
}

static void aligned(void)
{
	const size_t step = test_scaled(1, 13);
	for (size_t align = 1; align <= 4 * HAK_UNIT_BYTES; align *= 2) {
		for (size_t size = 0; size <= HAK_SMALL_MAX; size += step) {
			unsigned cls = size_class_aligned(size, align);
			if (!CHECK(cls == naive_aligned(size, align),
				   "size %zu aligned to %zu: class %u, not %u", size, align, cls,
				   naive_aligned(size, align)))
				break;
		}
		CHECK_U64(size_class_aligned(HAK_SMALL_MAX + 1, align), 0,
			  "class of a larger size");
		CHECK_U64(size_class_aligned(SIZE_MAX, align), 0, "class of the largest size");
	}
	CHECK_U64(size_class_aligned(1, (size_t)1 << 63), 0, "class of the largest alignment");
	CHECK_U64(size_class_aligned(HAK_SMALL_MAX, HAK_SMALL_MAX), HAK_CLASS_COUNT,
		  "class of 32 KiB");
}

static const struct test_case cases[] = {
	{ "table", table },
	{ "sizes", sizes },
	{ "layouts", layouts },
	{ "colours", colours },
	{ "before_the_first", before_the_first },
	{ "offsets", offsets },
	{ "aligned", aligned },
};

UNIT_MAIN(cases)
