/*
 * hak_*, the allocator's own names, as include/hakmem/hakmem.h describes them.
 */
#include <ctype.h>
#include <stdbool.h>

#include "hakmem/hakmem.h"
#include "testing.h"

enum { ERRNO_CANARY = 4242 };

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

static const size_t sizes[] = { 0,    1,     8,      15,      16,	17,
				100,  500,   1024,   1025,    4096,	10000,
				32768, 65536, 100000, 500000, 1u << 20, 2u << 20,
				5u << 20, 20u << 20 };

static bool is_zero(const char *p, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (p[i])
			return false;
	return true;
}

static void case_version(void)
{
	int major = -1, minor = -1, patch = -1;
	char extra;

	CHECK(sscanf(hak_version(), "%d.%d.%d%c", &major, &minor, &patch,
		     &extra) == 3,
	      "version: expected major.minor.patch, found \"%s\"",
	      hak_version());
	CHECK_I64(major, HAKMEM_VERSION_MAJOR, "major");
	CHECK_I64(minor, HAKMEM_VERSION_MINOR, "minor");
	CHECK_I64(patch, HAKMEM_VERSION_PATCH, "patch");
}

static void case_allocate(void)
{
	size_t i;
	unsigned round;

	for (i = 0; i < ARRAY_LEN(sizes); i++) {
		size_t n = sizes[i];

		for (round = 0; round < 4; round++) {
			char *p[4];
			unsigned k;

			p[0] = hak_malloc(n);
			p[1] = hak_zalloc(n);
			p[2] = hak_calloc(n, 1);
			p[3] = hak_calloc(1, n);
			for (k = 0; k < 4; k++) {
				REQUIRE(p[k], "call %u of %zu failed", k, n);
				CHECK(((uintptr_t)p[k] & 15) == 0,
				      "size %zu: misaligned %p", n,
				      (void *)p[k]);
				CHECK(hak_usable_size(p[k]) >= n,
				      "size %zu: usable %zu", n,
				      hak_usable_size(p[k]));
				CHECK(!k || is_zero(p[k], n),
				      "call %u of %zu: not zero", k, n);
				memset(p[k], 0xff, hak_usable_size(p[k]));
			}
			for (k = 0; k < 4; k++)
				hak_free(p[k]);
		}
	}
}

static void case_aligned(void)
{
	static const size_t bad[] = { 0, 3, 5, 24, 100, 4097, SIZE_MAX };
	size_t align, i;

	for (align = 1; align <= 16u << 20; align <<= 1) {
		for (i = 0; i < ARRAY_LEN(sizes) - 2; i++) {
			size_t n = sizes[i];
			char *p = hak_aligned_alloc(align, n);
			char *z = hak_aligned_zalloc(align, n);

			if (!CHECK(p && z, "align %zu size %zu: NULL", align,
				   n))
				continue;
			CHECK(((uintptr_t)p & (align - 1)) == 0 &&
				      ((uintptr_t)p & 15) == 0,
			      "align %zu size %zu: %p", align, n, (void *)p);
			CHECK(((uintptr_t)z & (align - 1)) == 0,
			      "zeroed, align %zu size %zu: %p", align, n,
			      (void *)z);
			CHECK(is_zero(z, n), "align %zu size %zu: not zero",
			      align, n);
			memset(p, 0xff, hak_usable_size(p));
			memset(z, 0xff, hak_usable_size(z));
			hak_free(p);
			hak_free(z);
		}
	}
	for (i = 0; i < ARRAY_LEN(bad); i++) {
		errno = 0;
		CHECK_PTR(hak_aligned_alloc(test_opaque_size(bad[i]), 10), NULL,
			  "hak_aligned_alloc with a bad alignment");
		CHECK_I64(errno, EINVAL, "errno");
		errno = 0;
		CHECK_PTR(hak_aligned_zalloc(test_opaque_size(bad[i]), 10),
			  NULL, "hak_aligned_zalloc with a bad alignment");
		CHECK_I64(errno, EINVAL, "errno");
	}
}

