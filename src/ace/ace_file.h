/* Files that ACE writes, and the one that it reads back: names come from the
 * environment, so they may be anything.
 *
 * A file is used only if it is a plain one of the process's own user, reached without a
 * symbolic link in its last part. What replaces a file is written beside it and renamed.
 * System calls go past the C library: ACE's thread is none of its threads. errno is kept.
 */
#ifndef HAK_ACE_FILE_H
#define HAK_ACE_FILE_H

#include "common/base.h"
#include "common/diag.h"

/* Read a whole file. Its length, or -errno; -EFBIG: more than `size`. */
long ace_file_read(const char *path, char *buf, size_t size);

/* Put `length` bytes in the place of the file, at once. 0, or -errno. */
int ace_file_replace(const char *path, const char *text, size_t length);

/* A file that is written to the end of the process. The program may close all its
 * descriptors and open others: before each write it is seen whether ours is still ours. */
enum { ACE_SINK_BYTES = 8192 };

struct ace_sink {
	int fd; /* -1: none */
	uint64_t device, inode;
	size_t used;
	char buf[ACE_SINK_BYTES];
};

/* Begin anew with an empty file. "%p" in the path is the process's number. 0, or -errno. */
int ace_sink_open(struct ace_sink *s, const char *path);
void ace_sink_add(struct ace_sink *s, const struct text *t);
void ace_sink_flush(struct ace_sink *s);

/* No more: the file is another process's. */
void ace_sink_drop(struct ace_sink *s);

#endif
