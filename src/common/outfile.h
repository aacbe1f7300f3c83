/* A file of text that is written by lines at the process's end or on command: made anew, for
 * its owner alone, never through a symbolic link. Without malloc and cancellation points. */
#ifndef HAK_COMMON_OUTFILE_H
#define HAK_COMMON_OUTFILE_H

#include "common/base.h"

struct outfile {
	int fd;
	int error;       /* -errno of the first write that failed; the rest is dropped */
	int64_t written; /* bytes */
	size_t used;
	char buf[4096];
};

/* Make the file `path`. 0, or -errno: -EEXIST if anything is there. */
int outfile_create(struct outfile *o, const char *path);
/* Standard error instead. */
void outfile_stderr(struct outfile *o);

/* At most OUTFILE_LINE_BYTES - 1 at a time; what is longer is cut. */
enum { OUTFILE_LINE_BYTES = 2048 };
void outfile_printf(struct outfile *o, const char *fmt, ...) HAK_PRINTF(2, 3);
/* All that another file holds; nothing if it can't be read. */
void outfile_copy(struct outfile *o, const char *path);

/* Write what is left, and close it unless it is standard error. Returns o->error. */
int outfile_close(struct outfile *o);

#endif
