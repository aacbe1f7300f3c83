/* The settings in force, as ACE made them, and the one way to change one: each move
 * is a decision, with its reason and what was seen.
 *
 * The controller works on this copy, not on the knobs themselves: a replay then needs
 * no allocator. Ports lead to the outside; in a replay they lead nowhere.
 */
#ifndef HAK_ACE_SETTINGS_H
#define HAK_ACE_SETTINGS_H

#include "ace/ace_log.h"

struct ace_ports {
	void *context; /* passed to each */
	/* Put a knob to a candidate value; cls as in knob_set(). */
	void (*set)(void *context, enum hak_knob k, unsigned cls, int32_t value);
	/* Give memory back, for so long at most. */
	void (*scavenge)(void *context, uint64_t budget_ns);
	/* A decision was made. */
	void (*decided)(void *context, const struct ace_decision *d);
};

struct ace_settings {
	struct ace_ports ports;
	struct ace_ring ring;
	struct ace_decision seen; /* figures of this step, for the decisions made in it */
	int32_t value[HAK_KNOB_COUNT][ACE_CLASSES];
	int32_t start[HAK_KNOB_COUNT]; /* where ACE found it, and puts it back to */
	bool pinned[HAK_KNOB_COUNT];   /* set by the user: never moved */
};

/* start[] and pinned[] are given for each knob. */
void ace_settings_init(struct ace_settings *s, const struct ace_ports *ports, const int32_t *start,
		       const bool *pinned);

/* Move a knob; nothing happens if it is there already or pinned. cls 0: all. */
void ace_settings_move(struct ace_settings *s, enum hak_knob k, unsigned cls, int32_t value,
		       enum ace_reason reason);

/* Has the knob one value for all classes? */
bool ace_settings_uniform(const struct ace_settings *s, enum hak_knob k);

/* Put every knob back to where it was found. */
void ace_settings_restore(struct ace_settings *s, enum ace_reason reason);

void ace_settings_scavenge(struct ace_settings *s, uint64_t budget_ns, enum ace_reason reason);

/* Index of a value among its knob's candidates; if it is none, their number. */
uint32_t ace_candidate_index(enum hak_knob k, int32_t value);

#endif
