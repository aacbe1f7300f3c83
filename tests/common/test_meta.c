/* common/meta.c: records are zeroed, aligned and apart, and pools keep to
 * themselves. */
#include "unit.h"

#include "arch/inline.h"
#include "common/meta.h"
#include "common/os.h"

enum { RECORDS = 3000, POOL_RECORDS = 200, POOL_BYTES = 200, THREADS = 4 };
enum { MORE_THAN_A_CHUNK = 32 << 20 };

static struct record {
	unsigned char *at;
	size_t bytes;
} records[RECORDS];

static size_t random_bytes(uint64_t *rng)
{
	switch (unit_below(rng, 64)) {
	case 0:
		return 1 + unit_below(rng, 600000); /* more than a chunk, now and then */
	case 1:
	case 2:
		return 1 + unit_below(rng, 40000);
	default:
		return 1 + unit_below(rng, 700);
	}
}

static void carving(void)
{
	uint64_t rng = unit_seed();
	size_t before = meta_bytes(), sum = 0;
	for (unsigned i = 0; i < RECORDS; i++) {
		struct record *r = &records[i];
		size_t align = (size_t)1 << unit_below(&rng, 8);
		r->bytes = random_bytes(&rng);
		r->at = meta_alloc(r->bytes, align);
		REQUIRE(r->at != NULL, "no memory for %zu bytes", r->bytes);
		CHECK((uintptr_t)r->at % align == 0, "%p for alignment %zu", (void *)r->at, align);
		CHECK_U64(unit_first_nonzero(r->at, r->bytes), r->bytes, "zeros");
		test_fill(r->at, r->bytes, i);
		sum += r->bytes;
	}
	for (unsigned i = 0; i < RECORDS; i++)
		CHECK_U64(test_verify(records[i].at, records[i].bytes, i), records[i].bytes,
			  "content, so that no two overlap");
	CHECK_U64(meta_bytes() - before, sum, "bytes carved");
}

static void recycling(void)
{
	static unsigned char *first[POOL_RECORDS], *other[POOL_RECORDS];
	static struct meta_pool a, b;
	bool seen[POOL_RECORDS] = { false };
	size_t carved;
	for (unsigned i = 0; i < POOL_RECORDS; i++) {
		first[i] = meta_pool_alloc(&a, POOL_BYTES);
		REQUIRE(first[i] != NULL, "no memory");
		CHECK((uintptr_t)first[i] % META_RECORD_ALIGN == 0 &&
			      (uintptr_t)first[i] % hak_cacheline_bytes() == 0,
		      "a record at %p", (void *)first[i]);
		CHECK_U64(unit_first_nonzero(first[i], POOL_BYTES), POOL_BYTES,
			  "zeros in a new record");
		test_fill(first[i], POOL_BYTES, i);
	}
	for (unsigned i = 0; i < POOL_RECORDS; i++)
		CHECK_U64(test_verify(first[i], POOL_BYTES, i), POOL_BYTES, "content");
	for (unsigned i = 0; i < POOL_RECORDS; i++)
		meta_pool_free(&a, first[i]);
	carved = meta_bytes();
	for (unsigned i = 0; i < POOL_RECORDS; i++) {
		other[i] = meta_pool_alloc(&b, POOL_BYTES);
		for (unsigned j = 0; j < POOL_RECORDS; j++)
			CHECK(other[i] != first[j], "a record of another pool");
	}
	CHECK_U64(meta_bytes() - carved, POOL_RECORDS * POOL_BYTES, "bytes carved by another pool");
	for (unsigned i = 0; i < POOL_RECORDS; i++) {
		unsigned char *r = meta_pool_alloc(&a, POOL_BYTES);
		unsigned j = 0;
		while (j < POOL_RECORDS && first[j] != r)
			j++;
		if (!CHECK(j < POOL_RECORDS && !seen[j], "record %p is new, or came twice",
			   (void *)r))
			continue;
		seen[j] = true;
		CHECK_U64(test_verify(r + sizeof(void *), POOL_BYTES - sizeof(void *),
				      j + sizeof(void *)),
			  POOL_BYTES - sizeof(void *), "content of a free record, behind the link");
	}
	CHECK_U64(meta_bytes() - carved, POOL_RECORDS * POOL_BYTES,
		  "bytes carved for used records");
}

static void refusals(void)
{
	static struct meta_pool pool;
	unsigned char *p;
	size_t carved = meta_bytes();
	uint64_t hits;
	os_fault_arm(OS_MMAP, 1, 1);
	CHECK_PTR(meta_alloc(MORE_THAN_A_CHUNK, 16), NULL, "a record that needs a mapping");
	CHECK_PTR(meta_pool_alloc(&pool, MORE_THAN_A_CHUNK), NULL,
		  "a pool's record that needs a mapping");
	os_fault_arm(OS_MMAP, 0, 0);
	CHECK_U64(meta_bytes(), carved, "bytes carved in vain");
	/* A whole chunk is refused, but what is needed fits. */
	hits = os_fault_hits(OS_MMAP);
	os_fault_arm(OS_MMAP, 1, 0);
	while (meta_alloc(50000, 16) != NULL && os_fault_hits(OS_MMAP) - hits < 3)
		os_fault_arm(OS_MMAP, 1, 0);
	CHECK_U64(os_fault_hits(OS_MMAP) - hits, 3, "chunks refused, and every record was had");
	os_fault_arm(OS_MMAP, 0, 0);
	p = meta_alloc(MORE_THAN_A_CHUNK, 128);
	CHECK(p != NULL && unit_first_nonzero(p, MORE_THAN_A_CHUNK) == MORE_THAN_A_CHUNK,
	      "afterwards");
}

static struct meta_pool shared;

static void *use_pool(void *arg)
{
	uint64_t rng = *(const uint64_t *)arg, tag = rng << 32;
	uint64_t *mine[16] = { NULL };
	for (unsigned i = 0; i < test_scaled(20000, 3000); i++) {
		unsigned k = unit_below(&rng, 16);
		if (mine[k] == NULL) {
			mine[k] = meta_pool_alloc(&shared, 64);
			if (!CHECK(mine[k] != NULL, "no memory"))
				return NULL;
			mine[k][1] = mine[k][7] = tag | k;
		} else {
			CHECK(mine[k][1] == (tag | k) && mine[k][7] == (tag | k),
			      "a record has two owners");
			meta_pool_free(&shared, mine[k]);
			mine[k] = NULL;
		}
	}
	return NULL;
}

static void threads(void)
{
	uint64_t seeds[THREADS] = { 1, 2, 3, 4 };
	unit_threads(THREADS, use_pool, seeds, sizeof(seeds[0]));
}

static const struct test_case cases[] = {
	{ "carving", carving },
	{ "recycling", recycling },
	{ "refusals", refusals },
	{ "threads", threads },
};

UNIT_MAIN(cases)
