/* What depends on the CPU, as one table: filled once by the generic backend and
 * then overlaid by the architecture's with what the CPU has, at the first question;
 * read-only from then on. */
#ifndef HAK_ARCH_ARCH_H
#define HAK_ARCH_ARCH_H

#include "common/base.h"

enum { ARCH_FEATURES_TEXT_BYTES = 256 };

struct hak_arch {
	const char *name;         /* "generic", "x86_64", "aarch64" */
	const char *detected_by;  /* "cpu_features", "auxv", "compiler built-ins", "nothing" */
	uint32_t cacheline_bytes; /* 64 where unknown */
	char features[ARCH_FEATURES_TEXT_BYTES]; /* names, separated by blanks; "" if unknown */
};

/* The table, detected at the first call. Asks the CPU some dozens of questions,
 * so not on a path that is run in every program. Thread-safe. errno is kept. */
const struct hak_arch *arch_get(void);

struct lock;
struct lock *arch_lock(void); /* for fork */

/* Backends. Each overlays what it knows. */
void arch_generic_fill(struct hak_arch *a);
void arch_native_fill(struct hak_arch *a); /* the target's; none for generic targets */

/* For backends: append a feature's name if it is there. */
void arch_add_feature(struct hak_arch *a, const char *name, bool present);

#endif
