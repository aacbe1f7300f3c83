#include "ace/ace_settings.h"

enum { NS_PER_US = 1000 };

void ace_settings_init(struct ace_settings *s, const struct ace_ports *ports, const int32_t *start,
		       const bool *pinned)
{
	*s = (struct ace_settings){ .ports = *ports };
	for (unsigned k = 0; k < HAK_KNOB_COUNT; k++) {
		s->start[k] = start[k];
		s->pinned[k] = pinned[k];
		for (unsigned c = 0; c < ACE_CLASSES; c++)
			s->value[k][c] = start[k];
	}
}

static void decide(struct ace_settings *s, uint32_t what, unsigned cls, int32_t from, int32_t to,
		   enum ace_reason reason)
{
	struct ace_decision d = s->seen;
	d.what = what;
	d.cls = cls;
	d.old_value = from;
	d.new_value = to;
	d.reason = reason;
	ace_ring_add(&s->ring, &d);
	s->ports.decided(s->ports.context, &d);
}

void ace_settings_move(struct ace_settings *s, enum hak_knob k, unsigned cls, int32_t value,
		       enum ace_reason reason)
{
	int32_t old = s->value[k][cls];
	unsigned first = cls, last = cls == 0 ? HAK_CLASS_COUNT : cls;
	bool differs = false;
	for (unsigned c = first; c <= last; c++) {
		differs |= s->value[k][c] != value;
		if (!s->pinned[k])
			s->value[k][c] = value;
	}
	if (!differs || s->pinned[k])
		return;
	s->ports.set(s->ports.context, k, cls, value);
	decide(s, k, cls, old, value, reason);
}

bool ace_settings_uniform(const struct ace_settings *s, enum hak_knob k)
{
	for (unsigned c = 1; c < ACE_CLASSES; c++)
		if (s->value[k][c] != s->value[k][0])
			return false;
	return true;
}

void ace_settings_restore(struct ace_settings *s, enum ace_reason reason)
{
	for (unsigned k = 0; k < HAK_KNOB_COUNT; k++)
		ace_settings_move(s, (enum hak_knob)k, 0, s->start[k], reason);
}

void ace_settings_scavenge(struct ace_settings *s, uint64_t budget_ns, enum ace_reason reason)
{
	s->ports.scavenge(s->ports.context, budget_ns);
	decide(s, ACE_SCAVENGE, 0, 0, (int32_t)(budget_ns / NS_PER_US), reason);
}

uint32_t ace_candidate_index(enum hak_knob k, int32_t value)
{
	const struct hak_knob_info *info = knob_info(k);
	uint32_t i = 0;
	while (i < info->ncandidates && info->candidates[i] != value)
		i++;
	return i;
}
