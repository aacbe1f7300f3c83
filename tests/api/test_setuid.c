/*
 * A setuid program ignores the environment: HAKMEM_STATS=1 prints statistics
 * from an ordinary copy of this program, and nothing from a setuid copy run by
 * another user. Linked with libhakmem.a, since the loader ignores LD_PRELOAD in
 * setuid programs. Needs root, exec, and a /tmp that honours setuid.
 */
#include <sys/auxv.h>
#include <sys/stat.h>

#include "api.h"

enum {
	EXIT_SECURE = 10,
	EXIT_ORDINARY = 11,
	NOBODY = 65534,
};

static char directory[] = "/tmp/hakmem-setuid-XXXXXX";
static char copy[sizeof(directory) + 8];

/* The copy's whole life: use the heap, say which mode it is in. */
static int be_the_helper(void)
{
	unsigned i;

	for (i = 0; i < 1000; i++)
		api.free(api.malloc(i));
	return getauxval(AT_SECURE) ? EXIT_SECURE : EXIT_ORDINARY;
}

static int copy_self(void)
{
	char buf[65536];
	ssize_t n = 0;
	int in = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	int out = open(copy, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0755);

	if (in < 0 || out < 0)
		return -1;
	while ((n = read(in, buf, sizeof(buf))) > 0)
		if (write(out, buf, (size_t)n) != n)
			return -1;
	close(in);
	return fchmod(out, 0755) | close(out) | (n < 0 ? -1 : 0);
}

static void be_the_copy(void *uid)
{
	char name[] = "helper", arg[] = "--helper";
	char stats[] = "HAKMEM_STATS=1", verbose[] = "HAKMEM_VERBOSE=1";
	char *argv[] = { name, arg, NULL };
	char profile[] = "HAKMEM_PROFILE=1", page[] = "HAKMEM_STATS_PAGE=1";
	char limit[] = "HAKMEM_HARD_LIMIT=1M", check[] = "HAKMEM_CHECK=full";
	char ace[] = "HAKMEM_ACE_ENABLED=1", bad[] = "HAKMEM_BUNDLE_WIDTH=bad";
	char leaks[] = "HAKMEM_LEAKS=1";
	char *envp[] = { leaks, stats, verbose, profile, page, limit, check, ace, bad, NULL };
	uid_t u = *(uid_t *)uid;

	if (u && (setgid(u) || setuid(u)))
		_exit(3);
	execve(copy, argv, envp);
	_exit(4);
}

/* Run the copy as `uid`; returns its exit status, its stderr in text. */
static int run_copy(uid_t uid, char *text, size_t size)
{
	int status = api_hear_child(be_the_copy, &uid, text, size);

	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void case_environment_is_ignored(void)
{
	static char text[65536];
	int rc;

	rc = run_copy(NOBODY, text, sizeof(text));
	CHECK(rc == EXIT_ORDINARY, "ordinary copy: expected exit %d, found %d",
	      EXIT_ORDINARY, rc);
	CHECK(strlen(text) > 20,
	      "ordinary copy, HAKMEM_STATS=1: expected statistics, found \"%s\"",
	      text);
	CHECK(strstr(text, "live at exit") != NULL,
	      "ordinary copy, HAKMEM_LEAKS=1: no list in \"%s\"", text);

	REQUIRE(chown(copy, 0, 0) == 0 && chmod(copy, 04755) == 0,
		"chmod u+s failed, errno %d", errno);
	rc = run_copy(NOBODY, text, sizeof(text));
	if (rc == EXIT_ORDINARY) {
		test_skip_case("setuid has no effect in /tmp here");
		return;
	}
	CHECK(rc == EXIT_SECURE, "setuid copy: expected exit %d, found %d",
	      EXIT_SECURE, rc);
	CHECK(text[0] == 0,
	      "setuid copy, HAKMEM_STATS=1: expected silence, found \"%.200s\"",
	      text);
}

static const struct test_case cases[] = {
	{ "environment_is_ignored", case_environment_is_ignored },
};

int main(int argc, char **argv)
{
	int rc;

	api_init();
	if (argc == 2 && strcmp(argv[1], "--helper") == 0)
		return be_the_helper();
	if (test_under_qemu())
		test_skip("the emulator cannot exec");
	if (geteuid() != 0)
		test_skip("needs root to make a setuid program");
	if (!mkdtemp(directory) || chmod(directory, 0755))
		test_skip("no directory in /tmp, errno %d", errno);
	snprintf(copy, sizeof(copy), "%s/helper", directory);
	REQUIRE(copy_self() == 0, "copying this program failed, errno %d",
		errno);
	rc = TEST_MAIN(argc, argv, cases);
	unlink(copy);
	rmdir(directory);
	return rc;
}
