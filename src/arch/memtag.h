/* Tags of memory: a CPU that has them keeps one per 16 bytes, and an access through a pointer
 * with another tag in its upper bits traps. One table per machine that has them, chosen as the
 * other operations are (arch.h); common/memtag.h is what uses it. */
#ifndef HAK_ARCH_MEMTAG_H
#define HAK_ARCH_MEMTAG_H

#include "common/base.h"

struct hak_memtag {
	/* What mmap's `prot` must have beside reading and writing, for memory that has tags. */
	int prot;

	/* Let accesses with a wrong tag trap, at once or (`async`) some time later, and system
	 * calls take pointers with tags: of this thread and of those that it makes. False: the
	 * kernel refuses. */
	bool (*enable)(bool async);
	/* Let this thread's accesses pass from now on. */
	void (*disable)(void);

	/* addr with a random tag; none of those whose bit is set in `excluded`. */
	uintptr_t (*choose)(uintptr_t addr, unsigned excluded);
	/* addr with the tag that its memory has; addr without, if it has none. */
	uintptr_t (*get)(uintptr_t addr);
	/* Give memory the tag of this pointer. Multiples of 16 bytes. */
	void (*set)(uintptr_t tagged, size_t bytes);

	/* Let this thread's accesses pass, until resume(), which is told what pause() returned. */
	bool (*pause)(void);
	void (*resume)(bool was_paused);
};

enum { MEMTAG_GRANULE_BYTES = 16, MEMTAG_SHIFT = 56, MEMTAG_COUNT = 16 };

#endif
