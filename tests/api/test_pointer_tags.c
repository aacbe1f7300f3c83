/*
 * Pointers with something in their top byte. Where the CPU ignores it (aarch64), each function
 * that takes a block treats such a pointer as the one without; a bad pointer is as bad with a
 * tag. Elsewhere the address is nobody's: a report that says so and SIGABRT, never a crash.
 */
#include "api.h"
#include "hakmem/hakmem.h"

void _ZdlPv(void *p);
void _ZdaPv(void *p);
void _ZdlPvm(void *p, size_t size);

#define NO_SLAB "[TLS_SLL_PUSH_NO_SS]"
#define MISALIGNED "[TLS_SLL_PUSH_MISALIGNED]"
#define DOUBLE_FREE "[TLS_SLL_DOUBLE_FREE]"

static const size_t sizes[] = { 64, 3000, 100000, 3000000 };
static const unsigned tags[] = { 0x01, 0x0f, 0x5a, 0x80, 0xff };

static void *tagged(void *p, unsigned tag)
{
	return test_opaque((void *)((uintptr_t)p | (uintptr_t)tag << 56));
}

/* ---- the functions; p has a tag, and is a live block of `size` bytes that begins with 1 */

static void must_keep(char *p)
{
	if (p == NULL || p[0] != 1)
		_exit(5);
	api.free(p);
}

static void by_free(void *p, size_t size)
{
	(void)size;
	api.free(p);
}

static void by_free_sized(void *p, size_t size)
{
	api.free_sized(p, size);
}

static void by_free_aligned_sized(void *p, size_t size)
{
	api.free_aligned_sized(p, 16, size);
}

static void by_cfree(void *p, size_t size)
{
	(void)size;
	api.cfree(p);
}

static void by_hak_free(void *p, size_t size)
{
	(void)size;
	hak_free(p);
}

static void by_hak_free_sized(void *p, size_t size)
{
	hak_free_sized(p, size);
}

static void by_delete(void *p, size_t size)
{
	(void)size;
	_ZdlPv(p);
}

static void by_delete_array(void *p, size_t size)
{
	(void)size;
	_ZdaPv(p);
}

static void by_delete_sized(void *p, size_t size)
{
	_ZdlPvm(p, size);
}

static void by_realloc_in_place(void *p, size_t size)
{
	must_keep(api.realloc(p, size - 1));
}

static void by_realloc_growing(void *p, size_t size)
{
	must_keep(api.realloc(p, size * 3));
}

static void by_realloc_shrinking(void *p, size_t size)
{
	must_keep(api.realloc(p, size / 4));
}

static void by_realloc_to_nothing(void *p, size_t size)
{
	(void)size;
	if (api.realloc(p, 0) != NULL)
		_exit(5);
}

static void by_reallocarray(void *p, size_t size)
{
	must_keep(api.reallocarray(p, 3, size));
}

static void by_hak_realloc(void *p, size_t size)
{
	must_keep(hak_realloc(p, size * 2));
}

static void by_hak_reallocarray(void *p, size_t size)
{
	must_keep(hak_reallocarray(p, 2, size));
}

static void by_usable_size(void *p, size_t size)
{
	if (api.usable_size(p) < size)
		_exit(5);
	api.free(p);
}

static void by_hak_usable_size(void *p, size_t size)
{
	if (hak_usable_size(p) < size)
		_exit(5);
	api.free(p);
}

typedef void (*function)(void *p, size_t size);

static const struct {
	const char *name;
	function fn;
} functions[] = {
	{ "free", by_free },
	{ "free_sized", by_free_sized },
	{ "free_aligned_sized", by_free_aligned_sized },
	{ "cfree", by_cfree },
	{ "hak_free", by_hak_free },
	{ "hak_free_sized", by_hak_free_sized },
	{ "delete", by_delete },
	{ "delete[]", by_delete_array },
	{ "sized delete", by_delete_sized },
	{ "realloc, in place", by_realloc_in_place },
	{ "realloc, growing", by_realloc_growing },
	{ "realloc, shrinking", by_realloc_shrinking },
	{ "realloc, to 0", by_realloc_to_nothing },
	{ "reallocarray", by_reallocarray },
	{ "hak_realloc", by_hak_realloc },
	{ "hak_reallocarray", by_hak_reallocarray },
	{ "malloc_usable_size", by_usable_size },
	{ "hak_usable_size", by_hak_usable_size },
};

