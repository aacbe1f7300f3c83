/* common/diag.c: the formatter against the C library's snprintf, cut-off, and what
 * reaches standard error: one write for each line, errno kept. */
#include "unit.h"

#include <fcntl.h>
#include <limits.h>
#include <sys/socket.h>

#include "common/diag.h"

enum { BUF = 512 };

/* Both format the same; the buffers must agree, also if cut off anywhere. */
static void compare(const char *fmt, ...) HAK_PRINTF(1, 2);
static void compare(const char *fmt, ...)
{
	char ours[BUF], theirs[BUF];
	va_list ap, again;
	int length;
	va_start(ap, fmt);
	va_copy(again, ap);
	length = vsnprintf(theirs, sizeof(theirs), fmt, again);
	va_end(again);
	REQUIRE(length >= 0 && length < BUF - 2, "format of the test");
	for (size_t size = 0; size <= (size_t)length + 2; size++) {
		struct text t;
		memset(ours, '#', sizeof(ours));
		text_init(&t, ours, size);
		va_copy(again, ap);
		text_vprintf(&t, fmt, again);
		va_end(again);
		CHECK(t.length == (size_t)length, "\"%s\": length %zu, snprintf's %d", fmt,
		      t.length, length);
		CHECK(ours[size] == '#', "\"%s\" in %zu bytes: written behind them", fmt, size);
		if (size == 0)
			continue;
		ours[BUF - 1] = '\0';
		CHECK(strlen(ours) == min_size(size - 1, (size_t)length) &&
			      strncmp(ours, theirs, size - 1) == 0,
		      "\"%s\" in %zu bytes: \"%s\", snprintf's \"%s\"", fmt, size, ours, theirs);
	}
	va_end(ap);
}

static const unsigned long long values[] = {
	0,
	1,
	9,
	10,
	15,
	16,
	99,
	100,
	12345,
	INT_MAX,
	1u + INT_MAX,
	UINT_MAX,
	1ull + UINT_MAX,
	LLONG_MAX,
	1ull + LLONG_MAX,
	ULLONG_MAX,
};

static void numbers(void)
{
	static const char *const flags[] = { "", "0" };
	static const char *const conversions[] = { "d", "i", "u", "x" };
	static const unsigned widths[] = { 0, 1, 2, 3, 7, 11, 24, 30 };
	for (unsigned v = 0; v < HAK_ARRAY_LEN(values); v++)
		for (unsigned f = 0; f < HAK_ARRAY_LEN(flags); f++)
			for (unsigned w = 0; w < HAK_ARRAY_LEN(widths); w++)
				for (unsigned c = 0; c < HAK_ARRAY_LEN(conversions); c++) {
					char width[16] = "", fmt[32];
					if (widths[w] > 0)
						snprintf(width, sizeof(width), "%u", widths[w]);
#define FORMAT(length)                                                                             \
	snprintf(fmt, sizeof(fmt), "<%%%s%s%s%s>", flags[f], width, length, conversions[c])
					FORMAT("");
					compare(fmt, (int)values[v]);
					FORMAT("l");
					compare(fmt, (long)values[v]);
					FORMAT("ll");
					compare(fmt, values[v]);
					FORMAT("z");
					compare(fmt, (size_t)values[v]);
#undef FORMAT
				}
}

static void strings(void)
{
	static const char *const words[] = { "", "a", "three",
					     "a text of some length, 40 bytes or so" };
	for (unsigned i = 0; i < HAK_ARRAY_LEN(words); i++) {
		compare("%s", words[i]);
		compare("[%s]", words[i]);
		compare("[%8s]", words[i]);
		compare("[%-8s]", words[i]);
		compare("[%32s|%-32s]", words[i], words[i]);
	}
	compare("%c%c%c", 'x', '%', 'z');
	compare("100%% of %s", "it");
	compare("plain text");
	compare("%s=%s: wanted %d to %5u, not %p", "NAME", "value", -1, 7u, (const void *)values);
}

static void mixed(void)
{
	compare("%s%d%s%zu%c%lx%%%lld", "a", INT_MIN, "", SIZE_MAX, '!', ULONG_MAX, LLONG_MIN);
	compare("%p %p", (void *)(uintptr_t)0x1000, (void *)UINTPTR_MAX);
	compare("%-32s %14lu\n", "address space held", 123456789ul);
}

