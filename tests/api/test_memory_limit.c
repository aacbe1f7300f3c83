/*
 * HAKMEM_LIMIT and HAKMEM_HARD_LIMIT as a program in a container meets them.
 *
 * The program runs itself, with its settings in the environment, as a hog: it fills memory with
 * small blocks, frees them, and at once fills as much with huge ones, several times. What it has
 * alive fits a group of GROUP_MIB; with what the allocator keeps of freed memory it does not, and
 * the kernel would kill it.
 */
#include "api.h"

enum { MIB = 1 << 20, GROUP_MIB = 256, LIVE_MIB = 160, SMALL = 3000, HUGE = 2000000, ROUNDS = 2 };

static char *self;

/* ---- the hog */

static void fill_and_free(size_t bytes)
{
	static void *blocks[LIVE_MIB * (size_t)MIB / SMALL + 1];
	size_t n = LIVE_MIB * (size_t)MIB / bytes, i;

	for (i = 0; i < n; i++) {
		blocks[i] = malloc(bytes);
		REQUIRE(blocks[i] != NULL, "no memory");
		memset(blocks[i], 1, bytes);
	}
	for (i = 0; i < n; i++)
		free(blocks[i]);
}

static int hog(void)
{
	struct rusage usage;
	int i;

	for (i = 0; i < ROUNDS; i++) {
		fill_and_free(SMALL);
		fill_and_free(HUGE);
	}
	getrusage(RUSAGE_SELF, &usage);
	fprintf(stderr, "%ld\n", usage.ru_maxrss);
	return 0;
}

/* Small blocks until NULL; then all of them are freed, and it works again. */
static int until_null(void)
{
	void *first = NULL, **p;
	size_t bytes = 0;

	while ((p = malloc(SMALL)) != NULL) {
		memset(p, 1, SMALL);
		*p = first;
		first = p;
		bytes += SMALL;
		if (bytes > (size_t)1024 * MIB)
			break;
	}
	if (errno != ENOMEM)
		return 1;
	for (p = first; p != NULL; p = first) {
		first = *p;
		free(p);
	}
	p = malloc(HUGE);
	if (p == NULL)
		return 2;
	free(p);
	fprintf(stderr, "%zu\n", bytes / 1024);
	return 0;
}

/* ---- running it */

struct run {
	const char *what, *setting; /* NULL: none */
	int status;
	long kib; /* what it said */
};

static char said[1024];

static void become(void *arg)
{
	const struct run *r = arg;
	char *args[] = { self, (char *)(uintptr_t)r->what, NULL };

	if (r->setting != NULL)
		putenv((char *)(uintptr_t)r->setting);
	execv(self, args);
	_exit(4);
}

/* Run ourselves as `what`, with `setting`. */
static struct run run_as(const char *what, const char *setting)
{
	struct run r = { .what = what, .setting = setting };

	r.status = api_hear_child(become, &r, said, sizeof(said));
	r.kib = atol(said);
	return r;
}

static int passed(const struct run *r)
{
	return WIFEXITED(r->status) && WEXITSTATUS(r->status) == 0;
}

/* ---- cases */

static void soft_limit(void)
{
	struct run without = run_as("hog", NULL), with;

	CHECK(passed(&without), "wait status %#x; it said:\n%.600s", (unsigned)without.status,
	      said);
	CHECK(without.kib > (GROUP_MIB + 20) * 1024L,
	      "without a limit at most %ld KiB are resident: no test", without.kib);
	with = run_as("hog", "HAKMEM_LIMIT=200M");
	CHECK(passed(&with), "wait status %#x; it said:\n%.600s", (unsigned)with.status, said);
	CHECK(with.kib < 215 * 1024L, "%ld KiB resident, the limit is 200 MiB", with.kib);
}

static void hard_limit(void)
{
	struct run r = run_as("until_null", "HAKMEM_HARD_LIMIT=64M");

	CHECK(passed(&r), "wait status %#x; it said:\n%.600s", (unsigned)r.status, said);
	CHECK(r.kib > 50 * 1024 && r.kib < 64 * 1024, "%ld KiB of blocks within 64 MiB", r.kib);
}

static const struct test_case cases[] = {
	{ "soft_limit", soft_limit },
	{ "hard_limit", hard_limit },
};

int main(int argc, char **argv)
{
	self = argv[0];
	if (argc == 2 && strcmp(argv[1], "hog") == 0)
		return hog();
	if (argc == 2 && strcmp(argv[1], "until_null") == 0)
		return until_null();
	api_init();
	return TEST_MAIN(argc, argv, cases);
}