static void expect_enomem(const void *p, const char *what)
{
	int err = errno;

	CHECK(p == NULL, "%s: expected NULL, found %p", what, p);
	CHECK(err == ENOMEM, "%s: expected errno %d, found %d", what, ENOMEM,
	      err);
	errno = 0;
}

static void case_impossible(void)
{
	static const size_t big[] = { SIZE_MAX, SIZE_MAX - 15, SIZE_MAX - 4095,
				      (size_t)PTRDIFF_MAX + 1, PTRDIFF_MAX,
				      (size_t)1 << 60 };
	char *p = hak_malloc(200);
	size_t i;

	REQUIRE(p, "hak_malloc failed");
	test_fill(p, 200, 5);
	errno = 0;
	for (i = 0; i < ARRAY_LEN(big); i++) {
		size_t n = test_opaque_size(big[i]);

		expect_enomem(hak_malloc(n), "hak_malloc");
		expect_enomem(hak_zalloc(n), "hak_zalloc");
		expect_enomem(hak_calloc(n, 1), "hak_calloc");
		expect_enomem(hak_calloc(n, 3), "hak_calloc, overflow");
		expect_enomem(hak_aligned_alloc(64, n), "hak_aligned_alloc");
		expect_enomem(hak_aligned_alloc(1u << 20, n),
			      "hak_aligned_alloc");
		expect_enomem(hak_aligned_zalloc(4096, n), "hak_aligned_zalloc");
		expect_enomem(hak_realloc(NULL, n), "hak_realloc(NULL)");
		expect_enomem(hak_realloc(p, n), "hak_realloc(p)");
		expect_enomem(hak_reallocarray(p, n, 1), "hak_reallocarray");
		expect_enomem(hak_reallocarray(p, n, n), "hak_reallocarray");
		CHECK_U64(test_verify(p, 200, 5), 200, "block after failures");
	}
	hak_free(p);
}

static void case_realloc(void)
{
	size_t i, k;

	for (i = 0; i < ARRAY_LEN(sizes); i++) {
		for (k = 0; k < ARRAY_LEN(sizes); k++) {
			size_t from = sizes[i], to = sizes[k];
			size_t keep = from < to ? from : to;
			char *p = hak_realloc(NULL, from), *q;

			REQUIRE(p, "hak_realloc(NULL, %zu) failed", from);
			test_fill(p, from, i);
			q = hak_realloc(p, to);
			if (to == 0) {
				CHECK_PTR(q, NULL, "hak_realloc(p, 0)");
				continue;
			}
			REQUIRE(q, "hak_realloc(p, %zu) failed", to);
			CHECK(test_verify(q, keep, i) == keep,
			      "%zu -> %zu: content changed", from, to);
			hak_free(q);
		}
	}
	{
		char *p = hak_reallocarray(NULL, 10, 20);

		REQUIRE(p, "hak_reallocarray failed");
		test_fill(p, 200, 1);
		p = hak_reallocarray(p, 1000, 20);
		CHECK(p && test_verify(p, 200, 1) == 200, "hak_reallocarray");
		hak_free(p);
	}
}

static void case_good_size(void)
{
	size_t n, last = 0;

	for (n = 0; n < 3u << 20; n += n < 5000 ? 1 : n / 37) {
		size_t good = hak_good_size(n);
		char *p;

		CHECK(good >= n, "good_size(%zu) = %zu", n, good);
		CHECK(good >= last, "good_size(%zu) = %zu, was %zu before", n,
		      good, last);
		CHECK(hak_good_size(good) == good,
		      "good_size(%zu) = %zu, but good_size of that is %zu", n,
		      good, hak_good_size(good));
		last = good;
		p = hak_malloc(n);
		REQUIRE(p, "hak_malloc(%zu) failed", n);
		CHECK(hak_usable_size(p) == good,
		      "size %zu: good_size %zu, usable_size %zu", n, good,
		      hak_usable_size(p));
		hak_free(p);
	}
	CHECK_U64(hak_good_size(SIZE_MAX), SIZE_MAX, "good_size(SIZE_MAX)");
	CHECK_U64(hak_good_size(SIZE_MAX - 100), SIZE_MAX - 100,
		  "good_size of an impossible size");
	CHECK_U64(hak_usable_size(NULL), 0, "usable_size(NULL)");
}

