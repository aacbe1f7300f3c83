/* The shared part of all benchmark programs; see bench.h. */
#include "bench.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum { MAX_PARAMS = 32, MAX_EXTRA = 64 };

struct param {
	const char *key;
	const char *text; /* NULL: a number */
	uint64_t number;
};

struct extra {
	char key[48];
	double value;
};

static struct {
	const char *name;
	int argc;
	char **argv;
	bool quick;
	bool json_only;
	uint64_t arg_used; /* bit i: argument i was read */
	struct param params[MAX_PARAMS];
	unsigned nparams;
	struct extra extras[MAX_EXTRA];
	unsigned nextra;
	uint64_t calib_before_ns;
	uint64_t rest_ms;
	uint64_t wall_ns, cpu_ns, minor, major;
	uint64_t wall_at, cpu_at, minor_at, major_at;
	bool args_checked;
} bench;

void bench_die(const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	fprintf(stderr, "%s: ", bench.name ? bench.name : "bench");
	vfprintf(stderr, format, ap);
	fputc('\n', stderr);
	va_end(ap);
	exit(1);
}

static uint64_t clock_ns(clockid_t id)
{
	struct timespec t;

	clock_gettime(id, &t);
	return (uint64_t)t.tv_sec * UINT64_C(1000000000) + (uint64_t)t.tv_nsec;
}

uint64_t bench_now_ns(void)
{
	return clock_ns(CLOCK_MONOTONIC);
}

uint64_t bench_cpu_ns(void)
{
	return clock_ns(CLOCK_PROCESS_CPUTIME_ID);
}

/* A chain of dependent multiplications, the same work each time: the best of
 * three, in wall time, tells whether the processor was ours alone. */
static uint64_t calibrate(void)
{
	uint64_t best = UINT64_MAX;

	for (int round = 0; round < 3; round++) {
		uint64_t at = bench_now_ns();
		uint64_t x = 88172645463325252u;

		for (int i = 0; i < 400000; i++) {
			x = x * UINT64_C(6364136223846793005) + 1;
			__asm__ volatile("" : "+r"(x));
		}
		at = bench_now_ns() - at;
		if (at < best)
			best = at;
	}
	return best;
}

/* A number with an optional k, m or g (powers of 1024). */
static uint64_t parse_number(const char *key, const char *text)
{
	char *end;
	unsigned long long v;

	errno = 0;
	v = strtoull(text, &end, 0);
	if (end != text && *end && !end[1]) {
		switch (*end) {
		case 'k': v <<= 10, end++; break;
		case 'm': v <<= 20, end++; break;
		case 'g': v <<= 30, end++; break;
		default: break;
		}
	}
	if (errno || end == text || *end)
		bench_die("--%s=%s: not a number", key, text);
	return v;
}

static const char *find_arg(const char *key)
{
	size_t n = strlen(key);

	for (int i = 1; i < bench.argc; i++) {
		const char *a = bench.argv[i];

		if (!strncmp(a, "--", 2) && !strncmp(a + 2, key, n) && a[2 + n] == '=') {
			bench.arg_used |= UINT64_C(1) << i;
			return a + 3 + n;
		}
	}
	return NULL;
}

void bench_init(int argc, char **argv, const char *name)
{
	bench.name = name;
	bench.argc = argc;
	bench.argv = argv;
	if (argc > 63)
		bench_die("too many arguments");
	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--quick"))
			bench.quick = true;
		else if (!strcmp(argv[i], "--json"))
			bench.json_only = true;
		else if (!strncmp(argv[i], "--", 2) && strchr(argv[i], '='))
			continue; /* checked when the measuring begins */
		else
			bench_die("unknown argument '%s' (--key=value, --quick, --json)", argv[i]);
		bench.arg_used |= UINT64_C(1) << i;
	}
	bench.rest_ms = bench_param("rest", 0);
	bench.calib_before_ns = calibrate();
}

static void check_args(void)
{
	if (bench.args_checked)
		return;
	bench.args_checked = true;
	for (int i = 1; i < bench.argc; i++)
		if (!(bench.arg_used >> i & 1))
			bench_die("no parameter of this program: '%s'", bench.argv[i]);
}

