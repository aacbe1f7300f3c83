/* common/stats.c: the figures against what the test has allocated, both forms of
 * them, and that hak_check_all() sees broken structures. */
#include "unit.h"

#include "common/heap.h"
#include "common/huge.h"
#include "common/knobs.h"
#include "common/options.h"
#include "common/os.h"
#include "common/report.h"
#include "common/stats.h"
#include "common/superslab.h"
#include "hakmem/hakmem.h"

enum { MIB = 1 << 20, TEXT = 8192 };

static struct hak_stats stats(void)
{
	struct hak_stats s = { .struct_bytes = sizeof(s) };
	CHECK(hak_stats_get(&s), "hak_stats_get");
	return s;
}

static void figures(void)
{
	struct hak_stats before = stats(), s;
	void *small[100], *large, *huge;
	size_t live = 0;
	for (unsigned i = 0; i < 100; i++) {
		small[i] = hak_malloc(1 + i * 37);
		live += hak_usable_size(small[i]);
	}
	large = hak_malloc(100000);
	huge = hak_malloc(3 * MIB);
	s = stats();
	CHECK_U64(s.small_bytes - s.small_cached_bytes, live, "live small bytes");
	CHECK_U64(s.large_bytes - before.large_bytes, 2 * HAK_UNIT_BYTES, "large bytes");
	CHECK_U64(s.huge_bytes - before.huge_bytes, 3 * MIB, "huge bytes");
	CHECK(s.heaps == before.heaps + 1, "%zu heaps, %zu before", s.heaps, before.heaps);
	CHECK(s.superslabs >= 1 && s.slabs >= 10, "%zu superslabs, %zu slabs", s.superslabs,
	      s.slabs);
	CHECK(s.mapped_bytes >=
		      s.superslabs * HAK_SUPERSLAB_BYTES + s.huge_bytes + s.metadata_bytes,
	      "%zu bytes mapped", s.mapped_bytes);
	CHECK_U64(s.mapped_bytes, os_counters().mapped_bytes, "mapped bytes");
	for (unsigned i = 0; i < 100; i++)
		hak_free(small[i]);
	hak_free(large);
	hak_free(huge);
	s = stats();
	CHECK_U64(s.small_bytes, s.small_cached_bytes, "small bytes, all of them cached");
	CHECK_U64(s.large_bytes, before.large_bytes, "large bytes at the end");
	CHECK_U64(s.huge_bytes, before.huge_bytes, "huge bytes at the end");
	CHECK_U64(s.huge_cached_bytes, 3 * MIB, "cached huge bytes");
	CHECK_U64(s.free_dirty_bytes, superslab_dirty_bytes(), "dirty bytes");
	CHECK(s.free_dirty_bytes >= 2 * HAK_UNIT_BYTES, "dirty bytes of the large block");
	hak_purge();
	s = stats();
	CHECK(s.small_bytes == 0 && s.small_cached_bytes == 0 && s.huge_cached_bytes == 0 &&
		      s.free_dirty_bytes == 0,
	      "after a purge: %zu small, %zu cached, %zu huge, %zu dirty bytes", s.small_bytes,
	      s.small_cached_bytes, s.huge_cached_bytes, s.free_dirty_bytes);
	CHECK(s.purged_bytes_total > before.purged_bytes_total, "bytes purged in all");
}

static void failures(void)
{
	struct hak_stats before = stats(), s;
	os_fault_arm(OS_MMAP, 1, 1);
	CHECK_PTR(hak_malloc(64 * MIB), NULL, "a block without mmap");
	os_fault_arm(OS_MMAP, 0, 0);
	hak_free(hak_malloc(100000));
	os_fault_arm(OS_MADVISE, 1, 1);
	hak_purge();
	os_fault_arm(OS_MADVISE, 0, 0);
	s = stats();
	CHECK(s.map_failures > before.map_failures, "refused mappings");
	CHECK(s.purge_failures > before.purge_failures, "refused purges");
	CHECK(s.free_dirty_bytes > 0, "what could not be purged is dirty");
	hak_purge();
}

static void bad_pointer_in_child(void *arg)
{
	(void)arg;
	options.on_error_report = 1;
	hak_free(test_opaque(&options));
	CHECK_U64(stats().bad_pointers, 1, "bad pointers");
}

