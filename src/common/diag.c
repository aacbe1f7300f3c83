#include "common/diag.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

void text_init(struct text *t, char *buf, size_t size)
{
	*t = (struct text){ .buf = buf, .size = size };
	if (size > 0)
		buf[0] = '\0';
}

static void text_char(struct text *t, char c)
{
	if (t->length + 1 < t->size) {
		t->buf[t->length] = c;
		t->buf[t->length + 1] = '\0';
	}
	t->length++;
}

static void text_pad(struct text *t, char c, size_t have, size_t want)
{
	for (; have < want; have++)
		text_char(t, c);
}

static void text_string(struct text *t, const char *s, size_t width, bool left)
{
	size_t n;
	if (s == NULL)
		s = "(null)";
	n = strlen(s);
	if (!left)
		text_pad(t, ' ', n, width);
	while (*s != '\0')
		text_char(t, *s++);
	if (left)
		text_pad(t, ' ', n, width);
}

static void text_number(struct text *t, unsigned long long v, unsigned base, bool negative,
			size_t width, char fill)
{
	char digits[24];
	size_t n = 0;
	do {
		digits[n++] = "0123456789abcdef"[v % base];
		v /= base;
	} while (v != 0);
	if (negative && fill == '0')
		text_char(t, '-');
	text_pad(t, fill, n + negative, width);
	if (negative && fill != '0')
		text_char(t, '-');
	while (n > 0)
		text_char(t, digits[--n]);
}

static long long arg_signed(va_list *ap, int longs)
{
	return longs >= 2   ? va_arg(*ap, long long)
	       : longs == 1 ? va_arg(*ap, long)
			    : va_arg(*ap, int);
}

static unsigned long long arg_unsigned(va_list *ap, int longs)
{
	return longs >= 2   ? va_arg(*ap, unsigned long long)
	       : longs == 1 ? va_arg(*ap, unsigned long)
			    : va_arg(*ap, unsigned);
}

/* One conversion; fmt stands behind the '%'. Returns the rest of the format. */
static const char *text_conversion(struct text *t, const char *fmt, va_list *ap)
{
	bool left = false;
	char fill = ' ';
	size_t width = 0;
	int longs = 0;
	long long v;

	if (*fmt == '-') {
		left = true;
		fmt++;
	}
	if (*fmt == '0') {
		fill = '0';
		fmt++;
	}
	for (; *fmt >= '0' && *fmt <= '9'; fmt++)
		width = width * 10 + (size_t)(*fmt - '0');
	for (; *fmt == 'l' || *fmt == 'z'; fmt++)
		longs++;
	switch (*fmt) {
	case 's':
		text_string(t, va_arg(*ap, const char *), width, left);
		break;
	case 'c':
		text_char(t, (char)va_arg(*ap, int));
		break;
	case 'd':
	case 'i':
		v = arg_signed(ap, longs);
		text_number(t, v < 0 ? 0ull - (unsigned long long)v : (unsigned long long)v, 10,
			    v < 0, width, fill);
		break;
	case 'u':
		text_number(t, arg_unsigned(ap, longs), 10, false, width, fill);
		break;
	case 'x':
		text_number(t, arg_unsigned(ap, longs), 16, false, width, fill);
		break;
	case 'p':
		text_string(t, "0x", 0, false);
		text_number(t, (uintptr_t)va_arg(*ap, void *), 16, false, 0, ' ');
		break;
	default:
		text_char(t, *fmt);
		break;
	}
	return *fmt == '\0' ? fmt : fmt + 1;
}

void text_vprintf(struct text *t, const char *fmt, va_list ap)
{
	va_list args;
	va_copy(args, ap);
	while (*fmt != '\0') {
		if (*fmt == '%')
			fmt = text_conversion(t, fmt + 1, &args);
		else
			text_char(t, *fmt++);
	}
	va_end(args);
}

void text_printf(struct text *t, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	text_vprintf(t, fmt, ap);
	va_end(ap);
}

void text_path(struct text *t, const char *path)
{
	for (; *path != '\0'; path++) {
		if (path[0] == '%' && path[1] == 'p') {
			text_printf(t, "%d", (int)getpid());
			path++;
		} else {
			text_char(t, *path);
		}
	}
}

void diag_write(const struct text *t)
{
	int saved = errno;
	size_t left = t->length < t->size ? t->length : t->size == 0 ? 0 : t->size - 1;
	const char *p = t->buf;
	while (left > 0) {
		/* Not write(2)'s wrapper: that is a cancellation point. */
		ssize_t n = syscall(SYS_write, STDERR_FILENO, p, left);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		p += n;
		left -= (size_t)n;
	}
	errno = saved;
}

static void diag_vline(const char *fmt, va_list ap)
{
	char buf[512];
	struct text t;
	text_init(&t, buf, sizeof(buf));
	text_printf(&t, "hakmem: ");
	text_vprintf(&t, fmt, ap);
	if (t.length > sizeof(buf) - 2)
		t.length = sizeof(buf) - 2;
	/* A path in it may hold anything; the line stays one line, and harmless. */
	for (size_t i = 0; i < t.length; i++)
		if ((unsigned char)buf[i] < ' ' || buf[i] == '\x7f')
			buf[i] = '?';
	text_printf(&t, "\n");
	diag_write(&t);
}

void diag_line(const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	diag_vline(fmt, ap);
	va_end(ap);
}

void diag_fatal(const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	diag_vline(fmt, ap);
	va_end(ap);
	abort();
}

void hak_assert_failed(const char *what, const char *file, int line)
{
	diag_fatal("internal check failed: %s (%s:%d)", what, file, line);
}