static void case_free(void)
{
	size_t i, k;

	errno = ERRNO_CANARY;
	hak_free(NULL);
	hak_free_sized(NULL, 0);
	hak_free_sized(NULL, 10);
	for (i = 0; i < ARRAY_LEN(sizes); i++) {
		for (k = 0; k < 3; k++) {
			size_t n = sizes[i];
			char *p = hak_malloc(n);
			size_t usable = hak_usable_size(p);

			REQUIRE(p, "hak_malloc(%zu) failed", n);
			errno = ERRNO_CANARY;
			hak_free_sized(p, n + (usable - n) * k / 2);
			CHECK_I64(errno, ERRNO_CANARY, "errno, hak_free_sized");
			p = hak_malloc(n);
			REQUIRE(p, "hak_malloc(%zu) failed", n);
			memset(p, 1, n);
			errno = ERRNO_CANARY;
			hak_free(p);
			CHECK_I64(errno, ERRNO_CANARY, "errno, hak_free");
		}
	}
}

static void case_stats_struct(void)
{
	struct hak_stats before, during, after;
	union {
		struct hak_stats stats;
		unsigned char bytes[sizeof(struct hak_stats) + 64];
	} wide;
	size_t i;
	char *p[64], *huge;

	memset(&before, 0xee, sizeof(before));
	before.struct_bytes = 0;
	CHECK(!hak_stats_get(&before), "struct_bytes 0: expected false");
	before.struct_bytes = sizeof(before);
	REQUIRE(hak_stats_get(&before), "hak_stats_get failed");
	for (i = 0; i < ARRAY_LEN(p); i++) {
		p[i] = hak_malloc(200000);
		REQUIRE(p[i], "hak_malloc failed");
		memset(p[i], 1, 200000);
	}
	huge = hak_malloc(40u << 20);
	REQUIRE(huge, "hak_malloc failed");
	during.struct_bytes = sizeof(during);
	CHECK(hak_stats_get(&during), "hak_stats_get");
	CHECK(during.large_bytes + during.huge_bytes >=
		      before.large_bytes + before.huge_bytes + 64 * 200000 +
			      (40u << 20),
	      "large + huge: %zu + %zu, before %zu + %zu", during.large_bytes,
	      during.huge_bytes, before.large_bytes, before.huge_bytes);
	CHECK(during.mapped_bytes >= during.small_bytes + during.large_bytes +
					     during.huge_bytes,
	      "mapped %zu < small %zu + large %zu + huge %zu",
	      during.mapped_bytes, during.small_bytes, during.large_bytes,
	      during.huge_bytes);
	CHECK(during.small_cached_bytes <= during.small_bytes,
	      "cached %zu > small %zu", during.small_cached_bytes,
	      during.small_bytes);
	CHECK(during.metadata_bytes > 0, "no metadata?");
	CHECK_U64(during.bad_pointers, 0, "bad pointers");
	for (i = 0; i < ARRAY_LEN(p); i++)
		hak_free(p[i]);
	hak_free(huge);
	after.struct_bytes = sizeof(after);
	CHECK(hak_stats_get(&after), "hak_stats_get");
	CHECK(after.large_bytes + after.huge_bytes <=
		      before.large_bytes + before.huge_bytes,
	      "after freeing: large %zu huge %zu, before %zu %zu",
	      after.large_bytes, after.huge_bytes, before.large_bytes,
	      before.huge_bytes);

	/* An older program with fewer fields: nothing past its end is written. */
	memset(&wide, 0xee, sizeof(wide));
	wide.stats.struct_bytes = 2 * sizeof(size_t);
	CHECK(hak_stats_get(&wide.stats), "a short struct");
	CHECK(wide.stats.mapped_bytes > 0 && wide.stats.mapped_bytes < SIZE_MAX / 4,
	      "mapped %#zx", wide.stats.mapped_bytes);
	for (i = 2 * sizeof(size_t); i < sizeof(wide); i++)
		if (!CHECK(wide.bytes[i] == 0xee,
			   "struct_bytes 16: byte %zu was written", i))
			break;
	/* A newer program with more: the unknown fields are zero. */
	memset(&wide, 0xee, sizeof(wide));
	wide.stats.struct_bytes = sizeof(wide);
	CHECK(hak_stats_get(&wide.stats), "a long struct");
	for (i = sizeof(struct hak_stats); i < sizeof(wide); i++)
		if (!CHECK(wide.bytes[i] == 0,
			   "a long struct: byte %zu expected 0, found %#x", i,
			   wide.bytes[i]))
			break;
}

