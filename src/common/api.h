/* What both families of public names share: errno and overflow checks, which live
 * in the api files and nowhere else. */
#ifndef HAK_COMMON_API_H
#define HAK_COMMON_API_H

#include "common/entry.h"

HAK_COLD void *api_enomem(void); /* sets errno; NULL */
HAK_COLD void *api_einval(void);

HAK_INLINE void *api_or_enomem(void *p)
{
	return HAK_LIKELY(p != NULL) ? p : api_enomem();
}

/* entry_malloc_slow with errno. A tail call of malloc, so that malloc needs no
 * frame and the stack shows its caller. */
HAK_COLD void *api_malloc_slow(size_t bytes);

HAK_INLINE void *api_malloc(size_t bytes)
{
	void *p = entry_malloc_hit(bytes);
	return HAK_LIKELY(p != NULL) ? p : api_malloc_slow(bytes);
}

void *api_calloc(size_t count, size_t size);
void *api_realloc(void *p, size_t size);
void *api_reallocarray(void *p, size_t count, size_t size);
size_t api_usable_size(const void *p);

/* Flush this thread's cache and give back every free page. Returns the bytes. */
size_t api_purge(void);

#endif
