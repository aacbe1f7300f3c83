/* Files that a command is told to read or to write. */
#ifndef HAKMEM_TOOLS_FILE_H
#define HAKMEM_TOOLS_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* A whole file, of `max` bytes at most, with a zero behind it: to be freed. NULL: it
 * cannot be had, and complain() has said why. */
char *file_read(const char *path, size_t max, size_t *length);

/* A file that takes the place of another as a whole. */
struct new_file {
	FILE *out;
	const char *path;
	char *beside; /* where it lies until then */
};

/* Write to f->out, then call file_end(). False: it cannot be, and complain() has said why. */
bool file_begin(struct new_file *f, const char *path);
bool file_end(struct new_file *f);
/* In place of file_end(): there is no new file. */
void file_cancel(struct new_file *f);

#endif
