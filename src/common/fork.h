/* fork: in a process of any number of threads, also from a signal handler that
 * interrupted the allocator. All locks are taken before, in the order of their
 * ranks, and dropped after, in parent and child; the child's other heaps become
 * idle. vfork and posix_spawn need nothing. */
#ifndef HAK_COMMON_FORK_H
#define HAK_COMMON_FORK_H

/* Once, before the program can install handlers of its own that should run inside
 * ours. */
void fork_install(void);

#endif
