#include "arch/arch.h"

#ifdef HAKMEM_HAVE_CPU_FEATURES
#include <cpuinfo_x86.h>

void arch_native_fill(struct hak_arch *a)
{
	const X86Info info = GetX86Info();
	const CacheInfo caches = GetX86CacheInfo();
	a->name = "x86_64";
	a->detected_by = "cpu_features";
	/* A flag that is set reads -1: truth only. */
	arch_add_feature(a, "avx2", info.features.avx2);
	arch_add_feature(a, "avx512f", info.features.avx512f);
	arch_add_feature(a, "erms", info.features.erms);
	arch_add_feature(a, "clflushopt", info.features.clflushopt);
	for (int i = 0; i < caches.size; i++)
		if (caches.levels[i].level == 1 && caches.levels[i].line_size > 0)
			a->cacheline_bytes = (uint32_t)caches.levels[i].line_size;
}
#else
void arch_native_fill(struct hak_arch *a)
{
	a->name = "x86_64";
	a->detected_by = "compiler built-ins";
	__builtin_cpu_init();
	arch_add_feature(a, "avx2", __builtin_cpu_supports("avx2"));
	arch_add_feature(a, "avx512f", __builtin_cpu_supports("avx512f"));
}
#endif
