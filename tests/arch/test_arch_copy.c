/* src/arch: every variant of copy_nt and clear_nt that can run here, against what the C
 * library does: all small sizes at all alignments, random and large ones. The range
 * lies against pages that cannot be touched, in front and behind, so that a byte read
 * or written too many traps; bytes around it show what is written inside the pages. */
#include "unit.h"

#include <sys/mman.h>

#include "arch/arch.h"
#include "common/bulk.h"
#include "common/knobs.h"
#include "common/os.h"

enum {
	LARGE_BYTES = 3 * 1024 * 1024, /* more than any variant takes in one step */
	AROUND = 192,                  /* bytes looked at on either side */
	SMALL_MAX = 4096,
	ALIGNMENTS = 64,
};

/* Memory between two guards; [base, base + bytes) may be touched. */
struct arena {
	unsigned char *base;
	size_t bytes;
};

static struct arena arena_make(size_t bytes)
{
	size_t page = os_page_bytes();
	struct arena a = { .bytes = align_up(bytes, page) };
	char *p = mmap(NULL, a.bytes + 2 * page, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	REQUIRE(p != MAP_FAILED, "no memory");
	REQUIRE(mprotect(p, page, PROT_NONE) == 0, "no guard");
	REQUIRE(mprotect(p + page + a.bytes, page, PROT_NONE) == 0, "no guard");
	a.base = (unsigned char *)p + page;
	return a;
}

static struct arena from, to, model;
static const struct arch_variant *now_testing;

static void fill_with_noise(struct arena a, uint64_t seed)
{
	for (size_t i = 0; i + 8 <= a.bytes; i += 8) {
		uint64_t r = test_random(&seed) | 0x0101010101010101u; /* no byte is zero */
		memcpy(a.base + i, &r, 8);
	}
}

/* Run the variant on `to`, the C library on `model`; all of the bytes around must agree. */
static void compare(size_t at, size_t source, size_t n)
{
	size_t first = at < AROUND ? 0 : at - AROUND;
	size_t last = min_size(at + n + AROUND, to.bytes);
	if (now_testing->op == ARCH_OP_COPY_NT) {
		now_testing->fn.copy_nt(to.base + at, from.base + source, n);
		memcpy(model.base + at, from.base + source, n);
	} else {
		now_testing->fn.clear_nt(to.base + at, n);
		memset(model.base + at, 0, n);
	}
	if (CHECK(memcmp(to.base + first, model.base + first, last - first) == 0,
		  "%s %s: %zu bytes at %zu from %zu", arch_op_name(now_testing->op),
		  now_testing->name, n, at, source))
		return;
	memcpy(to.base, model.base, to.bytes);
}

/* Put back what a clear or copy has overwritten, so that the next one shows. */
static void refresh(size_t at, size_t n)
{
	size_t bytes = min_size(n + 2 * AROUND, to.bytes - at);
	memcpy(to.base + at, from.base + at, bytes);
	memcpy(model.base + at, from.base + at, bytes);
}

/* Every size to 4 KiB, at two alignments each that change with the size; near the
 * borders of the steps at all of them. */
static void small_sizes(void)
{
	unsigned step = test_scaled(1, 7);
	for (size_t n = 0; n <= SMALL_MAX; n += n < 300 ? 1 : step) {
		size_t turn = n * 29;
		unsigned alignments = n < 300 && step == 1 ? ALIGNMENTS : 2;
		for (unsigned k = 0; k < alignments; k++, turn += 13) {
			size_t at = AROUND + turn % ALIGNMENTS;
			refresh(0, n);
			compare(at, AROUND + turn / 7 % ALIGNMENTS, n);
		}
		/* Against the guards. */
		refresh(0, n);
		compare(0, from.bytes - n, n);
		compare(to.bytes - n, 0, n);
		refresh(to.bytes - n - AROUND, n);
	}
}

static void large_sizes(void)
{
	uint64_t rng = unit_seed();
	unsigned rounds = test_scaled(24, 3);
	for (unsigned i = 0; i < rounds; i++) {
		size_t n = (size_t)unit_below(&rng, LARGE_BYTES - 4096);
		size_t at = unit_below(&rng, (unsigned)(to.bytes - n));
		size_t source = unit_below(&rng, (unsigned)(from.bytes - n));
		refresh(0, to.bytes);
		compare(at, source, n);
	}
	refresh(0, to.bytes);
	compare(0, 0, to.bytes);
	refresh(0, to.bytes);
	compare(1, 2, to.bytes - 2);
}

static void variants(void)
{
	const struct arch_variant *v;
	unsigned tested = 0;
	from = arena_make(LARGE_BYTES);
	to = arena_make(LARGE_BYTES);
	model = arena_make(LARGE_BYTES);
	fill_with_noise(from, 1);
	for (unsigned i = 0; (v = arch_variant_at(i)) != NULL; i++) {
		if (v->op != ARCH_OP_COPY_NT && v->op != ARCH_OP_CLEAR_NT)
			continue;
		test_say("%s %s: %s", arch_op_name(v->op), v->name,
			 arch_variant_usable(v) ? "tested" : "cannot run here");
		if (!arch_variant_usable(v))
			continue;
		tested++;
		now_testing = v;
		refresh(0, to.bytes);
		small_sizes();
		large_sizes();
	}
	CHECK(tested >= 2, "%u variants tested", tested);
}

/* ---- what the allocator makes of it */

static void threshold_of(size_t (*bytes_now)(void), size_t share_max)
{
	size_t share = min_size(arch_get()->llc_bytes, share_max), last = 0;
	const struct hak_knob_info *info = knob_info(HAK_KNOB_NT_THRESHOLD);
	CHECK_U64(bytes_now(), max_size(share / 100 * 50, 1 << 20), "default");
	for (unsigned i = 0; i < info->ncandidates; i++) {
		size_t bytes;
		knob_set(HAK_KNOB_NT_THRESHOLD, 0, info->candidates[i]);
		bytes = bytes_now();
		CHECK(bytes >= last, "%d percent: %zu bytes, less than %zu", info->candidates[i],
		      bytes, last);
		last = bytes;
	}
	CHECK(last >= (size_t)8 << 30, "the last candidate is %zu bytes", last);
	knob_reset_all();
}

static void thresholds(void)
{
	threshold_of(bulk_nt_copy_bytes, (size_t)64 << 20);
	threshold_of(bulk_nt_clear_bytes, (size_t)128 << 20);
}

/* Sizes on both sides of where bulk.h and bulk.c change their way. */
static void bulk(void)
{
	enum { BEFORE = 3, BEHIND = 64 };
	size_t copy, clear;
	struct arena src, dst;
	knob_set(HAK_KNOB_NT_THRESHOLD, 0, 6);
	copy = bulk_nt_copy_bytes();
	clear = bulk_nt_clear_bytes();
	src = arena_make(2 * clear + 4096);
	dst = arena_make(src.bytes);
	fill_with_noise(src, 2);
	const size_t sizes[] = { 0,
				 1,
				 4096,
				 BULK_NT_LEAST_BYTES - 1,
				 BULK_NT_LEAST_BYTES,
				 copy - 1,
				 copy,
				 copy + 1,
				 clear - 1,
				 clear,
				 2 * clear + 77 };
	for (unsigned i = 0; i < HAK_ARRAY_LEN(sizes); i++) {
		size_t n = sizes[i];
		unsigned char *p = dst.base + BEFORE;
		memset(dst.base, '#', BEFORE + n + BEHIND);
		bulk_copy(p, src.base + 64, n);
		CHECK(memcmp(p, src.base + 64, n) == 0, "copy of %zu bytes", n);
		bulk_clear(p, n);
		if (n > 0 && (p[0] != 0 || memcmp(p, p + 1, n - 1) != 0))
			CHECK_U64(unit_first_nonzero(p, n), n, "zeros");
		CHECK(memcmp(dst.base, "###", BEFORE) == 0 && p[n] == '#' &&
			      p[n + BEHIND - 1] == '#',
		      "written outside of %zu bytes", n);
	}
	knob_reset_all();
}

static const struct test_case cases[] = {
	{ "variants", variants },
	{ "thresholds", thresholds },
	{ "bulk", bulk },
};

UNIT_MAIN(cases)
