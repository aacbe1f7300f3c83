/* common/cgroup.c: files of the kernel, made by the test in a folder of its own. */
#include "unit.h"

#include <sys/stat.h>

#include "common/cgroup.h"
#include "common/os.h"

static char root[256];

/* Write one file below the root; its folders are made. */
static void file(const char *name, const char *text)
{
	char path[512];
	FILE *f;
	snprintf(path, sizeof(path), "%s/%s", root, name);
	for (char *s = path + strlen(root) + 1; (s = strchr(s, '/')) != NULL; s++) {
		*s = '\0';
		REQUIRE(mkdir(path, 0777) == 0 || errno == EEXIST, "%s: %s", path, strerror(errno));
		*s = '/';
	}
	f = fopen(path, "w");
	REQUIRE(f != NULL, "%s: %s", path, strerror(errno));
	fputs(text, f);
	fclose(f);
}

static void begin(void)
{
	const char *tmp = getenv("TMPDIR");
	snprintf(root, sizeof(root), "%s/hakmem_cgroup_XXXXXX", tmp != NULL ? tmp : "/tmp");
	REQUIRE(mkdtemp(root) != NULL, "%s: %s", root, strerror(errno));
}

static void end(void)
{
	char command[512];
	cgroup_set_root(NULL);
	snprintf(command, sizeof(command), "rm -r '%s'", root);
	CHECK(system(command) == 0, "%s", command);
}

static struct cgroup_figures figures(void)
{
	struct cgroup_figures f;
	cgroup_set_root(root);
	cgroup_read(&f);
	return f;
}

#define MOUNTS_BEFORE                                                                              \
	"22 27 0:21 / /proc rw,relatime - proc proc rw\n"                                          \
	"35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"

static void absent(void)
{
	begin();
	CHECK(!figures().found, "no files at all");
	CHECK_U64(cgroup_memory_bytes(), os_machine_bytes(), "memory without a group");
	file("proc/self/cgroup", "4:memory:/x\n");
	file("proc/self/mountinfo", MOUNTS_BEFORE);
	CHECK(!figures().found, "version 1 alone");
	file("proc/self/cgroup", "4:memory:/x\n0::/job\n");
	CHECK(!figures().found, "not mounted");
	end();
}

static void all_figures(void)
{
	struct cgroup_figures f;
	begin();
	file("proc/self/cgroup", "0::/job/step\n");
	file("proc/self/mountinfo",
	     MOUNTS_BEFORE "41 31 0:38 / /sys/fs/cg\\040roup rw - cgroup2 cgroup2 rw\n");
	file("sys/fs/cg roup/job/step/memory.max", "268435456\n");
	file("sys/fs/cg roup/job/step/memory.high", "max\n");
	file("sys/fs/cg roup/job/step/memory.current", "12345\n");
	file("sys/fs/cg roup/job/step/cpu.max", "150000 100000\n");
	file("sys/fs/cg roup/job/step/memory.pressure",
	     "some avg10=1.25 avg60=0.00 avg300=0.00 total=777\n"
	     "full avg10=0.50 avg60=9.00 avg300=0.00 total=33\n");
	f = figures();
	CHECK(f.found, "found");
	CHECK_U64(f.memory_max, 268435456, "memory.max");
	CHECK_U64(f.memory_high, CGROUP_NO_LIMIT, "memory.high");
	CHECK_U64(f.memory_current, 12345, "memory.current");
	CHECK_U64(f.cpu_percent, 150, "cpu.max");
	CHECK_I64(f.psi_some_ppm, 12500, "some");
	CHECK_I64(f.psi_full_ppm, 5000, "full");
	CHECK_U64(f.psi_some_us, 777, "some, total");
	CHECK_U64(f.psi_full_us, 33, "full, total");
	CHECK_U64(cgroup_memory_bytes(), 268435456, "memory for the process");

	/* The limits above count as well, but not what lies above the mount. */
	file("sys/fs/cg roup/job/memory.max", "1000\n");
	file("sys/fs/cg roup/job/cpu.max", "max 100000\n");
	file("sys/fs/cg roup/memory.high", "2000\n");
	file("sys/fs/memory.max", "1\n");
	f = figures();
	CHECK_U64(f.memory_max, 1000, "memory.max of the group above");
	CHECK_U64(f.memory_high, 2000, "memory.high of the top");
	CHECK_U64(f.cpu_percent, 150, "cpu.max");
	end();
}

