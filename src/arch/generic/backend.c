/* The reference: what works everywhere, in terms of the C library. */
#include <string.h>

#include "arch/arch.h"
#include "common/os.h"

void arch_generic_fill(struct hak_arch *a)
{
	*a = (struct hak_arch){
		.name = "generic",
		.detected_by = "nothing",
		.llc_from = "assumption",
		.llc_bytes = ARCH_LLC_ASSUMED_BYTES,
		.cacheline_bytes = 64,
	};
}

static void copy_generic(void *restrict dst, const void *restrict src, size_t n)
{
	memcpy(dst, src, n);
}

static void clear_generic(void *p, size_t n)
{
	memset(p, 0, n);
}

static const struct arch_variant variants[] = {
	{ ARCH_OP_COPY_NT, "memcpy", 0, { .copy_nt = copy_generic } },
	{ ARCH_OP_CLEAR_NT, "memset", 0, { .clear_nt = clear_generic } },
	{ ARCH_OP_NOW_NS, "clock_gettime", 0, { .now_ns = os_now_ns } },
	{ ARCH_OP_MEMTAG, "none", 0, { .memtag = NULL } },
};

const struct arch_variants arch_generic_variants = { variants, HAK_ARRAY_LEN(variants) };
