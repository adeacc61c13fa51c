/*
 * An intrusive binary min-heap: nodes live in their owners' structs. Equal keys
 * come out in the order they went in. Used for timers and for who waits next.
 */
#ifndef FANOUT_HEAP_H
#define FANOUT_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct heap_node {
    uint64_t key;
    uint64_t order; /* breaks ties, lowest first */
    size_t place;   /* 1-based index in the heap; 0: in none */
};

struct heap {
    struct heap_node **nodes;
    size_t count;
    size_t room;
    uint64_t next_order;
};

/* The struct of that type that the node, its member of that name, lives in. */
#define heap_owner(node, type, member) ((type *)(void *)((char *)(node)-offsetof(type, member)))

void heap_init(struct heap *heap); /* allocates nothing */
void heap_release(struct heap *heap);

/* A node must start out zeroed (in no heap). */
static inline bool heap_holds(const struct heap_node *node)
{
    return node->place != 0;
}
static inline struct heap_node *heap_first(const struct heap *heap)
{
    return heap->count > 0 ? heap->nodes[1] : NULL;
}
void heap_insert(struct heap *heap, struct heap_node *node, uint64_t key);
/* With the caller's tie order instead, where equals stand in several heaps. Do not mix the two. */
void heap_insert_ordered(struct heap *heap, struct heap_node *node, uint64_t key, uint64_t order);
void heap_remove(struct heap *heap, struct heap_node *node);
/* Changes the key of a node in the heap; its tie order stays. */
void heap_rekey(struct heap *heap, struct heap_node *node, uint64_t key);

#endif