static void record_param(const char *key, const char *text, uint64_t number)
{
	if (bench.nparams == MAX_PARAMS)
		bench_die("too many parameters");
	bench.params[bench.nparams++] =
		(struct param){ .key = key, .text = text, .number = number };
}

uint64_t bench_param(const char *key, uint64_t fallback)
{
	const char *text = find_arg(key);
	uint64_t v = text ? parse_number(key, text) : fallback;

	record_param(key, NULL, v);
	return v;
}

const char *bench_param_str(const char *key, const char *fallback)
{
	const char *text = find_arg(key);

	if (!text)
		text = fallback;
	record_param(key, text, 0);
	return text;
}

uint64_t bench_scaled(uint64_t n)
{
	if (!bench.quick)
		return n;
	return n < 10 ? 1 : n / 10;
}

static void faults(uint64_t *minor, uint64_t *major)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	*minor = (uint64_t)u.ru_minflt;
	*major = (uint64_t)u.ru_majflt;
}

void bench_start(void)
{
	check_args();
	faults(&bench.minor_at, &bench.major_at);
	bench.cpu_at = bench_cpu_ns();
	bench.wall_at = bench_now_ns();
}

void bench_stop(void)
{
	uint64_t minor, major;
	uint64_t now = bench_now_ns();

	bench.wall_ns += now - bench.wall_at;
	bench.cpu_ns += bench_cpu_ns() - bench.cpu_at;
	faults(&minor, &major);
	bench.minor += minor - bench.minor_at;
	bench.major += major - bench.major_at;
}

void bench_extra(const char *key, double value)
{
	struct extra *e;

	if (bench.nextra == MAX_EXTRA)
		bench_die("too many extra figures");
	e = &bench.extras[bench.nextra++];
	snprintf(e->key, sizeof(e->key), "%s", key);
	e->value = value;
}

/* A "Name:  n kB" line of /proc/self/status; read without the heap. VmHWM and not
 * getrusage: the latter is inherited over exec from a larger parent. */
static uint64_t status_kib(const char *field)
{
	char buf[8192];
	size_t have = 0;
	const char *line;
	int fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return 0;
	while (have < sizeof(buf) - 1) {
		ssize_t got = read(fd, buf + have, sizeof(buf) - 1 - have);

		if (got <= 0)
			break;
		have += (size_t)got;
	}
	close(fd);
	buf[have] = 0;
	line = strstr(buf, field);
	return line ? strtoull(line + strlen(field), NULL, 10) : 0;
}

uint64_t bench_rss_kib(void)
{
	return status_kib("VmRSS:");
}

