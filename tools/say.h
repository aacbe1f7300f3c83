/* Words to the person at the terminal: errors, colours, sizes that can be read. */
#ifndef HAKMEM_TOOLS_SAY_H
#define HAKMEM_TOOLS_SAY_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* Exit codes, the same in every command; `run` ends as its program does. */
enum {
	EXIT_OK = 0,
	EXIT_FAILED = 1,      /* it was tried and did not work; doctor: something is wrong */
	EXIT_USAGE = 2,
	EXIT_NO_PAGE = 3,     /* no such process, or it shows no page */
	EXIT_OTHER_BUILD = 4, /* its page is of another build */
	EXIT_CANNOT_RUN = 126,
	EXIT_NO_PROGRAM = 127,
	EXIT_SIGNAL_BASE = 128,
};

/* "hakmem: " and the line, to standard error. */
void complain(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* complain(), name the command's help, and return EXIT_USAGE. */
int usage_error(const char *command, const char *format, ...) __attribute__((format(printf, 2, 3)));

enum colour { COLOUR_GOOD, COLOUR_WARN, COLOUR_BAD, COLOUR_TITLE, COLOUR_FAINT };

/* Escape sequences, or "" where `out` is no terminal or NO_COLOR is set. */
const char *colour_on(FILE *out, enum colour c);
const char *colour_off(FILE *out);

enum { SIZE_TEXT_BYTES = 48 };
/* "12.3 MiB"; "-" if negative. Returns buf, of SIZE_TEXT_BYTES. */
const char *size_text(char *buf, double bytes);
/* "12.3 M"; the same for what is counted. */
const char *count_text(char *buf, double n);
/* "1 h 02 min", "12.3 s". */
const char *time_text(char *buf, double seconds);

/* A decimal number of 0 .. max; false: s is none. */
bool parse_number(const char *s, long long max, long long *out);

/* Make buf a text that ends, and that no terminal takes for a command. */
void clean_text(char *buf, size_t size);

#endif
