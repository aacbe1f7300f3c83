/* The report: all of a page is in it, and nothing in a page or a profile becomes part of the HTML;
 * pages of other builds and damaged profiles are refused; a file is replaced as a whole. */
#include "report.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "commands.h"
#include "good_page.h"
#include "html_check.h"
#include "say.h"
#include "testing.h"

enum { REPORT_BYTES = 4 << 20 };

static struct statpage page;
static char dir[64], report[128], text[REPORT_BYTES];
static struct html_check checked;

static const char *in_dir(const char *name)
{
	static char path[4][128];
	static unsigned next;
	char *p = path[next++ % 4];
	snprintf(p, sizeof(path[0]), "%s/%s", dir, name);
	return p;
}

static void write_file(const char *path, const void *bytes, size_t n)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	REQUIRE(fd >= 0 && write(fd, bytes, n) == (ssize_t)n, "%s cannot be written", path);
	close(fd);
}

static size_t read_report(void)
{
	int fd = open(report, O_RDONLY);
	size_t length = 0;
	ssize_t n;
	REQUIRE(fd >= 0, "no %s", report);
	while ((n = read(fd, text + length, sizeof(text) - 1 - length)) > 0)
		length += (size_t)n;
	close(fd);
	text[length] = '\0';
	return length;
}

/* Of the page as it is now. */
static void make_report(const char *profile)
{
	CHECK_I64(page_check(&page), PAGE_OK, "page_check");
	REQUIRE(report_write(&page, profile, report), "no report");
	read_report();
	CHECK(html_is_ours(&checked, text), "%s", checked.fault);
}

static void has(const char *what)
{
	CHECK(strstr(text, what) != NULL, "there is no '%s'", what);
}

static void has_not(const char *what)
{
	const char *found = strstr(text, what);
	CHECK(found == NULL, "there is '%s': %.60s", what, found);
}

/* The one that is the same in every report. */
static void leave_script_out(void)
{
	char *script = strstr(text, "<script nonce");
	REQUIRE(script != NULL, "there is no script");
	*script = '\0';
}

static void whole(void)
{
	make_good_page(&page);
	make_report(NULL);
	has("<title>hakmem: /bin/something</title>");
	has("<h1>something</h1>");
	has("<b>100 MiB</b><span>resident</span>");
	has("knob_6");
	has("<td>reason number 11</td>");
	has("\"why\":\"reason number 11\"");
	has("<title>22.0 s: knob_1 0 to 0: reason number 11</title>");
	has("<td class=\"n\">1024</td>");
	has("65535,255,");
	has("<td class=\"n\">29.5 s</td>");
	has("<path class=\"s0\" d=\"M");
	leave_script_out();
	has_not("://");
	has_not("src=");
}

/* As much of a text as there is room for. */
static void fill(char *to, size_t size, const char *from)
{
	memset(to, 0, size);
	for (size_t i = 0; i + 1 < size && from[i] != '\0'; i++)
		to[i] = from[i];
}

static void hostile_texts(void)
{
	static const char bad[] = "\"'><script>alert(1)</script>&amp;</script><!--";
	make_good_page(&page);
	snprintf(page.exe, sizeof(page.exe), "/bin/<script>alert(1)</script>");
	snprintf(page.backend, sizeof(page.backend), "<b onload=x>");
	snprintf(page.knobs[0].name, sizeof(page.knobs[0].name), "\" onload=\"x");
	fill(page.knobs[1].name, sizeof(page.knobs[1].name), bad);
	fill(page.knobs[1].unit, sizeof(page.knobs[1].unit), bad);
	fill(page.now.counter_source, sizeof(page.now.counter_source), bad);
	fill(page.now.counter_reason, sizeof(page.now.counter_reason), bad);
	for (unsigned i = 0; i < GOOD_DECISIONS; i++)
		snprintf(page.decisions[i].reason, sizeof(page.decisions[i].reason), "\\%s\n\033",
			 bad);
	make_report(NULL);
	has("&#60;script&#62;alert(1)&#60;/script&#62;");
	has("\\u005c\\u0022\\u0027\\u003e\\u003cscript");
	has_not("<script>alert");
	has_not("<!--");
}

