/* src/arch: the table of what the CPU has, against what else says so; the generic
 * backend; the primitives. */
#include "unit.h"

#include <sys/auxv.h>

#include "arch/arch.h"
#include "arch/detect.h"
#include "arch/inline.h"

static bool is_one_of(const char *s, const char *const *words)
{
	for (; *words != NULL; words++)
		if (strcmp(s, *words) == 0)
			return true;
	return false;
}

/* Is `name` among names separated by blanks? */
static bool has_feature(const char *features, const char *name)
{
	size_t n = strlen(name);
	for (const char *s = features; (s = strstr(s, name)) != NULL; s++)
		if ((s == features || s[-1] == ' ') && (s[n] == ' ' || s[n] == '\0'))
			return true;
	return false;
}

/* Names with one blank between them, none twice. */
static void check_features(const char *features)
{
	char name[ARCH_FEATURES_TEXT_BYTES];
	CHECK(memchr(features, '\0', ARCH_FEATURES_TEXT_BYTES) != NULL, "the names have no end");
	for (const char *s = features; *s != '\0';) {
		size_t n = strcspn(s, " ");
		CHECK(n > 0, "two blanks, or one at an end: \"%s\"", features);
		memcpy(name, s, n);
		name[n] = '\0';
		CHECK(s[n] == '\0' || !has_feature(s + n + 1, name), "\"%s\" twice in \"%s\"", name,
		      features);
		CHECK(s[n] == '\0' || s[n + 1] != '\0', "a blank at the end of \"%s\"", features);
		s += n + (s[n] == ' ');
	}
}

static void *get(void *arg)
{
	const struct hak_arch **out = arg;
	errno = 4711;
	*out = arch_get();
	CHECK_I64(errno, 4711, "errno");
	CHECK((*out)->name != NULL && (*out)->cacheline_bytes > 0, "a table that is not filled");
	return NULL;
}

/* First of all, so that the threads are the first to ask. */
static void one_table(void)
{
	const struct hak_arch *tables[UNIT_MAX_THREADS];
	unit_threads(UNIT_MAX_THREADS, get, tables, sizeof(tables[0]));
	for (unsigned i = 0; i < UNIT_MAX_THREADS; i++)
		CHECK_PTR(tables[i], arch_get(), "table of a thread");
}

static void table(void)
{
	static const char *const ways[] = { "cpu_features", "auxv", "compiler built-ins", "nothing",
					    NULL };
	const struct hak_arch *a = arch_get();
	const char *name = HAK_ARCH_X86_64 ? "x86_64" : HAK_ARCH_AARCH64 ? "aarch64" : "generic";
	test_say("%s, by %s, lines of %u bytes: %s", a->name, a->detected_by, a->cacheline_bytes,
		 a->features);
	CHECK(strcmp(a->name, name) == 0, "name \"%s\", not \"%s\"", a->name, name);
	CHECK(is_one_of(a->detected_by, ways), "detected by \"%s\"", a->detected_by);
	CHECK((strcmp(a->detected_by, "nothing") == 0) == !(HAK_ARCH_X86_64 || HAK_ARCH_AARCH64),
	      "detected by \"%s\" on %s", a->detected_by, a->name);
	CHECK(is_pow2(a->cacheline_bytes) && a->cacheline_bytes >= 16 && a->cacheline_bytes <= 2048,
	      "lines of %u bytes", a->cacheline_bytes);
	check_features(a->features);
}

static void features(void)
{
	const char *found = arch_get()->features;
#if HAK_ARCH_X86_64
	__builtin_cpu_init();
	CHECK(has_feature(found, "avx2") == !!__builtin_cpu_supports("avx2"), "avx2: \"%s\"",
	      found);
	CHECK(has_feature(found, "avx512f") == !!__builtin_cpu_supports("avx512f"),
	      "avx512f: \"%s\"", found);
#elif HAK_ARCH_AARCH64
	unsigned long hwcap = getauxval(AT_HWCAP); /* bits as in Linux' hwcap.h */
	CHECK(has_feature(found, "atomics") == !!(hwcap & 1ul << 8), "atomics: \"%s\"", found);
	CHECK(has_feature(found, "lrcpc") == !!(hwcap & 1ul << 15), "lrcpc: \"%s\"", found);
	CHECK(has_feature(found, "dcpop") == !!(hwcap & 1ul << 16), "dcpop: \"%s\"", found);
	CHECK(has_feature(found, "sve") == !!(hwcap & 1ul << 22), "sve: \"%s\"", found);
#else
	CHECK(found[0] == '\0', "the generic backend has found \"%s\"", found);
#endif
}

static void generic(void)
{
	struct hak_arch a;
	memset(&a, 0x5a, sizeof(a));
	arch_generic_fill(&a);
	CHECK(strcmp(a.name, "generic") == 0 && strcmp(a.detected_by, "nothing") == 0,
	      "\"%s\", by \"%s\"", a.name, a.detected_by);
	CHECK_U64(a.cacheline_bytes, 64, "bytes of a line where unknown");
	CHECK(a.features[0] == '\0', "features \"%s\"", a.features);
}

static void names(void)
{
	struct {
		struct hak_arch a;
		char behind[64];
	} t;
	char name[16];
	size_t length;
	memset(&t, '#', sizeof(t));
	arch_generic_fill(&t.a);
	arch_add_feature(&t.a, "none", false);
	CHECK(t.a.features[0] == '\0', "one that is not there: \"%s\"", t.a.features);
	arch_add_feature(&t.a, "one", true);
	arch_add_feature(&t.a, "two", false);
	arch_add_feature(&t.a, "three", true);
	CHECK(strcmp(t.a.features, "one three") == 0, "\"%s\"", t.a.features);
	/* More than fit: whole names only, and nothing behind. */
	for (unsigned i = 0; i < 100; i++) {
		snprintf(name, sizeof(name), "feature%u", i);
		arch_add_feature(&t.a, name, true);
	}
	length = strlen(t.a.features);
	CHECK(length < ARCH_FEATURES_TEXT_BYTES && length > ARCH_FEATURES_TEXT_BYTES - 20,
	      "%zu bytes of names", length);
	check_features(t.a.features);
	for (unsigned i = 0; i < 20; i++) {
		snprintf(name, sizeof(name), "feature%u", i);
		CHECK(has_feature(t.a.features, name), "%s is missing in \"%s\"", name,
		      t.a.features);
	}
	CHECK(t.behind[0] == '#', "written behind the names");
	/* To the last byte, and not beyond. */
	for (int over = -2; over <= 2; over++) {
		char rest[ARCH_FEATURES_TEXT_BYTES] = "", first[201];
		memset(first, 'f', 200);
		first[200] = '\0';
		memset(rest, 'r', (size_t)(ARCH_FEATURES_TEXT_BYTES - 202 + over));
		arch_generic_fill(&t.a);
		arch_add_feature(&t.a, first, true);
		arch_add_feature(&t.a, rest, true);
		length = strlen(t.a.features);
		CHECK_U64(length, over <= 0 ? (size_t)(ARCH_FEATURES_TEXT_BYTES - 1 + over) : 200,
			  "bytes of names");
		CHECK(t.behind[0] == '#', "written behind the names");
	}
}

static void primitives(void)
{
	int here = 0;
	for (unsigned i = 0; i < 10; i++)
		hak_cpu_relax();
	hak_prefetch(&here);
	hak_prefetch(NULL); /* need not be mapped */
}

static const struct test_case cases[] = {
	{ "one_table", one_table }, { "table", table }, { "features", features },
	{ "generic", generic },     { "names", names }, { "primitives", primitives },
};

UNIT_MAIN(cases)
