/* Hardware counters of the calling thread: cycles, instructions, loads that reach the last
 * level cache, and those that miss it. Each comes from the best source that this machine, its
 * kernel and its administrator allow; what is refused is one source less, never an error.
 *
 * Nothing is opened before somebody asks. A thread's events are its own: no other thread can
 * read them. At most HAKMEM_COUNTER_THREADS threads have events at a time. */
#ifndef HAK_COMMON_COUNTERS_H
#define HAK_COMMON_COUNTERS_H

#include "common/base.h"

/* Best first. */
enum counter_source {
	COUNTER_SOURCE_USER,     /* PMU read in user space */
	COUNTER_SOURCE_FD,       /* read(2) of a perf event */
	COUNTER_SOURCE_SOFTWARE, /* timed loads; see missrate.h */
	COUNTER_SOURCE_NONE,
};

/* "user", "perf_fd", "software", "none" */
const char *counter_source_name(enum counter_source source);

/* A source was refused, `why` (-errno): one line if lines are wanted (HAKMEM_VERBOSE,
 * HAKMEM_ACE_LOG_LEVEL), once per process and source. */
void counter_source_step_down(enum counter_source to, int why);

#define COUNTERS(F)                                                                                \
	F(CYCLES, PERF_TYPE_HARDWARE, PERF_COUNT_HW_CPU_CYCLES)                                    \
	F(INSTRUCTIONS, PERF_TYPE_HARDWARE, PERF_COUNT_HW_INSTRUCTIONS)                            \
	F(LLC_LOADS, PERF_TYPE_HW_CACHE, COUNTER_CACHE_EVENT(LL, READ, ACCESS))                    \
	F(LLC_MISSES, PERF_TYPE_HW_CACHE, COUNTER_CACHE_EVENT(LL, READ, MISS))

enum counter {
#define COUNTER_NAME(name, type, config) COUNTER_##name,
	COUNTERS(COUNTER_NAME)
#undef COUNTER_NAME
	COUNTER_COUNT
};

enum { COUNTERS_ALL = (1 << COUNTER_COUNT) - 1 };
enum { COUNTERS_LLC = 1 << COUNTER_LLC_LOADS | 1 << COUNTER_LLC_MISSES };

struct hak_counters {
	uint64_t value[COUNTER_COUNT];             /* since counters_start(); never goes back */
	enum counter_source source[COUNTER_COUNT]; /* ..._NONE: value is 0 and means nothing */
	uint64_t running_ns[COUNTER_COUNT];        /* how long it was in a counter */
};

/* Open those counters of the set (bits 1 << enum counter) that can be had. False: none can; *why
 * is -errno, or -EAGAIN where others may have better luck, or this thread later. A thread that
 * has started already keeps what it has. */
bool counters_start(unsigned set, int *why);

/* The calling thread's. False: it has not started. A counter that cannot be read at the moment
 * keeps its last value. */
bool counters_read(struct hak_counters *out);

/* As counters_read(), but `value` is what has been added since the last call that was not too soon.
 * Too soon, and false: within period_ms of it. */
bool counters_growth(uint32_t period_ms, struct hak_counters *out);

/* Close them; also at the thread's end. */
void counters_stop(void);

/* In the child of a fork: it has none. */
void counters_after_fork(void);

#if HAKMEM_TESTING
struct perf_spec;
/* Use these events instead (COUNTER_COUNT of them; NULL: the real ones), and forget what was
 * refused and said. No thread may have started. */
void counters_reset(const struct perf_spec *specs);
#endif

#endif
