#include "common/bulk.h"

#include "arch/arch.h"
#include "common/knobs.h"

/* A larger cache is shared by so many that nobody has more of it. */
enum { LLC_SHARE_MAX_BYTES = 128 * 1024 * 1024 };

size_t bulk_nt_threshold_bytes(void)
{
	size_t share = min_size(arch_get()->llc_bytes, LLC_SHARE_MAX_BYTES);
	size_t percent = (size_t)knob_get(HAK_KNOB_NT_THRESHOLD, 0);
	return max_size(share / 100 * percent, BULK_NT_LEAST_BYTES);
}

HAK_COLD void bulk_copy_large(void *restrict dst, const void *restrict src, size_t n)
{
	if (n < bulk_nt_threshold_bytes())
		memcpy(dst, src, n);
	else
		arch_get()->copy_nt(dst, src, n);
}

HAK_COLD void bulk_clear_large(void *p, size_t n)
{
	if (n / 2 < bulk_nt_threshold_bytes())
		memset(p, 0, n);
	else
		arch_get()->clear_nt(p, n);
}
