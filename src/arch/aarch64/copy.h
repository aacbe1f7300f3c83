/* Copies and clears that ask the caches to keep out of the way. */
#ifndef HAK_ARCH_AARCH64_COPY_H
#define HAK_ARCH_AARCH64_COPY_H

#include "common/base.h"

void copy_nt_stnp(void *restrict dst, const void *restrict src, size_t n);
void clear_nt_stnp(void *p, size_t n);

/* DC ZVA clears a block of this many bytes; 0: it is not allowed. */
size_t zva_block_bytes(void);
void clear_nt_zva(void *p, size_t n);

#endif