enum { FUNCTIONS = sizeof(functions) / sizeof(functions[0]) };

/* ---- children */

static char said[65536];

struct call {
	function fn;
	void *p;
	size_t size;
};

static void do_call(void *arg)
{
	const struct call *c = arg;

	c->fn(c->p, c->size);
}

/* fn(p, size) in a child; its wait status. What it says goes to `said`. */
static int in_child(function fn, void *p, size_t size)
{
	struct call c = { fn, p, size };

	return api_hear_child(do_call, &c, said, sizeof(said));
}

static void expect_clean(int status, const char *name, size_t size)
{
	CHECK(status == 0, "%s, %zu bytes: expected it to work, found status %#x; it said:\n%.500s",
	      name, size, (unsigned)status, said);
	CHECK(said[0] == '\0', "%s, %zu bytes: expected silence, found:\n%.500s", name, size, said);
}

static void expect_report(int status, const char *name, const char *prefix)
{
	CHECK(strncmp(said, prefix, strlen(prefix)) == 0, "%s: expected %s, found:\n%.500s", name,
	      prefix, said);
	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT,
	      "%s: expected SIGABRT, found status %#x", name, (unsigned)status);
}

static void touch(void *p, size_t size)
{
	(void)size;
	if (*(volatile char *)p != 1)
		_exit(5);
}

/* Does the CPU ignore the top byte? */
static int are_ignored(void)
{
	static int answer = -1;
	char *p;

	if (answer >= 0)
		return answer;
	p = api.malloc(64);
	p[0] = 1;
	answer = in_child(touch, tagged(p, 0x5a), 64) == 0;
	test_say("a tag in the top byte is %s here", answer ? "ignored" : "no address");
	api.free(p);
	return answer;
}

/* ---- cases */

static void one(unsigned f, size_t size, unsigned tag)
{
	int status, ignored = are_ignored();
	char *p = api.malloc(size);

	p[0] = 1;
	status = in_child(functions[f].fn, tagged(p, tag), size);
	if (ignored) {
		expect_clean(status, functions[f].name, size);
	} else {
		expect_report(status, functions[f].name, NO_SLAB);
		CHECK(strstr(said, "not ours") != NULL, "%s: the verdict:\n%.500s",
		      functions[f].name, said);
	}
	api.free(p);
}

static void live_blocks(void)
{
	unsigned f, s;

	for (f = 0; f < FUNCTIONS; f++)
		for (s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++)
			one(f, sizes[s], tags[(f + s) % (sizeof(tags) / sizeof(tags[0]))]);
}

static void free_twice(void *p, size_t size)
{
	(void)size;
	api.free(p);
	api.free(tagged(p, 0x0f));
}

static void free_inside(void *p, size_t size)
{
	(void)size;
	api.free(tagged((char *)p + 16, 0x0f));
}

static void free_foreign(void *p, size_t size)
{
	static char global[64];

	(void)p;
	(void)size;
	api.free(tagged(global + 32, 0x0f));
}

static void bad_pointers(void)
{
	void *p = api.malloc(64);
	int ignored = are_ignored();

	expect_report(in_child(free_twice, p, 64), "double free", ignored ? DOUBLE_FREE : NO_SLAB);
	expect_report(in_child(free_inside, p, 64), "interior", ignored ? MISALIGNED : NO_SLAB);
	expect_report(in_child(free_foreign, p, 64), "foreign", NO_SLAB);
	api.free(p);
}

static const struct test_case cases[] = {
	{ "live_blocks", live_blocks },
	{ "bad_pointers", bad_pointers },
};

int main(int argc, char **argv)
{
	api_init();
	return TEST_MAIN(argc, argv, cases);
}