static void bad_pointers(void)
{
	static struct unit_child child;
	unit_child_passes(&child, bad_pointer_in_child, NULL);
	CHECK(strstr(child.text, "[TLS_SLL_PUSH_NO_SS]") != NULL, "report: %s", child.text);
}

/* The caller's idea of the struct may be older or newer. */
static void struct_sizes(void)
{
	struct {
		struct hak_stats s;
		unsigned char more[64];
	} big;
	for (size_t asked = 0; asked <= sizeof(big); asked += sizeof(size_t)) {
		const struct hak_stats all = stats();
		const unsigned char *bytes = (const unsigned char *)&big;
		size_t known = asked < sizeof(all) ? asked : sizeof(all);
		memset(&big, 0x5a, sizeof(big));
		big.s.struct_bytes = asked;
		CHECK(hak_stats_get(&big.s) == (asked > 0), "%zu bytes asked for", asked);
		if (asked == 0) {
			CHECK(bytes[sizeof(size_t)] == 0x5a, "written to nothing");
			continue;
		}
		CHECK_U64(big.s.struct_bytes, asked, "bytes that the caller has");
		CHECK(memcmp(bytes + sizeof(size_t), (const unsigned char *)&all + sizeof(size_t),
			     known - sizeof(size_t)) == 0,
		      "fields for %zu bytes differ", asked);
		CHECK_U64(unit_first_nonzero(bytes + known, asked - known), asked - known,
			  "zeros in fields that are not known");
		for (size_t i = asked; i < sizeof(big); i++)
			if (!CHECK(bytes[i] == 0x5a, "byte %zu of %zu is written", i, asked))
				break;
	}
}

/* ---- JSON, as far as it is used here: objects, arrays, strings without escapes, numbers */

static const char *json_value(const char *s);

static const char *json_string(const char *s)
{
	if (*s != '"')
		return NULL;
	for (s++; *s != '"'; s++)
		if (*s == '\0' || *s == '\\' || (unsigned char)*s < ' ')
			return NULL;
	return s + 1;
}

static const char *json_object(const char *s)
{
	do {
		s = json_string(s + 1); /* behind the brace or the comma */
		if (s == NULL || *s != ':')
			return NULL;
		s = json_value(s + 1);
	} while (s != NULL && *s == ',');
	return s != NULL && *s == '}' ? s + 1 : NULL;
}

static const char *json_array(const char *s)
{
	do {
		s = json_value(s + 1); /* behind the bracket or the comma */
	} while (s != NULL && *s == ',');
	return s != NULL && *s == ']' ? s + 1 : NULL;
}

static const char *json_value(const char *s)
{
	size_t digits;
	if (*s == '[')
		return json_array(s);
	if (*s == '{')
		return json_object(s);
	if (*s == '"')
		return json_string(s);
	digits = strspn(s, "0123456789");
	return digits > 0 ? s + digits : NULL;
}

#define FIELDS(F)                                                                                  \
	F(mapped_bytes)                                                                            \
	F(metadata_bytes) F(small_bytes) F(small_cached_bytes) F(large_bytes) F(huge_bytes)        \
		F(huge_cached_bytes) F(free_dirty_bytes) F(superslabs) F(slabs) F(heaps)           \
			F(purged_bytes_total) F(purge_failures) F(map_failures) F(remote_batches)  \
				F(bad_pointers) F(held_bytes) F(purge_passes)              \
					F(purge_longest_ns) F(purge_longest_cpu_ns)

