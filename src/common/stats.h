/* What the allocator holds, for people and programs: gathered on demand by walking
 * the heaps, so that nothing is counted on hot paths. Thread-safe; allocates
 * nothing. */
#ifndef HAK_COMMON_STATS_H
#define HAK_COMMON_STATS_H

#include "common/base.h"
#include "hakmem/hakmem.h"

struct text;

/* Fill every field. */
void stats_gather(struct hak_stats *out);

void stats_text(struct text *t);
void stats_json(struct text *t);
void stats_print_to_stderr(void);

/* Walk every structure and abort with a message on a broken invariant; true
 * otherwise. Only when no other thread is in the allocator. */
bool hak_check_all(void);

#endif
