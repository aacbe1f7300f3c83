/* C++ operators new and delete, under their mangled names (Itanium C++ ABI, 5.1.4.3;
 * size_t is `m` on every 64-bit target), so that no C++ compiler or runtime is
 * needed to build or use the library. A failed new calls the new-handler and tries
 * again, as the standard says ([new.delete.single]); the C++ runtime's functions
 * for that are weak references, present in any C++ program. */
#include <dlfcn.h>

#include "common/api.h"
#include "common/diag.h"

#define EXPORT __attribute__((visibility("default"), used))
#define WEAK __attribute__((weak))

typedef void (*new_handler)(void);
WEAK new_handler _ZSt15get_new_handlerv(void);         /* std::get_new_handler */
extern __typeof__(dlsym) dlsym WEAK; /* absent in a static program */
WEAK _Noreturn void _ZSt17__throw_bad_allocv(void);    /* libstdc++: throws std::bad_alloc */

static void *alloc_aligned_or_not(size_t size, size_t align)
{
	return align <= HAK_MIN_ALIGN ? entry_malloc(size) : entry_aligned_alloc(align, size);
}

static new_handler current_handler(void)
{
	return _ZSt15get_new_handlerv ? _ZSt15get_new_handlerv() : NULL;
}

/* The nothrow forms return NULL if a new-handler throws. C cannot catch, but the
 * C++ runtime's own nothrow forms do: they call the throwing form, which is ours,
 * and catch. Without a handler nothing can throw, and they are not needed. */
static HAK_COLD void *nothrow_failed(size_t size, size_t align)
{
	void *form;
	if (current_handler() == NULL || !dlsym)
		return NULL;
	if (align <= HAK_MIN_ALIGN) {
		form = dlsym(RTLD_NEXT, "_ZnwmRKSt9nothrow_t");
		return form ? ((void *(*)(size_t, const void *))form)(size, "") : NULL;
	}
	form = dlsym(RTLD_NEXT, "_ZnwmSt11align_val_tRKSt9nothrow_t");
	return form ? ((void *(*)(size_t, size_t, const void *))form)(size, align, "") : NULL;
}

/* May throw out of a new-handler: compiled with -fexceptions. */
static HAK_COLD void *new_failed(size_t size, size_t align, bool may_throw)
{
	void *p = NULL;
	if (!may_throw)
		return nothrow_failed(size, align);
	while (p == NULL) {
		new_handler handler = current_handler();
		if (handler == NULL) {
			if (!_ZSt17__throw_bad_allocv)
				diag_fatal("operator new(%zu): out of memory, and no C++ runtime to "
					   "throw std::bad_alloc", size);
			_ZSt17__throw_bad_allocv();
		}
		handler();
		p = alloc_aligned_or_not(size, align);
	}
	return p;
}

static HAK_COLD void *new_slow(size_t size, bool may_throw)
{
	void *p = entry_malloc_slow(size);
	return p != NULL ? p : new_failed(size, 1, may_throw);
}

HAK_INLINE void *new_or_handle(size_t size, bool may_throw)
{
	void *p = entry_malloc_hit(size);
	return HAK_LIKELY(p != NULL) ? p : new_slow(size, may_throw);
}

static void *new_aligned_or_handle(size_t size, size_t align, bool may_throw)
{
	void *p = alloc_aligned_or_not(size, align);
	return p != NULL ? p : new_failed(size, align, may_throw);
}

#define OPERATOR_NEW(name)                                                                         \
	EXPORT void *name(size_t size);                                                            \
	void *name(size_t size)                                                                    \
	{                                                                                          \
		return new_or_handle(size, true);                                               \
	}
#define OPERATOR_NEW_NOTHROW(name)                                                                 \
	EXPORT void *name(size_t size, const void *nothrow);                                       \
	void *name(size_t size, const void *nothrow)                                               \
	{                                                                                          \
		(void)nothrow;                                                                     \
		return new_or_handle(size, false);                                              \
	}
#define OPERATOR_NEW_ALIGNED(name)                                                                 \
	EXPORT void *name(size_t size, size_t align);                                              \
	void *name(size_t size, size_t align)                                                      \
	{                                                                                          \
		return new_aligned_or_handle(size, align, true);                                           \
	}
#define OPERATOR_NEW_ALIGNED_NOTHROW(name)                                                         \
	EXPORT void *name(size_t size, size_t align, const void *nothrow);                         \
	void *name(size_t size, size_t align, const void *nothrow)                                 \
	{                                                                                          \
		(void)nothrow;                                                                     \
		return new_aligned_or_handle(size, align, false);                                          \
	}
/* Size, alignment and nothrow say nothing that the page map does not know. */
#define OPERATOR_DELETE(name, ...)                                                                 \
	EXPORT void name(void *p __VA_OPT__(, ) __VA_ARGS__);                                      \
	void name(void *p __VA_OPT__(, ) __VA_ARGS__)                                              \
	{                                                                                          \
		entry_free(p);                                                                     \
	}

#pragma GCC diagnostic ignored "-Wunused-parameter"

OPERATOR_NEW(_Znwm)                                            /* new(size_t) */
OPERATOR_NEW(_Znam)                                            /* new[](size_t) */
OPERATOR_NEW_NOTHROW(_ZnwmRKSt9nothrow_t)
OPERATOR_NEW_NOTHROW(_ZnamRKSt9nothrow_t)
OPERATOR_NEW_ALIGNED(_ZnwmSt11align_val_t)
OPERATOR_NEW_ALIGNED(_ZnamSt11align_val_t)
OPERATOR_NEW_ALIGNED_NOTHROW(_ZnwmSt11align_val_tRKSt9nothrow_t)
OPERATOR_NEW_ALIGNED_NOTHROW(_ZnamSt11align_val_tRKSt9nothrow_t)
OPERATOR_DELETE(_ZdlPv)                                        /* delete(void *) */
OPERATOR_DELETE(_ZdaPv)
OPERATOR_DELETE(_ZdlPvRKSt9nothrow_t, const void *nothrow)
OPERATOR_DELETE(_ZdaPvRKSt9nothrow_t, const void *nothrow)
OPERATOR_DELETE(_ZdlPvm, size_t size)
OPERATOR_DELETE(_ZdaPvm, size_t size)
OPERATOR_DELETE(_ZdlPvSt11align_val_t, size_t align)
OPERATOR_DELETE(_ZdaPvSt11align_val_t, size_t align)
OPERATOR_DELETE(_ZdlPvSt11align_val_tRKSt9nothrow_t, size_t align, const void *nothrow)
OPERATOR_DELETE(_ZdaPvSt11align_val_tRKSt9nothrow_t, size_t align, const void *nothrow)
OPERATOR_DELETE(_ZdlPvmSt11align_val_t, size_t size, size_t align)
OPERATOR_DELETE(_ZdaPvmSt11align_val_t, size_t size, size_t align)
