#include "common/memtag.h"

#include "arch/arch.h"
#include "common/diag.h"
#include "common/options.h"
#include "common/os.h"

HAK_STATIC_ASSERT(HAK_MIN_ALIGN % MEMTAG_GRANULE_BYTES == 0, "a granule is of one block");

enum {
	EVEN_TAGS = 0x5555,
	ODD_TAGS = 0xaaaa,
	/* <asm-generic/siginfo.h>; SEGV_MTEAERR and SEGV_MTESERR, from 2.31 on in the C
	 * library's. */
	FAULT_LATE = 8,
	FAULT_AT_ONCE = 9,
};

const struct hak_memtag *memtag;

void memtag_start(void)
{
	static bool done;
	const struct hak_memtag *m;
	if (HAK_LIKELY(options.mte == MEMTAG_OFF) || done)
		return;
	done = true;
	m = arch_get()->memtag;
	if (m == NULL || !m->enable(options.mte == MEMTAG_ASYNC)) {
		diag_line("HAKMEM_MTE: this machine has no memory tags; it goes on without");
		return;
	}
	os_tag_blocks(m->prot);
	memtag = m;
}

static unsigned bit_of(unsigned tag)
{
	return 1u << tag;
}

static unsigned wrong_parity(uint32_t index)
{
	return index % 2 != 0 ? EVEN_TAGS : ODD_TAGS;
}

/* A tag for a block of this index, other than that of its memory. */
static uintptr_t choose(uintptr_t block, uint32_t index)
{
	return memtag->choose(block, bit_of(0) | bit_of(memtag_at(block)) | wrong_parity(index));
}

/* Bytes from the start on whose tag is `tag`. */
static size_t run_bytes(uintptr_t block, size_t room, unsigned tag)
{
	size_t n = 0;
	while (n < room && memtag_at(block + n) == tag)
		n += MEMTAG_GRANULE_BYTES;
	return n;
}

void *memtag_out(uintptr_t block, size_t bytes, size_t room, uint32_t index)
{
	uintptr_t tagged = memtag->get(block);
	size_t used = align_up(max_size(bytes, 1), MEMTAG_GRANULE_BYTES);
	if (((bit_of(0) | wrong_parity(index)) & bit_of(memtag_of(tagged))) != 0)
		tagged = choose(block, index);
	memtag->set(tagged, used);
	if (used < room)
		memtag->set(block + used, MEMTAG_GRANULE_BYTES);
	return (void *)tagged;
}

void memtag_in(uintptr_t block, size_t room, uint32_t index)
{
	unsigned tag = memtag_at(block);
	if (tag != 0) /* 0: it went out before tags were */
		memtag->set(choose(block, index), run_bytes(block, room, tag));
}

size_t memtag_bytes(uintptr_t block, size_t room)
{
	return run_bytes(block, room, memtag_at(block));
}

void memtag_clear(uintptr_t base, size_t bytes)
{
	memtag->set(base, bytes);
}

bool memtag_is_fault(int code, bool *late)
{
	*late = code == FAULT_LATE;
	return memtag_is_on() && (code == FAULT_LATE || code == FAULT_AT_ONCE);
}
