#include "common/cgroup.h"

#include <string.h>

#include "common/diag.h"
#include "common/lock.h"
#include "common/os.h"
#include "common/scan.h"

enum {
	PATH_BYTES = 1024, /* a longer one counts as not found */
	MOUNTS_BYTES = 16384,
	FILE_BYTES = 512,
	PPM_OF_PERCENT = 10000,
};

static struct lock lock = LOCK_INITIALIZER(LOCK_RANK_CGROUP);

/* Under lock. */
static const char *root = "";
static bool looked_for;
static char folder[PATH_BYTES];   /* of our group */
static size_t top;                /* length of the part of it that is the mount point */
static uint32_t read_at_ms;
static struct cgroup_figures figures;

struct lock *cgroup_lock(void)
{
	return &lock;
}

#if HAKMEM_TESTING
void cgroup_set_root(const char *other)
{
	lock_acquire(&lock);
	root = other != NULL ? other : "";
	looked_for = false;
	lock_release(&lock);
}
#endif

/* The file's text; false: there is none. */
static bool read_text(const char *where, const char *name, char *buf, size_t bytes)
{
	char path[PATH_BYTES + 64];
	struct text t;
	size_t n;
	text_init(&t, path, sizeof(path));
	text_printf(&t, "%s%s", where, name);
	n = os_read_file(path, buf, bytes - 1);
	buf[n] = '\0';
	return n > 0;
}

/* ---- where our group is */

/* Copy one field of a line of mountinfo, where a blank is written \040. Returns what
 * follows; NULL: it does not fit. */
static const char *take_field(const char *s, char *out, size_t bytes)
{
	size_t n = 0;
	while (*s != ' ' && *s != '\n' && *s != '\0') {
		if (n + 1 >= bytes)
			return NULL;
		if (s[0] == '\\' && s[1] >= '0' && s[1] <= '3' && s[2] != '\0' && s[3] != '\0') {
			out[n++] = (char)((s[1] - '0') * 64 + (s[2] - '0') * 8 + (s[3] - '0'));
			s += 4;
		} else {
			out[n++] = *s++;
		}
	}
	out[n] = '\0';
	return *s == ' ' ? s + 1 : s;
}

/* Where the cgroup2 filesystem is mounted, and which of its folders is mounted there. */
static bool find_mount(const char *mounts, char *mounted, char *point, size_t bytes)
{
	for (const char *line = mounts; *line != '\0';) {
		const char *end = strchr(line, '\n');
		const char *type = strstr(line, " - ");
		const char *s = line;
		if (end == NULL)
			return false;
		if (type != NULL && type < end && strncmp(type, " - cgroup2 ", 11) == 0) {
			for (int skip = 0; skip < 3; skip++) /* two numbers and the device */
				s = strchr(s, ' ') + 1;
			s = take_field(s, mounted, bytes);
			return s != NULL && take_field(s, point, bytes) != NULL;
		}
		line = end + 1;
	}
	return false;
}

/* The path of our group, as the kernel names it. */
static bool find_group(const char *cgroups, char *group, size_t bytes)
{
	const char *s =
		strncmp(cgroups, "0::", 3) == 0 ? cgroups + 3 : scan_behind(cgroups, "\n0::");
	const char *end = s == NULL ? NULL : strchr(s, '\n');
	if (end == NULL || (size_t)(end - s) >= bytes)
		return false;
	memcpy(group, s, (size_t)(end - s));
	group[end - s] = '\0';
	return true;
}

/* What of `group` is below the mounted folder. */
static const char *below(const char *group, const char *mounted)
{
	size_t n = strcmp(mounted, "/") == 0 ? 0 : strlen(mounted);
	/* A group outside of what is mounted (of another namespace) shows as its top. */
	if (strncmp(group, mounted, n) != 0 || strstr(group, "/..") != NULL)
		return "";
	return strcmp(group + n, "/") == 0 ? "" : group + n;
}