/* A recursive-descent checker: exactly JSON (RFC 8259), nothing built. */
static const char *json_value(const char *s, int depth);

static const char *json_space(const char *s)
{
	while (s && (*s == ' ' || *s == '\t' || *s == '\n' || *s == '\r'))
		s++;
	return s;
}

static const char *json_string(const char *s)
{
	if (*s++ != '"')
		return NULL;
	for (; *s != '"'; s++) {
		if ((unsigned char)*s < 0x20)
			return NULL;
		if (*s == '\\' && (!*++s || !strchr("\"\\/bfnrtu", *s)))
			return NULL;
	}
	return s + 1;
}

static const char *json_number(const char *s)
{
	s += *s == '-';
	if (!isdigit((unsigned char)*s) ||
	    (*s == '0' && isdigit((unsigned char)s[1])))
		return NULL;
	while (isdigit((unsigned char)*s))
		s++;
	if (*s == '.') {
		if (!isdigit((unsigned char)*++s))
			return NULL;
		while (isdigit((unsigned char)*s))
			s++;
	}
	if (*s == 'e' || *s == 'E') {
		s++;
		s += *s == '+' || *s == '-';
		if (!isdigit((unsigned char)*s))
			return NULL;
		while (isdigit((unsigned char)*s))
			s++;
	}
	return s;
}

static const char *json_container(const char *s, int depth, char close)
{
	s = json_space(s + 1);
	if (*s == close)
		return s + 1;
	for (;;) {
		if (close == '}') {
			s = json_string(s);
			if (!s || *(s = json_space(s)) != ':')
				return NULL;
			s = json_space(s + 1);
		}
		s = json_value(s, depth + 1);
		if (!s)
			return NULL;
		s = json_space(s);
		if (*s == close)
			return s + 1;
		if (*s != ',')
			return NULL;
		s = json_space(s + 1);
	}
}

static const char *json_value(const char *s, int depth)
{
	if (depth > 20)
		return NULL;
	switch (*s) {
	case '{':
		return json_container(s, depth, '}');
	case '[':
		return json_container(s, depth, ']');
	case '"':
		return json_string(s);
	case 't':
		return strncmp(s, "true", 4) ? NULL : s + 4;
	case 'f':
		return strncmp(s, "false", 5) ? NULL : s + 5;
	case 'n':
		return strncmp(s, "null", 4) ? NULL : s + 4;
	default:
		return json_number(s);
	}
}

static bool json_is_object(const char *s)
{
	s = json_space(s);
	if (*s != '{')
		return false;
	s = json_value(s, 0);
	return s && *json_space(s) == 0;
}

static void check_snprintf_like(size_t (*fn)(char *, size_t), const char *what)
{
	static char full[65536];
	char small[40];
	size_t len, i;

	len = fn(full, sizeof(full));
	CHECK(len > 20 && len < sizeof(full), "%s: length %zu", what, len);
	CHECK_U64(strlen(full), len, "strlen of the whole text");
	CHECK(fn(NULL, 0) > 20, "%s(NULL, 0): expected a length", what);
	for (i = 1; i < sizeof(small); i++) {
		memset(small, 'Z', sizeof(small));
		CHECK(fn(small, i) >= i, "%s: length with a %zu-byte buffer",
		      what, i);
		CHECK(small[i - 1] == 0 || strlen(small) < i,
		      "%s: %zu-byte buffer not terminated", what, i);
		if (i < sizeof(small) - 1)
			CHECK(small[i] == 'Z', "%s: wrote past %zu bytes", what,
			      i);
	}
}

