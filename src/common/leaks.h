/* HAKMEM_LEAKS: what is live at exit, by the places that allocated it. Estimated from the
 * heap profile's samples, or exact where full checking knows each block. Live is not lost: what
 * the program can still reach is listed too.
 *
 * The option is 0 (nothing), 1 (standard error) or a file to make, with the process's number for
 * %p. Slow, and only at the end of the process; allocates nothing from the heap. */
#ifndef HAK_COMMON_LEAKS_H
#define HAK_COMMON_LEAKS_H

#include "common/base.h"

enum {
	LEAKS_PLACES = 20, /* listed at most */
	LEAKS_FRAMES = 16, /* of each */
};

/* As options.leaks says. */
void leaks_list(void);

#endif
