#include "common/slab.h"

#include <string.h>

#include "arch/inline.h"
#include "common/bits.h"
#include "common/fault.h"
#include "common/memtag.h"
#include "common/meta.h"
#include "common/options.h"
#include "common/os.h"
#include "common/superslab.h"

static struct meta_pool records[HAK_CLASS_COUNT + 1]; /* a slab's record has its class's size */
static _Atomic size_t live_slabs;
static _Atomic uint32_t last_serial;
static _Atomic uint32_t created[HAK_CLASS_COUNT + 1]; /* slabs of the class so far */
static _Atomic size_t purged_pages;                   /* those marked in the slabs' purged_pages */

size_t slab_count(void)
{
	return atomic_load_relaxed(&live_slabs);
}

size_t slab_purged_bytes(void)
{
	return atomic_load_relaxed(&purged_pages) * os_page_bytes();
}

static size_t states_bytes(unsigned capacity)
{
	return align_up(capacity + 1, sizeof(uint64_t));
}

static unsigned bitmap_words(unsigned capacity)
{
	return (capacity + 63) / 64;
}

static size_t record_bytes(unsigned capacity)
{
	return offsetof(struct slab, states) + states_bytes(capacity) +
	       bitmap_words(capacity) * sizeof(uint64_t);
}

static uint64_t *bitmap_of(const struct slab *s)
{
	return (uint64_t *)((uintptr_t)s->states + states_bytes(s->capacity));
}

/* States of the blocks of one bitmap word. Those of another slab lie a header away at least:
 * an offset within the word says that a block is of the slab, too. */
enum { WORD_BITS = 64 };
HAK_STATIC_ASSERT(offsetof(struct slab, states) >= WORD_BITS, "states of slabs are far apart");

static size_t state_offset(const _Atomic uint8_t *state, const _Atomic uint8_t *from)
{
	return (size_t)((uintptr_t)state - (uintptr_t)from);
}

void slab_find(unsigned cls, const struct cached_block *blocks, unsigned n, struct slab **slabs)
{
	const unsigned capacity = class_layout[cls].capacity;
	const _Atomic uint8_t *states = NULL, *word_states = NULL;
	struct slab *s = NULL;
	for (unsigned i = 0; i < n; i++) {
		if (state_offset(blocks[i].state, word_states) >= WORD_BITS) {
			size_t w;
			if (state_offset(blocks[i].state, states) >= capacity) {
				s = slab_of_block(blocks[i].block);
				states = s->states;
				hak_prefetch(s);
			}
			w = state_offset(blocks[i].state, states) / WORD_BITS;
			word_states = states + w * WORD_BITS;
			/* Not bitmap_of(), which reads the record. */
			hak_prefetch(states + states_bytes(capacity) + w * sizeof(uint64_t));
		}
		slabs[i] = s;
	}
}

/* As slab_entry_is_sound() for each. Of one slab is looked up where it is; its other blocks follow
 * from the places of their states, which is also cheaper than a division by their size. */
unsigned slab_sound_run(unsigned cls, const struct cached_block *entries, unsigned n)
{
	const size_t bytes = class_bytes(cls);
	const unsigned capacity = class_layout[cls].capacity;
	const _Atomic uint8_t *states = NULL;
	uintptr_t base = 0;
	for (unsigned i = 0; i < n; i++) {
		const uintptr_t block = (uintptr_t)entries[i].block;
		size_t index = state_offset(entries[i].state, states);
		if (states == NULL || index >= capacity) { /* of another slab */
			const struct registry_unit *unit;
			if (HAK_UNLIKELY(!registry_covers(block)))
				return i;
			unit = registry_unit_of(block);
			if (HAK_UNLIKELY(tag_kind(unit_tag(unit)) != cls))
				return i;
			base = tag_base(unit_tag(unit));
			states = unit_record(unit);
			index = state_offset(entries[i].state, states);
		}
		if (HAK_UNLIKELY(index >= capacity) ||
		    HAK_UNLIKELY(block != base + index * bytes) ||
		    HAK_UNLIKELY(atomic_load_relaxed(&states[index]) != BLOCK_CACHED))
			return i;
	}
	return n;
}

