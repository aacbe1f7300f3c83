/* Has the workload changed? A two-sided Page-Hinkley test (Page, "Continuous
 * Inspection Schemes", 1954; Hinkley 1971) on the ratio of a figure to its usual
 * value.
 *
 *   high = max(0, high + x - 1 - tolerance),  low likewise of 1 - x;
 *   a change is reported when one of them passes the threshold.
 *
 * A lasting change by a factor of 1 + d is seen after at most
 * threshold / (d - tolerance) + 1 values; deviations within the tolerance never add up.
 */
#ifndef HAK_ACE_CHANGE_H
#define HAK_ACE_CHANGE_H

#include "ace/ace_fixed.h"

struct ace_change {
	int64_t high_ppm, low_ppm;
};

void ace_change_reset(struct ace_change *c);

/* One value; true: a change, and the test starts again. */
bool ace_change_add(struct ace_change *c, int64_t x_ppm);

#endif
