/* The walk along frame pointers: right frames, depth and what is skipped, and frame pointers
 * that lead nowhere. */
#include "common/stack.h"

#include <sys/mman.h>

#include "arch/detect.h"
#include "common/diag.h"
#include "common/os.h"
#include "unit.h"

enum { DEPTH_MAX = 32, MARK = 0x5a };

static struct stack_range no_range;

/* ---- real stacks */

struct walked {
	uintptr_t frames[DEPTH_MAX + 1];
	unsigned n;
	uintptr_t expected[DEPTH_MAX]; /* return addresses, innermost first */
};

static struct walked walked;

#define HERE ((uintptr_t)__builtin_return_address(0))
/* A function that ends so makes no tail call. */
#define KEEP_FRAME() __asm__ volatile("" ::: "memory")

static HAK_NOINLINE void walk_here(unsigned max, const struct stack_range *skip)
{
	walked.expected[0] = HERE;
	walked.n = stack_walk(walked.frames, max, (uintptr_t)__builtin_frame_address(0), skip);
	KEEP_FRAME();
}

/* `depth` frames of this function, and walk_here() in the innermost. */
static HAK_NOINLINE void descend(unsigned depth, unsigned max, const struct stack_range *skip)
{
	walked.expected[depth] = HERE;
	if (depth == 1)
		walk_here(max, skip);
	else
		descend(depth - 1, max, skip);
	KEEP_FRAME();
}

static void walk_from(unsigned depth, unsigned max, const struct stack_range *skip)
{
	memset(&walked, MARK, sizeof(walked));
	descend(depth, max, skip);
}

static void finds_the_callers(void)
{
	walk_from(10, DEPTH_MAX, NULL);
	REQUIRE(walked.n >= 11, "%u frames", walked.n);
	for (unsigned i = 0; i <= 10; i++)
		CHECK(walked.frames[i] == walked.expected[i], "frame %u: expected %#lx, found %#lx",
		      i, (unsigned long)walked.expected[i], (unsigned long)walked.frames[i]);
}

static void keeps_to_the_depth(void)
{
	uintptr_t untouched;
	memset(&untouched, MARK, sizeof(untouched));
	walk_from(10, 4, NULL);
	CHECK_U64(walked.n, 4, "frames");
	CHECK_U64(walked.frames[3], walked.expected[3], "the last");
	CHECK_U64(walked.frames[4], untouched, "the one behind");
	walk_from(10, 0, NULL);
	CHECK_U64(walked.n, 0, "frames of none");
}

static void skips_the_first_ones(void)
{
	struct stack_range skip;
	walk_from(10, DEPTH_MAX, &no_range);
	CHECK_U64(walked.frames[0], walked.expected[0], "an empty range skips nothing");

	skip = (struct stack_range){ walked.expected[0], walked.expected[0] + 1 };
	walk_from(10, DEPTH_MAX, &skip);
	CHECK_U64(walked.frames[0], walked.expected[1], "behind what is skipped");
	CHECK_U64(walked.frames[9], walked.expected[10], "the tenth behind it");

	/* The calls of descend() by itself all return to one place: not the first frame. */
	skip = (struct stack_range){ walked.expected[1], walked.expected[1] + 1 };
	walk_from(10, DEPTH_MAX, &skip);
	CHECK_U64(walked.frames[0], walked.expected[0], "the first is another");
	CHECK_U64(walked.frames[1], walked.expected[1], "the range is only left out in front");

	/* Everything is "ours": the first eight are left out, not all. */
	skip = (struct stack_range){ 0, UINTPTR_MAX };
	walk_from(20, DEPTH_MAX, &skip);
	CHECK_U64(walked.frames[0], walked.expected[8], "after eight");
	CHECK_U64(walked.frames[1], walked.expected[9], "and on");
}

static HAK_NOINLINE uintptr_t capture(struct stack *s)
{
	stack_capture(s);
	KEEP_FRAME();
	return HERE;
}

static void captures_the_caller(void)
{
	struct stack s;
	uintptr_t back = capture(&s);
	uintptr_t inside = s.frames[0] - (uintptr_t)&capture;
	CHECK(inside < 256, "the first frame is %#lx, not in capture() at %#lx",
	      (unsigned long)s.frames[0], (unsigned long)(uintptr_t)&capture);
	CHECK_U64(s.frames[1], back, "the second frame");
}

