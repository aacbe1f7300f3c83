/* Reading a counter of this thread from its perf_event_mmap_page, without a system call.
 *
 * The kernel writes the page, under a sequence lock, whenever it starts or stops the
 * counter: at a switch of threads, a move to another CPU, an interrupt; so only ever while
 * this thread does not run. The count is the page's offset plus the hardware counter's
 * value, which has pmc_width bits and a sign. Algorithm: that of linux/perf_event.h.
 */
#ifndef HAK_COMMON_PERF_PAGE_H
#define HAK_COMMON_PERF_PAGE_H

#include "common/base.h"

struct perf_event_mmap_page;

struct perf_reading {
	uint64_t count;
	/* How long the event was wanted, and how long it had a counter. */
	uint64_t enabled_ns, running_ns;
};

/* read_counter is that of struct hak_pmu. False: the event is in no counter now, or user
 * space may not read it; *out is undefined. For the thread that the event counts. */
bool perf_page_read(const volatile struct perf_event_mmap_page *page,
		    bool (*read_counter)(uint32_t index, uint64_t *raw), struct perf_reading *out);

#endif
