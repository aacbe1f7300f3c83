/* aarch64: what the CPU has, and what is made of it.
 *
 * Atomic instructions (LSE) need nothing from here: gcc's and clang's default
 * -moutline-atomics looks for them by itself and takes exclusive loads and stores
 * where they are missing.
 */
#include "arch/arch.h"

#include "arch/aarch64/copy.h"
#include "arch/aarch64/memtag.h"
#include "arch/inline.h"
#include "arch/sysfs.h"
#include "arch/ticks.h"

static uint64_t feature_if(bool present, uint64_t feature)
{
	return present ? feature : 0;
}

#ifdef HAKMEM_HAVE_CPU_FEATURES
#include <cpuinfo_aarch64.h>

static void detect_features(struct hak_arch *a)
{
	const Aarch64Info info = GetAarch64Info();
	a->detected_by = "cpu_features";
	a->features |= feature_if(info.features.asimd, ARCH_HAS(ASIMD));
	a->features |= feature_if(info.features.atomics, ARCH_HAS(ATOMICS));
	a->features |= feature_if(info.features.lrcpc, ARCH_HAS(LRCPC));
	a->features |= feature_if(info.features.dcpop, ARCH_HAS(DCPOP));
	a->features |= feature_if(info.features.sve, ARCH_HAS(SVE));
	a->features |= feature_if(info.features.mte, ARCH_HAS(MTE));
}
#else
#include <asm/hwcap.h>
#include <sys/auxv.h>

enum { CAP2_MTE = 1 << 18 }; /* HWCAP2_MTE, which older headers do not have */

static void detect_features(struct hak_arch *a)
{
	unsigned long hwcap = getauxval(AT_HWCAP);
	a->detected_by = "auxv";
	a->features |= feature_if(hwcap & HWCAP_ASIMD, ARCH_HAS(ASIMD));
	a->features |= feature_if(hwcap & HWCAP_ATOMICS, ARCH_HAS(ATOMICS));
	a->features |= feature_if(hwcap & HWCAP_LRCPC, ARCH_HAS(LRCPC));
	a->features |= feature_if(hwcap & HWCAP_DCPOP, ARCH_HAS(DCPOP));
	a->features |= feature_if(hwcap & HWCAP_SVE, ARCH_HAS(SVE));
	a->features |= feature_if(getauxval(AT_HWCAP2) & CAP2_MTE, ARCH_HAS(MTE));
}
#endif

void arch_native_detect(struct hak_arch *a)
{
	size_t llc_bytes = sysfs_llc_bytes();
	a->name = "aarch64";
	a->cacheline_bytes = hak_cacheline_bytes();
	if (llc_bytes != 0) {
		a->llc_bytes = llc_bytes;
		a->llc_from = "sysfs";
	}
	detect_features(a);
	a->features |= feature_if(zva_block_bytes() != 0, ARCH_HAS(ZVA));
	a->features |= ARCH_HAS(CNTVCT); /* part of the architecture, as seen from Linux */
	ticks_begin();
}

static const struct arch_variant variants[] = {
	{ ARCH_OP_COPY_NT, "stnp", ARCH_HAS(ASIMD), { .copy_nt = copy_nt_stnp } },
	{ ARCH_OP_CLEAR_NT, "stnp", ARCH_HAS(ASIMD), { .clear_nt = clear_nt_stnp } },
	{ ARCH_OP_CLEAR_NT, "zva", ARCH_HAS(ZVA), { .clear_nt = clear_nt_zva } },
	{ ARCH_OP_NOW_NS, "cntvct", ARCH_HAS(CNTVCT), { .now_ns = ticks_now_ns } },
	{ ARCH_OP_MEMTAG, "mte", ARCH_HAS(MTE), { .memtag = &memtag_mte } },
};

const struct arch_variants arch_native_variants = { variants, HAK_ARRAY_LEN(variants) };
