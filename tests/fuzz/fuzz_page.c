/* A statistics page that may hold anything, as another process finds it: it is refused, or
 * clean, and all that the command `hakmem` prints of it is harmless text.
 *
 * Input: the file's length where it is cut, the rows of the screen, then changes of a good
 * page: where, how many bytes, the bytes.
 */
#include "page.h"

#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "commands.h"
#include "fuzz.h"
#include "good_page.h"
#include "html_check.h"
#include "report.h"
#include "view.h"

enum {
	MAX_CHANGES = 64,
	PRINTED_BYTES = 1 << 20,
	REPORT_BYTES = 4 << 20,
	/* Most of the page is history and map; what decides lies before. */
	HEAD_BYTES = 4096,
};

static struct statpage good, read_back, before;
static struct statpage *shown; /* the file, mapped by this process: so its page is found */
static struct page_file file = { .fd = -1 };
static struct view view;

static void make_file(void)
{
	void *p;
	snprintf(file.path, sizeof(file.path), "%s/" STATPAGE_FILE_PREFIX "%d", fuzz_dir(),
		 (int)getpid());
	file.pid = getpid();
	file.fd = open(file.path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	FUZZ_REQUIRE(file.fd >= 0 && ftruncate(file.fd, sizeof(good)) == 0, "no file %s",
		     file.path);
	p = mmap(NULL, sizeof(good), PROT_READ | PROT_WRITE, MAP_SHARED, file.fd, 0);
	FUZZ_REQUIRE(p != MAP_FAILED, "%s cannot be mapped", file.path);
	shown = p;
}

static void change(struct fuzz_input *in)
{
	size_t at = fuzz_number(in, 3), n = fuzz_byte(in);
	/* Half of the changes hit the head, and n of 128 and more is a stretch of one byte. */
	at %= at >> 23 ? sizeof(*shown) : HEAD_BYTES;
	uint8_t *p = (uint8_t *)shown + at;
	bool repeat = n >= 128;
	uint8_t value = repeat ? fuzz_byte(in) : 0;
	n = (repeat ? n - 127 : 1 + n % 16);
	for (size_t i = 0; i < n && at + i < sizeof(*shown); i++)
		p[i] = repeat ? value : fuzz_byte(in);
}

/* Printable, line by line; `what` it is of. */
static void check_text(const char *s, size_t n, const char *what)
{
	for (size_t i = 0; i < n; i++)
		FUZZ_REQUIRE(s[i] == '\n' || (s[i] >= ' ' && s[i] <= '~'),
			     "%s: character %d at %zu", what, s[i], i);
}

static void check_view(unsigned rows)
{
	view_draw(&view, &read_back, &before, rows);
	FUZZ_REQUIRE(view.count > 0, "nothing is drawn");
	for (unsigned i = 0; i < view.count; i++)
		check_text(view.text[i], strlen(view.text[i]), "view");
}

static void check_command(int (*command)(int argc, char **argv), const char *option)
{
	static char printed[PRINTED_BYTES], name[] = "command";
	struct fuzz_capture capture;
	char pid[16], flag[8];
	char *argv[4] = { name, pid };
	int argc = 2, code;
	size_t n;
	snprintf(pid, sizeof(pid), "%d", (int)getpid());
	if (option != NULL) {
		snprintf(flag, sizeof(flag), "%s", option);
		argv[1] = flag;
		argv[argc++] = pid;
	}
	optind = 0;
	fuzz_capture_begin(&capture, STDOUT_FILENO);
	code = command(argc, argv);
	fflush(stdout);
	n = fuzz_capture_end(&capture, printed, sizeof(printed));
	FUZZ_REQUIRE(code == 0, "a command ends with %d, though the page is good", code);
	FUZZ_REQUIRE(n > 0 && n < sizeof(printed), "%zu bytes are printed", n);
	check_text(printed, n, "command");
}

/* It is long: not of every page. */
static void check_report(void)
{
	static char text[REPORT_BYTES];
	static struct html_check check;
	char path[300];
	FILE *f;
	size_t n;
	snprintf(path, sizeof(path), "%s/report", fuzz_dir());
	FUZZ_REQUIRE(report_write(&read_back, NULL, path), "no report");
	f = fopen(path, "r");
	FUZZ_REQUIRE(f != NULL, "the report is gone");
	n = fread(text, 1, sizeof(text) - 1, f);
	fclose(f);
	text[n] = '\0';
	FUZZ_REQUIRE(n < sizeof(text) - 1, "a report of more than %zu bytes", n);
	FUZZ_REQUIRE(html_is_ours(&check, text), "the report has %s", check.fault);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = { data, size };
	size_t cut = fuzz_number(&in, 3);
	unsigned rows = fuzz_byte(&in) % 100;
	enum page_error e;
	if (file.fd < 0) {
		make_good_page(&good);
		good.pid = getpid();
		make_file();
		before = good;
	}
	*shown = good;
	for (unsigned i = 0; in.left > 0 && i < MAX_CHANGES; i++)
		change(&in);
	/* A page that stays in an update is waited for, which test_tools_page sees. */
	shown->sequence &= ~1u;

	if (cut % 16 == 1)
		FUZZ_REQUIRE(ftruncate(file.fd, (off_t)(cut % sizeof(good))) == 0, "ftruncate");
	e = page_read(&file, &read_back);
	FUZZ_REQUIRE(ftruncate(file.fd, sizeof(good)) == 0, "ftruncate");
	FUZZ_REQUIRE(e == PAGE_OK || e == PAGE_BROKEN || e == PAGE_OTHER_BUILD, "error %d", (int)e);
	FUZZ_REQUIRE(e != PAGE_OK || cut % 16 != 1, "a page cut at %zu is good",
		     cut % sizeof(good));
	if (e != PAGE_OK)
		return 0;
	check_view(rows);
	check_command(command_advise, NULL);
	check_command(command_export, cut & 1 ? "-m" : NULL);
	if (cut % 8 < 2)
		check_report();
	before = read_back;
	return 0;
}
