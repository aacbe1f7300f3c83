/* Words to a person, without malloc: a small formatter, lines to standard
 * error with one write(2) each, and the fatal end. Async-signal-safe. */
#ifndef HAK_COMMON_DIAG_H
#define HAK_COMMON_DIAG_H

#include <stdarg.h>

#include "common/base.h"

/* Text under construction in a caller's buffer. `length` counts what the whole
 * text has, as snprintf's result does; buf is always terminated if size > 0. */
struct text {
	char *buf;
	size_t size;
	size_t length;
};

void text_init(struct text *t, char *buf, size_t size);

/* Append. Knows %s %c %d %i %u %x %p %% with l, ll, z; width and 0 for numbers,
 * width and '-' for strings. */
void text_printf(struct text *t, const char *fmt, ...) HAK_PRINTF(2, 3);
void text_vprintf(struct text *t, const char *fmt, va_list ap) HAK_PRINTF(2, 0);

/* Append a path that a user gave, with the process's number for each %p. */
void text_path(struct text *t, const char *path);

/* "hakmem: " and the line, to standard error. errno is kept. */
void diag_line(const char *fmt, ...) HAK_PRINTF(1, 2);

/* All of t, to standard error. */
void diag_write(const struct text *t);

/* A line as diag_line's, then abort(). */
_Noreturn void diag_fatal(const char *fmt, ...) HAK_PRINTF(1, 2);

#endif
