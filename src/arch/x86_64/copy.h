/* Copies and clears whose stores go past the caches. */
#ifndef HAK_ARCH_X86_64_COPY_H
#define HAK_ARCH_X86_64_COPY_H

#include <stddef.h>

void copy_nt_sse2(void *restrict dst, const void *restrict src, size_t n);
void copy_nt_avx2(void *restrict dst, const void *restrict src, size_t n);
void copy_nt_avx512(void *restrict dst, const void *restrict src, size_t n);
void clear_nt_sse2(void *p, size_t n);
void clear_nt_avx2(void *p, size_t n);

#endif
