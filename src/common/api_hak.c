/* The hak_* names of include/hakmem/hakmem.h: argument checks and errno over
 * entry.h. */
#include <errno.h>
#include <string.h>

#include "common/api.h"
#include "common/diag.h"
#include "common/purge.h"
#include "common/stats.h"
#include "hakmem/hakmem.h"

#define STRING_OF(x) #x
#define VERSION_STRING(a, b, c) STRING_OF(a) "." STRING_OF(b) "." STRING_OF(c)

const char *hak_version(void)
{
	return VERSION_STRING(HAKMEM_VERSION_MAJOR, HAKMEM_VERSION_MINOR, HAKMEM_VERSION_PATCH);
}

void *hak_malloc(size_t size)
{
	return api_malloc(size);
}

void *hak_zalloc(size_t size)
{
	return api_or_enomem(entry_zalloc(size));
}

void *hak_calloc(size_t count, size_t size)
{
	return api_calloc(count, size);
}

void *hak_aligned_alloc(size_t align, size_t size)
{
	return is_pow2(align) ? api_or_enomem(entry_aligned_alloc(align, size)) : api_einval();
}

void *hak_aligned_zalloc(size_t align, size_t size)
{
	return is_pow2(align) ? api_or_enomem(entry_aligned_zalloc(align, size)) : api_einval();
}

void *hak_realloc(void *p, size_t size)
{
	return api_realloc(p, size);
}

void *hak_reallocarray(void *p, size_t count, size_t size)
{
	return api_reallocarray(p, count, size);
}

void hak_free(void *p)
{
	entry_free(p);
}

void hak_free_sized(void *p, size_t size)
{
	entry_free_sized(p, size);
}

size_t hak_usable_size(const void *p)
{
	return api_usable_size(p);
}

size_t hak_good_size(size_t size)
{
	return entry_good_bytes(size);
}

size_t hak_purge(void)
{
	return api_purge();
}

bool hak_stats_get(struct hak_stats *out)
{
	struct hak_stats all;
	size_t asked = out->struct_bytes;
	if (asked < sizeof(asked))
		return false;
	stats_gather(&all);
	memcpy(out, &all, min_size(asked, sizeof(all)));
	if (asked > sizeof(all))
		memset((char *)out + sizeof(all), 0, asked - sizeof(all));
	out->struct_bytes = asked;
	return true;
}

size_t hak_stats_text(char *buf, size_t size)
{
	struct text t;
	text_init(&t, buf, size);
	stats_text(&t);
	return t.length;
}

size_t hak_stats_json(char *buf, size_t size)
{
	struct text t;
	text_init(&t, buf, size);
	stats_json(&t);
	return t.length;
}
