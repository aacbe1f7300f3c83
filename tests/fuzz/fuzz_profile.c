/* Heap profiles, as bytes: refused with a line, or a tree whose sums are right and whose names are
 * harmless. */
#include "heap_profile.h"

#include <stdio.h>
#include <unistd.h>

#include "fuzz.h"

enum { SAID_BYTES = 1000 };

static void check_names(const struct heap_profile *p)
{
	for (uint32_t i = 0; i < p->nnames; i++)
		for (const char *c = p->names[i]; *c != '\0'; c++)
			FUZZ_REQUIRE(*c >= ' ' && *c <= '~', "character %d in a name", *c);
}

/* Callees have no more than their caller; each node is the child of one. */
static void check_tree(const struct heap_profile *p)
{
	uint64_t links = 0;
	for (uint32_t i = 0; i < p->nnodes; i++) {
		double live = 0;
		for (uint32_t child = p->nodes[i].child; child != 0;
		     child = p->nodes[child].sibling, links++) {
			FUZZ_REQUIRE(child < p->nnodes && child > i, "node %u is below %u", child,
				     i);
			FUZZ_REQUIRE(p->nodes[child].name < p->nnames, "a name out of range");
			live += p->nodes[child].sum.live_bytes;
		}
		FUZZ_REQUIRE(live <= p->nodes[i].sum.live_bytes * 1.001 + 1,
			     "node %u: %g, below it %g", i, p->nodes[i].sum.live_bytes, live);
	}
	FUZZ_REQUIRE(links + 1 == p->nnodes, "%llu links between %u nodes",
		     (unsigned long long)links, p->nnodes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char path[300], said[SAID_BYTES];
	struct fuzz_capture capture;
	struct heap_profile *p;
	size_t n;
	snprintf(path, sizeof(path), "%s/profile", fuzz_dir());
	fuzz_write_file(path, data, size);
	fuzz_capture_begin(&capture, STDERR_FILENO);
	p = heap_profile_read(path);
	n = fuzz_capture_end(&capture, said, sizeof(said));
	FUZZ_REQUIRE((p == NULL) == (n > 0), "%s, and it says: %s", p == NULL ? "refused" : "taken",
		     said);
	if (p != NULL) {
		check_names(p);
		check_tree(p);
	}
	heap_profile_free(p);
	return 0;
}
