/* What the kernel's files say about the machine. Small files, read with three system
 * calls each; errno may change, nothing is allocated. */
#ifndef HAK_ARCH_SYSFS_H
#define HAK_ARCH_SYSFS_H

#include "common/base.h"

/* Bytes of the largest cache of CPU 0; 0: not known. */
size_t sysfs_llc_bytes(void);

/* Is this the clock source that the kernel keeps time by? */
bool sysfs_clocksource_is(const char *name);

#endif
