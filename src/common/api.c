#include "common/api.h"

#include <errno.h>

#include "common/heap.h"
#include "common/purge.h"

void *api_enomem(void)
{
	errno = ENOMEM;
	return NULL;
}

void *api_einval(void)
{
	errno = EINVAL;
	return NULL;
}

void *api_malloc_slow(size_t bytes)
{
	return api_or_enomem(entry_malloc_slow(bytes));
}

void *api_calloc(size_t count, size_t size)
{
	size_t bytes;
	if (__builtin_mul_overflow(count, size, &bytes))
		return api_enomem();
	return api_or_enomem(entry_zalloc(bytes));
}

void *api_realloc(void *p, size_t size)
{
	if (p == NULL)
		return api_malloc(size);
	if (size == 0) {
		entry_free(p);
		return NULL;
	}
	return api_or_enomem(entry_realloc(p, size));
}

void *api_reallocarray(void *p, size_t count, size_t size)
{
	size_t bytes;
	if (__builtin_mul_overflow(count, size, &bytes))
		return api_enomem();
	return api_realloc(p, bytes);
}

size_t api_usable_size(const void *p)
{
	return p == NULL ? 0 : entry_usable_bytes(p, "malloc_usable_size");
}

size_t api_purge(void)
{
	struct slow_scope scope;
	size_t bytes = 0;
	if (slow_enter(&scope)) {
		struct heap *h = thread_heap();
		if (h != NULL)
			tcache_flush_all(&h->tcache);
		bytes = purge_everything();
	}
	slow_leave(&scope);
	thread_finish_attach();
	return bytes;
}
