/* What ACE did and why: a ring of decisions, and their words.
 *
 * A decision carries the figures that it was made on, so a knob's move can be
 * explained afterwards from the record alone. ace_log_line() gives the line that
 * HAKMEM_ACE_LOG_LEVEL prints, ace_log_record() the exact form of the trace.
 * Owned by one controller; no locking.
 */
#ifndef HAK_ACE_LOG_H
#define HAK_ACE_LOG_H

#include "ace/ace_metrics.h"
#include "common/diag.h"
#include "common/knobs.h"

enum { ACE_LOG_OFF, ACE_LOG_INFO, ACE_LOG_DEBUG };

enum ace_reason {
	ACE_BECAUSE_HIGH_BACKLOG,
	ACE_BECAUSE_LOW_BACKLOG,
	ACE_BECAUSE_LLC_MISSES,
	ACE_BECAUSE_FEW_MISSES,
	ACE_BECAUSE_LOCK_WAIT,
	ACE_BECAUSE_FRAGMENTATION,
	ACE_BECAUSE_RSS_GROWTH,
	ACE_BECAUSE_IDLE,
	ACE_BECAUSE_PRESSURE,
	ACE_BECAUSE_PRESSURE_GONE,
	ACE_BECAUSE_TRIAL,
	ACE_BECAUSE_KEPT,
	ACE_BECAUSE_NOT_BETTER,
	ACE_BECAUSE_WORSE,
	ACE_BECAUSE_INTERRUPTED,
	ACE_BECAUSE_CHANGED,
	ACE_BECAUSE_GUARD,
	ACE_BECAUSE_PLAYBOOK,
	ACE_BECAUSE_DECLINED,
	ACE_BECAUSE_LIGHT_LOAD,
	ACE_BECAUSE_LOAD,
	ACE_BECAUSE_RETURNED,
	ACE_BECAUSE_RESTED,
	ACE_BECAUSE_SHORT_RESTS,
	ACE_BECAUSE_LET_GO,
	ACE_BECAUSE_COUNT
};

/* In place of a knob: memory was asked back from the allocator; new_value is the
 * budget in microseconds. */
enum { ACE_SCAVENGE = HAK_KNOB_COUNT };

struct ace_decision {
	uint64_t time_ns;
	uint32_t what; /* enum hak_knob, or ACE_SCAVENGE */
	uint32_t cls;  /* 0: all classes */
	int32_t old_value, new_value;
	enum ace_reason reason;
	/* Seen when it was made. */
	int64_t reward_ppm;
	int32_t llc_miss_ppm;
	uint64_t backlog;
	uint32_t frag_ppm;
	uint64_t rss_bytes;
};

enum { ACE_RING_DECISIONS = 64, ACE_LINE_BYTES = 256 };

struct ace_ring {
	struct ace_decision decisions[ACE_RING_DECISIONS];
	uint64_t count; /* ever made; decision i is at i % ACE_RING_DECISIONS */
};

void ace_ring_add(struct ace_ring *r, const struct ace_decision *d);

const char *ace_reason_text(enum ace_reason reason);
const char *ace_knob_name(uint32_t what);

/* The line for a person, "[ACE] ...". */
void ace_log_line(struct text *t, const struct ace_decision *d);

/* "[ACE] Adjusting TLS cap[2]: 32 -> 24 (diet factor=0.75)": a change of the diet as
 * it works on the thread caches of a class. */
void ace_log_diet_line(struct text *t, const struct ace_decision *d, uint32_t cls,
		       int32_t capacity);

void ace_log_fast_line(struct text *t, const struct ace_sample *s, int64_t reward_ppm);
void ace_log_slow_line(struct text *t, const struct ace_sample *s);

/* The decision as a line of the trace. */
void ace_log_record(struct text *t, const struct ace_decision *d);

#endif
