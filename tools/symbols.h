/* The names of the functions of a program file, by where they lie in it. */
#ifndef HAKMEM_TOOLS_SYMBOLS_H
#define HAKMEM_TOOLS_SYMBOLS_H

#include <stdint.h>

enum { SYMBOL_BYTES = 512 };

struct symbols;

/* NULL: the file is gone, or has no names. */
struct symbols *symbols_open(const char *path);
void symbols_close(struct symbols *s);

/* The name of the function that this offset in the file is in: printable, and of C++ and Rust
 * without arguments where that is easily said. Returns buf, or NULL. */
const char *symbols_find(const struct symbols *s, uint64_t offset, char buf[SYMBOL_BYTES]);

#endif
