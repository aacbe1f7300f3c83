/* A thread of the allocator's own, of which the C library knows nothing.
 *
 * pthread_create() is no choice for code that free() may run: the C library frees
 * memory while it holds the locks that pthread_create() takes. And a process that
 * has made one thread is a multi-threaded one to the C library for ever: its stdio
 * and reference counts get slower, and fork() in a signal handler can deadlock.
 *
 * So the thread comes from clone(), with all signals blocked. It has thread-local
 * storage of its own, of zeros, large enough for the variables that are used:
 * ours and errno. It must not use other parts of the C library than system call
 * wrappers and plain functions of memory. It gives up all capabilities, since a
 * later setuid() of the program does not reach it.
 */
#ifndef HAK_COMMON_BACKGROUND_H
#define HAK_COMMON_BACKGROUND_H

/* Run fn(), which never returns, in such a thread; the caller has blocked all signals. 0, or
 * -errno. One per process; a forked child, which has none, may call it again. */
int background_start(void (*fn)(void));

#endif
