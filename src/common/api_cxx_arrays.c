/* C++ operators new[] and delete[], basic forms: by the standard new and delete, which a program
 * may have replaced. A file of its own, since compilers may take a name and what it is an alias of
 * for equal where they see both. */
#include "common/api_cxx.h"

void *cxx_new_array(size_t size)
{
	void *p = _Znwm == cxx_new ? entry_malloc_hit(size) : NULL;
	if (HAK_LIKELY(p != NULL))
		return p;
	return _Znwm == cxx_new ? cxx_new_slow(size, 1, ORIGIN_NEW_ARRAY) : _Znwm(size);
}

void cxx_delete_array(void *p)
{
	if (HAK_UNLIKELY(_ZdlPv != cxx_delete))
		_ZdlPv(p);
	else if (HAK_UNLIKELY(!entry_free_hit(p)))
		cxx_delete_slow(p, ORIGIN_NEW_ARRAY);
}

void *cxx_new_array_aligned(size_t size, size_t align)
{
	if (_ZnwmSt11align_val_t == cxx_new_aligned)
		return cxx_new_slow(size, align, ORIGIN_NEW_ARRAY);
	return _ZnwmSt11align_val_t(size, align);
}

void cxx_delete_array_aligned(void *p, size_t align)
{
	if (HAK_UNLIKELY(_ZdlPvSt11align_val_t != cxx_delete_aligned))
		_ZdlPvSt11align_val_t(p, align);
	else if (HAK_UNLIKELY(!entry_free_hit(p)))
		cxx_delete_slow(p, ORIGIN_NEW_ARRAY);
}

#define SAME_AS(fn) __attribute__((alias(#fn)))
void *_Znam(size_t size) SAME_AS(cxx_new_array);
void _ZdaPv(void *p) SAME_AS(cxx_delete_array);
void *_ZnamSt11align_val_t(size_t size, size_t align) SAME_AS(cxx_new_array_aligned);
void _ZdaPvSt11align_val_t(void *p, size_t align) SAME_AS(cxx_delete_array_aligned);
