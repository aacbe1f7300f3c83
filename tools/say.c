#include "say.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

static void vcomplain(const char *format, va_list ap)
{
	fflush(stdout);
	fprintf(stderr, "hakmem: ");
	vfprintf(stderr, format, ap);
	fputc('\n', stderr);
}

void complain(const char *format, ...)
{
	va_list ap;
	va_start(ap, format);
	vcomplain(format, ap);
	va_end(ap);
}

int usage_error(const char *command, const char *format, ...)
{
	va_list ap;
	va_start(ap, format);
	vcomplain(format, ap);
	va_end(ap);
	fprintf(stderr, "Try: hakmem help%s%s\n", command[0] != '\0' ? " " : "", command);
	return EXIT_USAGE;
}

static bool has_colours(FILE *out)
{
	const char *no = getenv("NO_COLOR");
	return isatty(fileno(out)) && (no == NULL || no[0] == '\0');
}

const char *colour_on(FILE *out, enum colour c)
{
	static const char *const codes[] = {
		[COLOUR_GOOD] = "\033[32m", [COLOUR_WARN] = "\033[33m", [COLOUR_BAD] = "\033[1;31m",
		[COLOUR_TITLE] = "\033[1m", [COLOUR_FAINT] = "\033[2m",
	};
	return has_colours(out) ? codes[c] : "";
}

const char *colour_off(FILE *out)
{
	return has_colours(out) ? "\033[0m" : "";
}

static const char *scaled_text(char *buf, double n, double step, const char *const *units,
			       unsigned nunits)
{
	unsigned u = 0;
	if (n < 0) {
		snprintf(buf, SIZE_TEXT_BYTES, "-");
		return buf;
	}
	while (n >= step && u + 1 < nunits) {
		n /= step;
		u++;
	}
	snprintf(buf, SIZE_TEXT_BYTES, u == 0 || n >= 99.95 ? "%.0f%s" : "%.1f%s", n, units[u]);
	return buf;
}

const char *size_text(char *buf, double bytes)
{
	static const char *const units[] = { " B", " KiB", " MiB", " GiB", " TiB", " PiB" };
	return scaled_text(buf, bytes, 1024, units, sizeof(units) / sizeof(units[0]));
}

const char *count_text(char *buf, double n)
{
	static const char *const units[] = { "", " k", " M", " G", " T", " P" };
	return scaled_text(buf, n, 1000, units, sizeof(units) / sizeof(units[0]));
}

const char *time_text(char *buf, double seconds)
{
	long whole = seconds < 0 ? 0 : seconds > 1e9 ? 1000000000 : (long)seconds;
	if (whole < 60)
		snprintf(buf, SIZE_TEXT_BYTES, "%.1f s", seconds < 0 ? 0 : seconds);
	else if (whole < 3600)
		snprintf(buf, SIZE_TEXT_BYTES, "%ld min %02ld s", whole / 60, whole % 60);
	else
		snprintf(buf, SIZE_TEXT_BYTES, "%ld h %02ld min", whole / 3600, whole % 3600 / 60);
	return buf;
}

bool parse_number(const char *s, long long max, long long *out)
{
	char *end;
	if (*s < '0' || *s > '9')
		return false;
	errno = 0;
	*out = strtoll(s, &end, 10);
	return errno == 0 && *end == '\0' && *out <= max;
}

void clean_text(char *s, size_t size)
{
	s[size - 1] = '\0';
	for (; *s != '\0'; s++)
		if (!isprint((unsigned char)*s))
			*s = '?';
}
