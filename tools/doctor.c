/* hakmem doctor: will a program run on hakmem, does a process, and does this system let
 * it do its best? Each finding is a line; the exit code says whether one is bad. */
#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <linux/perf_event.h>
#include <elf.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "commands.h"
#include "elf_file.h"
#include "library.h"
#include "page.h"
#include "say.h"

enum verdict { GOOD, NOTE, BAD };

static unsigned bad_count;

static void finding(enum verdict v, const char *topic, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
static void finding(enum verdict v, const char *topic, const char *format, ...)
{
	static const char *const marks[] = { "ok  ", "note", "BAD " };
	static const enum colour colours[] = { COLOUR_GOOD, COLOUR_WARN, COLOUR_BAD };
	va_list ap;
	printf("%s%s%s %-16s ", colour_on(stdout, colours[v]), marks[v], colour_off(stdout), topic);
	va_start(ap, format);
	vprintf(format, ap);
	va_end(ap);
	putchar('\n');
	bad_count += v == BAD;
}

/* The first line of a file, without its end; "" if it cannot be read. */
static const char *first_line(const char *path, char *buf, int size)
{
	FILE *f = fopen(path, "re");
	buf[0] = '\0';
	if (f == NULL)
		return buf;
	if (fgets(buf, size, f) == NULL)
		buf[0] = '\0';
	buf[strcspn(buf, "\n")] = '\0';
	fclose(f);
	for (char *s = buf; *s != '\0'; s++)
		if (!isprint((unsigned char)*s))
			*s = '?';
	return buf;
}

/* ---- a program file */

static void check_program(const char *path, const char *library)
{
	struct elf_file program, lib;
	elf_examine(path, &program);
	elf_examine(library, &lib);
	if (!program.readable) {
		finding(NOTE, "program", "%s cannot be read: nothing is known of it", path);
		return;
	}
	if (program.interpreter[0] != '\0') {
		finding(NOTE, "program", "%s is a script: it is %s that runs on hakmem", path,
			program.interpreter);
		check_program(program.interpreter, library);
		return;
	}
	if (!program.is_elf) {
		finding(BAD, "program", "%s is no 64-bit program of this kind of system", path);
		return;
	}
	if (library[0] != '\0' && lib.is_elf && program.machine != lib.machine)
		finding(BAD, "machine",
			"the program is for %s, the library for %s: it is not preloaded",
			elf_machine_name(program.machine), elf_machine_name(lib.machine));
	if (program.is_dynamic)
		finding(GOOD, "loading", "%s is linked dynamically: preloading works", path);
	else
		finding(BAD, "loading",
			"%s is linked statically: preloading has no effect; "
			"link it with libhakmem.a",
			path);
	if (program.set_id)
		finding(BAD, "privileges",
			"it is setuid, setgid or has file capabilities: the loader ignores "
			"LD_PRELOAD, and hakmem all its variables");
	if (program.own_allocator[0] != '\0' && strcmp(program.own_allocator, "hakmem") != 0)
		finding(NOTE, "own allocator",
			"%s is built in: what of it the program calls by other names than malloc "
			"stays there",
			program.own_allocator);
	else if (program.own_allocator[0] != '\0')
		finding(GOOD, "own allocator", "hakmem is built in: nothing has to be preloaded");
	else if (program.defines_malloc && program.is_dynamic)
		finding(NOTE, "own allocator",
			"it has a malloc of its own, which the preload takes over");
	if (program.needs_allocator[0] != '\0')
		finding(NOTE, "linked with",
			"%s: a preloaded hakmem comes before it for malloc and its family",
			program.needs_allocator);
}

/* ---- a live process */

struct mapped {
	char hakmem[PATH_MAX], other[PATH_MAX];
	long mappings;
};

static bool read_mappings(pid_t pid, struct mapped *m)
{
	char path[64], line[PATH_MAX + 128];
	FILE *f;
	*m = (struct mapped){ .mappings = 0 };
	snprintf(path, sizeof(path), "/proc/%d/maps", (int)pid);
	f = fopen(path, "re");
	if (f == NULL)
		return false;
	while (fgets(line, sizeof(line), f) != NULL) {
		char *name = strchr(line, '/');
		const char *allocator;
		m->mappings++;
		if (name == NULL)
			continue;
		name[strcspn(name, "\n")] = '\0';
		allocator = allocator_of_library(name);
		if (allocator == NULL)
			continue;
		snprintf(strcmp(allocator, "hakmem") == 0 ? m->hakmem : m->other, PATH_MAX, "%s",
			 name);
	}
	fclose(f);
	return true;
}

/* The value of a variable in the environment the process was started with. */
static bool process_variable(pid_t pid, const char *name, char *value, size_t size)
{
	char path[64], *entry = NULL;
	size_t room = 0, n = strlen(name);
	bool found = false;
	FILE *f;
	snprintf(path, sizeof(path), "/proc/%d/environ", (int)pid);
	f = fopen(path, "re");
	if (f == NULL)
		return false;
	while (!found && getdelim(&entry, &room, '\0', f) > 0) {
		found = strncmp(entry, name, n) == 0 && entry[n] == '=';
		if (found)
			snprintf(value, size, "%s", entry + n + 1);
	}
	free(entry);
	fclose(f);
	return found;
}

static void check_page(pid_t pid)
{
	static struct statpage page;
	switch (page_copy(pid, &page)) {
	case PAGE_OK:
		finding(GOOD, "statistics",
			"it shows a page: `hakmem top %d` works (build %s, backend %s)", (int)pid,
			page.build, page.backend);
		finding(NOTE, "counters", "%s%s%s", page.now.counter_source,
			page.now.counter_reason[0] != '\0' ? ": " : "", page.now.counter_reason);
		break;
	case PAGE_NONE:
		finding(NOTE, "statistics",
			"it shows no page: start it with `hakmem run`, or HAKMEM_STATS_PAGE=1, for "
			"`hakmem top`");
		break;
	case PAGE_OTHER_BUILD:
		finding(NOTE, "statistics", "its page is of build %s, this command of %s",
			page.build, HAKMEM_BUILD_ID);
		break;
	default:
		finding(BAD, "statistics", "its page cannot be read");
		break;
	}
}

static void check_not_loaded(pid_t pid, const char *exe, const char *library)
{
	char preload[PATH_MAX];
	finding(BAD, "loaded", "process %d does not run on hakmem", (int)pid);
	if (process_variable(pid, "LD_PRELOAD", preload, sizeof(preload)))
		finding(NOTE, "LD_PRELOAD", "%s%s", preload,
			strstr(preload, "libhakmem") == NULL
				? ""
				: ": asked for, but the loader did not, or could not, obey");
	else
		finding(NOTE, "LD_PRELOAD", "not set when the process was started");
	check_program(exe, library);
}

static void check_map_count(pid_t pid, long mappings)
{
	char buf[64];
	long limit = atol(first_line("/proc/sys/vm/max_map_count", buf, sizeof(buf)));
	if (limit > 0 && mappings > limit / 2)
		finding(BAD, "mappings", "%ld of vm.max_map_count=%ld are in use by process %d",
			mappings, limit, (int)pid);
	else if (limit > 0)
		finding(GOOD, "mappings", "%ld of at most %ld (vm.max_map_count)", mappings, limit);
}

static int check_process(pid_t pid, const char *library)
{
	char link[64], exe[PATH_MAX];
	struct mapped m;
	ssize_t n;
	if (!read_mappings(pid, &m))
		return page_explain(errno == ENOENT ? PAGE_NO_PROCESS : PAGE_DENIED, pid);
	snprintf(link, sizeof(link), "/proc/%d/exe", (int)pid);
	n = readlink(link, exe, sizeof(exe) - 1);
	exe[n > 0 ? n : 0] = '\0';
	finding(NOTE, "process", "%d is %s", (int)pid, exe);
	if (m.hakmem[0] != '\0') {
		finding(GOOD, "loaded", "%s", m.hakmem);
	} else {
		struct elf_file program;
		elf_examine(link, &program);
		if (strcmp(program.own_allocator, "hakmem") == 0)
			finding(GOOD, "loaded", "hakmem is built into the program");
		else
			check_not_loaded(pid, link, library);
	}
	if (m.other[0] != '\0')
		finding(NOTE, "other allocator", "%s is loaded as well", m.other);
	check_page(pid);
	check_map_count(pid, m.mappings);
	return EXIT_OK;
}

/* ---- the system */

static void check_huge_pages(void)
{
	char buf[128];
	const char *line =
		first_line("/sys/kernel/mm/transparent_hugepage/enabled", buf, sizeof(buf));
	if (strstr(line, "[never]") != NULL)
		finding(NOTE, "huge pages",
			"transparent huge pages are off (%s): big heaps are slower; "
			"`madvise` is best",
			line);
	else if (strstr(line, "[always]") != NULL)
		finding(NOTE, "huge pages",
			"%s: the kernel may give small programs more memory than they ask for; "
			"`madvise` is best",
			line);
	else if (line[0] != '\0')
		finding(GOOD, "huge pages", "%s", line);
	else
		finding(NOTE, "huge pages", "this kernel has no transparent huge pages");
}

/* Unified hierarchy: the path behind "0::". */
static bool cgroup_of(pid_t pid, char *path, size_t size)
{
	char name[64], line[PATH_MAX];
	bool found = false;
	FILE *f;
	snprintf(name, sizeof(name), "/proc/%d/cgroup", (int)pid);
	f = fopen(name, "re");
	if (f == NULL)
		return false;
	while (!found && fgets(line, sizeof(line), f) != NULL) {
		found = strncmp(line, "0::", 3) == 0;
		if (found) {
			line[strcspn(line, "\n")] = '\0';
			found = snprintf(path, size, "/sys/fs/cgroup%s", line + 3) < (int)size;
		}
	}
	fclose(f);
	return found;
}

static void check_cgroup(pid_t pid)
{
	static const struct {
		const char *file, *meaning;
	} limits[] = {
		{ "memory.max", "memory, hard limit" },
		{ "memory.high", "memory, throttled above" },
		{ "cpu.max", "CPU time, quota and period" },
	};
	char dir[PATH_MAX], path[PATH_MAX + 32], buf[64];
	unsigned found = 0;
	if (!cgroup_of(pid, dir, sizeof(dir))) {
		finding(NOTE, "cgroup", "no unified (v2) hierarchy: limits are not seen");
		return;
	}
	for (unsigned i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, limits[i].file);
		if (first_line(path, buf, sizeof(buf))[0] == '\0' || strncmp(buf, "max", 3) == 0)
			continue;
		finding(NOTE, "cgroup", "%s=%s (%s)", limits[i].file, buf, limits[i].meaning);
		found++;
	}
	if (found == 0)
		finding(GOOD, "cgroup", "no limits in %s", dir);
}

