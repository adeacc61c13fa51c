/* The limiter on one thread: caps, turns, and lanes that are full. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fanout/limiter.h"
#include "tests/unit/limiter_world.h"

/* Caps and the bound of the queue. */

static void slots_are_taken_up_to_the_cap_and_no_further(void **state)
{
    struct limiter_party party = {0};
    struct call calls[4];
    struct world world;

    (void)state;
    open_world(&world, 3, 10);
    add_lanes(&world, 2, 3);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(take(&world, &calls[i], i % 2, &party), LIMITER_TAKEN);
    assert_int_equal(take(&world, &calls[3], 0, &party), LIMITER_WAITING);
    assert_ptr_equal(next_after(&world, 1), &calls[3]);
    assert_int_equal(in_flight(world.lanes[0]), 3);
    assert_int_equal(in_flight(world.lanes[1]), 0);
    give_all(&world, 0, 3);
    close_world(&world);
}

static void a_lane_has_its_own_cap(void **state)
{
    struct limiter_party party = {0};
    struct call calls[4];
    struct world world;

    (void)state;
    open_world(&world, 10, 10);
    add_lanes(&world, 1, 1);
    add_lanes(&world, 1, 2);
    assert_int_equal(take(&world, &calls[0], 0, &party), LIMITER_TAKEN);
    assert_int_equal(take(&world, &calls[1], 0, &party), LIMITER_WAITING);
    assert_int_equal(take(&world, &calls[2], 1, &party), LIMITER_TAKEN);
    assert_int_equal(take(&world, &calls[3], 1, &party), LIMITER_TAKEN);
    assert_null(next_after(&world, 1));
    assert_ptr_equal(next_after(&world, 0), &calls[1]);
    give(&world, 0);
    give(&world, 1);
    close_world(&world);
}

static void a_full_queue_turns_away(void **state)
{
    struct limiter_party party = {0};
    struct call calls[4];
    struct limiter_counts counts;
    struct world world;

    (void)state;
    open_busy_world(&world, 2, 2, &calls[0], &party);
    wait_all(&world, &calls[1], 2, 1, &party);
    assert_int_equal(take(&world, &calls[3], 1, &party), LIMITER_FULL);
    assert_int_equal(take(&world, &calls[3], 0, &party), LIMITER_FULL);
    limiter_counts(world.limiter, &counts);
    assert_int_equal(counts.queued, 2);
    assert_int_equal(counts.max_queue, 2);
    assert_int_equal(counts.in_flight, 1);
    assert_int_equal(counts.max_in_flight, 1);
    cancel(&world, &calls[1]);
    assert_int_equal(take(&world, &calls[3], 1, &party), LIMITER_WAITING);
    drain(&world, 0);
    close_world(&world);
}

static void nobody_waits_where_there_is_no_queue(void **state)
{
    struct limiter_party party = {0};
    struct call calls[2];
    struct world world;

    (void)state;
    open_busy_world(&world, 1, 0, &calls[0], &party);
    assert_int_equal(take(&world, &calls[1], 0, &party), LIMITER_FULL);
    give(&world, 0);
    assert_int_equal(take(&world, &calls[1], 0, &party), LIMITER_TAKEN);
    give(&world, 0);
    close_world(&world);
}

/* Turns. */

static void equals_are_served_first_come_first_served_over_all_lanes(void **state)
{
    const size_t lanes[] = {2, 0, 1, 1, 2, 0, 0, 2, 1, 1};
    struct limiter_party parties[10] = {0};
    struct limiter_party holders_party = {0};
    struct call holder, calls[10];
    struct world world;
    size_t lane = 0;

    (void)state;
    open_busy_world(&world, 3, 10, &holder, &holders_party);
    for (size_t i = 0; i < 10; i++)
        wait_all(&world, &calls[i], 1, lanes[i], &parties[i]);
    for (size_t i = 0; i < 10; i++) {
        assert_ptr_equal(next_after(&world, lane), &calls[i]);
        lane = lanes[i];
    }
    give(&world, lane);
    close_world(&world);
}

