/*
 * The C library's allocation functions, one case per promise: C11, C23, POSIX
 * and, where those leave a choice, what glibc 2.36 does.
 *
 * Runs on any allocator; what only hakmem promises (mallopt's answer for an
 * unknown parameter, free_sized) is asked of hakmem alone.
 */
#include <limits.h>
#include <stdbool.h>

#include "api.h"

/* A value that no libc call leaves in errno by itself. */
enum { ERRNO_CANARY = 4242 };

static const size_t impossible_sizes[] = {
	SIZE_MAX,
	SIZE_MAX - 1,
	SIZE_MAX - 15,
	SIZE_MAX - 31,
	SIZE_MAX - 4095,
	SIZE_MAX - 65535,
	SIZE_MAX - (2u << 20),
	(size_t)PTRDIFF_MAX + 2,
	(size_t)PTRDIFF_MAX + 1,
	(size_t)PTRDIFF_MAX,
	(size_t)1 << 62,
	(size_t)1 << 60,
	(size_t)1 << 57,
	(size_t)1 << 48,
};

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

/* Sizes on both sides of every border an allocator may have, up to 8 MiB. */
static size_t edge_sizes(size_t *out, size_t max)
{
	size_t n = 0, p;

	for (p = 1; p <= 8u << 20; p <<= 1) {
		size_t c[] = { p - 1, p, p + 1, p + 16, p + p / 4, p + p / 2,
			       p + p / 2 + 1 };
		size_t i;

		for (i = 0; i < ARRAY_LEN(c) && n < max; i++)
			out[n++] = c[i];
	}
	return n;
}

static bool aligned_to(const void *p, size_t align)
{
	return ((uintptr_t)p & (align - 1)) == 0;
}

static void expect_enomem(const void *p, const char *what, size_t size)
{
	int err = errno;

	CHECK(p == NULL, "%s(%#zx): expected NULL, found %p", what, size, p);
	CHECK(err == ENOMEM, "%s(%#zx): expected errno %d (ENOMEM), found %d",
	      what, size, ENOMEM, err);
}

static void case_zero_size(void)
{
	void *p[11] = { 0 };
	size_t i, j;

	p[0] = api.malloc(0);
	p[1] = api.malloc(0);
	p[2] = api.calloc(0, 0);
	p[3] = api.calloc(0, 8);
	p[4] = api.calloc(8, 0);
	p[5] = api.realloc(NULL, 0);
	p[6] = api.reallocarray(NULL, 0, 8);
	p[7] = api.aligned_alloc(64, 0);
	CHECK_I64(api.posix_memalign(&p[8], 64, 0), 0, "posix_memalign(,64,0)");
	p[9] = api.memalign(64, 0);
	p[10] = api.valloc(0);
	for (i = 0; i < ARRAY_LEN(p); i++) {
		CHECK(p[i] != NULL, "zero-size call %zu: expected a block", i);
		CHECK(aligned_to(p[i], 16), "call %zu: misaligned %p", i, p[i]);
		for (j = 0; j < i; j++)
			CHECK(p[i] != p[j],
			      "calls %zu and %zu returned the same block %p", i,
			      j, p[i]);
	}
	for (i = 0; i < ARRAY_LEN(p); i++)
		api.free(p[i]);
}

static void case_impossible_sizes(void)
{
	size_t i;

	for (i = 0; i < ARRAY_LEN(impossible_sizes); i++) {
		size_t n = impossible_sizes[i];
		void *p = &n;
		int rc;

		errno = 0;
		expect_enomem(api.malloc(n), "malloc", n);
		errno = 0;
		expect_enomem(api.calloc(1, n), "calloc(1)", n);
		errno = 0;
		expect_enomem(api.calloc(n, 1), "calloc(,1)", n);
		errno = 0;
		expect_enomem(api.realloc(NULL, n), "realloc(NULL)", n);
		errno = 0;
		expect_enomem(api.reallocarray(NULL, n, 1), "reallocarray", n);
		errno = 0;
		expect_enomem(api.aligned_alloc(64, n), "aligned_alloc(64)", n);
		errno = 0;
		expect_enomem(api.memalign(1u << 20, n), "memalign(1M)", n);
		errno = 0;
		expect_enomem(api.valloc(n), "valloc", n);
		errno = 0;
		expect_enomem(api.pvalloc(n), "pvalloc", n);
		errno = ERRNO_CANARY;
		rc = api.posix_memalign(&p, 64, n);
		CHECK_I64(rc, ENOMEM, "posix_memalign of an impossible size");
		CHECK_PTR(p, &n, "pointer after a failed posix_memalign");
	}
}

static void case_pvalloc_minus_one(void)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	size_t n;

	/* Rounding up to a page must not wrap to zero. */
	for (n = 0; n < page; n += page / 8 + 1) {
		errno = 0;
		expect_enomem(api.pvalloc(SIZE_MAX - n), "pvalloc", SIZE_MAX - n);
	}
	errno = 0;
	expect_enomem(api.pvalloc(SIZE_MAX - page), "pvalloc", SIZE_MAX - page);
}

