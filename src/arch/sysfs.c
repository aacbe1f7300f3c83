#include "arch/sysfs.h"

#include <string.h>

#include "common/diag.h"
#include "common/os.h"

enum { CACHE_INDEX_MAX = 7, LINE_BYTES = 64 };

/* The first line of a file, without its end. False: there is none. */
static bool read_line(const char *path, char line[LINE_BYTES])
{
	size_t n = os_read_file(path, line, LINE_BYTES - 1);
	if (n == 0)
		return false;
	line[n] = '\0';
	line[strcspn(line, "\n")] = '\0';
	return true;
}

/* "32768K" or "2M" as bytes; 0: neither. */
static size_t parse_bytes(const char *s)
{
	size_t n = 0;
	for (; *s >= '0' && *s <= '9' && n < SIZE_MAX / 16; s++)
		n = n * 10 + (size_t)(*s - '0');
	if (s[0] != '\0' && s[1] != '\0')
		return 0;
	return *s == 'K' ? n << 10 : *s == 'M' ? n << 20 : 0;
}

size_t sysfs_llc_bytes(void)
{
	char path[80], line[LINE_BYTES];
	for (int index = CACHE_INDEX_MAX; index >= 0; index--) {
		struct text t;
		text_init(&t, path, sizeof(path));
		text_printf(&t, "/sys/devices/system/cpu/cpu0/cache/index%d/size", index);
		if (read_line(path, line))
			return parse_bytes(line);
	}
	return 0;
}

bool sysfs_clocksource_is(const char *name)
{
	char line[LINE_BYTES];
	return read_line("/sys/devices/system/clocksource/clocksource0/current_clocksource",
			 line) &&
	       strcmp(line, name) == 0;
}
