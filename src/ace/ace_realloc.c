#include "ace/ace_realloc.h"

enum { MANY_STEPS = 4, FEW_STEPS = 2 };

void ace_realloc_correct(struct ace_explorer *e, struct ace_settings *s, uint32_t many_misses,
			 uint32_t few_misses)
{
	const enum hak_knob k = HAK_KNOB_NT_THRESHOLD;
	if (many_misses >= MANY_STEPS)
		ace_explorer_request(e, s, k, -1, ACE_KEEP_IF_BETTER, ACE_BECAUSE_LLC_MISSES);
	else if (few_misses >= FEW_STEPS && s->value[k][0] < s->start[k])
		ace_explorer_request(e, s, k, 1, ACE_KEEP_UNLESS_WORSE, ACE_BECAUSE_FEW_MISSES);
}