static void text_names_the_module(void)
{
	char buf[8192];
	struct text t;
	struct stack s;
	text_init(&t, buf, sizeof(buf));
	capture(&s);
	stack_text(&t, &s);
	/* This program is the allocator's module here, and left out: what called main() is
	 * there. */
	CHECK(strncmp(buf, "    0x", 6) == 0 && strstr(buf, "libc.so.6+0x") != NULL,
	      "no frame of the C library in:\n%s", buf);
}

/* ---- frame pointers that lead nowhere */

/* A readable page between two that are not. */
static char *island(void)
{
	size_t page = os_page_bytes();
	char *p = mmap(NULL, 3 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	REQUIRE(p != MAP_FAILED && mprotect(p + page, page, PROT_READ | PROT_WRITE) == 0,
		"no memory");
	return p + page;
}

static uintptr_t frame_of(const void *record)
{
	return (uintptr_t)record - (uintptr_t)HAK_ARCH_FRAME_RECORD;
}

/* The record {next, pc} at p, as a frame pointer. */
static uintptr_t put_record(void *p, uintptr_t next, uintptr_t pc)
{
	((uintptr_t *)p)[0] = next;
	((uintptr_t *)p)[1] = pc;
	return frame_of(p);
}

static unsigned walk(uintptr_t frame)
{
	memset(&walked, MARK, sizeof(walked));
	return stack_walk(walked.frames, DEPTH_MAX, frame, NULL);
}

static void wild_pointers_end_it(void)
{
	char *p = island();
	size_t page = os_page_bytes();
	const uintptr_t wild[] = {
		0,
		1,
		8,
		16,
		24,
		32,
		4080,
		4088,
		4096,
		65536, /* page 0 and near it */
		frame_of((void *)8),
		frame_of((void *)16),
		frame_of((void *)4080),
		frame_of(p - 16),
		frame_of(p - 8),
		frame_of(p + page),
		frame_of(p + page - 8),
		(uintptr_t)p + 1,
		(uintptr_t)p + 4, /* not aligned */
		UINTPTR_MAX,
		UINTPTR_MAX - 7,
		UINTPTR_MAX - 15,
		(uintptr_t)1 << 63,
		UINT64_C(0x0000800000000000),
		UINT64_C(0xffff800000000000),
		UINT64_C(0x6161616161616160),
	};
	memset(p, 0xff, page);
	errno = 12345;
	CHECK(!stack_is_readable(0), "NULL can be read");
	for (unsigned i = 0; i < HAK_ARRAY_LEN(wild); i++)
		CHECK(walk(wild[i]) == 0, "%u frames from %#lx", walk(wild[i]),
		      (unsigned long)wild[i]);
	CHECK_I64(errno, 12345, "errno");
	munmap(p - page, 3 * page);
}

static void wild_records_end_it(void)
{
	char *p = island();
	size_t page = os_page_bytes();
	uintptr_t frame = put_record(p, frame_of(p + 64), 0x1111);

	put_record(p + 64, frame_of(p + page + 64), 0x2222);
	CHECK_U64(walk(frame), 2, "frames before a page that cannot be read");
	CHECK_U64(walked.frames[1], 0x2222, "the last of them");

	put_record(p + 64, frame_of(p + page - 8), 0x2222);
	CHECK_U64(walk(frame), 2, "frames before a record that reaches into such a page");

	put_record(p + 64, frame_of(p), 0x2222);
	CHECK_U64(walk(frame), 2, "frames before one that leads back");

	put_record(p + 64, frame_of(p + 64), 0x2222);
	CHECK_U64(walk(frame), 2, "frames before one that leads to itself");

	put_record(p + 64, 24, 0x2222);
	CHECK_U64(walk(frame), 2, "frames before one that leads to page 0");

	put_record(p + 64, frame_of(p + 128), 0);
	CHECK_U64(walk(frame), 1, "frames before one without a return address");
	munmap(p - page, 3 * page);
}

static const struct test_case cases[] = {
	{ "finds_the_callers", finds_the_callers },
	{ "keeps_to_the_depth", keeps_to_the_depth },
	{ "skips_the_first_ones", skips_the_first_ones },
	{ "captures_the_caller", captures_the_caller },
	{ "text_names_the_module", text_names_the_module },
	{ "wild_pointers_end_it", wild_pointers_end_it },
	{ "wild_records_end_it", wild_records_end_it },
};
UNIT_MAIN(cases)
