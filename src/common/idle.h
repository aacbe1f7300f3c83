/* Whether the process does nothing, as the maintenance thread sees it.
 *
 * It does nothing if it has used less than a twentieth of a processor since the last look, without
 * what the maintenance thread used itself. Only that thread looks.
 */
#ifndef HAK_COMMON_IDLE_H
#define HAK_COMMON_IDLE_H

#include "common/base.h"

/* False too if there has been no look before, or hardly any time has passed. */
bool idle_look(void);

/* The next look is the first: there was something to do since the last one. */
void idle_forget(void);

#endif
