/* Intrusive doubly linked list with a head node; a node that is in no list
 * points at itself, so removal needs no head and is harmless when repeated.
 * The owner of the list owns the links of its members. */
#ifndef HAK_COMMON_LIST_H
#define HAK_COMMON_LIST_H

#include "common/base.h"

struct list_node {
	struct list_node *prev, *next;
};

#define LIST_ENTRY(node, type, member) HAK_CONTAINER_OF(node, type, member)

HAK_INLINE void list_init(struct list_node *n)
{
	n->prev = n->next = n;
}

HAK_INLINE bool list_is_empty(const struct list_node *head)
{
	return head->next == head;
}

HAK_INLINE void list_insert_between(struct list_node *n, struct list_node *prev,
				    struct list_node *next)
{
	n->prev = prev;
	n->next = next;
	prev->next = n;
	next->prev = n;
}

HAK_INLINE void list_push_front(struct list_node *head, struct list_node *n)
{
	list_insert_between(n, head, head->next);
}

HAK_INLINE void list_push_back(struct list_node *head, struct list_node *n)
{
	list_insert_between(n, head->prev, head);
}

HAK_INLINE void list_remove(struct list_node *n)
{
	n->prev->next = n->next;
	n->next->prev = n->prev;
	list_init(n);
}

#define LIST_FOR_EACH(node, head)                                                                  \
	for (struct list_node *node = (head)->next; node != (head); node = node->next)

/* As above; `node` may be removed in the body. */
#define LIST_FOR_EACH_SAFE(node, head)                                                             \
	for (struct list_node *node = (head)->next, *node##_next = node->next; node != (head);     \
	     node = node##_next, node##_next = node->next)

#endif
