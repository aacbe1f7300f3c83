/*
 * api.h - what the API tests share: the allocator's functions in one table of
 * pointers, and children: waited for with a deadline, listened to.
 *
 * The table is volatile so that the compiler cannot recognise malloc and free
 * and reason about (or remove) the calls under test. Preloaded programs look
 * the names up with dlsym(); programs linked with libhakmem.a are built with
 * TEST_LINKED_HAKMEM and name them directly.
 */
#ifndef HAKMEM_TESTS_API_H
#define HAKMEM_TESTS_API_H

#include <dlfcn.h>
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stddef.h>
#include <sys/resource.h>
#include <sys/types.h>
#include <sys/wait.h>

#include "testing.h"

#ifdef __cplusplus
extern "C" {
#endif

struct libc_api {
	void *(*malloc)(size_t);
	void (*free)(void *);
	void *(*calloc)(size_t, size_t);
	void *(*realloc)(void *, size_t);
	void *(*reallocarray)(void *, size_t, size_t);
	int (*posix_memalign)(void **, size_t, size_t);
	void *(*aligned_alloc)(size_t, size_t);
	void *(*memalign)(size_t, size_t);
	void *(*valloc)(size_t);
	void *(*pvalloc)(size_t);
	size_t (*usable_size)(void *);
	int (*trim)(size_t);
	struct mallinfo (*mallinfo)(void);
	struct mallinfo2 (*mallinfo2)(void);
	int (*mallopt)(int, int);
	void (*stats)(void);
	int (*info)(int, FILE *);
	/* NULL where the C library of the machine does not have them. */
	void (*free_sized)(void *, size_t);
	void (*free_aligned_sized)(void *, size_t, size_t);
	void (*cfree)(void *);
	void *(*libc_malloc)(size_t);
	void (*libc_free)(void *);
	void *(*libc_calloc)(size_t, size_t);
	void *(*libc_realloc)(void *, size_t);
	void *(*libc_memalign)(size_t, size_t);
	void *(*libc_valloc)(size_t);
	void *(*libc_pvalloc)(size_t);
	void (*libc_cfree)(void *);
	int (*dunder_posix_memalign)(void **, size_t, size_t);
	const char *(*hak_version)(void);
};

#ifdef TEST_LINKED_HAKMEM
void free_sized(void *p, size_t size);
void free_aligned_sized(void *p, size_t align, size_t size);
void cfree(void *p);
void *__libc_malloc(size_t size);
void __libc_free(void *p);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *p, size_t size);
void *__libc_memalign(size_t align, size_t size);
void *__libc_valloc(size_t size);
void *__libc_pvalloc(size_t size);
void __libc_cfree(void *p);
int __posix_memalign(void **out, size_t align, size_t size);
const char *hak_version(void);
#define API_LOOKUP(name) ((void *)(uintptr_t)(name))
#else
#define API_LOOKUP(name) dlsym(RTLD_DEFAULT, #name)
#endif

static struct libc_api volatile api;

/* ISO C has no cast from an object pointer to a function pointer. */
#define API_SET(member, value)                                               \
	do {                                                                 \
		void *api_p_ = (value);                                      \
		memcpy(&api_tmp_.member, &api_p_, sizeof(api_p_));           \
	} while (0)

/*
 * Fill the table. With TEST_EXPECT_HAKMEM in the environment (CTest sets it) a
 * program that is not running on hakmem fails at once instead of testing the C
 * library's allocator and passing.
 */