/* Figures that are not known, and those that are as large as they can be. */
static void hostile_figures(void)
{
	make_good_page(&page);
	memset(&page.now, 0xff, sizeof(page.now));
	for (unsigned i = 0; i < GOOD_SAMPLES; i++) {
		memset(&page.samples[i], 0xff, sizeof(page.samples[i]));
		page.samples[i].time_ms = i < GOOD_SAMPLES / 2 ? 0 : INT64_C(1) << 55;
		page.samples[i].rss_bytes = i % 2 ? INT64_MAX : INT64_MIN;
		page.samples[i].knobs[0] = i % 2 ? INT32_MAX : INT32_MIN;
	}
	for (unsigned i = 0; i < STATPAGE_DECISIONS; i++)
		page.decisions[i].time_ms = i % 2 ? INT64_MAX : -1;
	page.start_realtime_ns = INT64_MAX;
	page.ndecisions = UINT64_MAX;
	make_report(NULL);
	leave_script_out();
	has_not(">nan");
	has_not("-nan");
	has_not(",nan");
	has_not("inf<");
	has_not("inf,");
	make_good_page(&page);
	page.nsamples = 0;
	page.ndecisions = 0;
	page.now.nsuperslabs = 0;
	memset(page.now.classes, 0, sizeof(page.now.classes));
	make_report(NULL);
	has("There are no samples yet");
	page.nsamples = 1;
	make_report(NULL);
}

/* ---- profiles */

__attribute__((noinline)) void function_of_the_profile(void);
void function_of_the_profile(void)
{
	__asm__ volatile("" ::: "memory");
}

static void write_profile(const char *path, const char *first, const char *stacks,
			  bool with_mappings)
{
	static char maps[1 << 20];
	size_t n = (size_t)snprintf(maps, sizeof(maps), "%s%s%s", first, stacks,
				    with_mappings ? "\nMAPPED_LIBRARIES:\n" : "");
	if (with_mappings) {
		int fd = open("/proc/self/maps", O_RDONLY);
		ssize_t got;
		while ((got = read(fd, maps + n, sizeof(maps) - n)) > 0)
			n += (size_t)got;
		close(fd);
	}
	write_file(path, maps, n);
}

static const char head[] = "heap profile: 1: 100 [2: 200] @ heap_v2/1\n";

static void profiles(void)
{
	const char *path = in_dir("profile");
	char stack[200];
	make_good_page(&page);
	/* Recursion counts once; a return address is behind the call. */
	snprintf(stack, sizeof(stack),
		 "  1: 1024 [ 3: 4096] @ %p %p\n  1: 2048 [ 1: 2048] @ %p 0x10\n",
		 (void *)((uintptr_t)function_of_the_profile + 1),
		 (void *)((uintptr_t)function_of_the_profile + 1),
		 (void *)((uintptr_t)function_of_the_profile + 1));
	write_profile(path, head, stack, true);
	make_report(path);
	has("<td class=\"n\">3.0 KiB</td><td class=\"n\">3.0 KiB</td><td class=\"n\">6.0 KiB</td>"
	    "<td class=\"n\">6.0 KiB</td><td class=\"code\">function_of_the_profile</td>");
	has("<td class=\"code\">0xf</td>");
	has("[0,3072,6144,[");
	/* Samples are few; one block of 1024 bytes stands for 65536 bytes and a half of it. */
	write_profile(path, "heap profile: 1: 1024 [1: 1024] @ heap_v2/65536\n",
		      "1: 1024 [1: 1024] @ 0x10\n", true);
	make_report(path);
	has("64.5 KiB live");
	write_profile(path, head, "", true);
	make_report(path);
	has("0 B live");
}

static void damaged_profiles(void)
{
	static const char *const bad[] = { "1: 1 [1: 1] @ 0x10 zz\n", "1: 1\n", "nonsense\n",
					   "1: 1 [1: 1] @ 0\n",
					   "1: 1 [1: 1] @ 0xffffffffffffffff -\n" };
	const char *path = in_dir("profile");
	make_good_page(&page);
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		write_profile(path, head, bad[i], true);
		CHECK(!report_write(&page, path, report), "taken: %s", bad[i]);
	}
	write_profile(path, head, "", false);
	CHECK(!report_write(&page, path, report), "taken: one that is cut off");
	write_profile(path, "", "", true);
	CHECK(!report_write(&page, path, report), "taken: one without a first line");
	CHECK(!report_write(&page, in_dir("none"), report), "taken: no file");
	CHECK(!report_write(&page, dir, report), "taken: a directory");
}

