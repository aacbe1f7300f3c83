/* The knobs: every setting that may change while the program runs, in one table.
 *
 * Writers (options at start-up, ACE, tests) call knob_set(); readers use the
 * inline getters. A value is always a member of its candidate set. Threads keep
 * copies of what their hot paths need and refresh them on a slow path once
 * knob_epoch() has moved, so a change takes effect in a running thread without
 * a restart and never in the middle of an operation. Thread-safe.
 */
#ifndef HAK_COMMON_KNOBS_H
#define HAK_COMMON_KNOBS_H

#include "common/atomics.h"
#include "common/base.h"
#include "common/size_class.h"

enum hak_knob {
	HAK_KNOB_TCACHE_CAPACITY,       /* per class; read at a cache refresh */
	HAK_KNOB_DRAIN_THRESHOLD,       /* per class; read at each refill */
	HAK_KNOB_PARTIAL_RELEASE_PAGES, /* read at each partial release */
	HAK_KNOB_DIET_FACTOR,           /* read at a cache refresh */
	HAK_KNOB_BUNDLE_WIDTH,          /* read at a cache refresh */
	HAK_KNOB_PURGE_DELAY_MS,        /* read at each maintenance pass */
	HAK_KNOB_HUGE_PAGES,            /* read when a superslab is made */
	HAK_KNOB_NT_THRESHOLD,          /* read at each copy of 1 MiB or more */
	HAK_KNOB_HUGE_CACHE_MB,         /* read at each free of a huge block */
	HAK_KNOB_IDLE_DELAY_MS,         /* read at each maintenance pass */
	HAK_KNOB_COUNT
};

enum { HUGE_PAGES_OFF, HUGE_PAGES_FILLING, HUGE_PAGES_ALWAYS };

enum { HAK_KNOB_MAX_CANDIDATES = 8 };

struct hak_knob_info {
	const char *name;
	const char *unit;
	uint8_t per_class;
	uint8_t ncandidates;
	uint8_t default_index;
	int32_t candidates[HAK_KNOB_MAX_CANDIDATES];
};

const struct hak_knob_info *knob_info(enum hak_knob k);

/* Set a knob; cls 1 .. HAK_CLASS_COUNT for one class of a per-class knob, 0 for
 * all of them and for the other knobs. 0, or -EINVAL: no such knob, class or
 * candidate; nothing changed. */
int knob_set(enum hak_knob k, unsigned cls, int32_t value);

/* Let threads read again what they keep copies of, as if a knob had moved. */
void knob_touch(void);

/* Put every knob back to its default. */
void knob_reset_all(void);

/* Whether ACE has to leave the knobs alone, since a person said so. */
void knobs_freeze(bool on);
bool knobs_are_frozen(void);

/* Written through knob_set() only. Relaxed: each value stands for itself. */
extern _Atomic int32_t knob_values[HAK_KNOB_COUNT][HAK_CLASS_COUNT + 1];
extern _Atomic uint32_t knob_epoch_counter;

/* Moves with every change. Acquire: who sees it move sees the change. Pairs with
 * the release in knob_touch(). */
HAK_INLINE uint32_t knob_epoch(void)
{
	return atomic_load_acquire(&knob_epoch_counter);
}

/* cls as in knob_set; 0 of a per-class knob is what was last set for all. */
HAK_INLINE int32_t knob_get(enum hak_knob k, unsigned cls)
{
	return atomic_load_relaxed(&knob_values[k][cls]);
}

#endif