static void api_init(void) TEST_UNUSED;
static void api_init(void)
{
	struct libc_api api_tmp_;

	memset(&api_tmp_, 0, sizeof(api_tmp_));
	API_SET(malloc, (void *)(uintptr_t)malloc);
	API_SET(free, (void *)(uintptr_t)free);
	API_SET(calloc, (void *)(uintptr_t)calloc);
	API_SET(realloc, (void *)(uintptr_t)realloc);
	API_SET(reallocarray, (void *)(uintptr_t)reallocarray);
	API_SET(posix_memalign, (void *)(uintptr_t)posix_memalign);
	API_SET(aligned_alloc, (void *)(uintptr_t)aligned_alloc);
	API_SET(memalign, (void *)(uintptr_t)memalign);
	API_SET(valloc, (void *)(uintptr_t)valloc);
	API_SET(pvalloc, (void *)(uintptr_t)pvalloc);
	API_SET(usable_size, (void *)(uintptr_t)malloc_usable_size);
	API_SET(trim, (void *)(uintptr_t)malloc_trim);
	/* mallinfo is marked deprecated, and an error with -Werror. */
	API_SET(mallinfo, dlsym(RTLD_DEFAULT, "mallinfo"));
	API_SET(mallinfo2, (void *)(uintptr_t)mallinfo2);
	API_SET(mallopt, (void *)(uintptr_t)mallopt);
	API_SET(stats, (void *)(uintptr_t)malloc_stats);
	API_SET(info, (void *)(uintptr_t)malloc_info);
	API_SET(free_sized, API_LOOKUP(free_sized));
	API_SET(free_aligned_sized, API_LOOKUP(free_aligned_sized));
	API_SET(cfree, API_LOOKUP(cfree));
	API_SET(libc_malloc, API_LOOKUP(__libc_malloc));
	API_SET(libc_free, API_LOOKUP(__libc_free));
	API_SET(libc_calloc, API_LOOKUP(__libc_calloc));
	API_SET(libc_realloc, API_LOOKUP(__libc_realloc));
	API_SET(libc_memalign, API_LOOKUP(__libc_memalign));
	API_SET(libc_valloc, API_LOOKUP(__libc_valloc));
	API_SET(libc_pvalloc, API_LOOKUP(__libc_pvalloc));
	API_SET(libc_cfree, API_LOOKUP(__libc_cfree));
	API_SET(dunder_posix_memalign, API_LOOKUP(__posix_memalign));
	API_SET(hak_version, API_LOOKUP(hak_version));
	api.malloc = api_tmp_.malloc;
	api.free = api_tmp_.free;
	api.calloc = api_tmp_.calloc;
	api.realloc = api_tmp_.realloc;
	api.reallocarray = api_tmp_.reallocarray;
	api.posix_memalign = api_tmp_.posix_memalign;
	api.aligned_alloc = api_tmp_.aligned_alloc;
	api.memalign = api_tmp_.memalign;
	api.valloc = api_tmp_.valloc;
	api.pvalloc = api_tmp_.pvalloc;
	api.usable_size = api_tmp_.usable_size;
	api.trim = api_tmp_.trim;
	api.mallinfo = api_tmp_.mallinfo;
	api.mallinfo2 = api_tmp_.mallinfo2;
	api.mallopt = api_tmp_.mallopt;
	api.stats = api_tmp_.stats;
	api.info = api_tmp_.info;
	api.free_sized = api_tmp_.free_sized;
	api.free_aligned_sized = api_tmp_.free_aligned_sized;
	api.cfree = api_tmp_.cfree;
	api.libc_malloc = api_tmp_.libc_malloc;
	api.libc_free = api_tmp_.libc_free;
	api.libc_calloc = api_tmp_.libc_calloc;
	api.libc_realloc = api_tmp_.libc_realloc;
	api.libc_memalign = api_tmp_.libc_memalign;
	api.libc_valloc = api_tmp_.libc_valloc;
	api.libc_pvalloc = api_tmp_.libc_pvalloc;
	api.libc_cfree = api_tmp_.libc_cfree;
	api.dunder_posix_memalign = api_tmp_.dunder_posix_memalign;
	api.hak_version = api_tmp_.hak_version;
	if (getenv("TEST_EXPECT_HAKMEM"))
		REQUIRE(api.hak_version != NULL,
			"expected to run on hakmem, found another allocator");
}

static int api_is_hakmem(void) TEST_UNUSED;
static int api_is_hakmem(void)
{
	return api.hak_version != NULL;
}

static void api_sleep_ms(unsigned ms) TEST_UNUSED;
static void api_sleep_ms(unsigned ms)
{
	struct timespec ts;

	ts.tv_sec = ms / 1000;
	ts.tv_nsec = (long)(ms % 1000) * 1000000;
	while (nanosleep(&ts, &ts) != 0 && errno == EINTR)
		;
}

enum { API_CHILD_HUNG = -1 };

/*
 * Wait for a child. Returns its wait status, or API_CHILD_HUNG after killing
 * one that did not end in time.
 */
