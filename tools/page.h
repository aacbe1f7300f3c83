/* Statistics pages of other processes: found, read whole, and checked. What a page says
 * is not believed: after page_read() every count is in its range, every text ends and
 * has printable characters only, and no figure that something is divided by can harm. */
#ifndef HAKMEM_TOOLS_PAGE_H
#define HAKMEM_TOOLS_PAGE_H

#include <stdbool.h>
#include <sys/types.h>

#include "common/statpage_layout.h"

enum page_error {
	PAGE_OK,
	PAGE_NO_PROCESS,
	PAGE_DENIED,  /* the kernel does not let us look */
	PAGE_NONE,    /* the process shows none */
	PAGE_FOREIGN, /* the file is not the process's user's, or no file */
	PAGE_OTHER_BUILD,
	PAGE_BROKEN, /* not a page, or with impossible contents */
	PAGE_BUSY,   /* written to all the time */
};

enum { PAGE_PATH_BYTES = 512 };

struct page_file {
	int fd;
	pid_t pid;
	char path[PAGE_PATH_BYTES];
};

/* Open the page of a live process, for commands too if `writable`. */
enum page_error page_open(struct page_file *f, pid_t pid, bool writable);

/* The page that a process, known to have ended, has left; uid is its owner. */
enum page_error page_open_left(struct page_file *f, pid_t pid, uid_t uid);

/* A page in a file that somebody has kept. */
enum page_error page_open_file(struct page_file *f, const char *path);

void page_close(struct page_file *f);

/* A whole, checked copy. Of a page of another build `build` is good, and no more. */
enum page_error page_read(const struct page_file *f, struct statpage *out);

/* The same of a live process, whose page is open meanwhile. */
enum page_error page_copy(pid_t pid, struct statpage *out);

/* The checks alone, on a copy: for tests. */
enum page_error page_check(struct statpage *p);

/* complain() about what went wrong and return the exit code for it. */
int page_explain(enum page_error e, pid_t pid);
int page_explain_file(enum page_error e, const char *path);

/* Call visit() with every live process that shows a page to us; remove the pages of
 * processes that are gone. Stops when visit() says false. */
void page_for_each(bool (*visit)(pid_t pid, void *arg), void *arg);

/* The pid that `s` says, or the only process that shows a page if s is NULL. On an
 * error complains and returns 0; *code is the exit code. */
pid_t page_choose(const char *s, const char *command, int *code);

/* page_copy() of the process that page_choose() says. Complains on an error, and returns the exit
 * code. */
int page_copy_chosen(const char *s, const char *command, struct statpage *out);

/* Where does the process's page lie, as its mappings say? */
enum page_error page_find(pid_t pid, char path[PAGE_PATH_BYTES]);

/* When a process began, in clock ticks since boot; 0: there is none. */
uint64_t process_start_ticks(pid_t pid);

#endif
