#include "arch/pmu.h"

#include "arch/detect.h"

/* Counters are left to the kernel's file descriptors; without a clock of its own and a
 * way to empty the cache nothing can be told from timed loads. */
const struct hak_pmu pmu_generic = { 0 };

const struct hak_pmu *pmu_get(void)
{
#if HAK_ARCH_X86_64 || HAK_ARCH_AARCH64
	return &pmu_native;
#else
	return &pmu_generic;
#endif
}
