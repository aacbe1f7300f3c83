/* The map of live granules: see granules.h.
 *
 * Root entry per 64 MiB of address space, 48 bits of it; a leaf has one bit a
 * granule, made at the first claim and kept.
 */
#include "granules.h"

#include "support.h"

#include <stdatomic.h>
#include <sys/mman.h>

enum {
	WORD_SHIFT = 10,  /* 64 granules a word */
	LEAF_SHIFT = 26,
	SPACE_SHIFT = 48,
	LEAF_WORDS = 1 << (LEAF_SHIFT - WORD_SHIFT),
	ROOT_ENTRIES = 1 << (SPACE_SHIFT - LEAF_SHIFT),
};

static _Atomic(_Atomic uint64_t *) root[ROOT_ENTRIES];

static _Atomic uint64_t *leaf_of(uintptr_t at)
{
	if (at >> SPACE_SHIFT)
		fail("block at %#lx lies above 48 bits", (unsigned long)at);
	_Atomic(_Atomic uint64_t *) *entry = &root[at >> LEAF_SHIFT];
	_Atomic uint64_t *leaf = atomic_load_explicit(entry, memory_order_acquire);
	if (leaf)
		return leaf;
	size_t bytes = LEAF_WORDS * sizeof(*leaf);
	void *pages = pages_get(bytes);
	_Atomic uint64_t *fresh = pages;
	if (atomic_compare_exchange_strong_explicit(entry, &leaf, fresh, memory_order_acq_rel,
						    memory_order_acquire))
		return fresh;
	munmap(pages, bytes);
	return leaf;
}

/* Bits of the word at `word` which belong to [from, to). */
static uint64_t word_mask(uintptr_t word, uintptr_t from, uintptr_t to)
{
	uint64_t mask = ~UINT64_C(0);
	uintptr_t end = word + (UINT64_C(1) << WORD_SHIFT);

	if (from > word)
		mask &= ~UINT64_C(0) << ((from - word) / GRANULE_BYTES);
	if (to < end)
		mask &= ~UINT64_C(0) >> ((end - to) / GRANULE_BYTES);
	return mask;
}

static const void *flip(const void *p, size_t bytes, bool claim)
{
	uintptr_t from = (uintptr_t)p & ~(uintptr_t)(GRANULE_BYTES - 1);
	uintptr_t to = ((uintptr_t)p + (bytes ? bytes : 1) + GRANULE_BYTES - 1) &
		       ~(uintptr_t)(GRANULE_BYTES - 1);
	uintptr_t word = from >> WORD_SHIFT << WORD_SHIFT;

	for (; word < to; word += UINT64_C(1) << WORD_SHIFT) {
		_Atomic uint64_t *leaf = leaf_of(word);
		_Atomic uint64_t *w = &leaf[word >> WORD_SHIFT & (LEAF_WORDS - 1)];
		uint64_t mask = word_mask(word, from, to), wrong;
		if (claim)
			wrong = atomic_fetch_or_explicit(w, mask, memory_order_relaxed) & mask;
		else
			wrong = ~atomic_fetch_and_explicit(w, ~mask, memory_order_relaxed) & mask;
		if (wrong)
			return (const char *)p + (word - (uintptr_t)p) +
			       (uintptr_t)__builtin_ctzll(wrong) * GRANULE_BYTES;
	}
	return NULL;
}

const void *granules_claim(const void *p, size_t bytes)
{
	return flip(p, bytes, true);
}

const void *granules_release(const void *p, size_t bytes)
{
	return flip(p, bytes, false);
}