/* Those of /proc/cpuinfo that hakmem may make use of. */
static void check_cpu(void)
{
	static const char *const interesting[] = { "avx2", "avx512f", "erms", "fsrm",
						   "constant_tsc", "nonstop_tsc", "atomics",
						   "asimd", "sve", "mte", "pmull", "sse4_2" };
	char line[8192], found[256] = "";
	FILE *f = fopen("/proc/cpuinfo", "re");
	struct utsname u;
	bool done = false;
	if (f == NULL || uname(&u) != 0)
		return;
	while (!done && fgets(line, sizeof(line), f) != NULL) {
		char *save = NULL;
		done = strncmp(line, "flags", 5) == 0 || strncmp(line, "Features", 8) == 0;
		if (!done)
			continue;
		for (char *word = strtok_r(line, " \t\n:", &save); word != NULL;
		     word = strtok_r(NULL, " \t\n:", &save))
			for (unsigned i = 0; i < sizeof(interesting) / sizeof(interesting[0]); i++)
				if (strcmp(word, interesting[i]) == 0 &&
				    strlen(found) + strlen(word) + 2 < sizeof(found))
					strcat(strcat(found, " "), word);
	}
	fclose(f);
	finding(GOOD, "CPU", "%s, %ld online, features of use:%s", u.machine,
		sysconf(_SC_NPROCESSORS_ONLN), found[0] != '\0' ? found : " none known");
}

