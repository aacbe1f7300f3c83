/* The process's mappings, one by one, from /proc/self/maps: without malloc, locks or the
 * dynamic loader. */
#ifndef HAK_COMMON_MAPS_H
#define HAK_COMMON_MAPS_H

#include "common/base.h"

struct mapping {
	uintptr_t begin, end;
	uintptr_t offset; /* in its file */
	const char *path; /* NULL: none that is a file's */
};

/* Call visit(m, arg) for each mapping; m is valid during the call. `buf` is working space:
 * a line that it cannot hold, with a byte to spare, is passed over. errno is kept. */
void maps_each(char *buf, size_t size, void (*visit)(const struct mapping *m, void *arg),
	       void *arg);

/* The file that is mapped at `addr`: where it begins in memory, and its path. False: there is
 * none, or its path does not fit. */
bool maps_module_of(uintptr_t addr, uintptr_t *base, char *path, size_t path_bytes);

#endif