static void case_product_overflow(void)
{
	static const size_t pairs[][2] = {
		{ SIZE_MAX, 2 },
		{ 2, SIZE_MAX },
		{ SIZE_MAX, SIZE_MAX },
		{ SIZE_MAX / 2 + 1, 2 },
		{ 2, SIZE_MAX / 2 + 1 },
		{ (size_t)1 << 32, (size_t)1 << 32 },
		{ ((size_t)1 << 32) + 1, (size_t)1 << 32 },
		{ (size_t)1 << 33, (size_t)1 << 31 },
		{ 65537, SIZE_MAX / 65537 + 1 },
		{ SIZE_MAX / 65537 + 1, 65537 },
		/* These do not overflow, but cannot be had. */
		{ SIZE_MAX / 65537, 65537 },
		{ (size_t)1 << 31, (size_t)1 << 32 },
	};
	size_t i;
	char *keep = api.malloc(100);

	REQUIRE(keep, "malloc(100) failed");
	test_fill(keep, 100, 7);
	for (i = 0; i < ARRAY_LEN(pairs); i++) {
		size_t a = test_opaque_size(pairs[i][0]);
		size_t b = test_opaque_size(pairs[i][1]);

		errno = 0;
		expect_enomem(api.calloc(a, b), "calloc", a);
		errno = 0;
		expect_enomem(api.reallocarray(NULL, a, b), "reallocarray", a);
		errno = 0;
		expect_enomem(api.reallocarray(keep, a, b), "reallocarray(p)",
			      a);
		CHECK_U64(test_verify(keep, 100, 7), 100,
			  "block after a failed reallocarray");
	}
	api.free(keep);
}

static void case_failed_realloc_keeps_block(void)
{
	static const size_t from[] = { 1, 24, 500, 5000, 70000, 3u << 20 };
	size_t i, j;

	for (i = 0; i < ARRAY_LEN(from); i++) {
		char *p = api.malloc(from[i]);

		REQUIRE(p, "malloc(%zu) failed", from[i]);
		test_fill(p, from[i], i);
		for (j = 0; j < ARRAY_LEN(impossible_sizes); j++) {
			errno = 0;
			expect_enomem(api.realloc(p, impossible_sizes[j]),
				      "realloc(p)", impossible_sizes[j]);
			CHECK_U64(test_verify(p, from[i], i), from[i],
				  "block after a failed realloc");
		}
		api.free(p);
	}
}

static void case_alignment_of_all_sizes(void)
{
	size_t n, step = test_scaled(1, 7);

	for (n = 0; n <= 10000; n += step) {
		char *a = api.malloc(n), *b = api.calloc(1, n);
		char *c = api.realloc(NULL, n);

		CHECK(a && b && c, "size %zu: expected three blocks", n);
		CHECK(aligned_to(a, 16), "malloc(%zu) = %p", n, (void *)a);
		CHECK(aligned_to(b, 16), "calloc(1, %zu) = %p", n, (void *)b);
		CHECK(aligned_to(c, 16), "realloc(0, %zu) = %p", n, (void *)c);
		a = api.realloc(a, n + 40);
		CHECK(a && aligned_to(a, 16), "realloc(p, %zu) = %p", n + 40,
		      (void *)a);
		api.free(a);
		api.free(b);
		api.free(c);
	}
}

static void case_usable_size(void)
{
	size_t sizes[200], count = edge_sizes(sizes, 200), i;
	char *p[200];

	CHECK_U64(api.usable_size(NULL), 0, "malloc_usable_size(NULL)");
	/* Every usable byte of every live block is written, then all verified:
	 * an overlap of two blocks shows. */
	for (i = 0; i < count; i++) {
		size_t usable;

		p[i] = api.malloc(sizes[i]);
		REQUIRE(p[i], "malloc(%zu) failed", sizes[i]);
		usable = api.usable_size(p[i]);
		CHECK(usable >= sizes[i], "usable size of %zu: found %zu",
		      sizes[i], usable);
		test_fill(p[i], usable, i * 3);
		CHECK_U64(api.usable_size(p[i]), usable,
			  "usable size asked a second time");
	}
	for (i = 0; i < count; i++) {
		size_t usable = api.usable_size(p[i]);
		size_t good = test_verify(p[i], usable, i * 3);

		CHECK(good == usable, "block of %zu at %p: byte %zu overwritten",
		      sizes[i], (void *)p[i], good);
		api.free(p[i]);
	}
}

static void case_requested_alignment(void)
{
	static const size_t sizes[] = { 0, 1, 17, 100, 1000, 4096, 5000, 65536,
					100000, 1u << 20, (3u << 20) + 5 };
	size_t align, i;

	for (align = sizeof(void *); align <= 64u << 20; align <<= 1) {
		for (i = 0; i < ARRAY_LEN(sizes); i++) {
			size_t n = sizes[i], k;
			char *p[4] = { 0 };
			void *out = NULL;

			CHECK_I64(api.posix_memalign(&out, align, n), 0,
				  "posix_memalign");
			p[0] = out;
			p[1] = api.aligned_alloc(align, n);
			p[2] = api.memalign(align, n);
			p[3] = api.malloc(n);
			for (k = 0; k < 4; k++) {
				size_t usable;

				if (!CHECK(p[k] != NULL,
					   "call %zu: align %zu size %zu: NULL",
					   k, align, n))
					continue;
				if (k < 3)
					CHECK(aligned_to(p[k], align),
					      "call %zu: align %zu size %zu: %p",
					      k, align, n, (void *)p[k]);
				CHECK(aligned_to(p[k], 16),
				      "call %zu: align %zu size %zu: %p", k,
				      align, n, (void *)p[k]);
				usable = api.usable_size(p[k]);
				CHECK(usable >= n,
				      "align %zu size %zu: usable %zu", align,
				      n, usable);
				test_fill(p[k], n, k);
			}
			for (k = 0; k < 4; k++)
				CHECK(!p[k] || test_verify(p[k], n, k) == n,
				      "align %zu size %zu: content changed",
				      align, n);
			/* One goes on as an ordinary block. */
			if (p[0]) {
				p[0] = api.realloc(p[0], n * 2 + 50);
				CHECK(p[0] && test_verify(p[0], n, 0) == n,
				      "align %zu size %zu: content lost by realloc",
				      align, n);
			}
			for (k = 0; k < 4; k++)
				api.free(p[k]);
		}
	}
}

