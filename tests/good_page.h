/* A good statistics page, as a process shows it that has done some work: for tests of its
 * readers. */
#ifndef HAKMEM_TESTS_GOOD_PAGE_H
#define HAKMEM_TESTS_GOOD_PAGE_H

#include <stdio.h>
#include <string.h>

#include "common/statpage_layout.h"

enum {
	GOOD_CLASSES = 64,
	GOOD_KNOBS = 8, /* knob_0 to knob_6, and one whose values have names */
	GOOD_SAMPLES = 60,
	GOOD_DECISIONS = 12,
	GOOD_SUPERSLABS = 3,
};

static inline void make_good_now(struct statpage_now *now)
{
	now->metrics.rss_bytes = 100 << 20;
	strcpy(now->counter_source, "perf_fd");
	for (int k = 0; k < GOOD_KNOBS; k++)
		now->knobs[k][0] = k % 3;
	for (unsigned c = 1; c <= GOOD_CLASSES; c++)
		now->classes[c] = (struct statpage_class){ .block_bytes = c * 16,
							   .slabs = c,
							   .live = c * 100,
							   .cached = c,
							   .free = c * 10 };
	now->nsuperslabs = GOOD_SUPERSLABS;
	for (unsigned i = 0; i < GOOD_SUPERSLABS; i++)
		now->superslabs[i] =
			(struct statpage_superslab){ .present_mask = 0xffff, .dirty_mask = 0xff };
}

static inline void make_good_page(struct statpage *p)
{
	*p = (struct statpage){ .magic = STATPAGE_MAGIC,
				.version = STATPAGE_VERSION,
				.struct_bytes = sizeof(*p),
				.pid = 4711,
				.nclasses = GOOD_CLASSES,
				.nknobs = GOOD_KNOBS,
				.nsamples = GOOD_SAMPLES,
				.ndecisions = GOOD_DECISIONS };
	strcpy(p->build, HAKMEM_BUILD_ID);
	strcpy(p->exe, "/bin/something");
	strcpy(p->backend, "x86_64");
	for (unsigned k = 0; k < GOOD_KNOBS; k++) {
		snprintf(p->knobs[k].name, sizeof(p->knobs[k].name), "knob_%u", k);
		p->knobs[k].ncandidates = 3;
	}
	strcpy(p->knobs[GOOD_KNOBS - 1].name, "huge_pages");
	make_good_now(&p->now);
	for (unsigned i = 0; i < GOOD_DECISIONS; i++) {
		p->decisions[i] = (struct statpage_decision){ .time_ms = i * 2000, .knob = i % 2 };
		snprintf(p->decisions[i].reason, sizeof(p->decisions[i].reason), "reason number %u",
			 i);
	}
	/* There is room for more than there are: those too in order. */
	for (unsigned i = 0; i < STATPAGE_SAMPLES; i++)
		p->samples[i] = (struct statpage_sample){ .time_ms = i * 500,
							  .rss_bytes = (int64_t)i << 20,
							  .live_bytes = (int64_t)i << 19,
							  .mallocs = i * 1000,
							  .cache_miss_ppm = -1 };
}

#endif
