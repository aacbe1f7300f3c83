/* The figures of the statistics page, gathered by walking the heaps. */
#ifndef HAK_COMMON_STATPAGE_FILL_H
#define HAK_COMMON_STATPAGE_FILL_H

#include "common/statpage_layout.h"

/* What never changes, but for the fields of identity: classes, knobs, backend. */
void statpage_describe(struct statpage *page);

/* Everything but time_ms. One caller at a time; takes the locks of the heaps and what
 * ranks above them. */
void statpage_fill(struct statpage_now *now);

#endif