static void case_posix_memalign_bad_alignment(void)
{
	static const size_t bad[] = { 0, 1, 2, 3, 4, 5, 7, 9, 12, 24, 48, 100,
				      4095, 4097, SIZE_MAX, SIZE_MAX - 7,
				      ((size_t)1 << 63) + 8 };
	size_t i;
	void *mark = &i;

	for (i = 0; i < ARRAY_LEN(bad); i++) {
		void *p = mark;
		int rc;

		errno = ERRNO_CANARY;
		rc = api.posix_memalign(&p, test_opaque_size(bad[i]), 32);
		CHECK(rc == EINVAL, "alignment %zu: expected %d (EINVAL), found %d",
		      bad[i], EINVAL, rc);
		CHECK_I64(errno, ERRNO_CANARY, "errno after EINVAL");
		CHECK_PTR(p, mark, "pointer after EINVAL");
		if (p != mark)
			api.free(p);
	}
	errno = ERRNO_CANARY;
	{
		void *p = mark;
		int rc = api.posix_memalign(&p, 16, 100);

		CHECK_I64(rc, 0, "posix_memalign(,16,100)");
		CHECK(p != mark && p, "expected a block, found %p", p);
		CHECK_I64(errno, ERRNO_CANARY, "errno after success");
		api.free(p);
	}
}

/*
 * glibc 2.36: an alignment that is not a power of two is rounded up to the next
 * one, small ones (0 too) mean malloc, and one above SIZE_MAX/2 + 1 is EINVAL.
 */
static void case_memalign_odd_alignment(void)
{
	static const size_t odd[][2] = { { 0, 16 },    { 1, 16 },   { 3, 16 },
					 { 15, 16 },   { 17, 32 },  { 24, 32 },
					 { 48, 64 },   { 65, 128 }, { 100, 128 },
					 { 4097, 8192 }, { 70000, 131072 } };
	static const size_t bad[] = { SIZE_MAX, SIZE_MAX - 1,
				      ((size_t)1 << 63) + 1,
				      ((size_t)1 << 63) + 4096 };
	size_t i;

	for (i = 0; i < ARRAY_LEN(odd); i++) {
		size_t a = test_opaque_size(odd[i][0]);
		void *p = api.memalign(a, 200), *q = api.aligned_alloc(a, 200);

		CHECK(p && aligned_to(p, odd[i][1]),
		      "memalign(%zu): expected alignment %zu, found %p", a,
		      odd[i][1], p);
		CHECK(q && aligned_to(q, odd[i][1]),
		      "aligned_alloc(%zu): expected alignment %zu, found %p", a,
		      odd[i][1], q);
		api.free(p);
		api.free(q);
	}
	for (i = 0; i < ARRAY_LEN(bad); i++) {
		errno = 0;
		CHECK_PTR(api.memalign(test_opaque_size(bad[i]), 10), NULL,
			  "memalign of an impossible alignment");
		CHECK_I64(errno, EINVAL, "errno of it");
		errno = 0;
		CHECK_PTR(api.aligned_alloc(test_opaque_size(bad[i]), 10), NULL,
			  "aligned_alloc of an impossible alignment");
		CHECK_I64(errno, EINVAL, "errno of it");
	}
	/* 2^63 is a power of two, but no address space has room for it. */
	errno = 0;
	expect_enomem(api.memalign((size_t)1 << 63, 10), "memalign(2^63)", 10);
	errno = 0;
	expect_enomem(api.memalign((size_t)1 << 62, SIZE_MAX / 2),
		      "memalign(2^62)", SIZE_MAX / 2);
}

static void case_valloc_pvalloc(void)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE), n;

	for (n = 0; n < 4 * page; n += page / 4 - 1) {
		char *v = api.valloc(n), *p = api.pvalloc(n);
		size_t rounded = (n + page - 1) / page * page;

		CHECK(v && aligned_to(v, page), "valloc(%zu) = %p", n,
		      (void *)v);
		CHECK(p && aligned_to(p, page), "pvalloc(%zu) = %p", n,
		      (void *)p);
		CHECK(api.usable_size(v) >= n, "valloc(%zu): usable %zu", n,
		      api.usable_size(v));
		CHECK(api.usable_size(p) >= rounded,
		      "pvalloc(%zu): expected usable >= %zu, found %zu", n,
		      rounded, api.usable_size(p));
		test_fill(v, n, 1);
		test_fill(p, rounded, 2);
		CHECK_U64(test_verify(v, n, 1), n, "valloc's block");
		api.free(v);
		api.free(p);
	}
}

