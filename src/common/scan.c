#include "common/scan.h"

#include <string.h>

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

const char *scan_u64(const char *s, uint64_t *out)
{
	uint64_t n = 0;
	if (!is_digit(*s))
		return NULL;
	for (; is_digit(*s); s++)
		if (__builtin_mul_overflow(n, 10, &n) ||
		    __builtin_add_overflow(n, (uint64_t)(*s - '0'), &n))
			return NULL;
	*out = n;
	return s;
}

const char *scan_behind(const char *s, const char *key)
{
	s = strstr(s, key);
	return s == NULL ? NULL : s + strlen(key);
}

const char *scan_decimal(const char *s, uint32_t scale, uint64_t *out)
{
	uint64_t n;
	s = scan_u64(s, &n);
	if (s == NULL || __builtin_mul_overflow(n, scale, &n))
		return NULL;
	if (*s == '.')
		for (s++; is_digit(*s); s++)
			if (__builtin_add_overflow(n, (scale /= 10) * (uint64_t)(*s - '0'), &n))
				return NULL;
	*out = n;
	return s;
}
