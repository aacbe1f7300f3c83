/*
 * Limits set from outside: address space and data limits, seccomp filters that
 * refuse system calls, strict overcommit. Allocation then fails with NULL and
 * ENOMEM, the heap stays whole, and works again once memory was freed.
 *
 * Each case runs in a child: limits and filters cannot be taken back.
 */
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stdbool.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "api.h"

enum { ROOM_MIB = 192 };

struct link {
	struct link *next;
	size_t size;
	uint64_t mark;
};

static unsigned deadline_ms(void)
{
	return test_scaled(60000, 240000);
}

static size_t virtual_bytes(void)
{
	int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
	char buf[128];
	ssize_t n;

	if (fd < 0)
		return 0;
	n = read(fd, buf, sizeof(buf) - 1);
	close(fd);
	buf[n > 0 ? n : 0] = 0;
	return strtoul(buf, NULL, 10) * (size_t)sysconf(_SC_PAGESIZE);
}

static void set_limit(int which, size_t bytes)
{
	struct rlimit r = { bytes, bytes };

	REQUIRE(setrlimit(which, &r) == 0, "setrlimit failed, errno %d", errno);
}

/* Blocks until NULL or `most` bytes; returns the chain, counts the bytes. */
static struct link *allocate_until_null(size_t size, size_t most, size_t *total)
{
	struct link *head = NULL;

	*total = 0;
	while (*total < most) {
		struct link *l;

		errno = 0;
		l = api.malloc(size);
		if (!l) {
			CHECK_I64(errno, ENOMEM, "errno when memory ran out");
			break;
		}
		l->next = head;
		l->size = size;
		l->mark = (uintptr_t)l * 31;
		if (size > sizeof(*l))
			((char *)l)[size - 1] = 0x6b;
		head = l;
		*total += size;
	}
	return head;
}

static void verify_chain(const struct link *l)
{
	for (; l; l = l->next)
		if (!CHECK(l->mark == (uintptr_t)l * 31 &&
				   (l->size == sizeof(*l) ||
				    ((const char *)l)[l->size - 1] == 0x6b),
			   "block %p of %zu changed", (const void *)l, l->size))
			break;
}

static void free_chain(struct link *l)
{
	while (l) {
		struct link *next = l->next;

		api.free(l);
		l = next;
	}
}

static void expect_works(size_t size)
{
	char *p = api.malloc(size), *z;

	if (!CHECK(p != NULL, "after everything was freed: malloc(%zu) failed",
		   size))
		return;
	memset(p, 0x55, size);
	api.free(p);
	z = api.calloc(1, size);
	if (!CHECK(z != NULL, "after everything was freed: calloc(%zu) failed",
		   size))
		return;
	CHECK(z[0] == 0 && z[size / 2] == 0 && z[size - 1] == 0,
	      "calloc(%zu) is not zero", size);
	api.free(z);
}

/* Every other call of an exhausted heap fails in the same, orderly way. */
static void expect_orderly_failure(size_t size)
{
	char *keep = api.malloc(24);
	void *p = &size;

	errno = 0;
	CHECK(api.calloc(1, size) == NULL && errno == ENOMEM,
	      "calloc(%zu): errno %d", size, errno);
	errno = 0;
	CHECK(api.memalign(4096, size) == NULL && errno == ENOMEM,
	      "memalign(%zu): errno %d", size, errno);
	CHECK(api.posix_memalign(&p, 64, size) == ENOMEM && p == &size,
	      "posix_memalign(%zu)", size);
	if (!keep)
		return;
	test_fill(keep, 24, 1);
	errno = 0;
	CHECK(api.realloc(keep, size) == NULL && errno == ENOMEM,
	      "realloc(%zu): errno %d", size, errno);
	CHECK_U64(test_verify(keep, 24, 1), 24, "block after failed realloc");
	api.free(keep);
}