static void one_partys_waiters_for_a_lane_are_served_first_come_first_served(void **state)
{
    struct limiter_party party = {0};
    struct call holder, calls[20];
    struct world world;

    (void)state;
    open_busy_world(&world, 1, 20, &holder, &party);
    wait_all(&world, calls, 20, 0, &party);
    assert_served_in_order(&world, 0, calls, 20);
    give(&world, 0);
    close_world(&world);
}

static void a_thousand_waiters_let_three_in_between(void **state)
{
    static struct call many[MANY];
    struct limiter_party large = {0}, small = {0};
    struct call holder, few[3];
    struct world world;

    (void)state;
    open_busy_world(&world, 1, MOST, &holder, &large);
    wait_all(&world, many, MANY, 0, &large);
    assert_served_in_order(&world, 0, many, 100);
    wait_all(&world, few, 3, 0, &small);
    assert_true(grants_until_all_served(&world, &holder, few, 3) <= 6);
    drain(&world, 0);
    close_world(&world);
}

static void a_thousand_waiters_over_many_lanes_let_three_in_between(void **state)
{
    static struct call many[MANY];
    struct limiter_party large = {0}, small = {0};
    struct call holder, few[3];
    struct world world;

    (void)state;
    open_busy_world(&world, MANY_LANES, MOST, &holder, &large);
    for (size_t i = 0; i < MANY; i++)
        wait_all(&world, &many[i], 1, i % MANY_LANES, &large);
    wait_all(&world, few, 3, 4, &small);
    assert_true(grants_until_all_served(&world, &holder, few, 3) <= 6);
    drain(&world, world.granted[world.granted_count - 1]->lane);
    close_world(&world);
}

static void a_newcomer_does_not_catch_up_on_what_others_had_before_it(void **state)
{
    static struct call olds[MANY], news[MANY];
    struct limiter_party old = {0}, newcomer = {0};
    struct call holder;
    struct world world;

    (void)state;
    open_busy_world(&world, 1, MOST, &holder, &old);
    wait_all(&world, olds, MANY, 0, &old);
    assert_served_in_order(&world, 0, olds, 100);
    wait_all(&world, news, MANY, 0, &newcomer);
    for (size_t i = 0; i < 100; i++) {
        assert_ptr_equal(next_after(&world, 0), &olds[100 + i]);
        assert_ptr_equal(next_after(&world, 0), &news[i]);
    }
    drain(&world, 0);
    close_world(&world);
}

static void parties_of_equal_size_finish_together(void **state)
{
    static struct call calls[4][50];
    struct limiter_party parties[4] = {0};
    struct call holder;
    struct world world;

    (void)state;
    open_busy_world(&world, 1, MOST, &holder, &parties[0]);
    for (size_t i = 0; i < 4; i++)
        wait_all(&world, calls[i], 50, 0, &parties[i]);
    for (size_t i = 0; i < 200; i++)
        assert_ptr_equal(next_after(&world, 0), &calls[i % 4][i / 4]);
    give(&world, 0);
    close_world(&world);
}

/* Lanes that are full. */

static void a_full_lane_leaves_no_slot_idle_for_the_others(void **state)
{
    struct limiter_party party = {0}, other = {0};
    struct call blocked[5], calls[3];
    struct world world;

    (void)state;
    open_world(&world, 3, 10);
    add_lanes(&world, 1, 1);
    add_lanes(&world, 1, 3);
    assert_int_equal(take(&world, &blocked[0], 0, &party), LIMITER_TAKEN);
    wait_all(&world, &blocked[1], 4, 0, &party);
    assert_int_equal(take(&world, &calls[0], 1, &other), LIMITER_TAKEN);
    assert_int_equal(take(&world, &calls[1], 1, &party), LIMITER_TAKEN);
    wait_all(&world, &calls[2], 1, 1, &other);
    assert_ptr_equal(next_after(&world, 1), &calls[2]);
    give_all(&world, 1, 2);
    drain(&world, 0);
    close_world(&world);
}

/* Many turns in the second lane, while the first stays as it is. */
static void let_turns_pass(struct world *world, size_t count)
{
    static struct call calls[MOST];
    struct limiter_party party = {0};

    assert_int_equal(take(world, &calls[0], 1, &party), LIMITER_TAKEN);
    wait_all(world, &calls[1], count, 1, &party);
    drain(world, 1);
}