/* Does the kernel count this for us? 0, or errno. */
static int counter_error(uint32_t type, uint64_t config)
{
	struct perf_event_attr attr = { .type = type, .size = sizeof(attr), .config = config,
					.exclude_kernel = 1, .exclude_hv = 1 };
	long fd = syscall(SYS_perf_event_open, &attr, 0, -1, -1, PERF_FLAG_FD_CLOEXEC);
	if (fd < 0)
		return errno;
	close((int)fd);
	return 0;
}

static void check_counters(void)
{
	char buf[32];
	int err = counter_error(PERF_TYPE_HARDWARE, PERF_COUNT_HW_CACHE_MISSES);
	const char *paranoid = first_line("/proc/sys/kernel/perf_event_paranoid", buf, sizeof(buf));
	switch (err) {
	case 0:
		finding(GOOD, "counters", "hardware counters of cache misses can be used");
		break;
	case EACCES:
	case EPERM:
		finding(NOTE, "counters",
			"not allowed by kernel.perf_event_paranoid=%s (2 or less is needed): "
			"misses are estimated",
			paranoid);
		break;
	case ENOENT:
	case EOPNOTSUPP:
	case ENODEV:
		finding(NOTE, "counters",
			"this CPU, or the virtual machine, shows no counter of cache misses: "
			"they are estimated");
		break;
	default:
		finding(NOTE, "counters", "not to be had (%s): misses are estimated",
			strerror(err));
		break;
	}
}

