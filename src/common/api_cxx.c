/* C++ operators new and delete, basic forms, so that no C++ compiler or runtime is
 * needed to build or use the library. */
#include "common/api_cxx.h"

void *cxx_new(size_t size)
{
	void *p = entry_malloc_hit(size);
	return HAK_LIKELY(p != NULL) ? p : cxx_new_slow(size, 1, ORIGIN_NEW);
}

void *cxx_new_aligned(size_t size, size_t align)
{
	void *p = entry_aligned_hit(align, size);
	return HAK_LIKELY(p != NULL) ? p : cxx_new_slow(size, align, ORIGIN_NEW);
}

void cxx_delete(void *p)
{
	if (HAK_UNLIKELY(!entry_free_hit(p)))
		cxx_delete_slow(p, ORIGIN_NEW);
}

void cxx_delete_aligned(void *p, size_t align)
{
	(void)align;
	cxx_delete(p);
}

#define SAME_AS(fn) __attribute__((alias(#fn)))
void *_Znwm(size_t size) SAME_AS(cxx_new);
void *_ZnwmSt11align_val_t(size_t size, size_t align) SAME_AS(cxx_new_aligned);
void _ZdlPv(void *p) SAME_AS(cxx_delete);
void _ZdlPvSt11align_val_t(void *p, size_t align) SAME_AS(cxx_delete_aligned);
