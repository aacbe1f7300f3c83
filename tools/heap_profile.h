/* A heap profile in gperftools' text format heap_v2, as docs/profiling.md has it, with the
 * functions' names looked up in the files that it was made of: who holds what is live, and
 * who allocated. Nothing in the file is trusted. */
#ifndef HAKMEM_TOOLS_HEAP_PROFILE_H
#define HAKMEM_TOOLS_HEAP_PROFILE_H

#include <stdbool.h>
#include <stdint.h>

/* Scaled from samples to what they stand for. */
struct heap_figures {
	double live_bytes, allocated_bytes;
};

/* A place in the tree of calls. Node 0 is the root, which is no function. */
struct heap_node {
	uint32_t name;           /* in names[] */
	uint32_t child, sibling; /* 0: none */
	struct heap_figures sum; /* of the stacks that go through it */
};

struct heap_function {
	struct heap_figures self, total;
	uint32_t last_stack; /* the last one that it was seen in, so that recursion counts once */
};

struct heap_profile {
	uint32_t rate; /* one byte in so many was sampled */
	uint64_t nstacks;
	char **names;                    /* printable */
	struct heap_function *functions; /* of the same index */
	uint32_t nnames;
	struct heap_node *nodes;
	uint32_t nnodes;
};

/* NULL: it cannot be used, and complain() has said why. */
struct heap_profile *heap_profile_read(const char *path);
void heap_profile_free(struct heap_profile *p);

#endif
