/* Names of functions, out of the ELF file that they were loaded from: its symbols, or the
 * dynamic ones where it is stripped. By read() alone: no malloc, no loader, and a damaged file
 * is one without names. Slow: each question reads all symbols. */
#ifndef HAK_COMMON_SYMBOLS_H
#define HAK_COMMON_SYMBOLS_H

#include "common/base.h"

/* Which function holds the byte `offset` behind the place where the file begins in memory?
 * Its name, cut if need be, and how far into it. False: not known. */
bool symbols_find(const char *path, uintptr_t offset, char *name, size_t name_bytes,
		  uintptr_t *into);

#endif
