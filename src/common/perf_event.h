/* One perf event of the calling thread: opened, read in user space if the kernel lets us,
 * else by its file descriptor, closed. No policy: that is counters.c's.
 *
 * An event that is read in user space holds a page and no descriptor, since the mapping
 * keeps it alive. A descriptor that is kept may be closed by the program (daemons close
 * all) and its number reused: every read asks first whether it still is our event. */
#ifndef HAK_COMMON_PERF_EVENT_H
#define HAK_COMMON_PERF_EVENT_H

#include "common/base.h"
#include "common/perf_page.h"

struct perf_spec {
	uint32_t type; /* PERF_TYPE_... */
	uint64_t config;
	uint64_t user_config1; /* asks for user access */
};

struct perf_event {
	const volatile struct perf_event_mmap_page *page; /* NULL: read by fd */
	int fd;                                           /* -1: none */
	uint64_t id;                                      /* of fd, by the kernel */
};

#define PERF_EVENT_CLOSED { .fd = -1 }

/* Count user space of the calling thread from now on. `group` is NULL or an event just opened,
 * with which this one shares its time in the counters. 0 or -errno. */
int perf_event_open(struct perf_event *e, const struct perf_spec *spec,
		    const struct perf_event *group);

/* Read e in user space from now on, without a descriptor. 0, or why not (-errno; -ENOTSUP: the
 * kernel does not let us); e is then read by its descriptor as before. */
int perf_event_use_page(struct perf_event *e);

/* False: not now. For the thread that opened it. */
bool perf_event_read(const struct perf_event *e, struct perf_reading *out);

void perf_event_close(struct perf_event *e);

/* In the child of a fork, which has no page of it, but the descriptor. */
void perf_event_forget(struct perf_event *e);

#if HAKMEM_TESTING
/* Each open fails with this errno; 0: does not. */
void perf_fault_arm(int err);
int perf_fault(void);
#else
HAK_INLINE int perf_fault(void)
{
	return 0;
}
#endif

#endif