static void case_realloc_null_and_zero(void)
{
	static const size_t sizes[] = { 0, 1, 100, 5000, 300000, 9u << 20 };
	size_t i;

	for (i = 0; i < ARRAY_LEN(sizes); i++) {
		char *p = api.realloc(NULL, sizes[i]);

		REQUIRE(p, "realloc(NULL, %zu) failed", sizes[i]);
		test_fill(p, sizes[i], i);
		CHECK_U64(test_verify(p, sizes[i], i), sizes[i], "content");
		errno = ERRNO_CANARY;
		CHECK_PTR(api.realloc(p, 0), NULL, "realloc(p, 0)");
		CHECK_I64(errno, ERRNO_CANARY, "errno after realloc(p, 0)");
		p = api.malloc(sizes[i]);
		CHECK_PTR(api.reallocarray(p, 0, 10), NULL,
			  "reallocarray(p, 0, 10)");
		p = api.malloc(sizes[i]);
		CHECK_PTR(api.reallocarray(p, 10, 0), NULL,
			  "reallocarray(p, 10, 0)");
	}
	/* realloc(p, 0) frees: a million of them must not run out of memory. */
	for (i = 0; i < test_scaled(200000, 20000); i++) {
		void *p = api.malloc(20000);

		if (!CHECK(p != NULL, "round %zu: realloc(p, 0) leaks?", i))
			break;
		if (!CHECK(api.realloc(p, 0) == NULL, "expected NULL"))
			break;
	}
}

static void check_realloc_step(size_t from, size_t to)
{
	size_t keep = from < to ? from : to, good;
	char *p = api.malloc(from), *q;

	REQUIRE(p, "malloc(%zu) failed", from);
	test_fill(p, from, from);
	q = api.realloc(p, to);
	if (!CHECK(q != NULL, "realloc %zu -> %zu: NULL", from, to)) {
		api.free(p);
		return;
	}
	CHECK(aligned_to(q, 16), "realloc %zu -> %zu: %p", from, to, (void *)q);
	good = test_verify(q, keep, from);
	CHECK(good == keep, "realloc %zu -> %zu: byte %zu changed", from, to,
	      good);
	CHECK(api.usable_size(q) >= to, "realloc %zu -> %zu: usable %zu", from,
	      to, api.usable_size(q));
	test_fill(q, to, to);
	CHECK_U64(test_verify(q, to, to), to, "the new block holds its bytes");
	api.free(q);
}

static void case_realloc_content(void)
{
	size_t limit = test_scaled(8u << 20, 4u << 20), n;

	for (n = 1; n <= limit; n += n < 200 ? 1 : n / test_scaled(9, 3)) {
		const size_t to[] = { n + 1, n + n / 10 + 1, 2 * n, 7 * n / 2,
				      n > 1 ? n - 1 : 1, n - n / 10,
				      n / 2 + 1, n / 10 + 1 };
		size_t i;

		for (i = 0; i < ARRAY_LEN(to); i++)
			check_realloc_step(n, to[i]);
	}
}

/* One block through all sizes, up and down again, with neighbours in place. */
static void case_realloc_chain(void)
{
	size_t limit = test_scaled(24u << 20, 4u << 20), n = 1, good;
	void *neighbour[64];
	unsigned round = 0;
	char *p = api.malloc(n);

	REQUIRE(p, "malloc(1) failed");
	memset(neighbour, 0, sizeof(neighbour));
	test_fill(p, n, 99);
	while (n < limit) {
		size_t next = n + n / 3 + 1;

		p = api.realloc(p, next);
		REQUIRE(p, "realloc to %zu failed", next);
		good = test_verify(p, n, 99);
		CHECK(good == n, "growing %zu -> %zu: byte %zu changed", n,
		      next, good);
		test_fill(p, next, 99);
		n = next;
		api.free(neighbour[round % 64]);
		neighbour[round % 64] = api.malloc(n);
		round++;
	}
	while (n > 1) {
		size_t next = n - n / 3;

		if (next == n)
			next--;
		p = api.realloc(p, next);
		REQUIRE(p, "realloc to %zu failed", next);
		good = test_verify(p, next, 99);
		CHECK(good == next, "shrinking %zu -> %zu: byte %zu changed", n,
		      next, good);
		n = next;
	}
	for (n = 0; n < 64; n++)
		api.free(neighbour[n]);
	api.free(p);
}

static size_t first_nonzero(const char *p, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (p[i])
			return i;
	return n;
}

