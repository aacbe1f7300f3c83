/* hakmem report: a page, of a process or in a file, as a file to look at and to keep. */
#include "report.h"

#include <getopt.h>
#include <string.h>
#include <unistd.h>

#include "commands.h"
#include "file.h"
#include "say.h"

uint64_t report_first_decision(const struct statpage *p)
{
	return p->ndecisions < STATPAGE_DECISIONS ? 0 : p->ndecisions - STATPAGE_DECISIONS;
}

const struct statpage_decision *report_decision(const struct statpage *p, uint64_t n)
{
	return &p->decisions[n % STATPAGE_DECISIONS];
}

static bool write_to(struct report *r, const char *path)
{
	struct new_file f;
	if (path == NULL) {
		r->out = stdout;
		report_document(r);
		if (fflush(stdout) == 0 && !ferror(stdout))
			return true;
		complain("the report cannot be written");
		return false;
	}
	if (!file_begin(&f, path))
		return false;
	r->out = f.out;
	report_document(r);
	return file_end(&f);
}

bool report_write(const struct statpage *page, const char *profile, const char *path)
{
	struct heap_profile *heap = NULL;
	struct report r = { .page = page };
	bool ok;
	if (profile != NULL) {
		heap = heap_profile_read(profile);
		if (heap == NULL)
			return false;
	}
	r.profile = heap;
	ok = write_to(&r, path);
	heap_profile_free(heap);
	return ok;
}

/* ---- the command */

static int read_file(const char *path, struct statpage *page)
{
	struct page_file file;
	enum page_error e = page_open_file(&file, path);
	if (e == PAGE_OK) {
		e = page_read(&file, page);
		page_close(&file);
	}
	return page_explain_file(e, path);
}

int command_report(int argc, char **argv)
{
	static const struct option names[] = {
		{ "output", required_argument, NULL, 'o' },
		{ "profile", required_argument, NULL, 'p' },
		{ NULL, 0, NULL, 0 },
	};
	static struct statpage page;
	const char *path = NULL, *profile = NULL, *which;
	int c, code;
	while ((c = getopt_long(argc, argv, "o:p:", names, NULL)) != -1) {
		if (c == 'o')
			path = optarg;
		else if (c == 'p')
			profile = optarg;
		else
			return usage_error("report", "that is not how it is used");
	}
	if (argc - optind > 1)
		return usage_error("report", "one process or page file is meant, or none");
	if (path == NULL && isatty(STDOUT_FILENO))
		return usage_error("report", "-o FILE: a terminal shows no HTML");
	which = argv[optind];
	if (which == NULL || which[strspn(which, "0123456789")] == '\0')
		code = page_copy_chosen(which, "report", &page);
	else
		code = read_file(which, &page);
	if (code != EXIT_OK)
		return code;
	return report_write(&page, profile, path) ? EXIT_OK : EXIT_FAILED;
}
