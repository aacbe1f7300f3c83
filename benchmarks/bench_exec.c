/* bench_exec: runs a real program and prints a result line for it.
 *
 *   bench_exec [--preload=LIB] [--env=K=V ...] [--in=FILE] [--out=FILE] -- command args...
 *
 * The preload and the variables hold for the command alone. One operation: the whole run.
 * wall_ns, cpu_ns (user and system, all its children), peak_rss_kib and minor_faults as wait4
 * tells them. A small program starts the command on purpose: a child's peak RSS is never
 * less than its parent's was. Exit status: the command's.
 */
#include "common/bench.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static int redirect(const char *file, int flags, int to)
{
	int fd = open(file, flags, 0666);

	if (fd < 0 || dup2(fd, to) < 0) {
		fprintf(stderr, "bench_exec: %s: %s\n", file, strerror(errno));
		return -1;
	}
	close(fd);
	return 0;
}

static uint64_t timeval_ns(struct timeval t)
{
	return (uint64_t)t.tv_sec * UINT64_C(1000000000) + (uint64_t)t.tv_usec * 1000;
}

int main(int argc, char **argv)
{
	const char *in = "/dev/null", *out = "/dev/null";
	struct rusage usage;
	uint64_t wall;
	int status, first;
	pid_t pid;

	for (first = 1; first < argc && strcmp(argv[first], "--"); first++)
		continue;
	if (first + 1 >= argc)
		bench_die("usage: bench_exec [--preload=LIB] [--env=K=V] [--in=FILE] [--out=FILE] "
			  "-- command...");
	for (int i = 1; i < first; i++) {
		if (!strncmp(argv[i], "--in=", 5))
			in = argv[i] + 5;
		else if (!strncmp(argv[i], "--out=", 6))
			out = argv[i] + 6;
		else if (strncmp(argv[i], "--preload=", 10) && strncmp(argv[i], "--env=", 6))
			bench_die("unknown argument '%s'", argv[i]);
	}
	wall = bench_now_ns();
	pid = fork();
	if (pid < 0)
		bench_die("fork: %s", strerror(errno));
	if (pid == 0) {
		for (int i = 1; i < first; i++) {
			if (!strncmp(argv[i], "--preload=", 10) && argv[i][10])
				setenv("LD_PRELOAD", argv[i] + 10, 1);
			else if (!strncmp(argv[i], "--env=", 6))
				putenv(argv[i] + 6);
		}
		if (redirect(in, O_RDONLY, 0) || redirect(out, O_WRONLY | O_CREAT | O_TRUNC, 1))
			_exit(127);
		execvp(argv[first + 1], argv + first + 1);
		fprintf(stderr, "bench_exec: %s: %s\n", argv[first + 1], strerror(errno));
		_exit(127);
	}
	while (wait4(pid, &status, 0, &usage) < 0)
		if (errno != EINTR)
			bench_die("wait4: %s", strerror(errno));
	wall = bench_now_ns() - wall;
	printf("{\"name\":\"exec\",\"ops\":1,\"wall_ns\":%llu,\"cpu_ns\":%llu,\"ns_per_op\":%llu,"
	       "\"cpu_ns_per_op\":%llu,\"peak_rss_kib\":%ld,\"minor_faults\":%ld,"
	       "\"major_faults\":%ld,\"params\":{},\"extra\":{}}\n",
	       (unsigned long long)wall,
	       (unsigned long long)(timeval_ns(usage.ru_utime) + timeval_ns(usage.ru_stime)),
	       (unsigned long long)wall,
	       (unsigned long long)(timeval_ns(usage.ru_utime) + timeval_ns(usage.ru_stime)),
	       usage.ru_maxrss, usage.ru_minflt, usage.ru_majflt);
	fflush(stdout);
	if (WIFSIGNALED(status))
		return 128 + WTERMSIG(status);
	return WEXITSTATUS(status);
}