static void turns_in_a_fast_lane_do_not_put_a_newcomer_to_a_slow_one_last(void **state)
{
    static struct call many[MANY];
    struct limiter_party large = {0}, small = {0};
    struct call holder, few[3];
    struct world world;

    (void)state;
    open_world(&world, 10, MOST);
    add_lanes(&world, 2, 1);
    assert_int_equal(take(&world, &holder, 0, &large), LIMITER_TAKEN);
    wait_all(&world, many, MANY, 0, &large);
    let_turns_pass(&world, MANY);
    wait_all(&world, few, 3, 0, &small);
    assert_true(grants_until_all_served(&world, &holder, few, 3) <= 7);
    drain(&world, 0);
    close_world(&world);
}

static void a_lane_full_for_long_goes_first_but_does_not_catch_up_at_a_stroke(void **state)
{
    static struct call many[MANY];
    struct limiter_party patient = {0}, newcomer = {0};
    struct call slow, fast, few[3];
    struct world world;

    (void)state;
    open_world(&world, 2, MOST);
    add_lanes(&world, 1, 1);
    add_lanes(&world, 1, 2);
    assert_int_equal(take(&world, &slow, 0, &patient), LIMITER_TAKEN);
    wait_all(&world, many, MANY, 0, &patient);
    let_turns_pass(&world, MANY);
    assert_int_equal(take(&world, &fast, 1, &newcomer), LIMITER_TAKEN);
    wait_all(&world, few, 3, 1, &newcomer);
    /* One slot for both lanes from here on: the fast lane's holder keeps the other. */
    assert_ptr_equal(next_after(&world, 0), &many[0]);
    assert_true(grants_until_all_served(&world, &many[0], few, 3) <= 6);
    give(&world, 1);
    drain(&world, world.granted[world.granted_count - 1]->lane);
    close_world(&world);
}

static void waiting_in_a_full_lane_costs_a_party_no_turns_elsewhere(void **state)
{
    static struct call many[MANY], others[50];
    struct limiter_party party = {0}, other = {0};
    struct call slow, fast, call;
    struct world world;

    (void)state;
    open_world(&world, 10, MOST);
    add_lanes(&world, 2, 1);
    assert_int_equal(take(&world, &slow, 0, &party), LIMITER_TAKEN);
    wait_all(&world, many, MANY, 0, &party);
    assert_int_equal(take(&world, &fast, 1, &other), LIMITER_TAKEN);
    wait_all(&world, others, 50, 1, &other);
    wait_all(&world, &call, 1, 1, &party);
    assert_true(grants_until_all_served(&world, &fast, &call, 1) <= 3);
    drain(&world, 1);
    drain(&world, 0);
    close_world(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slots_are_taken_up_to_the_cap_and_no_further),
        cmocka_unit_test(a_lane_has_its_own_cap),
        cmocka_unit_test(a_full_queue_turns_away),
        cmocka_unit_test(nobody_waits_where_there_is_no_queue),
        cmocka_unit_test(equals_are_served_first_come_first_served_over_all_lanes),
        cmocka_unit_test(one_partys_waiters_for_a_lane_are_served_first_come_first_served),
        cmocka_unit_test(a_thousand_waiters_let_three_in_between),
        cmocka_unit_test(a_thousand_waiters_over_many_lanes_let_three_in_between),
        cmocka_unit_test(a_newcomer_does_not_catch_up_on_what_others_had_before_it),
        cmocka_unit_test(parties_of_equal_size_finish_together),
        cmocka_unit_test(a_full_lane_leaves_no_slot_idle_for_the_others),
        cmocka_unit_test(turns_in_a_fast_lane_do_not_put_a_newcomer_to_a_slow_one_last),
        cmocka_unit_test(a_lane_full_for_long_goes_first_but_does_not_catch_up_at_a_stroke),
        cmocka_unit_test(waiting_in_a_full_lane_costs_a_party_no_turns_elsewhere),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
