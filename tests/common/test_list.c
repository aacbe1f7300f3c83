/* common/list.h against an array that holds the same members in the same order. */
#include "unit.h"

#include "common/list.h"

enum { NODES = 40, STEPS = 20000 };

struct member {
	unsigned id;
	struct list_node link;
};

static struct member members[NODES];
static struct list_node head;
static unsigned model[NODES], model_length;

static void setup(void)
{
	list_init(&head);
	model_length = 0;
	for (unsigned i = 0; i < NODES; i++) {
		members[i].id = i;
		list_init(&members[i].link);
	}
}

static unsigned model_find(unsigned id)
{
	unsigned i = 0;
	while (i < model_length && model[i] != id)
		i++;
	return i;
}

static void model_remove(unsigned id)
{
	unsigned at = model_find(id);
	if (at == model_length)
		return;
	model_length--;
	memmove(&model[at], &model[at + 1], (model_length - at) * sizeof(model[0]));
}

static void compare(const char *after)
{
	unsigned n = 0;
	struct list_node *prev = &head;
	CHECK(list_is_empty(&head) == (model_length == 0), "emptiness after %s", after);
	LIST_FOR_EACH(node, &head) {
		const struct member *m = LIST_ENTRY(node, struct member, link);
		if (!CHECK(n < model_length, "more members than the model's %u after %s",
			   model_length, after))
			return;
		CHECK(m->id == model[n], "member %u is %u, not %u, after %s", n, m->id, model[n],
		      after);
		CHECK(node->prev == prev, "back link of member %u after %s", n, after);
		prev = node;
		n++;
	}
	CHECK(n == model_length && head.prev == prev, "%u members, not %u, after %s", n,
	      model_length, after);
}

static void random_steps(void)
{
	uint64_t rng = unit_seed();
	setup();
	for (unsigned step = 0; step < STEPS; step++) {
		unsigned id = unit_below(&rng, NODES);
		struct list_node *n = &members[id].link;
		bool in = model_find(id) < model_length;
		if (in || unit_below(&rng, 4) == 0) {
			list_remove(n); /* harmless where it is in no list */
			model_remove(id);
			CHECK(n->next == n && n->prev == n, "a removed node points at itself");
			compare("remove");
		} else if (unit_below(&rng, 2) == 0) {
			list_push_front(&head, n);
			memmove(&model[1], &model[0], model_length * sizeof(model[0]));
			model[0] = id;
			model_length++;
			compare("push_front");
		} else {
			list_push_back(&head, n);
			model[model_length++] = id;
			compare("push_back");
		}
	}
}

static void removal_in_a_walk(void)
{
	unsigned seen = 0;
	setup();
	for (unsigned i = 0; i < NODES; i++) {
		list_push_back(&head, &members[i].link);
		if (i % 3 != 0)
			model[model_length++] = i;
	}
	LIST_FOR_EACH_SAFE(n, &head) {
		CHECK(LIST_ENTRY(n, struct member, link)->id == seen, "order of the walk");
		if (seen++ % 3 == 0)
			list_remove(n);
	}
	CHECK_U64(seen, NODES, "members seen");
	compare("a walk");
	LIST_FOR_EACH_SAFE(m, &head)
		list_remove(m);
	CHECK(list_is_empty(&head), "all are removed");
}

static const struct test_case cases[] = {
	{ "random_steps", random_steps },
	{ "removal_in_a_walk", removal_in_a_walk },
};

int main(int argc, char **argv)
{
	return TEST_MAIN(argc, argv, cases);
}