struct cached_block slab_locate(unsigned cls, void *block)
{
	const struct registry_unit *unit = registry_unit_of((uintptr_t)block);
	uintptr_t offset = tag_offset(unit_tag(unit), (uintptr_t)block);
	_Atomic uint8_t *states = unit_record(unit);
	return (struct cached_block){ states + class_block_index(cls, (uint32_t)offset), block };
}

/* The bits that exist in word w. */
static uint64_t word_mask(unsigned capacity, unsigned w)
{
	unsigned bits = capacity - w * 64;
	return bits >= 64 ? UINT64_MAX : (UINT64_C(1) << bits) - 1;
}

static size_t next_colour(unsigned cls)
{
	uint32_t n = atomic_add_relaxed(&created[cls], 1);
	return n % class_layout[cls].colours * HAK_COLOUR_BYTES;
}

struct slab *slab_create(unsigned cls, struct heap *owner)
{
	unsigned capacity = class_layout[cls].capacity;
	struct slab *s = meta_pool_alloc(&records[cls], record_bytes(capacity));
	struct span span;
	uint64_t *bitmap;
	if (s == NULL)
		return NULL;
	if (!span_alloc(&span, class_layout[cls].units, 1)) {
		meta_pool_free(&records[cls], s);
		return NULL;
	}
	list_init(&s->link);
	atomic_store_release(&s->owner, owner); /* pairs with owner_of() in heap.c */
	s->superslab = span.superslab;
	s->base = span.base + next_colour(cls);
	s->cls = (uint8_t)cls;
	s->units = (uint8_t)span.units;
	s->first_unit = span.first;
	s->former_colour = registry_former_colour(span.base);
	s->capacity = s->free_count = (uint16_t)capacity;
	s->scan_from = 0;
	/* What of a used span's pages is in memory is not known: count all as touched. */
	s->carved = span.zeroed ? 0 : (uint16_t)capacity;
	list_init(&s->release_link);
	s->freed_at_ms = 0;
	s->serial = atomic_add_relaxed(&last_serial, 1) + 1;
	for (unsigned i = 0; i < SLAB_PAGE_WORDS; i++)
		s->purged_pages[i] = 0;
	/* Not atomically: nobody reads the states of a slab that is not entered. */
	memset((void *)(uintptr_t)s->states, BLOCK_FREE, capacity + 1);
	bitmap = bitmap_of(s);
	for (unsigned w = 0; w < bitmap_words(capacity); w++)
		bitmap[w] = word_mask(capacity, w);
	if (memtag_is_on() && !span.zeroed)
		memtag_clear(span.base, (size_t)s->units * HAK_UNIT_BYTES);
	if (HAK_LIKELY(!fault_take(FAULT_UNREGISTERED)))
		registry_set(s->base, s->units, cls, s->states);
	atomic_add_relaxed(&live_slabs, 1);
	return s;
}

static void forget_purged(struct slab *s)
{
	size_t pages = 0;
	for (unsigned i = 0; i < SLAB_PAGE_WORDS; i++)
		pages += bit_count(s->purged_pages[i]);
	if (pages > 0)
		atomic_sub_relaxed(&purged_pages, pages);
}

void slab_destroy(struct slab *s)
{
	HAK_ASSERT(s->free_count == s->capacity);
	forget_purged(s);
	registry_clear(s->base, s->units);
	span_free(s->superslab, s->first_unit, s->units);
	atomic_sub_relaxed(&live_slabs, 1);
	meta_pool_free(&records[s->cls], s);
}

/* ---- purged pages: bit per page of the slab's units */

static bool any_purged(const struct slab *s)
{
	uint64_t any = 0;
	for (unsigned i = 0; i < SLAB_PAGE_WORDS; i++)
		any |= s->purged_pages[i];
	return any != 0;
}

static bool page_is_purged(const struct slab *s, size_t page)
{
	return s->purged_pages[page / 64] >> (page % 64) & 1;
}