int bench_report(uint64_t ops)
{
	uint64_t rss = bench_rss_kib();
	uint64_t peak = status_kib("VmHWM:");
	uint64_t after = calibrate();
	double n = ops ? (double)ops : 1.0;
	double wall = bench.wall_ns ? (double)bench.wall_ns : 1.0;

	if (bench.rest_ms > 0) {
		nanosleep(&(struct timespec){ .tv_sec = (time_t)(bench.rest_ms / 1000),
					      .tv_nsec = (long)(bench.rest_ms % 1000) * 1000000 },
			  NULL);
		bench_extra("rss_rested_kib", (double)bench_rss_kib());
	}
	check_args();
	if (!bench.json_only) {
		printf("benchmark     %s\n", bench.name);
		for (unsigned i = 0; i < bench.nparams; i++) {
			const struct param *p = &bench.params[i];

			if (p->text)
				printf("  %-20s %s\n", p->key, p->text);
			else
				printf("  %-20s %llu\n", p->key, (unsigned long long)p->number);
		}
		printf("operations    %llu\n", (unsigned long long)ops);
		printf("wall          %.3f s\n", wall / 1e9);
		printf("cpu           %.3f s\n", (double)bench.cpu_ns / 1e9);
		printf("per operation %.2f ns\n", wall / n);
		printf("throughput    %.2f M ops/s\n", n * 1e3 / wall);
		printf("peak RSS      %.1f MiB\n", (double)peak / 1024);
		printf("minor faults  %llu\n", (unsigned long long)bench.minor);
		for (unsigned i = 0; i < bench.nextra; i++)
			printf("  %-20s %.6g\n", bench.extras[i].key, bench.extras[i].value);
	}
	printf("{\"name\":\"%s\",\"ops\":%llu,\"wall_ns\":%llu,\"cpu_ns\":%llu,\"ns_per_op\":%.4f,"
	       "\"cpu_ns_per_op\":%.4f,\"mops\":%.4f,\"peak_rss_kib\":%llu,\"rss_kib\":%llu,"
	       "\"minor_faults\":%llu,\"major_faults\":%llu,\"calib_ns\":%llu,\"params\":{",
	       bench.name, (unsigned long long)ops, (unsigned long long)bench.wall_ns,
	       (unsigned long long)bench.cpu_ns, wall / n, (double)bench.cpu_ns / n, n * 1e3 / wall,
	       (unsigned long long)peak, (unsigned long long)rss, (unsigned long long)bench.minor,
	       (unsigned long long)bench.major,
	       (unsigned long long)(after > bench.calib_before_ns ? after : bench.calib_before_ns));
	for (unsigned i = 0; i < bench.nparams; i++) {
		const struct param *p = &bench.params[i];

		printf("%s\"%s\":", i ? "," : "", p->key);
		if (p->text)
			printf("\"%s\"", p->text);
		else
			printf("%llu", (unsigned long long)p->number);
	}
	printf("},\"extra\":{");
	for (unsigned i = 0; i < bench.nextra; i++)
		printf("%s\"%s\":%.6g", i ? "," : "", bench.extras[i].key, bench.extras[i].value);
	printf("}}\n");
	return fflush(stdout) ? 1 : 0;
}

void *bench_map(size_t bytes)
{
	void *p = mmap(NULL, bytes ? bytes : 1, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	if (p == MAP_FAILED)
		bench_die("mmap of %zu bytes: %s", bytes, strerror(errno));
	return p;
}

void bench_spawn(uintptr_t *thread, void *(*fn)(void *), void *arg)
{
	pthread_t t;
	int err = pthread_create(&t, NULL, fn, arg);

	if (err)
		bench_die("pthread_create: %s", strerror(err));
	*thread = (uintptr_t)t;
}

void bench_join(uintptr_t thread)
{
	int err = pthread_join((pthread_t)thread, NULL);

	if (err)
		bench_die("pthread_join: %s", strerror(err));
}

struct gang {
	pthread_barrier_t ready;
	void (*fn)(unsigned, void *);
	void *arg;
};

struct member {
	struct gang *gang;
	unsigned index;
};

static void *member_main(void *p)
{
	struct member *m = p;

	pthread_barrier_wait(&m->gang->ready);
	m->gang->fn(m->index, m->gang->arg);
	return NULL;
}

void bench_run_threads(unsigned n, void (*fn)(unsigned index, void *arg), void *arg)
{
	static struct member members[BENCH_MAX_THREADS];
	static uintptr_t threads[BENCH_MAX_THREADS];
	struct gang gang = { .fn = fn, .arg = arg };

	if (n < 1 || n > BENCH_MAX_THREADS)
		bench_die("threads must be 1..%d", BENCH_MAX_THREADS);
	if (pthread_barrier_init(&gang.ready, NULL, n + 1))
		bench_die("pthread_barrier_init failed");
	for (unsigned i = 0; i < n; i++) {
		members[i] = (struct member){ .gang = &gang, .index = i };
		bench_spawn(&threads[i], member_main, &members[i]);
	}
	/* The clock starts before the barrier opens: a thread that is quick off the
	 * mark must not run outside the measured part. */
	bench_start();
	pthread_barrier_wait(&gang.ready);
	for (unsigned i = 0; i < n; i++)
		bench_join(threads[i]);
	bench_stop();
	pthread_barrier_destroy(&gang.ready);
}
