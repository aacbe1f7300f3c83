#include "common/perf_page.h"

#include <linux/perf_event.h>

#include "common/atomics.h"

enum {
	/* The writer is never found in the middle of a change, and a second one within a
	 * read is rare: so many tell of a page that is none. */
	TRIES_MAX = 1000,
};

/* The counter's value as a signed number of `width` bits, 1 to 64. */
static uint64_t sign_extended(uint64_t raw, unsigned width)
{
	unsigned spare = 64 - width;
	return (uint64_t)((int64_t)(raw << spare) >> spare);
}

static bool read_once(const volatile struct perf_event_mmap_page *page,
		      bool (*read_counter)(uint32_t index, uint64_t *raw), struct perf_reading *out)
{
	uint32_t index = page->index;
	unsigned width = page->pmc_width;
	uint64_t raw;
	/* cap_user_rdpmc may be set although the kernel does not let us: index tells. */
	if (index == 0 || !page->cap_user_rdpmc || width == 0 || width > 64)
		return false;
	*out = (struct perf_reading){
		.count = (uint64_t)page->offset,
		.enabled_ns = page->time_enabled,
		.running_ns = page->time_running,
	};
	if (!read_counter(index, &raw))
		return false;
	out->count += sign_extended(raw, width);
	return true;
}

bool perf_page_read(const volatile struct perf_event_mmap_page *page,
		    bool (*read_counter)(uint32_t index, uint64_t *raw), struct perf_reading *out)
{
	for (unsigned i = 0; i < TRIES_MAX; i++) {
		uint32_t sequence = page->lock;
		bool got;
		atomic_compiler_fence(); /* the writer has run on this CPU, or before it */
		got = read_once(page, read_counter, out);
		atomic_compiler_fence();
		if (page->lock == sequence)
			return got;
	}
	return false;
}
