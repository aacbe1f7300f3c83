#include "common/knobs.h"

#include <errno.h>

/* Defaults are what measurement found best nearly everywhere; docs/architecture.md
 * has the figures. */
static const struct hak_knob_info table[HAK_KNOB_COUNT] = {
	[HAK_KNOB_TCACHE_CAPACITY] = { .name = "tcache_capacity", .unit = "blocks", .per_class = 1,
				       .ncandidates = 5, .default_index = 4,
				       .candidates = { 4, 8, 16, 32, 64 } },
	[HAK_KNOB_DRAIN_THRESHOLD] = { .name = "drain_threshold", .unit = "blocks", .per_class = 1,
				       .ncandidates = 5, .default_index = 1,
				       .candidates = { 32, 64, 128, 256, 512 } },
	[HAK_KNOB_PARTIAL_RELEASE_PAGES] = { .name = "partial_release_pages", .unit = "pages",
					     .ncandidates = 4, .default_index = 0,
					     .candidates = { 1, 2, 4, 8 } },
	[HAK_KNOB_DIET_FACTOR] = { .name = "diet_factor", .unit = "percent", .ncandidates = 5,
				   .default_index = 4, .candidates = { 50, 66, 75, 90, 100 } },
	[HAK_KNOB_BUNDLE_WIDTH] = { .name = "bundle_width", .unit = "blocks", .ncandidates = 4,
				    .default_index = 1, .candidates = { 16, 32, 64, 128 } },
	[HAK_KNOB_PURGE_DELAY_MS] = { .name = "purge_delay_ms", .unit = "ms", .ncandidates = 7,
				      .default_index = 4,
				      .candidates = { 0, 10, 100, 250, 500, 1000, 10000 } },
	[HAK_KNOB_HUGE_PAGES] = { .name = "huge_pages", .unit = "policy", .ncandidates = 3,
				  .default_index = HUGE_PAGES_FILLING,
				  .candidates = { HUGE_PAGES_OFF, HUGE_PAGES_FILLING,
						  HUGE_PAGES_ALWAYS } },
	/* The last one is as good as never. */
	[HAK_KNOB_NT_THRESHOLD] = { .name = "nt_threshold", .unit = "percent of the last-level cache",
				    .ncandidates = 7, .default_index = 3,
				    .candidates = { 6, 12, 25, 50, 100, 200, 100000 } },
	[HAK_KNOB_HUGE_CACHE_MB] = { .name = "huge_cache_mb", .unit = "MiB", .ncandidates = 4,
				     .default_index = 0, .candidates = { 32, 64, 128, 256 } },
};

_Atomic int32_t knob_values[HAK_KNOB_COUNT][HAK_CLASS_COUNT + 1];
_Atomic uint32_t knob_epoch_counter;

static _Atomic bool frozen;

void knobs_freeze(bool on)
{
	atomic_store_relaxed(&frozen, on);
}

bool knobs_are_frozen(void)
{
	return atomic_load_relaxed(&frozen);
}

const struct hak_knob_info *knob_info(enum hak_knob k)
{
	return &table[k];
}

static bool is_candidate(const struct hak_knob_info *info, int32_t value)
{
	for (unsigned i = 0; i < info->ncandidates; i++)
		if (info->candidates[i] == value)
			return true;
	return false;
}

int knob_set(enum hak_knob k, unsigned cls, int32_t value)
{
	unsigned first = cls, last = cls;
	if ((unsigned)k >= HAK_KNOB_COUNT || !is_candidate(&table[k], value))
		return -EINVAL;
	if (cls > (table[k].per_class ? HAK_CLASS_COUNT : 0u))
		return -EINVAL;
	if (cls == 0 && table[k].per_class)
		last = HAK_CLASS_COUNT;
	for (unsigned c = first; c <= last; c++)
		atomic_store_relaxed(&knob_values[k][c], value);
	knob_touch();
	return 0;
}

void knob_touch(void)
{
	atomic_add_release(&knob_epoch_counter, 1);
}

void knob_reset_all(void)
{
	for (unsigned k = 0; k < HAK_KNOB_COUNT; k++)
		knob_set((enum hak_knob)k, 0, table[k].candidates[table[k].default_index]);
}
