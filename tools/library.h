/* Where libhakmem.so is, for programs that are to run on it. */
#ifndef HAKMEM_TOOLS_LIBRARY_H
#define HAKMEM_TOOLS_LIBRARY_H

#include <stdbool.h>

/* `wanted` if not NULL; else $HAKMEM_LIBRARY; else beside this command, in a build tree;
 * else where it is installed with it. False, having complained: there is none. */
bool library_find(const char *wanted, char *path, unsigned size);

#endif