static void exhaust(bool must_end)
{
	static const size_t sizes[] = { 32,    100,    1000,	 10000,
					50000, 300000, 5u << 20, 64 };
	static const size_t again[] = { 1, 100, 5000, 100000, 1u << 20, 40u << 20 };
	size_t most = must_end ? (size_t)ROOM_MIB << 22 : 64u << 20, i, k;

	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct link *chain;
		size_t total;

		chain = allocate_until_null(sizes[i], most, &total);
		CHECK(!must_end || total < most,
		      "blocks of %zu: %zu MiB without NULL under the limit",
		      sizes[i], total >> 20);
		CHECK(total >= (size_t)ROOM_MIB << 18,
		      "blocks of %zu: expected at least a quarter of %d MiB, "
		      "found %zu MiB", sizes[i], ROOM_MIB, total >> 20);
		if (must_end)
			expect_orderly_failure((size_t)ROOM_MIB << 20);
		verify_chain(chain);
		free_chain(chain);
		for (k = 0; k < sizeof(again) / sizeof(again[0]); k++)
			expect_works(again[k]);
	}
}

static void address_space_limit(void)
{
	free(malloc(100));
	set_limit(RLIMIT_AS, virtual_bytes() + ((size_t)ROOM_MIB << 20));
	exhaust(true);
}

static void data_limit(void)
{
	free(malloc(100));
	set_limit(RLIMIT_DATA, virtual_bytes() + ((size_t)ROOM_MIB << 20));
	exhaust(true);
}

/* Returns its argument if it got any memory. */
static void *limited_thread(void *arg)
{
	size_t total;
	struct link *chain;

	chain = allocate_until_null(500, 1u << 20, &total);
	verify_chain(chain);
	free_chain(chain);
	return total ? arg : NULL;
}

static void threads_in_64_mib(void)
{
	unsigned worked = 0, i;
	pthread_attr_t attr;
	int some;

	free(malloc(100));
	set_limit(RLIMIT_AS, virtual_bytes() + (64u << 20));
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 256 << 10);
	for (i = 0; i < 100; i++) {
		pthread_t t;
		void *result = NULL;

		if (pthread_create(&t, &attr, limited_thread, &some))
			continue;
		pthread_join(t, &result);
		worked += result != NULL;
	}
	CHECK(worked == 100,
	      "one thread at a time, 64 MiB: expected 100 to allocate, found %u",
	      worked);
	/* All at once: some may not start or may get NULL; none may break. */
	{
		pthread_t t[64];
		unsigned n = 0;

		for (i = 0; i < 64; i++)
			n += pthread_create(&t[n], &attr, limited_thread,
					    &some) == 0;
		CHECK(n >= 16, "64 MiB: expected at least 16 threads, found %u",
		      n);
		for (i = 0; i < n; i++)
			pthread_join(t[i], NULL);
	}
	expect_works(5000);
	expect_works(1u << 20);
}

/* As `ulimit -v 65536` would: from the first instruction of a program. */
static void exec_in_64_mib(void)
{
	set_limit(RLIMIT_AS, 64u << 20);
	execl("/bin/sh", "sh", "-c", "x=$(echo ab); test \"$x\" = ab && exec ls /",
	      (char *)NULL);
	_exit(9);
}

static void run_limit_case(void (*fn)(void))
{
	if (test_under_qemu()) {
		test_skip_case("the emulator does not pass memory limits on");
		return;
	}
	api_isolated(fn, deadline_ms());
}

static void case_address_space_limit(void)
{
	run_limit_case(address_space_limit);
}

static void case_data_limit(void)
{
	run_limit_case(data_limit);
}

static void case_threads_in_64_mib(void)
{
	run_limit_case(threads_in_64_mib);
}

static void case_exec_in_64_mib(void)
{
	int null, saved;

	fflush(NULL);
	null = open("/dev/null", O_WRONLY);
	saved = dup(STDOUT_FILENO);
	dup2(null, STDOUT_FILENO);
	run_limit_case(exec_in_64_mib);
	dup2(saved, STDOUT_FILENO);
	close(saved);
	close(null);
}

