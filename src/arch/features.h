/* What a CPU may have, as the table, the messages and the tests name it. One list
 * for all architectures: a name that is not in it is a mistake everywhere. */
#ifndef HAK_ARCH_FEATURES_H
#define HAK_ARCH_FEATURES_H

#include "common/base.h"

#define ARCH_FEATURES(F)                                                                           \
	/* x86_64 */                                                                               \
	F(SSE2, "sse2")                                                                            \
	F(AVX2, "avx2")                                                                            \
	F(AVX512F, "avx512f")                                                                      \
	F(INTEL, "intel") /* made by Intel: what pays differs from what works */                   \
	F(ERMS, "erms")                                                                            \
	F(CLFLUSHOPT, "clflushopt")                                                                \
	F(INVARIANT_TSC, "invariant_tsc") /* one rate, and the CPUs agree */                       \
	/* aarch64 */                                                                              \
	F(ASIMD, "asimd")                                                                          \
	F(ZVA, "zva") /* DC ZVA is allowed */                                                      \
	F(ATOMICS, "atomics")                                                                      \
	F(LRCPC, "lrcpc")                                                                          \
	F(DCPOP, "dcpop")                                                                          \
	F(SVE, "sve")                                                                              \
	F(MTE, "mte")                                                                              \
	F(CNTVCT, "cntvct")

enum arch_feature {
#define ARCH_FEATURE_INDEX(id, name) ARCH_FEATURE_##id,
	ARCH_FEATURES(ARCH_FEATURE_INDEX)
#undef ARCH_FEATURE_INDEX
		ARCH_FEATURE_COUNT
};
HAK_STATIC_ASSERT(ARCH_FEATURE_COUNT <= 64, "a set of features is 64 bits");

/* As a member of a set. */
#define ARCH_HAS(id) (UINT64_C(1) << ARCH_FEATURE_##id)

#endif
