/* C++ operators new and delete: the array, nothrow and sized forms. The standard
 * defines them by the basic ones ([new.delete]), which a program may replace
 * alone; so they call those, except that they save themselves the call where the
 * basic form is ours. Size and alignment of a delete say nothing that the page map
 * does not know. */
#include <dlfcn.h>

#include "common/api_cxx.h"

extern __typeof__(dlsym) dlsym __attribute__((weak)); /* absent in a static program */

static void *form_new(size_t size)
{
	void *p;
	if (HAK_UNLIKELY(_Znwm != cxx_new))
		return _Znwm(size);
	p = entry_malloc_hit(size);
	return HAK_LIKELY(p != NULL) ? p : cxx_new_slow(size, HAK_MIN_ALIGN);
}

/* A nothrow form returns NULL if the basic form throws. C cannot catch, but the C++
 * runtime's own nothrow forms do, and call the basic form that the program sees. */
static HAK_COLD void *form_new_nothrow_slow(size_t size)
{
	void *form = dlsym ? dlsym(RTLD_NEXT, "_ZnwmRKSt9nothrow_t") : NULL;
	if (form == NULL)
		return entry_malloc(size);
	return ((void *(*)(size_t, const void *))form)(size, "");
}

static void *form_new_nothrow(size_t size)
{
	void *p = _Znwm == cxx_new ? entry_malloc(size) : NULL;
	return HAK_LIKELY(p != NULL) ? p : form_new_nothrow_slow(size);
}

static void *form_new_aligned_nothrow(size_t size, size_t align)
{
	void *p = _ZnwmSt11align_val_t == cxx_new_aligned ? entry_aligned_alloc(align, size) : NULL;
	void *form;
	if (p != NULL)
		return p;
	form = dlsym ? dlsym(RTLD_NEXT, "_ZnwmSt11align_val_tRKSt9nothrow_t") : NULL;
	if (form == NULL)
		return entry_aligned_alloc(align, size);
	return ((void *(*)(size_t, size_t, const void *))form)(size, align, "");
}

static void form_delete(void *p)
{
	if (HAK_LIKELY(_ZdlPv == cxx_delete))
		entry_free(p);
	else
		_ZdlPv(p);
}

static void form_delete_aligned(void *p, size_t align)
{
	if (HAK_LIKELY(_ZdlPvSt11align_val_t == cxx_delete_aligned))
		entry_free(p);
	else
		_ZdlPvSt11align_val_t(p, align);
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

FORM(void *, _Znam, (size_t size), return form_new(size))
FORM(void *, _ZnwmRKSt9nothrow_t, (size_t size, nothrow_t n), return form_new_nothrow(size))
FORM(void *, _ZnamRKSt9nothrow_t, (size_t size, nothrow_t n), return form_new_nothrow(size))
FORM(void *, _ZnamSt11align_val_t, (size_t size, size_t align),
     return _ZnwmSt11align_val_t(size, align))
FORM(void *, _ZnwmSt11align_val_tRKSt9nothrow_t, (size_t size, size_t align, nothrow_t n),
     return form_new_aligned_nothrow(size, align))
FORM(void *, _ZnamSt11align_val_tRKSt9nothrow_t, (size_t size, size_t align, nothrow_t n),
     return form_new_aligned_nothrow(size, align))

FORM(void, _ZdaPv, (void *p), form_delete(p))
FORM(void, _ZdlPvm, (void *p, size_t size), form_delete(p))
FORM(void, _ZdaPvm, (void *p, size_t size), form_delete(p))
FORM(void, _ZdlPvRKSt9nothrow_t, (void *p, nothrow_t n), form_delete(p))
FORM(void, _ZdaPvRKSt9nothrow_t, (void *p, nothrow_t n), form_delete(p))
FORM(void, _ZdaPvSt11align_val_t, (void *p, size_t align), form_delete_aligned(p, align))
FORM(void, _ZdlPvSt11align_val_tRKSt9nothrow_t, (void *p, size_t align, nothrow_t n),
     form_delete_aligned(p, align))
FORM(void, _ZdaPvSt11align_val_tRKSt9nothrow_t, (void *p, size_t align, nothrow_t n),
     form_delete_aligned(p, align))
FORM(void, _ZdlPvmSt11align_val_t, (void *p, size_t size, size_t align),
     form_delete_aligned(p, align))
FORM(void, _ZdaPvmSt11align_val_t, (void *p, size_t size, size_t align),
     form_delete_aligned(p, align))