/* The blocks are going to be used: their pages count as present again. */
static HAK_COLD void pages_return(struct slab *s, const struct cached_block *blocks, unsigned n)
{
	size_t returned = 0;
	for (unsigned i = 0; i < n; i++) {
		size_t offset = slab_colour(s) + (uintptr_t)blocks[i].block - s->base;
		size_t last = (offset + class_bytes(s->cls) - 1) / os_page_bytes();
		for (size_t page = offset / os_page_bytes(); page <= last; page++) {
			returned += page_is_purged(s, page);
			s->purged_pages[page / 64] &= ~(UINT64_C(1) << (page % 64));
		}
	}
	atomic_sub_relaxed(&purged_pages, returned);
}

/* ---- blocks out and in. Their loops keep all in local variables: a state is a byte, and for
 * the compiler a store to one may change any field. */

enum { TAKE_RUN = 8 }; /* neighbours that are taken at once */
#define RUN_MASK ((UINT64_C(1) << TAKE_RUN) - 1)

/* Write the entries of n blocks in a row, the lowest last. Returns where that is. */
HAK_INLINE struct cached_block *take_row(struct cached_block *to, uintptr_t block, size_t bytes,
					 _Atomic uint8_t *state, unsigned n)
{
	for (; n > 0; n--, block += bytes, state++) {
		*--to = (struct cached_block){ state, (void *)block };
		/* The program is going to write to it: let the misses of a bundle overlap. */
		hak_prefetch_write((void *)block);
		atomic_store_relaxed(state, BLOCK_CACHED);
	}
	return to;
}

unsigned slab_take(struct slab *s, struct cached_block *out, unsigned want)
{
	const unsigned n = s->free_count < want ? s->free_count : want;
	const size_t bytes = class_bytes(s->cls);
	const uintptr_t base = s->base;
	_Atomic uint8_t *const states = s->states;
	uint64_t *const bitmap = bitmap_of(s);
	struct cached_block *to = out + n;
	unsigned w = s->scan_from;
	uint64_t word;
	size_t end = 0; /* behind the last block taken */

	if (n == 0)
		return 0;
	word = bitmap[w];
	while (to > out) {
		unsigned bit, row = 1;
		size_t index;
		while (word == 0) {
			bitmap[w] = 0;
			word = bitmap[++w];
		}
		bit = bit_lowest(word);
		index = (size_t)w * WORD_BITS + bit;
		if ((word >> bit & RUN_MASK) == RUN_MASK && to - out >= TAKE_RUN) {
			row = TAKE_RUN;
			to = take_row(to, base + index * bytes, bytes, states + index, TAKE_RUN);
			word &= ~(RUN_MASK << bit);
		} else {
			to = take_row(to, base + index * bytes, bytes, states + index, 1);
			word &= word - 1;
		}
		end = index + row;
	}
	bitmap[w] = word;
	s->scan_from = (uint16_t)w;
	s->free_count = (uint16_t)(s->free_count - n);
	if (end > s->carved)
		s->carved = (uint16_t)end;
	if (HAK_UNLIKELY(any_purged(s)))
		pages_return(s, out, n);
	return n;
}

unsigned slab_put(struct slab *s, const struct cached_block *blocks, unsigned n)
{
	_Atomic uint8_t *const states = s->states, *word_states = NULL;
	uint64_t *const bitmap = bitmap_of(s);
	uint64_t nothing = 0, word = 0, *at = &nothing;
	unsigned lowest = s->scan_from, i;
	for (i = 0; i < n; i++) {
		_Atomic uint8_t *state = blocks[i].state;
		size_t bit = state_offset(state, word_states);
		HAK_ASSERT(state_offset(state, states) < s->capacity);
		HAK_ASSERT((uintptr_t)blocks[i].block ==
			   slab_block_start(s, state_offset(state, states)));
		if (bit >= WORD_BITS) { /* of another word */
			size_t index = state_offset(state, states);
			unsigned w = (unsigned)(index / WORD_BITS);
			bit = index % WORD_BITS;
			*at = word;
			at = &bitmap[w];
			word = *at;
			word_states = state - bit;
			lowest = w < lowest ? w : lowest;
		}
		if (HAK_UNLIKELY(word >> bit & 1))
			break;
		word |= UINT64_C(1) << bit;
		atomic_store_relaxed(state, BLOCK_FREE);
	}
	*at = word;
	s->scan_from = (uint16_t)lowest;
	s->free_count = (uint16_t)(s->free_count + i);
	return i;
}

