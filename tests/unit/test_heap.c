/* The heap: order, ties, and removal from the middle against a naive model. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fanout/dice.h"
#include "fanout/heap.h"

#include <stdlib.h>

#define NODES 200
#define STEPS 200000

static struct dice dice = {7};

static size_t random_below(size_t limit)
{
    return (size_t)dice_below(&dice, limit);
}

static void nothing_is_first_in_an_empty_heap(void **state)
{
    struct heap heap;

    (void)state;
    heap_init(&heap);
    assert_null(heap_first(&heap));
    heap_release(&heap);
}

static void the_lowest_key_comes_out_first(void **state)
{
    const uint64_t keys[] = {5, 3, UINT64_MAX, 9, 0, 7};
    const uint64_t sorted[] = {0, 3, 5, 7, 9, UINT64_MAX};
    struct heap_node nodes[6] = {0};
    struct heap heap;

    (void)state;
    heap_init(&heap);
    for (size_t i = 0; i < 6; i++)
        heap_insert(&heap, &nodes[i], keys[i]);
    for (size_t i = 0; i < 6; i++) {
        struct heap_node *first = heap_first(&heap);

        assert_int_equal(first->key, sorted[i]);
        heap_remove(&heap, first);
        assert_false(heap_holds(first));
    }
    assert_null(heap_first(&heap));
    heap_release(&heap);
}

static void equal_keys_come_out_in_the_order_they_went_in(void **state)
{
    struct heap_node nodes[NODES] = {0};
    struct heap heap;

    (void)state;
    heap_init(&heap);
    for (size_t i = 0; i < NODES; i++)
        heap_insert(&heap, &nodes[i], i % 2);
    for (size_t i = 0; i < NODES; i++) {
        size_t expected = i < NODES / 2 ? i * 2 : (i - NODES / 2) * 2 + 1;

        assert_ptr_equal(heap_first(&heap), &nodes[expected]);
        heap_remove(&heap, &nodes[expected]);
    }
    heap_release(&heap);
}

static void the_callers_order_breaks_ties(void **state)
{
    const uint64_t orders[] = {2, 0, 3, 1};
    struct heap_node nodes[4] = {0};
    struct heap heap;

    (void)state;
    heap_init(&heap);
    for (size_t i = 0; i < 4; i++)
        heap_insert_ordered(&heap, &nodes[i], 7, orders[i]);
    for (uint64_t order = 0; order < 4; order++) {
        assert_int_equal(heap_first(&heap)->order, order);
        heap_remove(&heap, heap_first(&heap));
    }
    heap_release(&heap);
}

static void a_changed_key_keeps_its_tie_order(void **state)
{
    struct heap_node nodes[3] = {0};
    struct heap heap;

    (void)state;
    heap_init(&heap);
    heap_insert(&heap, &nodes[0], 9);
    heap_insert(&heap, &nodes[1], 5);
    heap_insert(&heap, &nodes[2], 5);
    heap_rekey(&heap, &nodes[0], 5);
    assert_ptr_equal(heap_first(&heap), &nodes[0]);
    heap_rekey(&heap, &nodes[0], 6);
    assert_ptr_equal(heap_first(&heap), &nodes[1]);
    heap_release(&heap);
}

static bool is_before(const struct heap_node *a, const struct heap_node *b)
{
    return a->key < b->key || (a->key == b->key && a->order < b->order);
}

static struct heap_node *naive_first(struct heap_node *nodes)
{
    struct heap_node *first = NULL;

    for (size_t i = 0; i < NODES; i++)
        if (heap_holds(&nodes[i]) && (first == NULL || is_before(&nodes[i], first)))
            first = &nodes[i];
    return first;
}

static void the_first_is_right_after_any_sequence_of_changes(void **state)
{
    struct heap_node nodes[NODES] = {0};
    struct heap heap;
    size_t count = 0;

    (void)state;
    heap_init(&heap);
    for (int step = 0; step < STEPS; step++) {
        struct heap_node *node = &nodes[random_below(NODES)];
        uint64_t key = random_below(50);

        if (!heap_holds(node)) {
            heap_insert(&heap, node, key);
            count++;
        } else if (random_below(2) == 0) {
            heap_rekey(&heap, node, key);
        } else {
            heap_remove(&heap, node);
            count--;
        }
        assert_int_equal(heap.count, count);
        assert_ptr_equal(heap_first(&heap), naive_first(nodes));
    }
    heap_release(&heap);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_first_in_an_empty_heap),
        cmocka_unit_test(the_lowest_key_comes_out_first),
        cmocka_unit_test(equal_keys_come_out_in_the_order_they_went_in),
        cmocka_unit_test(the_callers_order_breaks_ties),
        cmocka_unit_test(a_changed_key_keeps_its_tie_order),
        cmocka_unit_test(the_first_is_right_after_any_sequence_of_changes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