static void case_calloc_is_zero(void)
{
	static const size_t sizes[] = { 1,	8,	16,	17,	48,
					100,	256,	1000,	1024,	4000,
					4096,	8192,	20000,	32768,	33000,
					65536,	100000, 262144, 600000, 1u << 20,
					2u << 20, (4u << 20) + 1, 9u << 20 };
	enum { BLOCKS = 40 };
	char *p[BLOCKS];
	size_t i, k;
	unsigned round;

	for (i = 0; i < ARRAY_LEN(sizes); i++) {
		size_t n = sizes[i];
		size_t blocks = n > 1u << 20 ? 3 : BLOCKS;

		for (round = 0; round < 3; round++) {
			for (k = 0; k < blocks; k++) {
				p[k] = api.malloc(n);
				REQUIRE(p[k], "malloc(%zu) failed", n);
				memset(p[k], 0xa5, api.usable_size(p[k]));
			}
			for (k = 0; k < blocks; k++)
				api.free(p[k]);
			if (round == 2)
				api.trim(0);
			for (k = 0; k < blocks; k++) {
				size_t z;

				p[k] = k & 1 ? api.calloc(n, 1)
					     : api.calloc(1, n);
				REQUIRE(p[k], "calloc(1, %zu) failed", n);
				z = first_nonzero(p[k], n);
				CHECK(z == n,
				      "calloc(%zu): byte %zu expected 0, found %#x",
				      n, z, (unsigned char)p[k][z]);
				memset(p[k], 0x5a, api.usable_size(p[k]));
			}
			for (k = 0; k < blocks; k++)
				api.free(p[k]);
		}
	}
	p[0] = api.calloc(1000, 24);
	CHECK(p[0] && first_nonzero(p[0], 24000) == 24000, "calloc(1000, 24)");
	api.free(p[0]);
}

static void case_free_keeps_errno(void)
{
	static const size_t sizes[] = { 1, 100, 5000, 40000, 200000,
					3u << 20, 80u << 20 };
	size_t i, k;

	errno = ERRNO_CANARY;
	api.free(NULL);
	CHECK_I64(errno, ERRNO_CANARY, "errno after free(NULL)");
	for (i = 0; i < ARRAY_LEN(sizes); i++) {
		for (k = 0; k < (sizes[i] > 1u << 20 ? 2u : 300u); k++) {
			char *p = api.malloc(sizes[i]);

			REQUIRE(p, "malloc(%zu) failed", sizes[i]);
			p[0] = 1;
			p[sizes[i] - 1] = 1;
			errno = ERRNO_CANARY;
			api.free(p);
			if (!CHECK(errno == ERRNO_CANARY,
				   "errno after free of %zu: found %d", sizes[i],
				   errno))
				break;
		}
	}
	for (i = 0; i < 30; i++) {
		char *p = api.memalign(8u << 20, 1000);

		errno = ERRNO_CANARY;
		api.free(p);
		CHECK_I64(errno, ERRNO_CANARY, "errno after free of aligned");
	}
}

/* Any size between what was asked for and the usable size is right. */
static void case_free_sized(void)
{
	size_t sizes[200], count = edge_sizes(sizes, 200), i, k;

	if (!api.free_sized || !api.free_aligned_sized) {
		CHECK(!api_is_hakmem(), "hakmem must have free_sized");
		test_skip_case("no free_sized in this C library");
		return;
	}
	errno = ERRNO_CANARY;
	api.free_sized(NULL, 0);
	api.free_sized(NULL, 100);
	api.free_aligned_sized(NULL, 64, 64);
	for (i = 0; i < count; i++) {
		size_t n = sizes[i];

		for (k = 0; k < 4; k++) {
			char *p = api.malloc(n);
			size_t usable = api.usable_size(p);

			REQUIRE(p, "malloc(%zu) failed", n);
			test_fill(p, n, k);
			errno = ERRNO_CANARY;
			api.free_sized(p, n + (usable - n) * k / 3);
			p = api.malloc(n / 3 + 1);
			p = api.realloc(p, n ? n : 1);
			REQUIRE(p, "realloc(%zu) failed", n);
			usable = api.usable_size(p);
			errno = ERRNO_CANARY;
			api.free_sized(p, n ? n + (usable - n) * k / 3 : 1);
			/* Shrunk: it may be in the bigger block still. */
			p = api.malloc(n * 2 + 1);
			p = api.realloc(p, n ? n : 1);
			REQUIRE(p, "shrinking realloc(%zu) failed", n);
			usable = api.usable_size(p);
			errno = ERRNO_CANARY;
			api.free_sized(p, n ? n + (usable - n) * k / 3 : 1);
			CHECK_I64(errno, ERRNO_CANARY, "errno after free_sized");
		}
		for (k = 16; k <= 8192; k <<= 3) {
			char *p = api.aligned_alloc(k, n);

			REQUIRE(p, "aligned_alloc(%zu, %zu) failed", k, n);
			errno = ERRNO_CANARY;
			api.free_aligned_sized(p, k, n);
			CHECK_I64(errno, ERRNO_CANARY,
				  "errno after free_aligned_sized");
		}
	}
}

