/* What ACE sees: figures of one interval, made of the allocator's raw counters.
 *
 * A sample is plain integers, so that a recorded one replays the same decisions
 * on any machine. ace_sample_make() is the only place where raw counters become rates;
 * what could not be measured is 0, or -1 where 0 would mean something.
 */
#ifndef HAK_ACE_METRICS_H
#define HAK_ACE_METRICS_H

#include "ace/ace_fixed.h"
#include "common/metrics.h"
#include "common/size_class.h"

enum { ACE_CLASSES = HAK_CLASS_COUNT + 1 }; /* entry 0: all classes */

/* One number per line: name, type. The trace writes and reads them in this order;
 * a change here is a new version of the trace. */
#define ACE_SAMPLE_FIELDS(F)                                                                       \
	F(interval_ns, uint64_t)        /* that the rates are over */                              \
	F(ops_per_s, uint64_t)          /* blocks handed out per second */                         \
	F(ops_per_cpu_s, uint64_t)      /* the same per second of the process's CPU time */        \
	F(llc_miss_ppm, int32_t)        /* of memory accesses seen; -1: not known */               \
	F(lock_wait_ns_per_s, uint64_t) /* all threads together */                                 \
	F(backlog, uint64_t)            /* remotely freed blocks not yet taken in */               \
	F(frag_ppm, uint32_t)           /* of resident bytes: not the program's */                 \
	F(rss_bytes, uint64_t)                                                                     \
	F(waste_bytes, uint64_t)          /* resident, free, could be given back */                \
	F(p99_ns, uint64_t)               /* latency of slow paths, as seen by all operations */   \
	F(ace_cpu_ppm, uint32_t)          /* of one processor */                                   \
	F(cpu_ppm, uint64_t)              /* the process's, of one processor */                    \
	F(faults_per_s, uint64_t)         /* pages of memory that came from the kernel */          \
	F(returned_bytes_per_s, uint64_t) /* went back to it */                                    \
	F(declined_bytes_per_s, uint64_t) /* of these: huge blocks at their free */                \
	F(cached_bytes, uint64_t)         /* of waste: in caches of threads */                     \
	F(live_bytes, uint64_t)           /* the program's, without huge blocks */                 \
	F(heaps, uint32_t)                /* about as many as threads that allocate */             \
	F(cgroup_limit_bytes, uint64_t)   /* 0: none */                                            \
	F(pressure_ppm, int32_t)          /* memory stall of the cgroup; -1: not known */          \
	F(early_bytes_per_s, uint64_t)    /* of those returned: while idle, before their delay */

struct ace_sample {
#define FIELD(name, type) type name;
	ACE_SAMPLE_FIELDS(FIELD)
#undef FIELD
	uint32_t class_backlog[ACE_CLASSES]; /* [0] unused */
};

/* What a sample is the difference to. */
struct ace_meter {
	bool started;
	struct hak_metrics last;
	uint64_t last_process_cpu_ns;
};

/* The sample from the meter's last figures to these; the meter then has these. False,
 * and nothing in *out: the first figures, or no time has passed.
 * process_cpu_ns is a clock; ace_cpu_ns is what ACE itself used since the last sample. */
bool ace_sample_make(struct ace_sample *out, struct ace_meter *m, const struct hak_metrics *now,
		     uint64_t process_cpu_ns, uint64_t ace_cpu_ns);

#endif
