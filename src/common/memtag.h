/* Memory tags for blocks (HAKMEM_MTE), where the CPU and the kernel have them (arch/memtag.h).
 *
 * A block's bytes, as far as they were asked for, get a random tag, and the program gets a
 * pointer with it. Whose index in the slab is odd has an odd tag, the others even ones, and what
 * begins at a unit's start (a large block, a slab's first block) an even one; no block has tag
 * 0, which the 16 bytes behind a block have if no other block begins there. So blocks that touch
 * never have the same tag, whatever other threads do: a slab that ends with its last block has
 * an even number of them. A freed block gets another tag, which the next block there keeps.
 *
 * So an access past a block's end or before its start, and one to a block that was freed last or
 * is used again for the first time, traps for certain; after more reuse one in about seven passes.
 *
 * Blocks of slabs and large ones only: a huge block would have to be touched whole.
 *
 * The allocator knows addresses without tags; it never reads or writes blocks but where it
 * clears or copies them for the program (with the program's pointer) and in what full checking,
 * samplers and reports look at, which is between memtag_pause() and memtag_resume(). Thread
 * caches have no capacity: the hit path knows no tags. */
#ifndef HAK_COMMON_MEMTAG_H
#define HAK_COMMON_MEMTAG_H

#include "arch/memtag.h"
#include "common/base.h"

enum memtag_mode { MEMTAG_OFF, MEMTAG_SYNC, MEMTAG_ASYNC };

/* NULL: off. Written once, at the start. */
extern const struct hak_memtag *memtag;

HAK_INLINE bool memtag_is_on(void)
{
	return HAK_UNLIKELY(memtag != NULL);
}

/* Turn it on, if it is asked for and there; one line if it is not there. After options_load();
 * memory that was mapped before has no tags, and its blocks none. */
void memtag_start(void);

/* A block goes to the program, which asked for `bytes`; `room` is up to the next block. The
 * pointer for it. */
void *memtag_out(uintptr_t block, size_t bytes, size_t room, uint32_t index);

/* It comes back. */
void memtag_in(uintptr_t block, size_t room, uint32_t index);

/* How many bytes from the start on have the block's tag. */
size_t memtag_bytes(uintptr_t block, size_t room);

/* Memory that may have tags of former blocks has none any more. */
void memtag_clear(uintptr_t base, size_t bytes);

HAK_INLINE unsigned memtag_of(uintptr_t pointer)
{
	return (unsigned)(pointer >> MEMTAG_SHIFT) % MEMTAG_COUNT;
}

HAK_INLINE unsigned memtag_at(uintptr_t addr)
{
	return memtag_of(memtag->get(addr));
}

HAK_INLINE bool memtag_pause(void)
{
	return memtag_is_on() && memtag->pause();
}

HAK_INLINE void memtag_resume(bool was_paused)
{
	if (memtag_is_on())
		memtag->resume(was_paused);
}

/* Is this siginfo_t's si_code, of a SIGSEGV, about a wrong tag? *late: the access was made
 * some time before. */
bool memtag_is_fault(int code, bool *late);

#endif