static void case_stats_text_and_json(void)
{
	static char json[65536];
	static const char *const names[] = { "mapped_bytes", "small_bytes",
					     "large_bytes", "huge_bytes",
					     "bad_pointers" };
	size_t i;

	/* The checker itself must be able to say no. */
	CHECK(json_is_object(" {\"a\": [1, -2.5e3, \"x\", null], \"b\":{}} \n"),
	      "checker refuses good JSON");
	CHECK(!json_is_object("{\"a\": 1,}") && !json_is_object("{\"a\" 1}") &&
		      !json_is_object("{\"a\": 01}") &&
		      !json_is_object("{\"a\": 1") &&
		      !json_is_object("{} x") && !json_is_object("[1]"),
	      "checker accepts bad JSON");
	check_snprintf_like(hak_stats_text, "hak_stats_text");
	check_snprintf_like(hak_stats_json, "hak_stats_json");
	hak_stats_json(json, sizeof(json));
	CHECK(json_is_object(json), "not one JSON object: %.300s", json);
	for (i = 0; i < ARRAY_LEN(names); i++)
		CHECK(strstr(json, names[i]) != NULL, "JSON has no \"%s\"",
		      names[i]);
}

static void case_purge(void)
{
	enum { COUNT = 4000 };
	static char *p[COUNT];
	struct hak_stats s;
	size_t given;
	unsigned i;

	for (i = 0; i < COUNT; i++) {
		p[i] = hak_malloc(4000);
		REQUIRE(p[i], "hak_malloc failed");
		test_fill(p[i], 4000, i);
	}
	for (i = 0; i < COUNT; i++)
		if (i % 100)
			hak_free(p[i]);
	given = hak_purge();
	s.struct_bytes = sizeof(s);
	CHECK(hak_stats_get(&s), "hak_stats_get");
	CHECK(given >= (8u << 20) || s.purged_bytes_total >= (8u << 20),
	      "16 MB freed: expected >= 8 MiB given back, found %zu (total %llu)",
	      given, (unsigned long long)s.purged_bytes_total);
	for (i = 0; i < COUNT; i += 100) {
		CHECK_U64(test_verify(p[i], 4000, i), 4000,
			  "live block after hak_purge");
		hak_free(p[i]);
	}
	for (i = 0; i < COUNT; i++) {
		p[i] = hak_malloc(4000);
		REQUIRE(p[i], "hak_malloc after hak_purge failed");
		test_fill(p[i], 4000, i);
	}
	for (i = 0; i < COUNT; i++) {
		CHECK_U64(test_verify(p[i], 4000, i), 4000, "reused block");
		hak_free(p[i]);
	}
}

/* A block of either family of names may be freed through the other. */
static void case_families_mix(void)
{
	void *(*volatile libc_malloc)(size_t) = malloc;
	void (*volatile libc_free)(void *) = free;
	struct hak_stats s = { .struct_bytes = sizeof(s) };
	size_t before, i;
	void *p;

	/* In a build without the libc names the two heaps are different. */
	hak_stats_get(&s);
	before = s.huge_bytes + s.large_bytes;
	p = libc_malloc(10u << 20);
	hak_stats_get(&s);
	if (s.huge_bytes + s.large_bytes < before + (10u << 20)) {
		libc_free(p);
		test_skip_case("malloc is not hakmem's in this build");
		return;
	}
	hak_free(p);
	for (i = 0; i < ARRAY_LEN(sizes); i++) {
		p = libc_malloc(sizes[i]);
		CHECK(hak_usable_size(p) >= sizes[i], "usable %zu",
		      hak_usable_size(p));
		hak_free(p);
		libc_free(hak_malloc(sizes[i]));
	}
}

static const struct test_case cases[] = {
	{ "version", case_version },
	{ "allocate", case_allocate },
	{ "aligned", case_aligned },
	{ "impossible", case_impossible },
	{ "realloc", case_realloc },
	{ "good_size", case_good_size },
	{ "free", case_free },
	{ "stats_struct", case_stats_struct },
	{ "stats_text_and_json", case_stats_text_and_json },
	{ "purge", case_purge },
	{ "families_mix", case_families_mix },
};

int main(int argc, char **argv)
{
	return TEST_MAIN(argc, argv, cases);
}
