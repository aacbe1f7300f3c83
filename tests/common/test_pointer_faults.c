/* The faults of the field report that pointer safety is built against, planted in the
 * allocator itself: each must be reported, with its prefix and its verdict, by the first
 * operation that it touches. With full checking and without. */
#include "unit.h"

#include "common/api.h"
#include "common/fault.h"
#include "common/options.h"

enum { SIZE = 32, BLOCKS = 200 };

struct planted {
	enum fault fault;
	bool full;
};

static void *blocks[BLOCKS];

/* Free and allocate until the fault has come, and once more: no operation after that. */
static void run_into(void *arg)
{
	const struct planted *f = arg;
	options.check_full = f->full;
	blocks[0] = api_malloc(f->fault == FAULT_UNREGISTERED ? 5000 : SIZE);
	entry_free(blocks[0]);
	fault_plant(f->fault);
	for (unsigned i = 0; i < BLOCKS; i++) {
		bool before = fault_is_planted();
		blocks[i] = api_malloc(f->fault == FAULT_UNREGISTERED ? 20000 : SIZE);
		if (before && !fault_is_planted())
			entry_free(blocks[i]); /* what was just handed out */
	}
	test_say("nothing was reported");
}

static void expect(enum fault fault, const char *prefix, const char *verdict)
{
	for (unsigned full = 0; full < 2; full++) {
		struct planted f = { fault, full != 0 };
		unit_child_aborts(run_into, &f, prefix);
		unit_child_aborts(run_into, &f, verdict);
	}
}

static void offset_twice(void)
{
	expect(FAULT_OFFSET_TWICE, "[TLS_SLL_HDR_RESET] hakmem: a cache of class ",
	       "which points 16 bytes into a free ");
}

static void wrong_class(void)
{
	expect(FAULT_WRONG_CLASS, "[TLS_SLL_PUSH_CLASS] hakmem: block of class ",
	       "in a slab of class ");
}

static void link_reset(void)
{
	expect(FAULT_LINK_RESET, "[TLS_SLL_HDR_RESET] hakmem: a cache of class ",
	       "which is not free");
}

static void unregistered(void)
{
	expect(FAULT_UNREGISTERED, "[TLS_SLL_PUSH_NO_SS] hakmem: ", "where no slab is");
}

static const struct test_case cases[] = {
	{ "offset_twice", offset_twice },
	{ "wrong_class", wrong_class },
	{ "link_reset", link_reset },
	{ "unregistered", unregistered },
};

UNIT_MAIN(cases)
