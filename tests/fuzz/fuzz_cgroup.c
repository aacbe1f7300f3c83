/* Files of the kernel: the control group's, and numbers in text.
 *
 * Input: the files one after another, each up to 0xff: mountinfo, cgroup, memory.max,
 * memory.high, memory.current, cpu.max, memory.pressure; for an empty one of the first two
 * there is a good one.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/cgroup.h"
#include "common/scan.h"
#include "fuzz.h"

enum { FILE_BYTES = 20000, ROOT_BYTES = 256, PATH_BYTES = 512 };

static char root[ROOT_BYTES];

/* The name of a file below the root. */
static const char *path_of(const char *name)
{
	static char path[PATH_BYTES];
	snprintf(path, sizeof(path), "%s/%s", root, name);
	return path;
}

static void remove_tree(void)
{
	static const char *const names[] = { "proc/self/mountinfo", "proc/self/cgroup", "proc/self",
					     "proc", "cg/job/memory.max", "cg/job/memory.high",
					     "cg/job/memory.current", "cg/job/cpu.max",
					     "cg/job/memory.pressure", "cg/job", "cg" };
	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		remove(path_of(names[i]));
}

static void make_tree(void)
{
	static const char *const dirs[] = { "proc", "proc/self", "cg", "cg/job" };
	snprintf(root, sizeof(root), "%s", fuzz_dir());
	for (unsigned i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++)
		FUZZ_REQUIRE(mkdir(path_of(dirs[i]), 0700) == 0, "no directory %s",
			     path_of(dirs[i]));
	atexit(remove_tree); /* before the directory goes */
}

static void take_file(struct fuzz_input *in, const char *name, const char *otherwise)
{
	static char text[FILE_BYTES];
	size_t n = fuzz_text(in, text, sizeof(text));
	if (n == 0 && otherwise != NULL)
		fuzz_write_file(path_of(name), otherwise, strlen(otherwise));
	else
		fuzz_write_file(path_of(name), text, n);
}

/* ---- numbers, against wider ones */

static void check_u64(const char *text)
{
	unsigned __int128 v = 0;
	uint64_t found;
	const char *s = text, *end = scan_u64(text, &found);
	for (; *s >= '0' && *s <= '9' && v <= UINT64_MAX; s++)
		v = v * 10 + (unsigned)(*s - '0');
	FUZZ_REQUIRE((end == NULL) == (s == text || v > UINT64_MAX), "'%s' is %s", text,
		     end == NULL ? "no number" : "a number");
	FUZZ_REQUIRE(end == NULL || (end == s && found == (uint64_t)v), "'%s' is %llu", text,
		     (unsigned long long)found);
}

static void check_decimal(const char *text)
{
	const uint32_t scale = 10000;
	unsigned __int128 v;
	uint64_t whole, found;
	const char *s = scan_u64(text, &whole), *end = scan_decimal(text, scale, &found);
	if (s == NULL) {
		FUZZ_REQUIRE(end == NULL, "'%s' is a number", text);
		return;
	}
	v = (unsigned __int128)whole * scale;
	if (*s == '.')
		for (uint32_t unit = scale / 10; *++s >= '0' && *s <= '9'; unit /= 10)
			v += unit * (unsigned)(*s - '0');
	FUZZ_REQUIRE((end == NULL) == (v > UINT64_MAX), "'%s' is %s", text,
		     end == NULL ? "no number" : "a number");
	FUZZ_REQUIRE(end == NULL || (end == s && found == (uint64_t)v), "'%s' is %llu / %u", text,
		     (unsigned long long)found, scale);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = { data, size }, numbers = in;
	struct cgroup_figures f;
	char text[256];
	if (root[0] == '\0')
		make_tree();
	fuzz_text(&numbers, text, sizeof(text));
	check_u64(text);
	check_decimal(text);

	take_file(&in, "proc/self/mountinfo", "41 31 0:38 / /cg rw - cgroup2 cgroup2 rw\n");
	take_file(&in, "proc/self/cgroup", "0::/job\n");
	take_file(&in, "cg/job/memory.max", NULL);
	take_file(&in, "cg/job/memory.high", NULL);
	take_file(&in, "cg/job/memory.current", NULL);
	take_file(&in, "cg/job/cpu.max", NULL);
	take_file(&in, "cg/job/memory.pressure", NULL);
	cgroup_set_root(root);
	cgroup_read(&f);
	FUZZ_REQUIRE(!f.found || (f.psi_some_ppm >= -1 && f.psi_full_ppm >= -1), "pressure %d, %d",
		     f.psi_some_ppm, f.psi_full_ppm);
	(void)cgroup_memory_bytes();
	cgroup_set_root(NULL);
	return 0;
}
