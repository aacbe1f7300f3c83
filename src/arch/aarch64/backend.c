#include "arch/arch.h"

#ifdef HAKMEM_HAVE_CPU_FEATURES
#include <cpuinfo_aarch64.h>
#else
#include <sys/auxv.h>
#include <asm/hwcap.h>
#endif

/* CTR_EL0 is readable in user space: bits 19-16 are log2 of the words in the
 * smallest data cache line (Arm ARM, D17.2.34). */
static uint32_t line_bytes(void)
{
	uint64_t ctr;
	__asm__("mrs %0, ctr_el0" : "=r"(ctr));
	return 4u << (ctr >> 16 & 15);
}

#ifdef HAKMEM_HAVE_CPU_FEATURES
static void add_features(struct hak_arch *a)
{
	const Aarch64Info info = GetAarch64Info();
	a->detected_by = "cpu_features";
	arch_add_feature(a, "atomics", info.features.atomics);
	arch_add_feature(a, "lrcpc", info.features.lrcpc);
	arch_add_feature(a, "dcpop", info.features.dcpop);
	arch_add_feature(a, "sve", info.features.sve);
	arch_add_feature(a, "mte", info.features.mte);
}
#else
static void add_features(struct hak_arch *a)
{
	unsigned long hwcap = getauxval(AT_HWCAP);
	a->detected_by = "auxv";
	arch_add_feature(a, "atomics", hwcap & HWCAP_ATOMICS);
	arch_add_feature(a, "lrcpc", hwcap & HWCAP_LRCPC);
	arch_add_feature(a, "dcpop", hwcap & HWCAP_DCPOP);
	arch_add_feature(a, "sve", hwcap & HWCAP_SVE);
}
#endif

void arch_native_fill(struct hak_arch *a)
{
	a->name = "aarch64";
	a->cacheline_bytes = line_bytes();
	add_features(a);
}
