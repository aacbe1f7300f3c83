/* The life of one block, for reports: who allocated it, how, and who freed it. Kept
 * where allocations are tracked: check.h and guard.h. */
#ifndef HAK_COMMON_HISTORY_H
#define HAK_COMMON_HISTORY_H

#include "common/base.h"
#include "common/stack.h"

/* The family of functions a block comes from and must go back to. */
enum origin {
	ORIGIN_MALLOC, /* and all of C */
	ORIGIN_NEW,
	ORIGIN_NEW_ARRAY,
	/* Not known: the program has replaced some of the operators, or it was noted down. */
	ORIGIN_ANY,
};

/* May what `made` a block be undone by `freed`? */
HAK_INLINE bool origin_fits(enum origin made, enum origin freed)
{
	return made == freed || made == ORIGIN_ANY || freed == ORIGIN_ANY;
}

/* How the program asks for a free. */
struct free_call {
	const char *name;
	enum origin origin;
	bool sized;   /* it has said: */
	size_t bytes; /* which size it means, */
	size_t align; /* and, beyond HAK_MIN_ALIGN, which alignment */
};

struct history {
	size_t bytes; /* asked for */
	enum origin origin;
	bool freed;
	bool early; /* of the process's set-up: the loader's and the C library's own */
	uint32_t allocated_by, freed_by; /* threads, as the kernel numbers them */
	struct stack allocated_at, freed_at;
};

/* Blocks from now on are not early. */
void history_start(void);

void history_begin(struct history *h, size_t bytes, enum origin origin);
void history_end(struct history *h);

/* Under full checking: may the live `block` be freed so? If not, that has been reported. */
bool history_allows(const struct history *h, uintptr_t block, const struct free_call *call);

/* Lines for a report. */
void history_text(struct text *t, const struct history *h);

/* "malloc", "operator new", ... */
const char *origin_name(enum origin origin);

#endif
