/* What the tools make of a page that may hold anything: refused, or clean, never a
 * crash. Under a sanitizer, nothing read out of bounds and no figure that overflows. */
#include "page.h"

#include <fcntl.h>
#include <stddef.h>

#include "good_page.h"
#include "testing.h"
#include "view.h"

/* What lies behind the page would pass for one more sample. */
static struct {
	struct statpage page;
	struct statpage_sample beyond;
} room = { .beyond.time_ms = 1 << 30 };
#define page room.page

static struct statpage good, before;
static struct view view;

static void good_page_is_read(void)
{
	page = good;
	CHECK_I64(page_check(&page), PAGE_OK, "page_check");
	view_draw(&view, &page, &page, 40);
	CHECK(view.count > 20, "%u lines", view.count);
	CHECK(strstr(view.text[0], "/bin/something") != NULL, "first line: %s", view.text[0]);
}

static void others_are_refused(void)
{
	page = good;
	page.version++;
	CHECK_I64(page_check(&page), PAGE_OTHER_BUILD, "version");
	page = good;
	page.build[0] ^= 1;
	CHECK_I64(page_check(&page), PAGE_OTHER_BUILD, "build");
	page = good;
	page.struct_bytes--;
	CHECK_I64(page_check(&page), PAGE_OTHER_BUILD, "size");
	page = good;
	page.magic ^= 1;
	CHECK_I64(page_check(&page), PAGE_BROKEN, "magic");
	page = good;
	page.nsamples = STATPAGE_SAMPLES + 1;
	CHECK_I64(page_check(&page), PAGE_BROKEN, "samples");
	page = good;
	page.samples[3].time_ms = 1;
	CHECK_I64(page_check(&page), PAGE_BROKEN, "order of samples");
	page = good;
	page.nknobs = STATPAGE_KNOBS + 1;
	CHECK_I64(page_check(&page), PAGE_BROKEN, "knobs");
	page = good;
	page.knobs[2].ncandidates = STATPAGE_CANDIDATES + 1;
	CHECK_I64(page_check(&page), PAGE_BROKEN, "candidates");
	page = good;
	page.nclasses = STATPAGE_CLASSES;
	CHECK_I64(page_check(&page), PAGE_BROKEN, "classes");
	page = good;
	page.decisions[1].knob = GOOD_KNOBS;
	CHECK_I64(page_check(&page), PAGE_BROKEN, "knob of a decision");
	page = good;
	page.decisions[1].cls = GOOD_CLASSES + 1;
	CHECK_I64(page_check(&page), PAGE_BROKEN, "class of a decision");
}

static void texts_are_harmless(void)
{
	page = good;
	memset(page.exe, '\033', sizeof(page.exe));
	memset(page.decisions[0].reason, '\n', sizeof(page.decisions[0].reason));
	CHECK_I64(page_check(&page), PAGE_OK, "page_check");
	CHECK(strchr(page.exe, '\033') == NULL && strlen(page.exe) == sizeof(page.exe) - 1, "exe");
	CHECK(strchr(page.decisions[0].reason, '\n') == NULL, "reason");
}

static void corrupt(uint64_t *rng)
{
	unsigned n = (unsigned)(1 + test_random(rng) % 40);
	for (unsigned i = 0; i < n; i++) {
		/* The head decides: half of the faults lie behind it. */
		size_t from = test_random(rng) % 2 ? 0 : offsetof(struct statpage, nclasses);
		size_t at = from + test_random(rng) % (sizeof(page) - from - 8);
		uint64_t value = test_random(rng);
		if (value % 3 == 0)
			memset((char *)&page + at, 0xff, 8);
		else
			memcpy((char *)&page + at, &value, 1 + value % 8);
	}
}

static void corrupted_pages(void)
{
	uint64_t rng = 1;
	unsigned read = 0;
	for (unsigned i = 0; i < test_scaled(5000, 500); i++) {
		page = good;
		corrupt(&rng);
		if (page_check(&page) != PAGE_OK)
			continue;
		read++;
		view_draw(&view, &page, read % 2 ? &before : &page,
			  (unsigned)(test_random(&rng) % 80));
		before = page;
	}
	test_say("%u of the pages were readable", read);
	CHECK(read > 0, "none was: nothing was tested");
}

/* Files that are cut short, are no pages, or never come to rest. */
static void strange_files(void)
{
	char path[] = "/tmp/hakmem-page-XXXXXX";
	struct page_file f = { .fd = mkstemp(path), .pid = 1 };
	REQUIRE(f.fd >= 0, "no temporary file");
	unlink(path);
	CHECK_I64(page_read(&f, &page), PAGE_BROKEN, "an empty file");
	for (size_t n = 1; n < sizeof(good); n = n * 3 + 1) {
		REQUIRE(ftruncate(f.fd, 0) == 0, "ftruncate");
		REQUIRE(pwrite(f.fd, &good, n, 0) == (ssize_t)n, "pwrite");
		CHECK(page_read(&f, &page) != PAGE_OK,
		      "%zu bytes of a page are read as a whole one", n);
	}
	REQUIRE(pwrite(f.fd, &good, sizeof(good), 0) == (ssize_t)sizeof(good), "pwrite");
	CHECK_I64(page_read(&f, &page), PAGE_OK, "a good page");
	good.sequence = 3;
	REQUIRE(pwrite(f.fd, &good, sizeof(good), 0) == (ssize_t)sizeof(good), "pwrite");
	CHECK_I64(page_read(&f, &page), PAGE_BUSY, "a page in the middle of an update");
	good.sequence = 0;
	close(f.fd);
}

static const struct test_case cases[] = {
	{ "good_page_is_read", good_page_is_read },
	{ "others_are_refused", others_are_refused },
	{ "texts_are_harmless", texts_are_harmless },
	{ "corrupted_pages", corrupted_pages },
	{ "strange_files", strange_files },
};

int main(int argc, char **argv)
{
	make_good_page(&good);
	return TEST_MAIN(argc, argv, cases);
}
