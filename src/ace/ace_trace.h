/* A trace of ACE's work, and its replay.
 *
 * Text, one line each, in this order (version 3):
 *
 *	hakmem-ace-trace 3
 *	config SLOW_INTERVAL_NS DISCOUNT_PPM MAX_P99_NS MAX_RSS_MB MAX_CPU_PERCENT RSS_IS_DEFAULT
 *	knob NAME START PINNED                        one per knob of this build
 *	learnt NAME ARM WEIGHT REWARD                 what a playbook knew, at any place
 *	adopt NAME VALUE                              what it put in force, at any place
 *	sample NOW_NS FIELDS... [CLASS:BACKLOG...]    fields as in ACE_SAMPLE_FIELDS
 *	decision ...                                  ace_log_record(), made on that sample
 *
 * Samples hold all that decisions depend on. So a replay, on any machine, must give
 * the same decision lines byte for byte.
 */
#ifndef HAK_ACE_TRACE_H
#define HAK_ACE_TRACE_H

#include "ace/ace_controller.h"

enum { ACE_TRACE_VERSION = 3, ACE_TRACE_LINE_BYTES = 2048 };

/* No number in a trace or a playbook is larger. It is above any real figure, and small enough to
 * add and multiply by ten. */
#define ACE_MAX_NUMBER ((uint64_t)INT64_MAX / 16)

void ace_trace_header(struct text *t, const struct ace_config *config,
		      const struct ace_settings *settings);
void ace_trace_adopt(struct text *t, enum hak_knob k, int32_t value);
void ace_trace_learnt(struct text *t, enum hak_knob k, uint32_t arm, int64_t weight_ppm,
		      int64_t reward_ppm);
void ace_trace_sample(struct text *t, uint64_t now_ns, const struct ace_sample *sample);

/* What a replay found. */
struct ace_replay {
	uint64_t samples, decisions;
	uint64_t line;     /* of the trace where it stopped */
	const char *error; /* NULL: every decision was repeated */
	char found[ACE_LINE_BYTES]; /* the decision made there instead, if any */
};

/* Replay `length` bytes of trace. `a` is working memory. True: every decision repeated. */
bool ace_replay(struct ace_replay *r, struct ace_controller *a, const char *trace, size_t length);

/* The same, and `repeated`, if not NULL, is called with each decision once it has been. */
bool ace_replay_each(struct ace_replay *r, struct ace_controller *a, const char *trace,
		     size_t length, void (*repeated)(const struct ace_decision *d));

#endif