/* Blocks of every allocating name are freed by every freeing name. */
static void case_names_mix(void)
{
	void (*frees[8])(void *);
	unsigned nfrees = 0, f, round;

	frees[nfrees++] = api.free;
	if (api.cfree)
		frees[nfrees++] = api.cfree;
	if (api.libc_free)
		frees[nfrees++] = api.libc_free;
	if (api.libc_cfree)
		frees[nfrees++] = api.libc_cfree;
	if (api_is_hakmem())
		CHECK_U64(nfrees, 4, "free, cfree, __libc_free, __libc_cfree");
	for (round = 0; round < 200; round++) {
		size_t n = (size_t)round * 37 + (round % 50 == 0) * 300000u;

		for (f = 0; f < nfrees; f++) {
			void *p[16] = { 0 };
			unsigned c = 0, i;

			p[c++] = api.malloc(n);
			p[c++] = api.calloc(1, n);
			p[c++] = api.realloc(api.malloc(1), n + 1);
			p[c++] = api.reallocarray(api.malloc(1), 3, n + 1);
			p[c++] = api.memalign(128, n);
			p[c++] = api.valloc(n);
			p[c++] = api.pvalloc(n);
			if (api.libc_malloc)
				p[c++] = api.libc_malloc(n);
			if (api.libc_calloc)
				p[c++] = api.libc_calloc(1, n);
			if (api.libc_realloc)
				p[c++] = api.libc_realloc(api.malloc(1), n + 1);
			if (api.libc_memalign)
				p[c++] = api.libc_memalign(256, n);
			if (api.libc_valloc)
				p[c++] = api.libc_valloc(n);
			if (api.libc_pvalloc)
				p[c++] = api.libc_pvalloc(n);
			if (api.dunder_posix_memalign)
				CHECK_I64(api.dunder_posix_memalign(&p[c++], 64,
								    n),
					  0, "__posix_memalign");
			if (api_is_hakmem())
				CHECK_U64(c, 14, "allocating names found");
			for (i = 0; i < c; i++) {
				CHECK(p[i] && api.usable_size(p[i]) >= n,
				      "name %u, size %zu: %p, usable %zu", i, n,
				      p[i], api.usable_size(p[i]));
				if (p[i])
					memset(p[i], (int)i, n);
			}
			for (i = 0; i < c; i++)
				frees[f](p[i]);
		}
	}
}

/* What libc allocates for us must come from, and go back to, our heap. */
static void case_libc_internal_users(void)
{
	char *s = strdup("a string of some length, longer than a few words"), *t;
	size_t len = 0;
	FILE *f;

	CHECK(s && api.usable_size(s) >= 49, "strdup: usable %zu",
	      api.usable_size(s));
	s = api.realloc(s, 5000);
	CHECK(s && strncmp(s, "a string", 8) == 0, "realloc of strdup's block");
	api.free(s);
	s = NULL;
	CHECK(asprintf(&s, "%0500d", 7) == 500, "asprintf");
	CHECK(api.usable_size(s) >= 501, "asprintf: usable %zu",
	      api.usable_size(s));
	api.free(s);
	s = getcwd(NULL, 0);
	CHECK(s != NULL, "getcwd(NULL, 0)");
	t = realpath("/proc/../tmp", NULL);
	CHECK(t && strcmp(t, "/tmp") == 0, "realpath: %s", t ? t : "(NULL)");
	api.free(s);
	api.free(t);
	s = NULL;
	f = open_memstream(&s, &len);
	REQUIRE(f, "open_memstream failed");
	while (len < 200000) {
		fprintf(f, "line %zu of a growing buffer\n", len);
		fflush(f);
	}
	fclose(f);
	CHECK(api.usable_size(s) >= len, "open_memstream: %zu < %zu",
	      api.usable_size(s), len);
	f = fmemopen(s, len, "r");
	t = NULL;
	len = 0;
	REQUIRE(f, "fmemopen failed");
	CHECK(getline(&t, &len, f) > 10, "getline");
	fclose(f);
	api.free(t);
	api.free(s);
	CHECK(setenv("TEST_API_VARIABLE", "value", 1) == 0, "setenv");
	CHECK(unsetenv("TEST_API_VARIABLE") == 0, "unsetenv");
}

static void case_malloc_trim(void)
{
	enum { COUNT = 3000 };
	static char *p[COUNT];
	int i, rc;

	for (i = 0; i < COUNT; i++) {
		p[i] = api.malloc(5000);
		REQUIRE(p[i], "malloc failed");
		test_fill(p[i], 5000, (uint64_t)i);
	}
	for (i = 0; i < COUNT; i++)
		if (i % 3)
			api.free(p[i]);
	errno = ERRNO_CANARY;
	rc = api.trim(0);
	CHECK(rc == 0 || rc == 1, "malloc_trim(0): expected 0 or 1, found %d",
	      rc);
	for (i = 0; i < COUNT; i += 3) {
		CHECK_U64(test_verify(p[i], 5000, (uint64_t)i), 5000,
			  "live block after malloc_trim");
		api.free(p[i]);
	}
	rc = api.trim(1u << 20);
	CHECK(rc == 0 || rc == 1, "malloc_trim(1M): found %d", rc);
	rc = api.trim(SIZE_MAX);
	CHECK(rc == 0 || rc == 1, "malloc_trim(-1): found %d", rc);
}

