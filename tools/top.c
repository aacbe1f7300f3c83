/* hakmem top: a process's page, drawn again and again; and hakmem list. The page is
 * only read: the process does not notice. */
#include <getopt.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "commands.h"
#include "page.h"
#include "say.h"
#include "view.h"

#if HAKMEM_HAVE_CURSES
#include <curses.h>
#endif

enum { DEFAULT_DELAY_MS = 1000, PLAIN_ROWS = 32, FOREVER = -1 };

static struct statpage now, before;
static struct view view;

static enum page_error look(const struct page_file *f, unsigned rows)
{
	static bool first = true;
	enum page_error e;
	before = now;
	e = page_read(f, &now);
	if (e != PAGE_OK)
		return e;
	if (first)
		before = now;
	first = false;
	view_draw(&view, &now, &before, rows);
	return PAGE_OK;
}

static bool is_alive(const struct page_file *f)
{
	uint64_t ticks = process_start_ticks(f->pid);
	/* An emulator may not have told the process its own. */
	bool same = now.start_ticks == 0 || ticks == now.start_ticks;
	return ticks != 0 && same && !(now.now.flags & STATPAGE_ENDED);
}

static void sleep_ms(long ms)
{
	const struct timespec t = { ms / 1000, ms % 1000 * 1000000 };
	nanosleep(&t, NULL);
}

static void print_view(bool clear)
{
	if (clear)
		fputs("\033[H\033[2J", stdout);
	for (unsigned i = 0; i < view.count; i++) {
		const char *on = view.style[i] == VIEW_TITLE   ? colour_on(stdout, COLOUR_TITLE)
				 : view.style[i] == VIEW_FAINT ? colour_on(stdout, COLOUR_FAINT)
							       : "";
		printf("%s%s%s\n", on, view.text[i], on[0] != '\0' ? colour_off(stdout) : "");
	}
	fflush(stdout);
}

/* One view after the other, for a file or a pipe; or, with `clear`, in place of the
 * last one on a terminal. */
static int top_plain(const struct page_file *f, long delay_ms, long times, bool clear)
{
	for (long i = 0; times == FOREVER || i < times; i++) {
		enum page_error e;
		if (i > 0)
			sleep_ms(delay_ms);
		e = look(f, PLAIN_ROWS);
		if (e != PAGE_OK)
			return page_explain(e, f->pid);
		if (i > 0 && !clear)
			putchar('\n');
		print_view(clear);
		if (i > 0 && !is_alive(f))
			break;
	}
	return EXIT_OK;
}

#if HAKMEM_HAVE_CURSES
static void draw_screen(void)
{
	erase();
	for (unsigned i = 0; i < view.count && (int)i < LINES - 1; i++) {
		attrset(view.style[i] == VIEW_TITLE   ? A_BOLD
			: view.style[i] == VIEW_FAINT ? A_DIM
						      : A_NORMAL);
		mvaddnstr((int)i, 0, view.text[i], COLS);
	}
	attrset(A_REVERSE);
	mvaddnstr(LINES - 1, 0, " q quit   space look now ", COLS);
	attrset(A_NORMAL);
	refresh();
}

static int top_screen(const struct page_file *f, long delay_ms, long times)
{
	enum page_error e = PAGE_OK;
	int key = ERR;
	/* initscr() would end the program. */
	if (newterm(NULL, stdout, stdin) == NULL)
		return top_plain(f, delay_ms, times, true);
	noecho();
	cbreak();
	curs_set(0);
	keypad(stdscr, TRUE);
	timeout((int)delay_ms);
	for (long i = 0; key != 'q' && (times == FOREVER || i < times); i++) {
		e = look(f, LINES > 0 ? (unsigned)LINES : PLAIN_ROWS);
		if (e != PAGE_OK)
			break;
		draw_screen();
		if (!is_alive(f))
			break;
		key = getch();
	}
	endwin();
	if (e != PAGE_OK)
		return page_explain(e, f->pid);
	if (!is_alive(f))
		printf("process %d has ended\n", (int)f->pid);
	return EXIT_OK;
}
#endif

static bool has_screen(void)
{
	return isatty(STDOUT_FILENO) && isatty(STDIN_FILENO) && getenv("TERM") != NULL;
}

static int show(const struct page_file *f, long delay_ms, long times, bool plain)
{
#if HAKMEM_HAVE_CURSES
	if (!plain && has_screen())
		return top_screen(f, delay_ms, times);
#endif
	return top_plain(f, delay_ms, times, !plain && has_screen());
}

int command_top(int argc, char **argv)
{
	static const struct option names[] = {
		{ "delay", required_argument, NULL, 'd' },
		{ "times", required_argument, NULL, 'n' },
		{ "plain", no_argument, NULL, 'p' },
		{ NULL, 0, NULL, 0 },
	};
	long long delay_ms = DEFAULT_DELAY_MS, times = FOREVER;
	struct page_file f;
	enum page_error e;
	bool plain = false;
	int c, code;
	pid_t pid;
	while ((c = getopt_long(argc, argv, "d:n:p", names, NULL)) != -1) {
		if (c == 'd' && parse_number(optarg, 3600000, &delay_ms) && delay_ms >= 100)
			continue;
		if (c == 'n' && parse_number(optarg, INT32_MAX, &times))
			continue;
		if (c != 'p')
			return usage_error("top", "-d takes 100 to 3600000 (ms), -n a number");
		plain = true;
	}
	if (argc - optind > 1)
		return usage_error("top", "one process at a time");
	if (times == FOREVER && (plain || !has_screen()) && !isatty(STDOUT_FILENO))
		times = 1;
	pid = page_choose(optind < argc ? argv[optind] : NULL, "top", &code);
	if (pid == 0)
		return code;
	e = page_open(&f, pid, false);
	if (e != PAGE_OK)
		return page_explain(e, pid);
	code = show(&f, (long)delay_ms, (long)times, plain);
	page_close(&f);
	return code;
}

/* ---- list */

static bool print_process(pid_t pid, void *count)
{
	char a[SIZE_TEXT_BYTES], b[SIZE_TEXT_BYTES];
	enum page_error e = page_copy(pid, &now);
	if (e == PAGE_OK)
		printf("%7d %10s %10s %6.1f %%  %s\n", (int)pid,
		       size_text(a, (double)now.now.metrics.rss_bytes),
		       size_text(b, (double)now.now.metrics.live_bytes),
		       (double)now.now.metrics.fragmentation_permille / 10, now.exe);
	else if (e == PAGE_OTHER_BUILD)
		printf("%7d %10s %10s %8s  (of another build: %s)\n", (int)pid, "-", "-", "-",
		       now.build);
	++*(unsigned *)count;
	return true;
}

int command_list(int argc, char **argv)
{
	unsigned count = 0;
	(void)argv;
	if (argc > 1)
		return usage_error("list", "it takes no arguments");
	printf("%s%7s %10s %10s %8s  %s%s\n", colour_on(stdout, COLOUR_TITLE), "pid", "resident",
	       "live", "frag.", "program", colour_off(stdout));
	page_for_each(print_process, &count);
	return count > 0 ? EXIT_OK : EXIT_NO_PAGE;
}