bool slab_block_is_free(const struct slab *s, uint32_t index)
{
	return bitmap_of(s)[index / 64] >> (index % 64) & 1;
}

/* ---- partial release */

/* First index >= from whose bit equals `set`; capacity if none. */
static uint32_t next_bit(const struct slab *s, uint32_t from, bool set)
{
	const uint64_t *bitmap = bitmap_of(s);
	while (from < s->capacity) {
		uint64_t word = set ? bitmap[from / 64] : ~bitmap[from / 64];
		word >>= from % 64;
		if (word != 0) {
			from += bit_lowest(word);
			break;
		}
		from = (from / 64 + 1) * 64;
	}
	return from < s->capacity ? from : s->capacity;
}

static size_t purge_page_run(struct slab *s, size_t first, size_t end)
{
	size_t page = os_page_bytes();
	uintptr_t start = s->base - slab_colour(s) + first * page;
	if (!os_purge((void *)start, (end - first) * page))
		return 0;
	for (size_t i = first; i < end; i++)
		s->purged_pages[i / 64] |= UINT64_C(1) << (i % 64);
	atomic_add_relaxed(&purged_pages, end - first);
	return (end - first) * page;
}

/* Purge the pages [first, end), all free, where at least min_pages in a row are
 * still present. */
static size_t release_run(struct slab *s, size_t first, size_t end, unsigned min_pages)
{
	size_t bytes = 0;
	while (first < end) {
		size_t stop;
		while (first < end && page_is_purged(s, first))
			first++;
		for (stop = first; stop < end && !page_is_purged(s, stop);)
			stop++;
		if (stop - first >= min_pages && stop > first)
			bytes += purge_page_run(s, first, stop);
		first = stop;
	}
	return bytes;
}

size_t slab_release_pages(struct slab *s, unsigned min_pages)
{
	size_t page = os_page_bytes();
	size_t block = class_bytes(s->cls), colour = slab_colour(s);
	size_t bytes = 0;
	uint32_t i = next_bit(s, 0, true);
	if (options.check_full) /* free blocks hold what they were filled with */
		return 0;
	/* Only a huge page brings pages into memory that blocks above `carved` alone
	 * touch. */
	uint32_t limit = superslab_has_huge_pages(s->superslab) ? s->capacity : s->carved;
	while (i < limit) {
		uint32_t j = next_bit(s, i, false);
		size_t start = i == 0 ? 0 : colour + i * block; /* before block 0 nothing lies */
		size_t end = colour + min_size(j, limit) * block;
		if (j == s->capacity) /* the rest of the last page is free too */
			end = align_up(end, page);
		bytes += release_run(s, align_up(start, page) / page, end / page, min_pages);
		i = next_bit(s, j, true);
	}
	if (bytes > 0)
		superslab_use_small_pages(s->superslab);
	return bytes;
}

/* ---- checks */

void slab_check(const struct slab *s)
{
	unsigned free_bits = 0;
	HAK_VERIFY(s->capacity == class_layout[s->cls].capacity);
	HAK_VERIFY(s->units == class_layout[s->cls].units);
	HAK_VERIFY(atomic_load_relaxed(&s->states[s->capacity]) == BLOCK_FREE);
	for (uint32_t i = 0; i < s->capacity; i++) {
		bool is_free = slab_block_is_free(s, i);
		free_bits += is_free;
		HAK_VERIFY((atomic_load_relaxed(&s->states[i]) == BLOCK_FREE) == is_free);
		HAK_VERIFY(is_free || i < s->carved);
		HAK_VERIFY(!is_free || i / 64 >= s->scan_from);
	}
	HAK_VERIFY(free_bits == s->free_count);
	for (unsigned u = 0; u < s->units; u++) {
		uintptr_t addr = s->base - slab_colour(s) + (uintptr_t)u * HAK_UNIT_BYTES;
		HAK_VERIFY(unit_tag(registry_unit_of(addr)) == (s->base | s->cls));
		HAK_VERIFY(slab_of_block((void *)addr) == s);
	}
}