static void look_locked(void)
{
	static char mounts[MOUNTS_BYTES]; /* under the lock */
	char mounted[PATH_BYTES / 2], point[PATH_BYTES / 2], group[PATH_BYTES / 2];
	struct text t;
	looked_for = true;
	folder[0] = '\0';
	figures.found = false;
	if (!read_text(root, "/proc/self/cgroup", mounts, sizeof(mounts)) ||
	    !find_group(mounts, group, sizeof(group)) ||
	    !read_text(root, "/proc/self/mountinfo", mounts, sizeof(mounts)) ||
	    !find_mount(mounts, mounted, point, sizeof(mounted)))
		return;
	text_init(&t, folder, sizeof(folder));
	text_printf(&t, "%s%s", root, point);
	top = strlen(folder);
	text_printf(&t, "%s", below(group, mounted));
	figures.found = t.length < t.size;
}

/* ---- its files */

/* A number of bytes, or "max". */
static uint64_t read_limit(const char *where, const char *name)
{
	char buf[FILE_BYTES];
	uint64_t bytes;
	if (!read_text(where, name, buf, sizeof(buf)) || scan_u64(buf, &bytes) == NULL)
		return CGROUP_NO_LIMIT;
	return bytes;
}

/* "QUOTA PERIOD", or "max PERIOD". */
static uint32_t read_cpu_percent(const char *where)
{
	char buf[FILE_BYTES];
	uint64_t quota, period;
	const char *s =
		read_text(where, "/cpu.max", buf, sizeof(buf)) ? scan_u64(buf, &quota) : NULL;
	if (s == NULL || *s != ' ' || scan_u64(s + 1, &period) == NULL || period == 0)
		return 0;
	return (uint32_t)min_size(max_size(quota * 100 / period, 1), UINT32_MAX);
}

/* "some avg10=0.12 avg60=0.00 avg300=0.00 total=1234", in microseconds. */
static void scan_pressure(const char *text, const char *kind, int32_t *ppm, uint64_t *us)
{
	const char *line = scan_behind(text, kind), *avg, *total;
	uint64_t n;
	if (line == NULL)
		return;
	avg = scan_behind(line, " avg10=");
	if (avg != NULL && scan_decimal(avg, PPM_OF_PERCENT, &n) != NULL && n <= INT32_MAX)
		*ppm = (int32_t)n;
	total = scan_behind(line, " total=");
	if (total != NULL && scan_u64(total, &n) != NULL)
		*us = n;
}

static void read_files_locked(void)
{
	char where[PATH_BYTES], buf[FILE_BYTES];
	size_t n = strlen(folder);
	memcpy(where, folder, n + 1);
	figures.memory_max = figures.memory_high = CGROUP_NO_LIMIT;
	figures.cpu_percent = 0;
	figures.memory_current = read_limit(where, "/memory.current");
	if (figures.memory_current == CGROUP_NO_LIMIT)
		figures.memory_current = 0;
	figures.psi_some_ppm = figures.psi_full_ppm = -1;
	figures.psi_some_us = figures.psi_full_us = 0;
	if (read_text(where, "/memory.pressure", buf, sizeof(buf))) {
		scan_pressure(buf, "some", &figures.psi_some_ppm, &figures.psi_some_us);
		scan_pressure(buf, "full", &figures.psi_full_ppm, &figures.psi_full_us);
	}
	/* Limits of our group and of those above it. */
	for (;;) {
		uint32_t cpu = read_cpu_percent(where);
		char *slash;
		figures.memory_max = min_size(figures.memory_max, read_limit(where, "/memory.max"));
		figures.memory_high =
			min_size(figures.memory_high, read_limit(where, "/memory.high"));
		if (cpu != 0 && (figures.cpu_percent == 0 || cpu < figures.cpu_percent))
			figures.cpu_percent = cpu;
		slash = strrchr(where, '/');
		if (slash == NULL || (size_t)(slash - where) < top)
			break;
		*slash = '\0';
	}
}

void cgroup_read(struct cgroup_figures *out)
{
	bool stale;
	lock_acquire(&lock);
	stale = !looked_for || os_now_ms() - read_at_ms >= CGROUP_INTERVAL_MS;
	if (!looked_for)
		look_locked();
	if (figures.found && stale) {
		read_at_ms = os_now_ms();
		read_files_locked();
	}
	*out = figures;
	lock_release(&lock);
}

uint64_t cgroup_memory_bytes(void)
{
	struct cgroup_figures f;
	uint64_t machine = os_machine_bytes();
	cgroup_read(&f);
	return f.found && f.memory_max < machine ? f.memory_max : machine;
}
