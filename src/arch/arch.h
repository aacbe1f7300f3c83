/* What depends on the CPU, as one table: filled once by the generic backend and
 * then overlaid by the architecture's with what the CPU has, at the first question;
 * from then on its page is read-only.
 *
 * Each operation has variants, listed by the backends from the plainest to the best;
 * the last one whose features the CPU has is taken. The same lists serve the
 * dispatch, the report and the tests.
 */
#ifndef HAK_ARCH_ARCH_H
#define HAK_ARCH_ARCH_H

#include "arch/features.h"
#include "common/base.h"

struct hak_memtag;
struct lock;
struct text;

enum arch_op { ARCH_OP_COPY_NT, ARCH_OP_CLEAR_NT, ARCH_OP_NOW_NS, ARCH_OP_MEMTAG, ARCH_OP_COUNT };

/* As memcpy and memset(p, 0, n), for more than the caches hold: what is written goes
 * past them. Visible to other threads as ordinary stores are. */
typedef void (*arch_copy_fn)(void *restrict dst, const void *restrict src, size_t n);
typedef void (*arch_clear_fn)(void *p, size_t n);
/* Nanoseconds since some moment. Never goes back, whatever CPU it is read on; keeps the
 * pace of CLOCK_MONOTONIC to some parts per million, and is not to be mixed with it. */
typedef uint64_t (*arch_now_fn)(void);

struct hak_arch {
	const char *name;         /* "generic", "x86_64", "aarch64" */
	const char *detected_by;  /* "cpu_features", "auxv", "compiler built-ins", "nothing" */
	const char *llc_from;     /* who knew llc_bytes */
	uint64_t features;        /* ARCH_HAS bits */
	uint64_t masked;          /* features that the CPU has and a test took away */
	size_t llc_bytes;         /* the last-level cache; assumed where unknown */
	uint32_t cacheline_bytes; /* of its data caches; 64 where unknown */
	arch_copy_fn copy_nt;
	arch_clear_fn clear_nt;
	arch_now_fn now_ns;
	const struct hak_memtag *memtag; /* NULL: memory has no tags here */
	const char *variant[ARCH_OP_COUNT]; /* which one was taken */
};

/* The table, detected at the first call. Asks the CPU some dozens of questions and
 * reads a file or two, 100 us together, so not on a path that is run in every program.
 * Thread-safe. errno is kept, nothing is allocated. */
const struct hak_arch *arch_get(void);

struct lock *arch_lock(void); /* for fork */

/* ---- for people and tests */

const char *arch_op_name(enum arch_op op);

/* Append the names of features, separated by blanks; "none". */
void arch_text_features(struct text *t, uint64_t features);

/* Append what was chosen and why, as a sentence, and as members of a JSON object. */
void arch_text_choice(struct text *t);
void arch_json_choice(struct text *t);

struct arch_variant {
	enum arch_op op;
	const char *name;
	uint64_t needs; /* features, all of them */
	union {
		arch_copy_fn copy_nt;
		arch_clear_fn clear_nt;
		arch_now_fn now_ns;
		const struct hak_memtag *memtag;
	} fn;
};

/* All variants of this build, usable here or not: 0, 1, ... until NULL. */
const struct arch_variant *arch_variant_at(unsigned i);
bool arch_variant_usable(const struct arch_variant *v);

/* ---- for backends */

enum { ARCH_LLC_ASSUMED_BYTES = 32 * 1024 * 1024 };

struct arch_variants {
	const struct arch_variant *v;
	unsigned n;
};

/* Fill the table with what needs no question. */
void arch_generic_fill(struct hak_arch *a);
extern const struct arch_variants arch_generic_variants;

/* Name, features and sizes of this CPU; the target's, none for generic targets. */
void arch_native_detect(struct hak_arch *a);
extern const struct arch_variants arch_native_variants;

#endif
