/* The debug trace (HAKMEM_DEBUG_TRACE=1): the first pushes to and pops from thread
 * caches, and the first mismatches in detail, on standard error. Reached by slow paths
 * alone: the thread caches have no capacity then. */
#ifndef HAK_COMMON_DEBUG_TRACE_H
#define HAK_COMMON_DEBUG_TRACE_H

#include "common/base.h"

struct text;

enum { TRACE_OPERATIONS_MAX = 256, TRACE_MISMATCHES_MAX = 4 };

/* A block of class cls was pushed or popped. Says nothing if the trace is off or full. */
void trace_push(unsigned cls, const void *block);
void trace_pop(unsigned cls, const void *block);

/* A report about addr is being written: add what the page map knows of it, if this is
 * one of the first and the trace is on. */
void trace_mismatch(struct text *t, uintptr_t addr);

#endif