static void check_mallinfo_follows(size_t size, unsigned count)
{
	size_t total = size * count, grown, shrunk;
	struct mallinfo2 before, during, after;
	char **p = api.calloc(count, sizeof(*p));
	unsigned i;

	REQUIRE(p, "calloc failed");
	before = api.mallinfo2();
	for (i = 0; i < count; i++) {
		p[i] = api.malloc(size);
		REQUIRE(p[i], "malloc(%zu) failed", size);
		memset(p[i], 1, size);
	}
	during = api.mallinfo2();
	for (i = 0; i < count; i++)
		api.free(p[i]);
	after = api.mallinfo2();
	/* A huge block counts in hblkhd, not in uordblks. What rounding to a
	 * class or to whole units adds is in use, too: less than as much again. */
	grown = during.uordblks + during.hblkhd - before.uordblks -
		before.hblkhd;
	shrunk = during.uordblks + during.hblkhd - after.uordblks -
		 after.hblkhd;
	CHECK(grown >= total && grown <= 2 * total + 65536,
	      "%u x %zu: in use: expected +%zu to +%zu, found %+zd", count,
	      size, total, 2 * total + 65536, (ssize_t)grown);
	CHECK(shrunk + total / 8 + 65536 >= total,
	      "%u x %zu freed: in use: expected about -%zu, found %+zd", count,
	      size, total, -(ssize_t)shrunk);
	CHECK(during.arena + during.hblkhd >= total,
	      "%u x %zu: arena + hblkhd: expected >= %zu, found %zu", count,
	      size, total, during.arena + during.hblkhd);
	CHECK(during.uordblks + during.fordblks <= during.arena + during.hblkhd +
	      (1u << 20),
	      "uordblks %zu + fordblks %zu: more than arena %zu + hblkhd %zu",
	      during.uordblks, during.fordblks, during.arena, during.hblkhd);
	api.free(p);
}

static void case_mallinfo2(void)
{
	check_mallinfo_follows(24, test_scaled(100000, 10000));
	check_mallinfo_follows(1000, test_scaled(20000, 4000));
	check_mallinfo_follows(40000, 200);
	check_mallinfo_follows(300000, 20);
	check_mallinfo_follows(20u << 20, 2);
}

static void case_mallinfo(void)
{
	struct mallinfo2 big = api.mallinfo2();
	struct mallinfo m = api.mallinfo();
	void *p;
	int before = m.uordblks + m.hblkhd;

	CHECK((size_t)(unsigned)m.arena <= big.arena + (64u << 20),
	      "arena: mallinfo2 %zu, mallinfo %d", big.arena, m.arena);
	p = api.malloc(3u << 20);
	REQUIRE(p, "malloc failed");
	m = api.mallinfo();
	CHECK(m.uordblks + m.hblkhd - before >= 3 << 20,
	      "mallinfo: expected + 3 MiB in use, found %+d",
	      m.uordblks + m.hblkhd - before);
	api.free(p);
}

static void case_mallopt(void)
{
	CHECK_I64(api.mallopt(M_TRIM_THRESHOLD, 256 * 1024), 1,
		  "mallopt(M_TRIM_THRESHOLD)");
	CHECK_I64(api.mallopt(M_TOP_PAD, 64 * 1024), 1, "mallopt(M_TOP_PAD)");
	CHECK_I64(api.mallopt(M_MMAP_THRESHOLD, 256 * 1024), 1,
		  "mallopt(M_MMAP_THRESHOLD)");
	CHECK_I64(api.mallopt(M_MMAP_MAX, 1000), 1, "mallopt(M_MMAP_MAX)");
	CHECK_I64(api.mallopt(M_MXFAST, 64), 1, "mallopt(M_MXFAST)");
	CHECK_I64(api.mallopt(M_CHECK_ACTION, 3), 1, "mallopt(M_CHECK_ACTION)");
	CHECK_I64(api.mallopt(M_ARENA_TEST, 2), 1, "mallopt(M_ARENA_TEST)");
	CHECK_I64(api.mallopt(M_ARENA_MAX, 4), 1, "mallopt(M_ARENA_MAX)");
	CHECK_I64(api.mallopt(M_PERTURB, 0), 1, "mallopt(M_PERTURB)");
	if (api_is_hakmem()) {
		/* mallopt(3): 0 on error. glibc itself says 1 to anything. */
		CHECK_I64(api.mallopt(12345, 1), 0, "mallopt(unknown)");
		CHECK_I64(api.mallopt(-100, 1), 0, "mallopt(unknown)");
	}
	api.free(api.malloc(1000));
}

/* Run fn with stderr sent to a file; returns how much it wrote. */
static size_t captured_stderr(void (*fn)(void), char *buf, size_t size)
{
	char path[] = "/tmp/hakmem-test-XXXXXX";
	int fd = mkstemp(path), saved;
	ssize_t n;

	REQUIRE(fd >= 0, "mkstemp failed, errno %d", errno);
	unlink(path);
	fflush(stderr);
	saved = dup(STDERR_FILENO);
	dup2(fd, STDERR_FILENO);
	fn();
	fflush(stderr);
	dup2(saved, STDERR_FILENO);
	close(saved);
	n = pread(fd, buf, size - 1, 0);
	close(fd);
	if (n < 0)
		n = 0;
	buf[n] = 0;
	return (size_t)n;
}

static void call_malloc_stats(void)
{
	api.stats();
}

static void case_malloc_stats(void)
{
	char buf[8192];
	size_t n = captured_stderr(call_malloc_stats, buf, sizeof(buf));

	CHECK(n > 20, "malloc_stats: expected text on stderr, found %zu bytes",
	      n);
	CHECK(n && buf[n - 1] == '\n', "malloc_stats: no newline at the end");
}

