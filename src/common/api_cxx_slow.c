/* Slow paths of the C++ operators. They keep a frame on every machine, unlike the hot paths
 * ahead of them, so that the program's show in a report's stack.
 *
 * A failed new calls the new-handler and tries again, as the standard says
 * ([new.delete.single]); the C++ runtime's functions for that are weak references, present in
 * any C++ program. */
#include "common/api_cxx.h"

#include "common/diag.h"

#define WEAK __attribute__((weak))

typedef void (*new_handler)(void);
WEAK new_handler _ZSt15get_new_handlerv(void);      /* std::get_new_handler */
WEAK _Noreturn void _ZSt17__throw_bad_allocv(void); /* libstdc++: throws std::bad_alloc */

static HAK_COLD _Noreturn void throw_bad_alloc(size_t size)
{
	if (_ZSt17__throw_bad_allocv)
		_ZSt17__throw_bad_allocv();
	diag_fatal("operator new(%zu): out of memory, and no C++ runtime to throw std::bad_alloc",
		   size);
}

/* Handlers may throw: compiled with -fexceptions. */
void *cxx_new_slow(size_t size, size_t align, enum origin origin)
{
	for (;;) {
		void *p = entry_alloc_for(size, align, cxx_origin(origin));
		new_handler handler;
		if (p != NULL)
			return p;
		handler = _ZSt15get_new_handlerv ? _ZSt15get_new_handlerv() : NULL;
		if (handler == NULL)
			throw_bad_alloc(size);
		handler();
	}
}

static struct free_call call_of(enum origin origin)
{
	return (struct free_call){
		.name = origin == ORIGIN_NEW ? "operator delete" : "operator delete[]",
		.origin = cxx_origin(origin),
	};
}

void cxx_delete_slow(void *p, enum origin origin)
{
	const struct free_call call = call_of(origin);
	entry_free_call(p, &call);
}

void cxx_delete_sized_slow(void *p, size_t size, size_t align, enum origin origin)
{
	struct free_call call = call_of(origin);
	call.sized = true;
	call.bytes = size;
	call.align = align;
	entry_free_call(p, &call);
}