static void hostile_profile(void)
{
	const char *path = in_dir("profile");
	char hostile[400];
	make_good_page(&page);
	snprintf(hostile, sizeof(hostile),
		 "%s1: 1 [1: 1] @ 0x1010 0x2010\n18446744073709551615: 18446744073709551615 [1: 1] "
		 "@ 0x1010\n"
		 "\nMAPPED_LIBRARIES:\n1000-2000 r-xp 0 00:00 1 /tmp/<script>\"\033\n500-900 r-xp "
		 "0 00:00 1 /x\n"
		 "2000-3000 r-xp 0 00:00 1 %s\n",
		 head, path);
	write_file(path, hostile, strlen(hostile));
	make_report(path);
	has("&#60;script&#62;&#34;?+0xf");
}

/* ---- the command */

static int run_report(const char *a, const char *b, const char *c)
{
	static char name[] = "report";
	char words[3][160];
	char *argv[5] = { name };
	const char *const given[] = { a, b, c };
	int argc = 1;
	for (unsigned i = 0; i < 3 && given[i] != NULL; i++) {
		snprintf(words[i], sizeof(words[i]), "%s", given[i]);
		argv[argc++] = words[i];
	}
	optind = 0;
	return command_report(argc, argv);
}

static void commands(void)
{
	const char *file = in_dir("page");
	struct stat st;
	make_good_page(&page);
	write_file(file, &page, sizeof(page));
	CHECK_I64(run_report("-o", report, file), EXIT_OK, "a page file");
	CHECK(read_report() > 10000 && html_is_ours(&checked, text), "%s", checked.fault);
	page.build[0] ^= 1;
	write_file(file, &page, sizeof(page));
	CHECK_I64(run_report("-o", report, file), EXIT_OTHER_BUILD, "another build");
	page.magic ^= 1;
	write_file(file, &page, sizeof(page));
	CHECK_I64(run_report("-o", report, file), EXIT_FAILED, "no page");
	write_file(file, "", 0);
	CHECK_I64(run_report("-o", report, file), EXIT_FAILED, "an empty file");
	CHECK_I64(run_report("-o", report, in_dir("none")), EXIT_NO_PAGE, "no file");
	CHECK_I64(run_report("-o", report, dir), EXIT_FAILED, "a directory");
	CHECK_I64(run_report("-o", report, "2147483647"), EXIT_NO_PAGE, "no process");
	CHECK_I64(run_report("--nonsense", NULL, NULL), EXIT_USAGE, "wrong use");
	/* What was there before stays, and nothing is left beside it. */
	CHECK(read_report() > 10000 && html_is_ours(&checked, text), "%s", checked.fault);
	make_good_page(&page);
	write_file(file, &page, sizeof(page));
	CHECK_I64(run_report("-o", in_dir("none/report"), file), EXIT_FAILED, "no folder");
	CHECK_I64(run_report("-o", dir, file), EXIT_FAILED, "a folder");
	CHECK(stat(dir, &st) == 0 && S_ISDIR(st.st_mode), "the folder is gone");
}

static const struct test_case cases[] = {
	{ "whole", whole },
	{ "hostile_texts", hostile_texts },
	{ "hostile_figures", hostile_figures },
	{ "profiles", profiles },
	{ "damaged_profiles", damaged_profiles },
	{ "hostile_profile", hostile_profile },
	{ "commands", commands },
};

int main(int argc, char **argv)
{
	static const char *const files[] = { "report", "profile", "page" };
	int code;
	snprintf(dir, sizeof(dir), "/tmp/hakmem-report-XXXXXX");
	REQUIRE(mkdtemp(dir) != NULL, "no folder");
	snprintf(report, sizeof(report), "%s", in_dir("report"));
	code = TEST_MAIN(argc, argv, cases);
	for (unsigned i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		unlink(in_dir(files[i]));
	if (rmdir(dir) != 0 && code == 0) {
		test_say("%s is not empty", dir);
		code = 1;
	}
	return code;
}
