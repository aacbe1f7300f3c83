/* What a person is told about a bad pointer or a damaged block: one report on standard
 * error, with the verdict in words first, then the evidence, then what to do next. Then the
 * process aborts, or goes on with the block left alone if HAKMEM_ON_ERROR=report.
 * Allocates nothing, waits for no lock. */
#ifndef HAK_COMMON_REPORT_H
#define HAK_COMMON_REPORT_H

#include "common/base.h"
#include "common/history.h"

struct cached_block;

/* p is not the start of a block in use, whatever it is: work it out and say so.
 * `doing` names the call ("free", "realloc", ...). */
HAK_COLD void report_bad_pointer(const void *p, const char *doing);

/* `block` is free already; `how` says what showed it. */
HAK_COLD void report_double_free(const void *block, const char *doing, const char *how);

/* The block at `pointer` is live, but its tag is not the pointer's. */
HAK_COLD void report_stale_pointer(const void *pointer, const char *doing);

/* An access through `pointer` found memory with another tag; 0: which one is not known any
 * more. `stack`: of the access, or of what came after it. */
HAK_COLD void report_wrong_tag(uintptr_t pointer, const struct stack *stack);

/* e, met in a cache of class cls on its way `going`, is not the start of a free block of
 * that class. */
HAK_COLD void report_bad_entry(unsigned cls, const struct cached_block *e, const char *going);

/* The live block of have_bytes is freed with another size. */
HAK_COLD void report_wrong_size(uintptr_t block, size_t have_bytes, const struct free_call *call);

/* The live block comes from another family of functions than the one that frees it. */
HAK_COLD void report_wrong_origin(uintptr_t block, const struct history *h,
				  const struct free_call *call);

/* The same where only that is known, and the block is freed or resized all the same: programs
 * that do so work. One line, of the first time; none with HAKMEM_WARN_MISMATCH=0. */
HAK_COLD void report_mismatch(uintptr_t block, size_t bytes, enum origin origin, const char *doing);

/* A byte outside the live block was written; `how` says what showed it. */
HAK_COLD void report_overrun(uintptr_t block, const struct history *h, uintptr_t at,
			     const char *how);

/* The same, of a byte inside the freed block. */
HAK_COLD void report_use_after_free(uintptr_t block, const struct history *h, uintptr_t at,
				    const char *how);

/* The code at `stack` has touched `at`, in a guarded block or beside it. */
HAK_COLD void report_guard_hit(uintptr_t block, const struct history *h, uintptr_t at,
			       const struct stack *stack);

/* Reports so far. */
uint64_t report_count(void);

#endif