static int api_wait_child(pid_t pid, unsigned deadline_ms) TEST_UNUSED;
static int api_wait_child(pid_t pid, unsigned deadline_ms)
{
	uint64_t end = test_now_ms() + deadline_ms;
	unsigned nap_us = 100;
	int status = 0;

	for (;;) {
		pid_t rc = waitpid(pid, &status, WNOHANG);

		if (rc == pid)
			return status;
		if (rc < 0 && errno != EINTR)
			return API_CHILD_HUNG;
		if (test_now_ms() > end)
			break;
		usleep(nap_us);
		if (nap_us < 5000)
			nap_us *= 2;
	}
	/* Where the child made itself a group, its children go with it. */
	kill(-pid, SIGKILL);
	kill(pid, SIGKILL);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return API_CHILD_HUNG;
}

/*
 * Run body(arg) in a child that leaves no core. Returns its wait status, or
 * API_CHILD_HUNG; text is what it says on standard error.
 */
static int api_hear_child(void (*body)(void *), void *arg, char *text,
			  size_t size) TEST_UNUSED;
static int api_hear_child(void (*body)(void *), void *arg, char *text,
			  size_t size)
{
	const struct rlimit no_core = { 0, 0 };
	size_t length = 0;
	ssize_t n;
	int fds[2];
	pid_t pid;

	REQUIRE(pipe(fds) == 0, "pipe failed");
	pid = fork();
	REQUIRE(pid >= 0, "fork failed");
	if (pid == 0) {
		setrlimit(RLIMIT_CORE, &no_core);
		dup2(fds[1], STDERR_FILENO);
		close(fds[0]);
		close(fds[1]);
		alarm(test_scaled(20, 60));
		body(arg);
		_exit(0);
	}
	close(fds[1]);
	/* Ends at the child's end; alarm() bounds a hang. */
	while ((n = read(fds[0], text + length, size - 1 - length)) > 0)
		length += (size_t)n;
	text[length] = '\0';
	close(fds[0]);
	return api_wait_child(pid, test_scaled(20000, 60000));
}

/* The child must exit with 0 in time; anything else is a failure. */
static int api_expect_clean_exit(pid_t pid, unsigned deadline_ms,
				 const char *what) TEST_UNUSED;
static int api_expect_clean_exit(pid_t pid, unsigned deadline_ms,
				 const char *what)
{
	int status;

	if (!CHECK(pid > 0, "%s: fork failed, errno %d", what, errno))
		return 0;
	status = api_wait_child(pid, deadline_ms);
	if (!CHECK(status != API_CHILD_HUNG,
		   "%s: expected an exit, found a hang (killed after %u ms)",
		   what, deadline_ms))
		return 0;
	if (!CHECK(!WIFSIGNALED(status), "%s: expected an exit, found signal %d",
		   what, WTERMSIG(status)))
		return 0;
	return CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0,
		     "%s: expected exit status 0, found %d", what,
		     WEXITSTATUS(status));
}

/*
 * Run fn in a child of its own: for what may hang, crash, or change the process
 * for good (limits, filters). CHECKs in it count through the exit status.
 */
static int api_isolated(void (*fn)(void), unsigned deadline_ms) TEST_UNUSED;
static int api_isolated(void (*fn)(void), unsigned deadline_ms)
{
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		setpgid(0, 0);
		fn();
		test_child_exit();
	}
	return api_expect_clean_exit(pid, deadline_ms, test_current);
}

/* Resident bytes of this process; 0 when unknown (or under an emulator). */
static size_t api_rss_bytes(void) TEST_UNUSED;
static size_t api_rss_bytes(void)
{
	/* No stdio: its buffer would come from the heap that is measured. */
	int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
	char buf[128], *end;
	ssize_t n;

	if (fd < 0)
		return 0;
	n = read(fd, buf, sizeof(buf) - 1);
	close(fd);
	if (n <= 0)
		return 0;
	buf[n] = 0;
	strtoul(buf, &end, 10);
	return strtoul(end, NULL, 10) * (size_t)sysconf(_SC_PAGESIZE);
}

#ifdef __cplusplus
}
#endif
#endif /* HAKMEM_TESTS_API_H */