/* Elements open and close in order and attribute quotes are closed. */
static bool xml_is_balanced(const char *s, char *why, size_t size)
{
	char stack[16][32];
	int depth = 0;

	for (; (s = strchr(s, '<')) != NULL; s++) {
		const char *end = strchr(s, '>');
		unsigned quotes = 0;
		const char *c;
		char name[32];

		if (!end) {
			snprintf(why, size, "tag without '>'");
			return false;
		}
		for (c = s; c < end; c++)
			quotes += *c == '"';
		if (quotes & 1) {
			snprintf(why, size, "odd number of quotes");
			return false;
		}
		if (s[1] == '?' || s[1] == '!')
			continue;
		if (sscanf(s + (s[1] == '/' ? 2 : 1), "%31[A-Za-z0-9_]", name) !=
		    1) {
			snprintf(why, size, "tag without a name");
			return false;
		}
		if (s[1] == '/') {
			if (depth == 0 || strcmp(stack[depth - 1], name) != 0) {
				snprintf(why, size, "</%s> closes nothing", name);
				return false;
			}
			depth--;
		} else if (end[-1] != '/') {
			if (depth == 16) {
				snprintf(why, size, "too deep");
				return false;
			}
			memcpy(stack[depth++], name, sizeof(name));
		}
	}
	snprintf(why, size, "%d elements left open", depth);
	return depth == 0;
}

static void case_malloc_info(void)
{
	char *text = NULL, why[100];
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);
	void *p = api.malloc(100000);
	int rc;

	REQUIRE(f, "open_memstream failed");
	CHECK_I64(api.info(0, f), 0, "malloc_info(0)");
	fclose(f);
	REQUIRE(text, "no text");
	CHECK(strncmp(text, "<malloc version=\"", 17) == 0,
	      "malloc_info: expected <malloc version=\"..., found %.40s", text);
	CHECK(strstr(text, "</malloc>") != NULL, "malloc_info: no </malloc>");
	CHECK(xml_is_balanced(text, why, sizeof(why)), "malloc_info: %s", why);
	CHECK(strstr(text, "type=\"current\"") != NULL,
	      "malloc_info: no <system type=\"current\" ...>");
	api.free(text);
	api.free(p);

	text = NULL;
	f = open_memstream(&text, &len);
	REQUIRE(f, "open_memstream failed");
	errno = 0;
	rc = api.info(1, f);
	CHECK(rc != 0 && (rc == EINVAL || errno == EINVAL),
	      "malloc_info(1): expected EINVAL, found %d, errno %d", rc, errno);
	fclose(f);
	CHECK_U64(len, 0, "bytes written by a refused malloc_info");
	api.free(text);
}

static int by_address(const void *a, const void *b)
{
	uintptr_t x = (uintptr_t) * (char *const *)a;
	uintptr_t y = (uintptr_t) * (char *const *)b;

	return x < y ? -1 : x > y;
}

static void case_live_blocks_are_disjoint(void)
{
	enum { COUNT = 20000 };
	static char *p[COUNT];
	uint64_t seed = 12345;
	unsigned count = test_scaled(COUNT, COUNT / 8), i, round;

	for (round = 0; round < 3; round++) {
		for (i = 0; i < count; i++) {
			uint64_t r = test_random(&seed);
			size_t n = r % 100 == 0 ? r % 200000 : r % 3000;

			if (round && r & 1024)
				continue;
			api.free(p[i]);
			p[i] = r & 512 ? api.malloc(n)
				       : api.memalign((size_t)16 << (r >> 40) % 8,
						      n);
			REQUIRE(p[i], "allocation of %zu failed", n);
		}
		qsort(p, count, sizeof(p[0]), by_address);
		for (i = 1; i < count; i++)
			CHECK(p[i - 1] + api.usable_size(p[i - 1]) <= p[i],
			      "blocks overlap: %p + %zu and %p",
			      (void *)p[i - 1], api.usable_size(p[i - 1]),
			      (void *)p[i]);
	}
	for (i = 0; i < count; i++) {
		api.free(p[i]);
		p[i] = NULL;
	}
}

static const struct test_case cases[] = {
	{ "zero_size", case_zero_size },
	{ "impossible_sizes", case_impossible_sizes },
	{ "pvalloc_minus_one", case_pvalloc_minus_one },
	{ "product_overflow", case_product_overflow },
	{ "failed_realloc_keeps_block", case_failed_realloc_keeps_block },
	{ "alignment_of_all_sizes", case_alignment_of_all_sizes },
	{ "usable_size", case_usable_size },
	{ "requested_alignment", case_requested_alignment },
	{ "posix_memalign_bad_alignment", case_posix_memalign_bad_alignment },
	{ "memalign_odd_alignment", case_memalign_odd_alignment },
	{ "valloc_pvalloc", case_valloc_pvalloc },
	{ "realloc_null_and_zero", case_realloc_null_and_zero },
	{ "realloc_content", case_realloc_content },
	{ "realloc_chain", case_realloc_chain },
	{ "calloc_is_zero", case_calloc_is_zero },
	{ "free_keeps_errno", case_free_keeps_errno },
	{ "free_sized", case_free_sized },
	{ "names_mix", case_names_mix },
	{ "libc_internal_users", case_libc_internal_users },
	{ "malloc_trim", case_malloc_trim },
	{ "mallinfo2", case_mallinfo2 },
	{ "mallinfo", case_mallinfo },
	{ "mallopt", case_mallopt },
	{ "malloc_stats", case_malloc_stats },
	{ "malloc_info", case_malloc_info },
	{ "live_blocks_are_disjoint", case_live_blocks_are_disjoint },
};

int main(int argc, char **argv)
{
	api_init();
	return TEST_MAIN(argc, argv, cases);
}
