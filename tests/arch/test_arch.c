/* src/arch: the table of what the CPU has, against what else says so; the generic
 * backend; the primitives. */
#include "unit.h"

#include <sys/auxv.h>

#include "arch/arch.h"
#include "arch/detect.h"
#include "arch/inline.h"
#include "common/diag.h"
#include "common/os.h"

static bool is_one_of(const char *s, const char *const *words)
{
	for (; *words != NULL; words++)
		if (strcmp(s, *words) == 0)
			return true;
	return false;
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

/* Before the others, so that the threads are the first to ask. */
static void one_table(void)
{
	const struct hak_arch *tables[UNIT_MAX_THREADS];
	unit_threads(UNIT_MAX_THREADS, get, tables, sizeof(tables[0]));
	for (unsigned i = 0; i < UNIT_MAX_THREADS; i++)
		CHECK_PTR(tables[i], arch_get(), "table of a thread");
}

/* What this run was told to leave out. */
static bool reference_is_forced(void)
{
	const char *s = getenv("HAKMEM_ARCH");
	return s != NULL && strcmp(s, "generic") == 0;
}

static bool is_masked(const char *feature)
{
	const char *s = getenv("HAKMEM_CPU_DISABLE");
	return s != NULL && strstr(s, feature) != NULL;
}

static void table(void)
{
	static const char *const ways[] = { "cpu_features", "auxv", "compiler built-ins", "nothing",
					    NULL };
	const struct hak_arch *a = arch_get();
	const char *name = reference_is_forced() ? "generic" : HAK_ARCH_NAME;
	char text[1024];
	struct text t;
	text_init(&t, text, sizeof(text));
	arch_text_choice(&t);
	test_say("%s", text);
	CHECK(t.length < sizeof(text), "%zu bytes of text", t.length);
	CHECK(strcmp(a->name, name) == 0, "name \"%s\", not \"%s\"", a->name, name);
	CHECK(is_one_of(a->detected_by, ways), "detected by \"%s\"", a->detected_by);
	CHECK((strcmp(a->detected_by, "nothing") == 0) == (strcmp(name, "generic") == 0),
	      "detected by \"%s\" on %s", a->detected_by, a->name);
	CHECK(is_pow2(a->cacheline_bytes) && a->cacheline_bytes >= 16 && a->cacheline_bytes <= 2048,
	      "lines of %u bytes", a->cacheline_bytes);
	CHECK(a->llc_bytes >= 64 * 1024 && a->llc_bytes <= (size_t)4 << 30,
	      "a last cache of %zu bytes", a->llc_bytes);
	CHECK(a->copy_nt != NULL && a->clear_nt != NULL && a->now_ns != NULL, "an empty entry");
}

/* A feature is in the table iff others find it too and no test has masked it. */
static void expect_feature(const char *name, uint64_t feature, bool present)
{
	bool expected = present && !is_masked(name) && !reference_is_forced();
	CHECK(((arch_get()->features & feature) != 0) == expected, "%s: expected %d", name,
	      expected);
}

static void features(void)
{
#if HAK_ARCH_X86_64
	__builtin_cpu_init();
	expect_feature("sse2", ARCH_HAS(SSE2), true);
	expect_feature("avx2", ARCH_HAS(AVX2), __builtin_cpu_supports("avx2"));
	expect_feature("avx512f", ARCH_HAS(AVX512F), __builtin_cpu_supports("avx512f"));
	expect_feature("intel", ARCH_HAS(INTEL), __builtin_cpu_is("intel"));
#elif HAK_ARCH_AARCH64
	unsigned long hwcap = getauxval(AT_HWCAP); /* bits as in Linux' hwcap.h */
	expect_feature("asimd", ARCH_HAS(ASIMD), hwcap & 1ul << 1);
	expect_feature("atomics", ARCH_HAS(ATOMICS), hwcap & 1ul << 8);
	expect_feature("lrcpc", ARCH_HAS(LRCPC), hwcap & 1ul << 15);
	expect_feature("dcpop", ARCH_HAS(DCPOP), hwcap & 1ul << 16);
	expect_feature("sve", ARCH_HAS(SVE), hwcap & 1ul << 22);
	CHECK(reference_is_forced() || arch_get()->cacheline_bytes == hak_cacheline_bytes(),
	      "lines of %u bytes, not %u", arch_get()->cacheline_bytes, hak_cacheline_bytes());
#else
	expect_feature("sse2", ARCH_HAS(SSE2), false);
	CHECK_U64(arch_get()->features, 0, "features of the generic backend");
#endif
}

/* Each operation is the last usable one in the list, and it is the one in the table. */
static void choice(void)
{
	const struct hak_arch *a = arch_get();
	const struct arch_variant *v, *best[ARCH_OP_COUNT] = { NULL };
	for (unsigned i = 0; (v = arch_variant_at(i)) != NULL; i++) {
		bool usable = (v->needs & ~a->features) == 0;
		CHECK(arch_variant_usable(v) == usable, "%s %s: usable is not %d",
		      arch_op_name(v->op), v->name, usable);
		if (usable)
			best[v->op] = v;
	}
	for (unsigned op = 0; op < ARCH_OP_COUNT; op++) {
		const char *name = arch_op_name((enum arch_op)op);
		if (!CHECK(best[op] != NULL, "%s has no variant", name))
			continue;
		CHECK(strcmp(best[op]->name, a->variant[op]) == 0, "%s is %s, not %s", name,
		      a->variant[op], best[op]->name);
	}
	CHECK(a->copy_nt == best[ARCH_OP_COPY_NT]->fn.copy_nt, "another copy_nt");
	CHECK(a->clear_nt == best[ARCH_OP_CLEAR_NT]->fn.clear_nt, "another clear_nt");
	CHECK(a->now_ns == best[ARCH_OP_NOW_NS]->fn.now_ns, "another now_ns");
}

static void json(void)
{
	char text[2048], wanted[128];
	struct text t;
	text_init(&t, text, sizeof(text));
	arch_json_choice(&t);
	CHECK(t.length < sizeof(text), "%zu bytes of text", t.length);
	for (unsigned op = 0; op < ARCH_OP_COUNT; op++) {
		snprintf(wanted, sizeof(wanted), "\"%s\":{\"variant\":\"%s\",\"needs\":\"",
			 arch_op_name((enum arch_op)op), arch_get()->variant[op]);
		CHECK(strstr(text, wanted) != NULL, "no %s in %s", wanted, text);
	}
}

static void write_to_table(void *arg)
{
	(void)arg;
	signal(SIGSEGV, SIG_DFL); /* sanitizers have a handler */
	((struct hak_arch *)(uintptr_t)arch_get())->name = "mine";
}

/* The table cannot be written, and nothing else lies in its pages. */
static void sealed(void)
{
	static struct unit_child c;
	if (os_page_bytes() > HAK_ARCH_MAX_PAGE_BYTES) {
		test_skip_case("pages larger than the linker lays out for");
		return;
	}
	unit_in_child(&c, write_to_table, NULL);
	CHECK(WIFSIGNALED(c.status) && WTERMSIG(c.status) == SIGSEGV,
	      "a write to the table: wait status %#x", (unsigned)c.status);
	CHECK((uintptr_t)arch_get() % os_page_bytes() == 0, "the table begins inside a page");
}

/* A child that asks for the first time, with this environment. */
struct setting {
	const char *variable, *value;
};

static void ask_first(void *arg)
{
	const struct setting *s = arg;
	setenv(s->variable, s->value, 1);
	(void)arch_get();
}

/* Before anything here asks, so that the children do. */
static void bad_names(void)
{
	struct setting unknown = { "HAKMEM_CPU_DISABLE", "avx2,avx3" };
	struct setting empty = { "HAKMEM_CPU_DISABLE", "avx2,,erms" };
	struct setting arch = { "HAKMEM_ARCH", "pdp11" };
	struct setting good = { "HAKMEM_CPU_DISABLE", "avx2,sve," };
	static struct unit_child c;
	if (HAK_ARCH_HAS_NATIVE && !reference_is_forced()) {
		unit_child_aborts(ask_first, &unknown,
				  "HAKMEM_CPU_DISABLE: unknown feature at \"avx3\"");
		unit_child_aborts(ask_first, &empty,
				  "HAKMEM_CPU_DISABLE: unknown feature at \",erms\"");
		unit_child_aborts(ask_first, &arch,
				  "HAKMEM_ARCH=pdp11: wanted generic or " HAK_ARCH_NAME);
	}
	unit_child_passes(&c, ask_first, &good);
}

static void generic(void)
{
	struct hak_arch a;
	memset(&a, 0x5a, sizeof(a));
	arch_generic_fill(&a);
	CHECK(strcmp(a.name, "generic") == 0 && strcmp(a.detected_by, "nothing") == 0,
	      "\"%s\", by \"%s\"", a.name, a.detected_by);
	CHECK_U64(a.cacheline_bytes, 64, "bytes of a line where unknown");
	CHECK_U64(a.features, 0, "features");
}

static void names(void)
{
	char buf[64];
	struct text t;
	text_init(&t, buf, sizeof(buf));
	arch_text_features(&t, 0);
	CHECK(strcmp(buf, "none") == 0, "\"%s\"", buf);
	text_init(&t, buf, sizeof(buf));
	arch_text_features(&t, ARCH_HAS(CNTVCT) | ARCH_HAS(SSE2) | ARCH_HAS(ERMS));
	CHECK(strcmp(buf, "sse2 erms cntvct") == 0, "\"%s\"", buf);
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
	{ "bad_names", bad_names },   { "one_table", one_table }, { "table", table },
	{ "features", features },     { "choice", choice },       { "json", json },
	{ "sealed", sealed },         { "generic", generic },     { "names", names },
	{ "primitives", primitives },
};

UNIT_MAIN(cases)
