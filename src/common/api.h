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

void *api_calloc(size_t count, size_t size);
void *api_realloc(void *p, size_t size);
void *api_reallocarray(void *p, size_t count, size_t size);
size_t api_usable_size(const void *p);

/* Flush this thread's cache and give back every free page. Returns the bytes. */
size_t api_purge(void);

#endif