/* A group without the memory controller. */
static void files_missing(void)
{
	struct cgroup_figures f;
	begin();
	file("proc/self/cgroup", "0::/\n");
	file("proc/self/mountinfo", "41 31 0:38 / /cg rw - cgroup2 cgroup2 rw\n");
	file("cg/cgroup.procs", "");
	f = figures();
	CHECK(f.found, "found");
	CHECK(f.memory_max == CGROUP_NO_LIMIT && f.memory_high == CGROUP_NO_LIMIT, "limits");
	CHECK(f.memory_current == 0 && f.cpu_percent == 0, "figures");
	CHECK(f.psi_some_ppm == -1 && f.psi_full_ppm == -1, "pressure");
	end();
}

/* In a container the mount shows a part of the tree, and the group may be named from
 * another namespace. */
static void in_a_container(void)
{
	begin();
	file("proc/self/mountinfo", "41 31 0:38 /box/7 /cg rw - cgroup2 cgroup2 rw\n");
	file("cg/memory.max", "10\n");
	file("cg/in/memory.max", "5\n");
	file("proc/self/cgroup", "0::/box/7/in\n");
	CHECK_U64(figures().memory_max, 5, "a group below what is mounted");
	file("proc/self/cgroup", "0::/box/7\n");
	CHECK_U64(figures().memory_max, 10, "the group that is mounted");
	file("proc/self/cgroup", "0::/../../other\n");
	CHECK_U64(figures().memory_max, 10, "a group outside");
	end();
}

static void nonsense(void)
{
	struct cgroup_figures f;
	char *deep = malloc(3000);
	begin();
	file("proc/self/mountinfo", "41 31 0:38 / /cg rw - cgroup2 cgroup2 rw\n");
	file("proc/self/cgroup", "0::/job\n");
	file("cg/job/memory.max", "99999999999999999999999\n");
	file("cg/job/cpu.max", "100000 0\n");
	file("cg/job/memory.pressure", "some avg10=\nfull total=x\n");
	f = figures();
	CHECK(f.found && f.memory_max == CGROUP_NO_LIMIT, "a number too large");
	CHECK_U64(f.cpu_percent, 0, "a period of 0");
	CHECK(f.psi_some_ppm == -1 && f.psi_full_us == 0, "pressure without numbers");
	memset(deep, 'd', 2999);
	memcpy(deep, "0::/", 4);
	memcpy(deep + 2998, "\n", 2);
	file("proc/self/cgroup", deep);
	CHECK(!figures().found, "a path that is too long");
	file("proc/self/cgroup", "0::/no end of line");
	CHECK(!figures().found, "a line that does not end");
	free(deep);
	end();
}

/* The real ones must at least be readable. */
static void of_this_process(void)
{
	struct cgroup_figures f;
	cgroup_read(&f);
	CHECK(!f.found || f.memory_max > 0, "memory.max is 0");
	CHECK(cgroup_memory_bytes() > 0 && cgroup_memory_bytes() <= os_machine_bytes(),
	      "%llu bytes of %llu", (unsigned long long)cgroup_memory_bytes(),
	      (unsigned long long)os_machine_bytes());
}

static const struct test_case cases[] = {
	{ "absent", absent },
	{ "all_figures", all_figures },
	{ "files_missing", files_missing },
	{ "in_a_container", in_a_container },
	{ "nonsense", nonsense },
	{ "of_this_process", of_this_process },
};

UNIT_MAIN(cases)