static void both_forms(void)
{
	static char json[TEXT], text[TEXT], cut[TEXT];
	char wanted[128];
	void *keep = hak_malloc(5000);
	struct hak_stats s = stats();
	size_t json_length = hak_stats_json(json, sizeof(json)),
	       text_length = hak_stats_text(text, sizeof(text));
	const char *end = json_value(json);
	CHECK(json_length == strlen(json) && text_length == strlen(text), "lengths %zu and %zu",
	      json_length, text_length);
	CHECK(end != NULL && *end == '\0', "not JSON: %s", json);
	/* Every member has its value, and no two fields have changed places. */
#define MEMBER(field)                                                                              \
	snprintf(wanted, sizeof(wanted), ",\"" #field "\":%llu,", (unsigned long long)s.field);    \
	CHECK(strstr(json, wanted) != NULL, "no %s in %s", wanted, json);                          \
	snprintf(wanted, sizeof(wanted), " %llu\n", (unsigned long long)s.field);                  \
	CHECK(strstr(text, wanted) != NULL, "no %s (" #field ") in %s", wanted, text);
	FIELDS(MEMBER)
#undef MEMBER
	for (enum hak_knob k = 0; k < HAK_KNOB_COUNT; k++) {
		snprintf(wanted, sizeof(wanted), "\"%s\":%d", knob_info(k)->name, knob_get(k, 0));
		CHECK(strstr(json, wanted) != NULL, "no %s in %s", wanted, json);
		snprintf(wanted, sizeof(wanted), " %s=%d", knob_info(k)->name, knob_get(k, 0));
		CHECK(strstr(text, wanted) != NULL, "no %s in %s", wanted, text);
	}
	CHECK(strstr(text, hak_version()) != NULL && strstr(json, hak_version()) != NULL,
	      "the version");
	for (size_t size = 0; size < json_length + 2; size += 97) {
		memset(cut, '#', sizeof(cut));
		CHECK_U64(hak_stats_json(cut, size), json_length,
			  "length of a text that is cut off");
		CHECK(size == 0 || (cut[size - 1] == '\0' && strncmp(cut, json, size - 1) == 0),
		      "text that is cut off at %zu", size);
		CHECK(cut[size] == '#', "written behind %zu bytes", size);
	}
	CHECK_U64(hak_stats_text(NULL, 0), text_length, "length without a buffer");
	hak_free(keep);
}

static void leave_with_statistics(void *arg)
{
	options.stats_at_exit = *(const int *)arg;
	exit(0);
}

static void at_exit(void)
{
	static struct unit_child child;
	int on = 1, off = 0;
	unit_child_passes(&child, leave_with_statistics, &on);
	CHECK(strncmp(child.text, "hakmem ", 7) == 0 && strstr(child.text, "\nknobs: ") != NULL,
	      "at exit: %s", child.text);
	unit_child_passes(&child, leave_with_statistics, &off);
	CHECK_U64(child.length, 0, "bytes at exit without HAKMEM_STATS");
}

/* ---- hak_check_all() must see that something is wrong */

static void break_free_count(void)
{
	slab_of_block(hak_malloc(40))->free_count--;
}

static void break_state(void)
{
	struct slab *s = slab_of_block(hak_malloc(40));
	atomic_store_relaxed(&s->states[s->capacity - 1], 1);
}

static void break_cache(void)
{
	struct cached_block *entries;
	hak_free(hak_malloc(40));
	entries = bin_bottom(&thread_state.tcache->bins[size_class(40)]);
	entries[1] = entries[2];
}

static void break_owner(void)
{
	atomic_store_relaxed(&slab_of_block(hak_malloc(40))->owner, heap_orphans());
}

static void break_map(void)
{
	registry_clear(slab_of_block(hak_malloc(40))->base, 1);
}

static void break_superslab(void)
{
	slab_of_block(hak_malloc(40))->superslab->free_mask ^= UINT32_C(1) << 31;
}

static void break_units(void)
{
	struct span lost;
	(void)span_alloc(&lost, 1, 1);
}

static void break_huge(void)
{
	void *record;
	registry_lookup((uintptr_t)hak_malloc(3 * MIB), &record);
	((struct huge *)record)->mapped_bytes += HAK_UNIT_BYTES;
}

static void break_in_child(void *arg)
{
	void (*const *breaking)(void) = arg;
	CHECK(hak_check_all(), "all is well at first");
	(*breaking)();
	hak_check_all();
}

static void checks(void)
{
	static void (*breakings[])(void) = { break_free_count, break_state, break_cache,
					     break_owner,      break_map,   break_superslab,
					     break_units,      break_huge };
	CHECK(hak_check_all(), "all is well");
	for (unsigned i = 0; i < HAK_ARRAY_LEN(breakings); i++)
		unit_child_aborts(break_in_child, &breakings[i], "hakmem: internal check failed: ");
}

static const struct test_case cases[] = {
	{ "figures", figures },
	{ "failures", failures },
	{ "bad_pointers", bad_pointers },
	{ "struct_sizes", struct_sizes },
	{ "both_forms", both_forms },
	{ "at_exit", at_exit },
	{ "checks", checks },
};

UNIT_MAIN(cases)
