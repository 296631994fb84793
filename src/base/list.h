/* Intrusive doubly linked list with a sentinel; a node is in at most one list. Never allocates. */
#ifndef HG_BASE_LIST_H
#define HG_BASE_LIST_H

#include "base/hg.h"

struct hg_list {
	struct hg_list *next, *prev;
};

static inline void hg_list_init(struct hg_list *l)
{
	l->next = l->prev = l;
}

static inline bool hg_list_empty(const struct hg_list *l)
{
	return l->next == l;
}

static inline void hg_list_append(struct hg_list *l, struct hg_list *node)
{
	node->prev = l->prev;
	node->next = l;
	l->prev->next = node;
	l->prev = node;
}

static inline void hg_list_prepend(struct hg_list *l, struct hg_list *node)
{
	hg_list_append(l->next, node);
}

/* Also fine for a node in no list, if it was initialised. */
static inline void hg_list_remove(struct hg_list *node)
{
	node->prev->next = node->next;
	node->next->prev = node->prev;
	hg_list_init(node);
}

static inline struct hg_list *hg_list_first(const struct hg_list *l)
{
	/* The analyser does not see that a removed node has left the list before it is freed. */
	return hg_list_empty(l) ? NULL : l->next; /* NOLINT(clang-analyzer-unix.Malloc) */
}

/* Takes the first node off the list; NULL when there is none. */
static inline struct hg_list *hg_list_pop(struct hg_list *l)
{
	struct hg_list *first = hg_list_first(l);
	if (first) hg_list_remove(first);
	return first;
}

#define HG_LIST_EACH(pos, list) \
	for (struct hg_list *pos = (list)->next; pos != (list); pos = pos->next)
/* `pos` may be removed inside the loop. */
#define HG_LIST_EACH_SAFE(pos, after, list)                                         \
	for (struct hg_list *pos = (list)->next, *after = pos->next; pos != (list); \
	        pos = after, after = pos->next)

#endif
