#include "common/bulk.h"

#include "arch/arch.h"
#include "common/knobs.h"

/* A larger cache is shared by so many that nobody has more of it. */
enum { LLC_SHARE_MAX_BYTES = 128 * 1024 * 1024 };

static size_t threshold(size_t share_max)
{
	size_t share = min_size(arch_get()->llc_bytes, share_max);
	size_t percent = (size_t)knob_get(HAK_KNOB_NT_THRESHOLD, 0);
	return max_size(share / 100 * percent, BULK_NT_LEAST_BYTES);
}

size_t bulk_nt_copy_bytes(void)
{
	return threshold(LLC_SHARE_MAX_BYTES / 2); /* for each of the two places */
}

size_t bulk_nt_clear_bytes(void)
{
	return threshold(LLC_SHARE_MAX_BYTES);
}

HAK_COLD void bulk_copy_large(void *restrict dst, const void *restrict src, size_t n)
{
	if (n < bulk_nt_copy_bytes())
		memcpy(dst, src, n);
	else
		arch_get()->copy_nt(dst, src, n);
}

HAK_COLD void bulk_clear_large(void *p, size_t n)
{
	if (n < bulk_nt_clear_bytes())
		memset(p, 0, n);
	else
		arch_get()->clear_nt(p, n);
}
