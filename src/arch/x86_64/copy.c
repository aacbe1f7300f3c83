/* Non-temporal stores write whole lines to memory without reading them first and
 * without a place in the caches. They are weakly ordered: the fence at the end puts
 * them before whatever this thread stores next (Intel SDM volume 1, 10.4.6.2;
 * AMD APM volume 1, 5.5.4).
 *
 * The ends of a range that are no whole lines are written by ordinary stores.
 */
#include "arch/x86_64/copy.h"

#include <immintrin.h>
#include <stdint.h>
#include <string.h>

enum { LINE_BYTES = 64 };

/* The part of a range in front of its first whole line. */
static size_t head_bytes(const void *p, size_t n)
{
	size_t head = -(uintptr_t)p & (LINE_BYTES - 1);
	return head < n ? head : n;
}

/* Copy the head; the rest of dst then begins with a line. */
static size_t copy_head(char *dst, const char *src, size_t n)
{
	size_t head = head_bytes(dst, n);
	memcpy(dst, src, head);
	return head;
}

static size_t clear_head(char *p, size_t n)
{
	size_t head = head_bytes(p, n);
	memset(p, 0, head);
	return head;
}

/* ---- copy, line by line */

void copy_nt_sse2(void *restrict dst, const void *restrict src, size_t n)
{
	size_t i = copy_head(dst, src, n);
	char *d = dst;
	const char *s = src;
	for (; n - i >= LINE_BYTES; i += LINE_BYTES) {
		__m128i a = _mm_loadu_si128((const __m128i *)(s + i));
		__m128i b = _mm_loadu_si128((const __m128i *)(s + i + 16));
		__m128i c = _mm_loadu_si128((const __m128i *)(s + i + 32));
		__m128i e = _mm_loadu_si128((const __m128i *)(s + i + 48));
		_mm_stream_si128((__m128i *)(d + i), a);
		_mm_stream_si128((__m128i *)(d + i + 16), b);
		_mm_stream_si128((__m128i *)(d + i + 32), c);
		_mm_stream_si128((__m128i *)(d + i + 48), e);
	}
	_mm_sfence();
	memcpy(d + i, s + i, n - i);
}

__attribute__((target("avx2"))) void copy_nt_avx2(void *restrict dst, const void *restrict src,
						  size_t n)
{
	size_t i = copy_head(dst, src, n);
	char *d = dst;
	const char *s = src;
	for (; n - i >= LINE_BYTES; i += LINE_BYTES) {
		__m256i a = _mm256_loadu_si256((const __m256i *)(s + i));
		__m256i b = _mm256_loadu_si256((const __m256i *)(s + i + 32));
		_mm256_stream_si256((__m256i *)(d + i), a);
		_mm256_stream_si256((__m256i *)(d + i + 32), b);
	}
	_mm_sfence();
	memcpy(d + i, s + i, n - i);
}

/* ---- copy, four pages side by side
 *
 * More of memory's banks and more of the hardware's prefetchers work at once. Where it was
 * measured (docs/benchmarks/copy.md) that is worth more than the width of the stores. */

enum { PAGE_BYTES = 4096, PAGES = 4, STEP_BYTES = 2 * LINE_BYTES };

__attribute__((target("avx512f"))) static void copy_four_pages(char *restrict d,
							       const char *restrict s)
{
	for (size_t i = 0; i < PAGE_BYTES; i += STEP_BYTES) {
		for (size_t j = i; j < PAGES * PAGE_BYTES; j += PAGE_BYTES) {
			__m512i a = _mm512_loadu_si512(s + j);
			__m512i b = _mm512_loadu_si512(s + j + LINE_BYTES);
			_mm512_stream_si512((void *)(d + j), a);
			_mm512_stream_si512((void *)(d + j + LINE_BYTES), b);
		}
	}
}

__attribute__((target("avx512f"))) void copy_nt_avx512(void *restrict dst, const void *restrict src,
						       size_t n)
{
	size_t i = copy_head(dst, src, n);
	char *d = dst;
	const char *s = src;
	for (; n - i >= PAGES * PAGE_BYTES; i += PAGES * PAGE_BYTES)
		copy_four_pages(d + i, s + i);
	for (; n - i >= LINE_BYTES; i += LINE_BYTES)
		_mm512_stream_si512((void *)(d + i), _mm512_loadu_si512(s + i));
	_mm_sfence();
	memcpy(d + i, s + i, n - i);
}

/* ---- clear */

void clear_nt_sse2(void *p, size_t n)
{
	size_t i = clear_head(p, n);
	char *d = p;
	const __m128i zero = _mm_setzero_si128();
	for (; n - i >= LINE_BYTES; i += LINE_BYTES) {
		_mm_stream_si128((__m128i *)(d + i), zero);
		_mm_stream_si128((__m128i *)(d + i + 16), zero);
		_mm_stream_si128((__m128i *)(d + i + 32), zero);
		_mm_stream_si128((__m128i *)(d + i + 48), zero);
	}
	_mm_sfence();
	memset(d + i, 0, n - i);
}

__attribute__((target("avx2"))) void clear_nt_avx2(void *p, size_t n)
{
	size_t i = clear_head(p, n);
	char *d = p;
	const __m256i zero = _mm256_setzero_si256();
	for (; n - i >= LINE_BYTES; i += LINE_BYTES) {
		_mm256_stream_si256((__m256i *)(d + i), zero);
		_mm256_stream_si256((__m256i *)(d + i + 32), zero);
	}
	_mm_sfence();
	memset(d + i, 0, n - i);
}
