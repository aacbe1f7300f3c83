/*
 * unit.h - what the unit tests share beyond testing.h: a seed that is printed,
 * groups of threads, and children whose standard error and end are looked at.
 *
 * Children are made while the program has no other thread.
 */
#ifndef HAKMEM_UNIT_H
#define HAKMEM_UNIT_H

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "common/base.h"
#include "common/thread.h"
#include "testing.h"

/* main() of a program that uses the allocator's parts directly. */
#define UNIT_MAIN(cases)                                                                           \
	int main(int argc, char **argv)                                                            \
	{                                                                                          \
		hak_init_once();                                                                   \
		(void)test_scaled(1, 1); /* finds out once, before there are threads */            \
		return TEST_MAIN(argc, argv, cases);                                               \
	}

enum { UNIT_TEXT_BYTES = 65536, UNIT_MAX_THREADS = 8 };

/* UNIT_SEED in the environment, else 1. */
static inline uint64_t unit_seed(void)
{
	const char *s = getenv("UNIT_SEED");
	uint64_t seed = s != NULL ? strtoull(s, NULL, 0) : 1;
	test_say("seed %llu (UNIT_SEED)", (unsigned long long)seed);
	return seed;
}

static inline unsigned unit_below(uint64_t *rng, unsigned n)
{
	return (unsigned)(test_random(rng) % n);
}

/* ---- threads */

/* body(arg) in one thread. */
static inline pthread_t unit_thread(void *(*body)(void *), void *arg)
{
	pthread_t t;
	REQUIRE(pthread_create(&t, NULL, body, arg) == 0, "no thread");
	return t;
}

/* body(&args[i]) in n threads at once; returns when all have ended. */
static inline void unit_threads(unsigned n, void *(*body)(void *), void *args, size_t arg_bytes)
{
	pthread_t threads[UNIT_MAX_THREADS];
	REQUIRE(n <= UNIT_MAX_THREADS, "%u threads", n);
	for (unsigned i = 0; i < n; i++)
		threads[i] = unit_thread(body, (char *)args + i * arg_bytes);
	for (unsigned i = 0; i < n; i++)
		pthread_join(threads[i], NULL);
}

/* ---- children */

struct unit_child {
	int status; /* as waitpid gives it */
	size_t length;
	char text[UNIT_TEXT_BYTES]; /* of its standard error */
};

static inline void unit_drain(struct unit_child *c, int fd)
{
	c->length = 0;
	for (;;) {
		ssize_t n = read(fd, c->text + c->length, sizeof(c->text) - 1 - c->length);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		c->length += (size_t)n;
	}
	c->text[c->length] = '\0';
}

/* Run body(arg) in a child. It ends with status 1 if a CHECK in it failed. */
static inline void unit_in_child(struct unit_child *c, void (*body)(void *), void *arg)
{
	const struct rlimit no_core = { 0, 0 };
	int fds[2];
	pid_t pid;
	REQUIRE(pipe(fds) == 0, "no pipe: %s", strerror(errno));
	pid = fork();
	REQUIRE(pid >= 0, "no child: %s", strerror(errno));
	if (pid == 0) {
		setrlimit(RLIMIT_CORE, &no_core);
		dup2(fds[1], STDERR_FILENO);
		close(fds[0]);
		close(fds[1]);
		body(arg);
		test_child_exit();
	}
	close(fds[1]);
	unit_drain(c, fds[0]);
	close(fds[0]);
	while (waitpid(pid, &c->status, 0) < 0 && errno == EINTR)
		;
}

/* The child must end well; what it said is passed on if it did not. */
static inline void unit_child_passes(struct unit_child *c, void (*body)(void *), void *arg)
{
	unit_in_child(c, body, arg);
	CHECK(WIFEXITED(c->status) && WEXITSTATUS(c->status) == 0,
	      "child's wait status %#x; it said:\n%s", (unsigned)c->status, c->text);
}

/* The child must abort, having said `words`. */
static inline void unit_child_aborts(void (*body)(void *), void *arg, const char *words)
{
	static struct unit_child c;
	unit_in_child(&c, body, arg);
	CHECK(WIFSIGNALED(c.status) && WTERMSIG(c.status) == SIGABRT,
	      "expected an abort with \"%s\", got wait status %#x; it said:\n%s", words,
	      (unsigned)c.status, c.text);
	CHECK(strstr(c.text, words) != NULL, "the abort does not say \"%s\", but:\n%s", words,
	      c.text);
}

static inline unsigned unit_count(const char *text, const char *needle)
{
	unsigned n = 0;
	for (const char *s = text; (s = strstr(s, needle)) != NULL; s++)
		n++;
	return n;
}

/* ---- memory */

/* Index of the first byte that is not zero, or n. */
static inline size_t unit_first_nonzero(const void *p, size_t n)
{
	const unsigned char *b = p;
	size_t i = 0;
	while (i < n && b[i] == 0)
		i++;
	return i;
}

#endif