/* ---- seccomp ---- */

/* Refuse one system call with EPERM; false where filters cannot be set. */
static bool deny(long call)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
			 offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)call, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = {
		.len = sizeof(code) / sizeof(code[0]),
		.filter = code,
	};

	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
	       prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog) == 0;
}

static void *filtered_thread(void *arg)
{
	uint64_t seed = (uint64_t)(uintptr_t)arg;
	char *p[64];
	size_t n[64];
	unsigned i, r;

	memset(p, 0, sizeof(p));
	memset(n, 0, sizeof(n));
	for (r = 0; r < test_scaled(20000, 2000); r++) {
		uint64_t x = test_random(&seed);

		i = (unsigned)(x % 64);
		if (p[i])
			CHECK(test_verify(p[i], n[i] < 99 ? n[i] : 99, i) ==
				      (n[i] < 99 ? n[i] : 99),
			      "block of %zu changed", n[i]);
		n[i] = 1 + (x >> 20) % ((x >> 50) % 100 ? 3000 : 3000000);
		p[i] = api.realloc(p[i], n[i]);
		REQUIRE(p[i], "realloc(%zu) failed", n[i]);
		test_fill(p[i], n[i] < 99 ? n[i] : 99, i);
	}
	for (i = 0; i < 64; i++)
		api.free(p[i]);
	return NULL;
}

static void filtered_workout(void)
{
	size_t n, i, z;
	pthread_t t[3];
	char *p;

	for (i = 0; i < 3; i++)
		REQUIRE(pthread_create(&t[i], NULL, filtered_thread,
				       (void *)(uintptr_t)(i + 1)) == 0,
			"pthread_create failed");
	for (i = 0; i < 3; i++)
		pthread_join(t[i], NULL);
	/* Grow and shrink one block through mremap's range. */
	p = api.malloc(100000);
	for (n = 100000; n < 60u << 20; n *= 2) {
		test_fill(p, 1000, n);
		test_fill(p + n - 1000, 1000, n);
		p = api.realloc(p, n * 2);
		REQUIRE(p, "realloc(%zu) failed", n * 2);
		CHECK(test_verify(p, 1000, n) == 1000 &&
			      test_verify(p + n - 1000, 1000, n) == 1000,
		      "content lost growing to %zu", n * 2);
	}
	test_fill(p, 5000, 3);
	p = api.realloc(p, 5000);
	CHECK(p && test_verify(p, 5000, 3) == 5000, "content lost shrinking");
	api.free(p);
	/* A refused madvise leaves old bytes: calloc must not take them for
	 * the zeroes of fresh pages. */
	for (n = 1000; n < 30u << 20; n = n * 3 + 1) {
		char *q[8];

		for (i = 0; i < 8; i++) {
			q[i] = api.malloc(n);
			REQUIRE(q[i], "malloc(%zu) failed", n);
			memset(q[i], 0xdd, n);
		}
		for (i = 0; i < 8; i++)
			api.free(q[i]);
		api.trim(0);
		if (n == 4 * 1000 + 1)
			api_sleep_ms(1500);
		for (i = 0; i < 8; i++) {
			q[i] = api.calloc(1, n);
			REQUIRE(q[i], "calloc(%zu) failed", n);
			for (z = 0; z < n && q[i][z] == 0; z++)
				;
			CHECK(z == n, "calloc(%zu): byte %zu is %#x", n, z,
			      (unsigned char)q[i][z]);
		}
		for (i = 0; i < 8; i++)
			api.free(q[i]);
	}
}

static long denied_calls[4];
static unsigned denied_count;

static void seccomp_child(void)
{
	unsigned i;

	for (i = 0; i < denied_count; i++)
		REQUIRE(deny(denied_calls[i]), "the filter cannot be set");
	filtered_workout();
}

static void seccomp_probe(void)
{
	_exit(deny(SYS_perf_event_open) ? 0 : 1);
}

