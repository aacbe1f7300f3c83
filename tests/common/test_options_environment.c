/* The environment as it is at a real start: what CMakeLists.txt has set for this
 * program is in force before main, and the one wrong value has been told of, once.
 * A constructor that runs before the library's catches standard error. */
#include "unit.h"

#include <fcntl.h>

#include "common/knobs.h"
#include "common/options.h"

static int saved_stderr, caught[2];

__attribute__((constructor(101))) static void catch_standard_error(void)
{
	REQUIRE(pipe(caught) == 0, "no pipe");
	saved_stderr = dup(STDERR_FILENO);
	dup2(caught[1], STDERR_FILENO);
	close(caught[1]);
}

static struct unit_child said;

static void values(void)
{
	CHECK_I64(options.on_error_report, 1, "HAKMEM_ON_ERROR=report");
	CHECK_I64(options.background, 0, "HAKMEM_BACKGROUND=0");
	CHECK_I64(knob_get(HAK_KNOB_HUGE_PAGES, 0), HUGE_PAGES_ALWAYS, "HAKMEM_HUGE_PAGES=always");
	CHECK_I64(knob_get(HAK_KNOB_TCACHE_CAPACITY, 5), 16, "HAKMEM_TCACHE_CAPACITY=16, class 5");
	CHECK_I64(knob_get(HAK_KNOB_PURGE_DELAY_MS, 0), 500, "HAKMEM_PURGE_DELAY_MS=soon");
}

static void words(void)
{
	CHECK(strcmp(said.text, "hakmem: HAKMEM_PURGE_DELAY_MS=soon: wanted one of 0, 10, 100, "
				"250, 500, 1000, "
				"10000; the default is used\n") == 0,
	      "standard error had \"%s\"", said.text);
}

static const struct test_case cases[] = { { "values", values }, { "words", words } };

int main(int argc, char **argv)
{
	(void)thread_number(); /* or the linker leaves the library's constructor out */
	dup2(saved_stderr, STDERR_FILENO);
	close(saved_stderr);
	unit_drain(&said, caught[0]);
	return TEST_MAIN(argc, argv, cases);
}