static void pieces(void)
{
	char buf[16];
	struct text t;
	text_init(&t, buf, sizeof(buf));
	CHECK(buf[0] == '\0' && t.length == 0, "a new text is empty and terminated");
	text_printf(&t, "%s", "0123456789");
	text_printf(&t, "%d", 12345);
	CHECK(strcmp(buf, "012345678912345") == 0 && t.length == 15, "two pieces: \"%s\"", buf);
	text_printf(&t, "%s", "more");
	CHECK(strcmp(buf, "012345678912345") == 0 && t.length == 19, "third piece: \"%s\", %zu",
	      buf, t.length);
	text_init(&t, buf, sizeof(buf));
	text_printf(&t, "%s|%p", (const char *)test_opaque(NULL), NULL);
	CHECK(strcmp(buf, "(null)|0x0") == 0, "null pointers: \"%s\"", buf);
}

/* Standard error becomes a socket that keeps messages apart: one per write. */
static int capture_fd[2], saved_stderr;

static void capture_begin(void)
{
	REQUIRE(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, capture_fd) == 0, "socketpair: %s",
		strerror(errno));
	saved_stderr = dup(STDERR_FILENO);
	dup2(capture_fd[1], STDERR_FILENO);
}

static void capture_end(void)
{
	dup2(saved_stderr, STDERR_FILENO);
	close(saved_stderr);
	close(capture_fd[1]);
}

static size_t next_message(char *buf, size_t size)
{
	ssize_t n = recv(capture_fd[0], buf, size - 1, MSG_DONTWAIT);
	buf[n < 0 ? 0 : n] = '\0';
	return n < 0 ? 0 : (size_t)n;
}

static void lines(void)
{
	char message[2048], filler[1500];
	int kept;
	memset(filler, 'f', sizeof(filler) - 1);
	filler[sizeof(filler) - 1] = '\0';
	capture_begin();
	errno = 4711;
	diag_line("%s is %d", "answer", 42);
	kept = errno;
	diag_line("%s", filler);
	capture_end();
	CHECK_I64(kept, 4711, "errno after diag_line");
	next_message(message, sizeof(message));
	CHECK(strcmp(message, "hakmem: answer is 42\n") == 0, "line: \"%s\"", message);
	CHECK_U64(next_message(message, sizeof(message)), 511, "bytes of a line that is cut off");
	CHECK(message[510] == '\n' && strncmp(message, "hakmem: ff", 10) == 0 &&
		      message[509] == 'f',
	      "a line that is cut off still ends: \"%s\"", message);
	CHECK_U64(next_message(message, sizeof(message)), 0, "further writes");
	close(capture_fd[0]);
}

static void whole_text(void)
{
	char buf[64], message[2048];
	struct text t;
	text_init(&t, buf, sizeof(buf));
	capture_begin();
	text_printf(&t, "two\nlines\n");
	diag_write(&t);
	text_printf(&t, "%100s", "x"); /* cut off: what fits is written */
	diag_write(&t);
	text_init(&t, buf, 0);
	text_printf(&t, "nothing fits");
	diag_write(&t);
	capture_end();
	next_message(message, sizeof(message));
	CHECK(strcmp(message, "two\nlines\n") == 0, "text: \"%s\"", message);
	CHECK_U64(next_message(message, sizeof(message)), sizeof(buf) - 1, "bytes of a cut text");
	CHECK_U64(next_message(message, sizeof(message)), 0, "bytes of a text without a buffer");
	close(capture_fd[0]);
}

static void no_standard_error(void)
{
	int saved = dup(STDERR_FILENO), kept;
	close(STDERR_FILENO);
	errno = 4711;
	diag_line("nobody reads this");
	kept = errno;
	dup2(saved, STDERR_FILENO);
	close(saved);
	CHECK_I64(kept, 4711, "errno");
}

static void call_fatal(void *arg)
{
	diag_fatal("%s %d", (const char *)arg, 3);
}

static void call_assert(void *arg)
{
	(void)arg;
	hak_assert_failed("a < b", "file.c", 77);
}

static void fatal(void)
{
	char reason[] = "reason";
	unit_child_aborts(call_fatal, reason, "hakmem: reason 3\n");
	unit_child_aborts(call_assert, NULL, "hakmem: internal check failed: a < b (file.c:77)\n");
}

static const struct test_case cases[] = {
	{ "numbers", numbers }, { "strings", strings },
	{ "mixed", mixed },     { "pieces", pieces },
	{ "lines", lines },     { "whole_text", whole_text },
	{ "fatal", fatal },     { "no_standard_error", no_standard_error },
};

int main(int argc, char **argv)
{
	return TEST_MAIN(argc, argv, cases);
}