static bool seccomp_works(void)
{
	static int works = -1;

	if (works < 0) {
		pid_t pid = fork();

		if (pid == 0)
			seccomp_probe();
		works = api_wait_child(pid, 10000) == 0;
	}
	if (!works)
		test_skip_case("seccomp filters cannot be set here");
	return works;
}

static void run_denied(const long *calls, unsigned count)
{
	if (!seccomp_works())
		return;
	memcpy(denied_calls, calls, count * sizeof(*calls));
	denied_count = count;
	api_isolated(seccomp_child, deadline_ms());
}

static void case_madvise_denied(void)
{
	run_denied((const long[]){ SYS_madvise }, 1);
}

static void case_perf_event_open_denied(void)
{
	run_denied((const long[]){ SYS_perf_event_open }, 1);
}

static void case_mremap_denied(void)
{
	run_denied((const long[]){ SYS_mremap }, 1);
}

static void case_all_three_denied(void)
{
	run_denied((const long[]){ SYS_madvise, SYS_perf_event_open,
				   SYS_mremap, SYS_membarrier }, 4);
}

/* The kernel's error is EPERM, the program's must be ENOMEM. */
static void mmap_refused(void)
{
	struct link *chain;
	size_t total;

	free(malloc(100));
	REQUIRE(deny(SYS_mmap) && deny(SYS_mremap), "the filter cannot be set");
	errno = 0;
	CHECK(api.malloc(100u << 20) == NULL && errno == ENOMEM,
	      "malloc(100 MiB): expected NULL and ENOMEM, errno is %d", errno);
	chain = allocate_until_null(200, 256u << 20, &total);
	/* Others may still have brk. */
	CHECK(!api_is_hakmem() || total < 256u << 20, "256 MiB without mmap?");
	verify_chain(chain);
	free_chain(chain);
	if (total) {
		chain = allocate_until_null(200, total / 2, &total);
		CHECK(chain != NULL, "nothing to be had after freeing");
		free_chain(chain);
	}
}

static void case_mmap_denied(void)
{
	if (seccomp_works())
		api_isolated(mmap_refused, deadline_ms());
}

/* ---- strict overcommit ---- */

static const char overcommit_file[] = "/proc/sys/vm/overcommit_memory";

static void strict_overcommit(void)
{
	exhaust(false);
}

static void case_strict_overcommit(void)
{
	const char *asked = getenv("HAKMEM_TEST_OVERCOMMIT");
	char old = 0;
	int fd;

	if (!asked || strcmp(asked, "1") != 0) {
		test_skip_case("changes the whole machine: only with "
			       "HAKMEM_TEST_OVERCOMMIT=1");
		return;
	}
	fd = open(overcommit_file, O_RDWR | O_CLOEXEC);
	if (fd < 0 || geteuid() != 0 || read(fd, &old, 1) != 1) {
		test_skip_case("%s cannot be written", overcommit_file);
		if (fd >= 0)
			close(fd);
		return;
	}
	if (pwrite(fd, "2", 1, 0) != 1) {
		test_skip_case("%s refuses mode 2", overcommit_file);
	} else {
		api_isolated(strict_overcommit, deadline_ms());
		CHECK(pwrite(fd, &old, 1, 0) == 1,
		      "overcommit mode could not be restored to %c", old);
	}
	close(fd);
}

static const struct test_case cases[] = {
	{ "address_space_limit", case_address_space_limit },
	{ "data_limit", case_data_limit },
	{ "threads_in_64_mib", case_threads_in_64_mib },
	{ "exec_in_64_mib", case_exec_in_64_mib },
	{ "madvise_denied", case_madvise_denied },
	{ "perf_event_open_denied", case_perf_event_open_denied },
	{ "mremap_denied", case_mremap_denied },
	{ "all_three_denied", case_all_three_denied },
	{ "mmap_denied", case_mmap_denied },
	{ "strict_overcommit", case_strict_overcommit },
};

int main(int argc, char **argv)
{
	api_init();
	return TEST_MAIN(argc, argv, cases);
}
