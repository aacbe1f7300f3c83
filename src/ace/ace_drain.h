/* The drain thresholds: down where remote frees pile up, back in steps when they don't.
 *
 *	backlog >= 4 x threshold, 2 fast steps in a row     threshold one candidate down
 *	backlog < threshold, `calm_needed` slow steps       threshold one candidate up again
 *
 * It cannot oscillate: the two conditions are a factor of four apart, up takes at least
 * two slow steps, and each fall after a rise doubles the number of slow steps that the
 * next rise waits for. It does not sink for nothing: a backlog that three steps down did
 * not halve belongs to owners that do not come round to drain; the threshold goes back
 * and stays until that backlog is gone, and for 64 steps at least, twice as many each time.
 */
#ifndef HAK_ACE_DRAIN_H
#define HAK_ACE_DRAIN_H

#include "ace/ace_settings.h"

struct ace_drain {
	uint32_t hot_steps;
	uint32_t hold_steps;     /* the effect of the last fall is awaited */
	uint32_t falls;          /* since the threshold was where ACE found it */
	uint32_t first_backlog;  /* at the first of them */
	uint32_t calm_steps;     /* slow ones */
	uint32_t calm_needed;
	bool risen;              /* since the last fall */
	uint32_t futile_steps;   /* it is left alone so long */
	uint32_t next_futile_steps;
};

void ace_drain_init(struct ace_drain *d);
void ace_drain_fast(struct ace_drain *d, struct ace_settings *s, const struct ace_sample *sample,
		    unsigned cls);
void ace_drain_slow(struct ace_drain *d, struct ace_settings *s, const struct ace_sample *sample,
		    unsigned cls);

#endif
