/* What a person is told about a bad pointer: one report on standard error, with
 * the verdict in words first, then the process aborts, or goes on with the block
 * left alone if HAKMEM_ON_ERROR=report. Allocates nothing, waits for no lock. */
#ifndef HAK_COMMON_REPORT_H
#define HAK_COMMON_REPORT_H

#include "common/base.h"

/* p is not the start of a block in use, whatever it is: work it out and say so.
 * `doing` names the call ("free", "realloc", ...). */
HAK_COLD void report_bad_pointer(const void *p, const char *doing);

/* `block` is free already; `how` says what showed it. */
HAK_COLD void report_double_free(const void *block, const char *how);

/* Reports so far. */
uint64_t report_count(void);

#endif
