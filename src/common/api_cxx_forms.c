/* C++ operators new and delete: the nothrow and sized forms. The standard defines them by the
 * basic ones ([new.delete]), which a program may replace alone; so they call those, except that
 * they save themselves the call where the basic form is ours. The size that a delete is told says
 * nothing that the page map does not know, and is held against that. */
#include <dlfcn.h>

#include "common/api_cxx.h"

extern __typeof__(dlsym) dlsym __attribute__((weak)); /* absent in a static program */

/* A program that has replaced one of them may take for it what it likes, malloc and free as a rule:
 * what ours give and get then fits all. */
enum origin cxx_origin(enum origin family)
{
	bool all_ours = _Znwm == cxx_new && _Znam == cxx_new_array && _ZdlPv == cxx_delete &&
			_ZdaPv == cxx_delete_array && _ZnwmSt11align_val_t == cxx_new_aligned &&
			_ZdlPvSt11align_val_t == cxx_delete_aligned &&
			_ZnamSt11align_val_t == cxx_new_array_aligned &&
			_ZdaPvSt11align_val_t == cxx_delete_array_aligned;
	return all_ours ? family : ORIGIN_ANY;
}

/* Does the basic form of this family, and new, which that of arrays calls, lead to ours? */
static bool new_is_ours(enum origin family)
{
	return _Znwm == cxx_new && (family == ORIGIN_NEW || _Znam == cxx_new_array);
}

static bool new_aligned_is_ours(enum origin family)
{
	return _ZnwmSt11align_val_t == cxx_new_aligned &&
	       (family == ORIGIN_NEW || _ZnamSt11align_val_t == cxx_new_array_aligned);
}

/* A nothrow form returns NULL if the basic form throws. C cannot catch, but the C++
 * runtime's own nothrow forms do, and call the basic form that the program sees. */
static HAK_COLD void *form_new_nothrow_slow(size_t size, enum origin origin)
{
	const char *name = origin == ORIGIN_NEW ? "_ZnwmRKSt9nothrow_t" : "_ZnamRKSt9nothrow_t";
	void *form = dlsym ? dlsym(RTLD_NEXT, name) : NULL;
	if (form == NULL)
		return entry_alloc_for(size, 1, cxx_origin(origin));
	return ((void *(*)(size_t, const void *))form)(size, "");
}

static void *form_new_nothrow(size_t size, enum origin origin)
{
	void *p = NULL;
	if (new_is_ours(origin)) {
		p = entry_malloc_hit(size);
		if (HAK_UNLIKELY(p == NULL))
			p = entry_alloc_for(size, 1, cxx_origin(origin));
	}
	return HAK_LIKELY(p != NULL) ? p : form_new_nothrow_slow(size, origin);
}

static void *form_new_aligned_nothrow(size_t size, size_t align, enum origin origin)
{
	const char *name = origin == ORIGIN_NEW ? "_ZnwmSt11align_val_tRKSt9nothrow_t"
						: "_ZnamSt11align_val_tRKSt9nothrow_t";
	void *form, *p = NULL;
	if (new_aligned_is_ours(origin))
		p = entry_alloc_for(size, align, cxx_origin(origin));
	if (p != NULL)
		return p;
	form = dlsym ? dlsym(RTLD_NEXT, name) : NULL;
	if (form == NULL)
		return entry_alloc_for(size, align, cxx_origin(origin));
	return ((void *(*)(size_t, size_t, const void *))form)(size, align, "");
}

static void form_delete_nothrow(void *p, enum origin origin)
{
	(origin == ORIGIN_NEW ? _ZdlPv : _ZdaPv)(p);
}

static void form_delete_sized(void *p, size_t size, enum origin origin)
{
	if (origin == ORIGIN_NEW_ARRAY && HAK_UNLIKELY(_ZdaPv != cxx_delete_array))
		_ZdaPv(p);
	else if (HAK_UNLIKELY(_ZdlPv != cxx_delete))
		_ZdlPv(p);
	else if (HAK_UNLIKELY(!entry_free_sized_hit(p, size)))
		cxx_delete_sized_slow(p, size, 1, origin);
}

static void form_delete_aligned_nothrow(void *p, size_t align, enum origin origin)
{
	(origin == ORIGIN_NEW ? _ZdlPvSt11align_val_t : _ZdaPvSt11align_val_t)(p, align);
}

static void form_delete_sized_aligned(void *p, size_t size, size_t align, enum origin origin)
{
	if (origin == ORIGIN_NEW_ARRAY &&
	    HAK_UNLIKELY(_ZdaPvSt11align_val_t != cxx_delete_array_aligned))
		_ZdaPvSt11align_val_t(p, align);
	else if (HAK_UNLIKELY(_ZdlPvSt11align_val_t != cxx_delete_aligned))
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

FORM(void *, _ZnwmRKSt9nothrow_t, (size_t size, nothrow_t n),
     return form_new_nothrow(size, ORIGIN_NEW))
FORM(void *, _ZnamRKSt9nothrow_t, (size_t size, nothrow_t n),
     return form_new_nothrow(size, ORIGIN_NEW_ARRAY))
FORM(void *, _ZnwmSt11align_val_tRKSt9nothrow_t, (size_t size, size_t align, nothrow_t n),
     return form_new_aligned_nothrow(size, align, ORIGIN_NEW))
FORM(void *, _ZnamSt11align_val_tRKSt9nothrow_t, (size_t size, size_t align, nothrow_t n),
     return form_new_aligned_nothrow(size, align, ORIGIN_NEW_ARRAY))

FORM(void, _ZdlPvm, (void *p, size_t size), form_delete_sized(p, size, ORIGIN_NEW))
FORM(void, _ZdaPvm, (void *p, size_t size), form_delete_sized(p, size, ORIGIN_NEW_ARRAY))
FORM(void, _ZdlPvRKSt9nothrow_t, (void *p, nothrow_t n), form_delete_nothrow(p, ORIGIN_NEW))
FORM(void, _ZdaPvRKSt9nothrow_t, (void *p, nothrow_t n), form_delete_nothrow(p, ORIGIN_NEW_ARRAY))
FORM(void, _ZdlPvSt11align_val_tRKSt9nothrow_t, (void *p, size_t align, nothrow_t n),
     form_delete_aligned_nothrow(p, align, ORIGIN_NEW))
FORM(void, _ZdaPvSt11align_val_tRKSt9nothrow_t, (void *p, size_t align, nothrow_t n),
     form_delete_aligned_nothrow(p, align, ORIGIN_NEW_ARRAY))
FORM(void, _ZdlPvmSt11align_val_t, (void *p, size_t size, size_t align),
     form_delete_sized_aligned(p, size, align, ORIGIN_NEW))
FORM(void, _ZdaPvmSt11align_val_t, (void *p, size_t size, size_t align),
     form_delete_sized_aligned(p, size, align, ORIGIN_NEW_ARRAY))