static void check_system(pid_t pid)
{
	char buf[32];
	long page = sysconf(_SC_PAGESIZE);
	finding(page <= 65536 ? GOOD : BAD, "page size", "%ld KiB", page / 1024);
	check_huge_pages();
	if (atoi(first_line("/proc/sys/vm/overcommit_memory", buf, sizeof(buf))) == 2)
		finding(NOTE, "overcommit",
			"vm.overcommit_memory=2: address space counts, "
			"and hakmem reserves it ahead");
	check_cgroup(pid);
	check_cpu();
	check_counters();
}

int command_doctor(int argc, char **argv)
{
	char library[PATH_MAX], program[PATH_MAX];
	long long number = 0;
	pid_t pid = getpid();
	int code = EXIT_OK;

	if (argc > 2 || (argc == 2 && argv[1][0] == '-'))
		return usage_error("doctor", "a program, a process number, or nothing is meant");
	if (library_find(NULL, library, sizeof(library)))
		finding(GOOD, "library", "%s (command: build %s)", library, HAKMEM_BUILD_ID);
	else
		library[0] = '\0';
	if (argc == 2 && parse_number(argv[1], INT_MAX, &number)) {
		pid = (pid_t)number;
		code = check_process(pid, library);
		if (code != EXIT_OK)
			return code;
	} else if (argc == 2) {
		if (!program_find(argv[1], program, sizeof(program))) {
			complain("%s: no such program", argv[1]);
			return EXIT_NO_PROGRAM;
		}
		check_program(program, library);
	}
	check_system(pid);
	return bad_count > 0 ? EXIT_FAILED : EXIT_OK;
}
