/* Arm ARM, D6: tags of 4 bits in bits 59 to 56 of a pointer, and per 16 bytes of memory that
 * is mapped with PROT_MTE. What the kernel has to do with it:
 * Documentation/arm64/memory-tagging-extension.rst; its numbers are here because
 * older headers do not have them. */
#include "arch/aarch64/memtag.h"

#include <sys/prctl.h>

/* For the assembler, whatever the file is compiled for. */
#define MTE ".arch armv8.5-a+memtag\n\t"

enum {
	PROT_TAGGED = 0x20,        /* PROT_MTE */
	SET_TAGGED_ADDR_CTRL = 55, /* PR_... */
	TAGGED_ADDR_ENABLE = 1 << 0,
	TRAP_SYNC = 1 << 1,    /* PR_MTE_TCF_SYNC */
	TRAP_ASYNC = 1 << 2,   /* PR_MTE_TCF_ASYNC */
	RANDOM_TAGS_SHIFT = 3, /* PR_MTE_TAG_SHIFT */
	RANDOM_TAGS = 0xfffe,  /* all but 0 */
};

static bool control(unsigned long trap)
{
	unsigned long tags = (unsigned long)RANDOM_TAGS << RANDOM_TAGS_SHIFT;
	return prctl(SET_TAGGED_ADDR_CTRL, TAGGED_ADDR_ENABLE | trap | tags, 0ul, 0ul, 0ul) == 0;
}

static bool mte_enable(bool async)
{
	return control(async ? TRAP_ASYNC : TRAP_SYNC);
}

static void mte_disable(void)
{
	(void)control(0);
}

static uintptr_t mte_choose(uintptr_t addr, unsigned excluded)
{
	uintptr_t tagged;
	__asm__ volatile(MTE "irg %0, %1, %2" : "=r"(tagged) : "r"(addr), "r"((uint64_t)excluded));
	return tagged;
}

static uintptr_t mte_get(uintptr_t addr)
{
	uintptr_t tagged = addr;
	__asm__ volatile(MTE "ldg %0, [%0]" : "+r"(tagged)::"memory");
	return tagged;
}

static void mte_set(uintptr_t tagged, size_t bytes)
{
	uintptr_t p = tagged, end = tagged + bytes;
	if (bytes / MEMTAG_GRANULE_BYTES % 2 != 0)
		__asm__ volatile(MTE "stg %0, [%0], #16" : "+r"(p)::"memory");
	while (p != end)
		__asm__ volatile(MTE "st2g %0, [%0], #32" : "+r"(p)::"memory");
}

/* PSTATE.TCO: tag check override. */
static bool mte_pause(void)
{
	uint64_t was;
	__asm__ volatile(MTE "mrs %0, tco\n\tmsr tco, #1" : "=r"(was)::"memory");
	return was != 0;
}

static void mte_resume(bool was_paused)
{
	if (!was_paused)
		__asm__ volatile(MTE "msr tco, #0" ::: "memory");
}

const struct hak_memtag memtag_mte = {
	.prot = PROT_TAGGED,
	.enable = mte_enable,
	.disable = mte_disable,
	.choose = mte_choose,
	.get = mte_get,
	.set = mte_set,
	.pause = mte_pause,
	.resume = mte_resume,
};
