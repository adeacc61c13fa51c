/*
 * The binary heap: node i's children are 2i and 2i + 1, and each node knows
 * its index, so that taking one out of the middle is as cheap as the rest.
 */
#include "fanout/heap.h"

#include "fanout/mem.h"

#include <assert.h>
#include <stdlib.h>

#define SMALLEST_ROOM 16

void heap_init(struct heap *heap)
{
    *heap = (struct heap){0};
}

void heap_release(struct heap *heap)
{
    free(heap->nodes);
    heap_init(heap);
}

static bool goes_before(const struct heap_node *a, const struct heap_node *b)
{
    return a->key != b->key ? a->key < b->key : a->order < b->order;
}

static void put(struct heap *heap, size_t place, struct heap_node *node)
{
    heap->nodes[place] = node;
    node->place = place;
}

static void sift_up(struct heap *heap, size_t place, struct heap_node *node)
{
    while (place > 1 && goes_before(node, heap->nodes[place / 2])) {
        put(heap, place, heap->nodes[place / 2]);
        place /= 2;
    }
    put(heap, place, node);
}

static void sift_down(struct heap *heap, size_t place, struct heap_node *node)
{
    while (place <= heap->count / 2) {
        size_t child = place * 2;

        if (child < heap->count && goes_before(heap->nodes[child + 1], heap->nodes[child]))
            child++;
        if (!goes_before(heap->nodes[child], node))
            break;
        put(heap, place, heap->nodes[child]);
        place = child;
    }
    put(heap, place, node);
}

static void settle(struct heap *heap, size_t place, struct heap_node *node)
{
    if (place > 1 && goes_before(node, heap->nodes[place / 2]))
        sift_up(heap, place, node);
    else
        sift_down(heap, place, node);
}

static void make_room(struct heap *heap)
{
    if (heap->count < heap->room)
        return;
    heap->room = heap->room > 0 ? heap->room * 2 : SMALLEST_ROOM;
    heap->nodes = mem_realloc(heap->nodes, (heap->room + 1) * sizeof *heap->nodes);
}

void heap_insert(struct heap *heap, struct heap_node *node, uint64_t key)
{
    heap_insert_ordered(heap, node, key, heap->next_order++);
}

void heap_insert_ordered(struct heap *heap, struct heap_node *node, uint64_t key, uint64_t order)
{
    assert(!heap_holds(node));
    make_room(heap);
    node->key = key;
    node->order = order;
    heap->count++;
    sift_up(heap, heap->count, node);
}

void heap_remove(struct heap *heap, struct heap_node *node)
{
    size_t place = node->place;
    struct heap_node *last;

    assert(heap_holds(node) && heap->nodes[place] == node);
    last = heap->nodes[heap->count--];
    node->place = 0;
    if (last != node)
        settle(heap, place, last);
}

void heap_rekey(struct heap *heap, struct heap_node *node, uint64_t key)
{
    assert(heap_holds(node) && heap->nodes[node->place] == node);
    node->key = key;
    settle(heap, node->place, node);
}
