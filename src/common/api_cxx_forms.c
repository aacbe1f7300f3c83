/* C++ operators new and delete: the array, nothrow and sized forms. The standard
 * defines them by the basic ones ([new.delete]), which a program may replace
 * alone; so they call those, except that they save themselves the call where the
 * basic form is ours. The size that a delete is told says nothing that the page map does
 * not know, and is held against that. */
#include <dlfcn.h>

#include "common/api_cxx.h"

extern __typeof__(dlsym) dlsym __attribute__((weak)); /* absent in a static program */

static void *form_new_array(size_t size)
{
	void *p = _Znwm == cxx_new ? entry_malloc_hit(size) : NULL;
	if (HAK_LIKELY(p != NULL))
		return p;
	return _Znwm == cxx_new ? cxx_new_slow(size, 1, ORIGIN_NEW_ARRAY) : _Znwm(size);
}

static void *form_new_array_aligned(size_t size, size_t align)
{
	if (_ZnwmSt11align_val_t == cxx_new_aligned)
		return cxx_new_slow(size, align, ORIGIN_NEW_ARRAY);
	return _ZnwmSt11align_val_t(size, align);
}

/* A nothrow form returns NULL if the basic form throws. C cannot catch, but the C++
 * runtime's own nothrow forms do, and call the basic form that the program sees. */
static HAK_COLD void *form_new_nothrow_slow(size_t size, enum origin origin)
{
	void *form = dlsym ? dlsym(RTLD_NEXT, "_ZnwmRKSt9nothrow_t") : NULL;
	if (form == NULL)
		return entry_alloc_for(size, 1, origin);
	return ((void *(*)(size_t, const void *))form)(size, "");
}

static void *form_new_nothrow(size_t size, enum origin origin)
{
	void *p = NULL;
	if (_Znwm == cxx_new) {
		p = entry_malloc_hit(size);
		if (HAK_UNLIKELY(p == NULL))
			p = entry_alloc_for(size, 1, origin);
	}
	return HAK_LIKELY(p != NULL) ? p : form_new_nothrow_slow(size, origin);
}

static void *form_new_aligned_nothrow(size_t size, size_t align, enum origin origin)
{
	void *p = _ZnwmSt11align_val_t == cxx_new_aligned ? entry_alloc_for(size, align, origin) : NULL;
	void *form;
	if (p != NULL)
		return p;
	form = dlsym ? dlsym(RTLD_NEXT, "_ZnwmSt11align_val_tRKSt9nothrow_t") : NULL;
	if (form == NULL)
		return entry_alloc_for(size, align, origin);
	return ((void *(*)(size_t, size_t, const void *))form)(size, align, "");
}

static void form_delete(void *p, enum origin origin)
{
	if (HAK_UNLIKELY(_ZdlPv != cxx_delete))
		_ZdlPv(p);
	else if (HAK_UNLIKELY(!entry_free_hit(p)))
		cxx_delete_slow(p, origin);
}

static void form_delete_sized(void *p, size_t size, enum origin origin)
{
	if (HAK_UNLIKELY(_ZdlPv != cxx_delete))
		_ZdlPv(p);
	else if (HAK_UNLIKELY(!entry_free_sized_hit(p, size)))
		cxx_delete_sized_slow(p, size, 1, origin);
}

static void form_delete_aligned(void *p, size_t align, enum origin origin)
{
	if (HAK_UNLIKELY(_ZdlPvSt11align_val_t != cxx_delete_aligned))
		_ZdlPvSt11align_val_t(p, align);
	else if (HAK_UNLIKELY(!entry_free_hit(p)))
		cxx_delete_slow(p, origin);
}

static void form_delete_sized_aligned(void *p, size_t size, size_t align, enum origin origin)
{
	if (HAK_UNLIKELY(_ZdlPvSt11align_val_t != cxx_delete_aligned))
		_ZdlPvSt11align_val_t(p, align);
	else if (HAK_UNLIKELY(!entry_free_sized_hit(p, align_up(size, align))))
		cxx_delete_sized_slow(p, size, align, origin);
}

#pragma GCC diagnostic ignored "-Wunused-parameter"

/* A form: its declaration, which -Wmissing-prototypes wants, and its body. */
#define FORM(result, name, parameters, body)                                                       \
	CXX_EXPORT result name parameters;                                                         \
	result name parameters                                                                     \
	{                                                                                          \
		body;                                                                              \
	}

typedef const void *nothrow_t; /* std::nothrow_t const & */

FORM(void *, _Znam, (size_t size), return form_new_array(size))
FORM(void *, _ZnwmRKSt9nothrow_t, (size_t size, nothrow_t n), return form_new_nothrow(size, ORIGIN_NEW))
FORM(void *, _ZnamRKSt9nothrow_t, (size_t size, nothrow_t n),
     return form_new_nothrow(size, ORIGIN_NEW_ARRAY))
FORM(void *, _ZnamSt11align_val_t, (size_t size, size_t align),
     return form_new_array_aligned(size, align))
FORM(void *, _ZnwmSt11align_val_tRKSt9nothrow_t, (size_t size, size_t align, nothrow_t n),
     return form_new_aligned_nothrow(size, align, ORIGIN_NEW))
FORM(void *, _ZnamSt11align_val_tRKSt9nothrow_t, (size_t size, size_t align, nothrow_t n),
     return form_new_aligned_nothrow(size, align, ORIGIN_NEW_ARRAY))

FORM(void, _ZdaPv, (void *p), form_delete(p, ORIGIN_NEW_ARRAY))
FORM(void, _ZdlPvm, (void *p, size_t size), form_delete_sized(p, size, ORIGIN_NEW))
FORM(void, _ZdaPvm, (void *p, size_t size), form_delete_sized(p, size, ORIGIN_NEW_ARRAY))
FORM(void, _ZdlPvRKSt9nothrow_t, (void *p, nothrow_t n), form_delete(p, ORIGIN_NEW))
FORM(void, _ZdaPvRKSt9nothrow_t, (void *p, nothrow_t n), form_delete(p, ORIGIN_NEW_ARRAY))
FORM(void, _ZdaPvSt11align_val_t, (void *p, size_t align),
     form_delete_aligned(p, align, ORIGIN_NEW_ARRAY))
FORM(void, _ZdlPvSt11align_val_tRKSt9nothrow_t, (void *p, size_t align, nothrow_t n),
     form_delete_aligned(p, align, ORIGIN_NEW))
FORM(void, _ZdaPvSt11align_val_tRKSt9nothrow_t, (void *p, size_t align, nothrow_t n),
     form_delete_aligned(p, align, ORIGIN_NEW_ARRAY))
FORM(void, _ZdlPvmSt11align_val_t, (void *p, size_t size, size_t align),
     form_delete_sized_aligned(p, size, align, ORIGIN_NEW))
FORM(void, _ZdaPvmSt11align_val_t, (void *p, size_t size, size_t align),
     form_delete_sized_aligned(p, size, align, ORIGIN_NEW_ARRAY))
