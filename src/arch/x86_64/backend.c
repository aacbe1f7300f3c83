/* x86_64: what the CPU has, and what is made of it. */
#include "arch/arch.h"

#include <cpuid.h>

#include "arch/sysfs.h"
#include "arch/ticks.h"
#include "arch/x86_64/copy.h"

/* One rate in all states of power (CPUID 80000007h, EDX bit 8), and the kernel, which
 * watches whether the CPUs' counters agree, keeps time by it. */
static bool tsc_is_a_clock(void)
{
	unsigned a, b, c, d = 0;
	return __get_cpuid(0x80000007, &a, &b, &c, &d) != 0 && (d >> 8 & 1) != 0 &&
	       sysfs_clocksource_is("tsc");
}

static uint64_t feature_if(bool present, uint64_t feature)
{
	return present ? feature : 0;
}

#ifdef HAKMEM_HAVE_CPU_FEATURES
#include <cpuinfo_x86.h>
#include <string.h>

static void detect_features(struct hak_arch *a)
{
	const X86Info info = GetX86Info();
	a->detected_by = "cpu_features";
	/* A flag that is set reads -1: truth only. */
	a->features |= feature_if(info.features.avx2, ARCH_HAS(AVX2));
	a->features |= feature_if(info.features.avx512f, ARCH_HAS(AVX512F));
	a->features |= feature_if(info.features.erms, ARCH_HAS(ERMS));
	a->features |= feature_if(info.features.clflushopt, ARCH_HAS(CLFLUSHOPT));
	a->features |= feature_if(memcmp(info.vendor, "GenuineIntel", 12) == 0, ARCH_HAS(INTEL));
}

static void detect_caches(struct hak_arch *a)
{
	const CacheInfo caches = GetX86CacheInfo();
	int last = 0;
	for (int i = 0; i < caches.size; i++) {
		const CacheLevelInfo *c = &caches.levels[i];
		if (c->level == 1 && c->line_size > 0)
			a->cacheline_bytes = (uint32_t)c->line_size;
		if (c->level > last && c->cache_size > 0) {
			last = c->level;
			a->llc_bytes = (size_t)c->cache_size;
			a->llc_from = "cpu_features";
		}
	}
}
#else
static void detect_features(struct hak_arch *a)
{
	a->detected_by = "compiler built-ins";
	__builtin_cpu_init();
	a->features |= feature_if(__builtin_cpu_supports("avx2"), ARCH_HAS(AVX2));
	a->features |= feature_if(__builtin_cpu_supports("avx512f"), ARCH_HAS(AVX512F));
	a->features |= feature_if(__builtin_cpu_is("intel"), ARCH_HAS(INTEL));
}

static void detect_caches(struct hak_arch *a)
{
	size_t bytes = sysfs_llc_bytes();
	if (bytes == 0)
		return;
	a->llc_bytes = bytes;
	a->llc_from = "sysfs";
}
#endif

void arch_native_detect(struct hak_arch *a)
{
	a->name = "x86_64";
	a->features = ARCH_HAS(SSE2); /* part of x86_64 */
	detect_features(a);
	detect_caches(a);
	if (tsc_is_a_clock()) {
		a->features |= ARCH_HAS(INVARIANT_TSC);
		ticks_begin();
	}
}

static const struct arch_variant variants[] = {
	{ ARCH_OP_COPY_NT, "sse2", ARCH_HAS(SSE2), { .copy_nt = copy_nt_sse2 } },
	{ ARCH_OP_COPY_NT, "avx2", ARCH_HAS(AVX2), { .copy_nt = copy_nt_avx2 } },
	{ ARCH_OP_COPY_NT,
	  "avx512",
	  ARCH_HAS(AVX2) | ARCH_HAS(AVX512F) | ARCH_HAS(INTEL),
	  { .copy_nt = copy_nt_avx512 } },
	{ ARCH_OP_CLEAR_NT, "sse2", ARCH_HAS(SSE2), { .clear_nt = clear_nt_sse2 } },
	{ ARCH_OP_CLEAR_NT, "avx2", ARCH_HAS(AVX2), { .clear_nt = clear_nt_avx2 } },
	{ ARCH_OP_NOW_NS, "tsc", ARCH_HAS(INVARIANT_TSC), { .now_ns = ticks_now_ns } },
};

const struct arch_variants arch_native_variants = { variants, HAK_ARRAY_LEN(variants) };
