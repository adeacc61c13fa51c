/* The limiter on one thread: what it expects of a wait, and whom it refuses for it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/limiter_scene.h"

/* Deadlines. */

static void nobody_is_refused_as_long_as_the_rate_is_unknown(void **state)
{
    struct scene *scene = *state;

    fill_queue(scene, 50);
    scene->world.now_us += SECOND;
    assert_true(is_let_in(scene, 1, 0, &scene->large));
}

static void who_cannot_be_served_in_time_is_refused(void **state)
{
    struct scene *scene = *state;
    struct limiter_counts counts;

    make_rate_known(scene);
    fill_queue(scene, 9);
    assert_needs(scene, 10 * MS, 0, &scene->large);
    assert_needs(scene, 14 * MS, 4 * MS, &scene->large);
    limiter_lane_counts(scene->world.lanes[0], &counts);
    assert_int_equal(counts.refused_late, 2);
    assert_int_equal(counts.granted_after_wait, 1000);
    limiter_counts(scene->world.limiter, &counts);
    assert_int_equal(counts.refused_late, 2);
}

static void who_takes_turns_with_a_long_queue_need_not_wait_for_all_of_it(void **state)
{
    struct scene *scene = *state;
    struct limiter_party other = {.caller = scene->greedy};

    make_rate_known(scene);
    fill_queue(scene, 50);
    assert_needs(scene, 2 * MS, 0, &scene->small);
    assert_true(is_let_in(scene, 2 * MS, 0, &other)); /* a party among its caller's */
    wait_all(&scene->world, &scene->waiters[50], 1, 0, &scene->small);
    assert_needs(scene, 4 * MS, 0, &scene->small);
    assert_int_equal(limiter_lane_wait_us(scene->world.lanes[0], scene->world.now_us), 3 * MS);
}

static void who_had_more_than_a_burst_of_turns_waits_for_the_others(void **state)
{
    struct scene *scene = *state;
    struct call call;

    make_rate_known(scene);
    fill_queue(scene, 50);
    for (size_t i = 0; i < 64 + 10; i++) {
        wait_all(&scene->world, &call, 1, 0, &scene->small);
        cancel(&scene->world, &call);
    }
    assert_int_equal(can_meet(scene, scene->light, 1, 0, 24 * MS), 1);
    assert_int_equal(can_meet(scene, scene->light, 1, 0, 24 * MS - 2), 0);
    wait_all(&scene->world, &scene->waiters[50], 1, 0, &scene->small);
    assert_needs(scene, 14 * MS, 0, &scene->small);
}

static void a_rate_is_known_when_those_begun_together_have_ended(void **state)
{
    struct call holders[19];
    struct scene scene;

    (void)state;
    open_scene(&scene, &(struct limiter_settings){
                           .max_in_flight = 20, .max_queue = 100, .shed_target_us = CLOCK_NEVER});
    limiter_lane_resize(scene.world.lanes[0], 20, scene.world.now_us);
    take_all(&scene.world, holders, 19, 0, &scene.large);
    fill_queue(&scene, 60);
    scene.world.now_us += SECOND;
    for (size_t i = 0; i < 19; i++)
        assert_non_null(next_after(&scene.world, 0));
    assert_true(is_let_in(&scene, SECOND, 0, &scene.large));
    assert_non_null(next_after(&scene.world, 0));
    assert_true(is_let_in(&scene, 3 * SECOND, 0, &scene.large));
    assert_false(is_let_in(&scene, 2 * SECOND, 0, &scene.large));
    drain(&scene.world, 0);
    give_all(&scene.world, 0, 18);
    close_scene(&scene);
}

static void higher_priorities_are_waited_for(void **state)
{
    struct scene *scene = *state;

    make_rate_known(scene);
    for (size_t i = 0; i < 20; i++)
        assert_int_equal(take_as(&scene->world, &scene->waiters[i], 0, &scene->large,
                                 i < 5 ? LIMITER_HIGH : LIMITER_LOW),
                         LIMITER_WAITING);
    assert_needs(scene, 6 * MS, 0, &scene->small);
}

static void the_time_in_which_nobody_waits_says_nothing(void **state)
{
    struct scene *scene = *state;

    make_rate_known(scene);
    scene->world.now_us += 2 * SECOND;
    fill_queue(scene, 9);
    assert_needs(scene, 10 * MS, 0, &scene->large);
}

static void a_rate_of_long_ago_is_forgotten(void **state)
{
    struct scene *scene = *state;

    make_rate_known(scene);
    scene->world.now_us += 6 * SECOND;
    fill_queue(scene, 50);
    assert_true(is_let_in(scene, 1, 0, &scene->large));
}

static void a_lane_that_serves_nobody_for_long_is_known_to_be_slow(void **state)
{
    struct scene *scene = *state;

    fill_queue(scene, 1);
    scene->world.now_us += 3 * SECOND;
    assert_true(is_let_in(scene, SECOND, 0, &scene->large));
    scene->world.now_us += SECOND;
    assert_false(is_let_in(scene, SECOND, 0, &scene->large));
}

static void a_slot_is_not_wasted_on_who_is_late_by_then(void **state)
{
    struct scene *scene = *state;

    assert_int_equal(take_until(scene, &scene->waiters[0], 10 * MS, 2 * MS, &scene->large),
                     LIMITER_WAITING);
    assert_int_equal(take_until(scene, &scene->waiters[1], 10 * MS, 2 * MS + 1, &scene->small),
                     LIMITER_WAITING);
    assert_int_equal(take_until(scene, &scene->waiters[2], 20 * MS, 2 * MS, &scene->small),
                     LIMITER_WAITING);
    scene->world.now_us += 8 * MS;
    assert_ptr_equal(next_after(&scene->world, 0), &scene->waiters[0]);
    assert_ptr_equal(next_after(&scene->world, 0), &scene->waiters[2]);
    assert_int_equal(scene->world.refused_count, 1);
    assert_ptr_equal(scene->world.refused[0], &scene->waiters[1]);
    assert_int_equal(scene->waiters[1].refusal, LIMITER_LATE);
}

/* Whole gatherings. */

static void a_gathering_is_let_in_whole_where_nobody_waits(void **state)
{
    struct scene *scene = *state;

    assert_false(limiter_has_waiters(scene->world.limiter));
    assert_int_equal(can_meet(scene, scene->light, 20, 20, MS), 40);
    assert_int_equal(can_meet(scene, NULL, 20, 20, MS), 40);
}

/* Within half the time: what the others need is not known to be the average. */
static void a_gathering_learns_how_many_of_it_are_late(void **state)
{
    struct scene *scene = *state;

    make_rate_known(scene);
    fill_queue(scene, 50);
    assert_true(limiter_has_waiters(scene->world.limiter));
    assert_int_equal(can_meet(scene, scene->light, 10, 0, 40 * MS), 10);
    assert_int_equal(can_meet(scene, scene->light, 10, 0, 40 * MS - 2), 9);
    assert_int_equal(can_meet(scene, scene->light, 10, 5, 2 * MS), 5); /* nobody is in their way */
    assert_int_equal(can_meet(scene, scene->light, 10, 5, 4 * MS), 6);
    assert_int_equal(can_meet(scene, scene->light, 10, 5, 4 * MS), 6); /* asking changes nothing */
    assert_int_equal(can_meet(scene, scene->greedy, 1, 0, 4 * MS), 1);
    assert_int_equal(can_meet(scene, scene->greedy, 2, 0, 4 * MS), 1);
}

/* Each lane has one slot, which is never given back, and one who waits, of another caller. */
static void what_is_more_than_a_burst_is_for_later_turns(void **state)
{
    enum { COUNT = 70, BURST = 64 };
    static struct call holders[COUNT], waiters[COUNT];
    struct limiter_wish wishes[COUNT];
    struct limiter_party party = {0};
    struct scene scene;

    (void)state;
    open_scene(&scene, &(struct limiter_settings){
                           .max_in_flight = 200, .max_queue = 200, .shed_target_us = CLOCK_NEVER});
    for (size_t i = 0; i < COUNT; i++) {
        struct limiter_lane *lane = limiter_lane_new(scene.world.limiter, 1);

        wishes[i] = (struct limiter_wish){.lane = lane};
        prepare(&scene.world, &holders[i], 0);
        prepare(&scene.world, &waiters[i], 0);
        limiter_take(lane, &scene.world.member, &party, &holders[i].waiter, scene.world.now_us);
        limiter_take(lane, &scene.world.member, &party, &waiters[i].waiter, scene.world.now_us);
    }
    scene.world.now_us += 4 * SECOND; /* so much for a turn */
    assert_int_equal(limiter_can_meet(scene.world.limiter, scene.light, LIMITER_NORMAL, wishes,
                                      COUNT, scene.world.now_us + 16 * SECOND, scene.world.now_us),
                     1 + BURST);
    for (size_t i = 0; i < COUNT; i++) {
        limiter_cancel(&waiters[i].waiter, scene.world.now_us);
        limiter_give(wishes[i].lane, scene.world.now_us);
        limiter_lane_free(wishes[i].lane);
    }
    close_scene(&scene);
}

static void a_gathering_needs_room_in_the_queue(void **state)
{
    struct scene *scene = *state;

    fill_queue(scene, 40);
    assert_int_equal(can_meet(scene, scene->light, 60, 0, SECOND), 60);
    assert_int_equal(can_meet(scene, scene->light, 61, 0, SECOND), 60);
    assert_int_equal(can_meet(scene, scene->greedy, 61, 0, SECOND), 60);
    wait_all(&scene->world, &scene->waiters[40], 25, 0, &scene->large);
    assert_int_equal(can_meet(scene, scene->greedy, 35, 0, SECOND), 5); /* twice 35 less 65 */
    assert_int_equal(can_meet(scene, scene->light, 35, 0, SECOND), 35);
    for (size_t i = 65; i < 85; i++)
        assert_int_equal(take_as(&scene->world, &scene->waiters[i], 0, &scene->small, LIMITER_LOW),
                         LIMITER_WAITING);
    assert_int_equal(can_meet(scene, scene->light, 60, 0, SECOND), 50); /* half of all */
}

static void those_without_a_caller_may_fill_the_queue(void **state)
{
    struct scene *scene = *state;

    wait_all(&scene->world, scene->waiters, 80, 0, &scene->nobodys);
    assert_int_equal(can_meet(scene, NULL, 30, 0, SECOND), 20);
}

static void a_gathering_is_not_promised_the_same_slot_twice(void **state)
{
    struct scene scene;

    (void)state;
    open_scene(&scene, &(struct limiter_settings){
                           .max_in_flight = 3, .max_queue = 4, .shed_target_us = CLOCK_NEVER});
    limiter_lane_resize(scene.world.lanes[1], 9, scene.world.now_us);
    assert_int_equal(can_meet(&scene, scene.light, 0, 9, SECOND), 2 + 4);
    close_scene(&scene);
}

static void what_takes_too_long_can_wait_for_nothing(void **state)
{
    struct scene *scene = *state;
    struct limiter_wish wish = {.service_us = 10 * MS};

    wish.lane = scene->world.lanes[0];
    assert_int_equal(limiter_can_meet(scene->world.limiter, NULL, LIMITER_NORMAL, &wish, 1,
                                      scene->world.now_us + 10 * MS, scene->world.now_us),
                     1);
    assert_int_equal(limiter_can_meet(scene->world.limiter, NULL, LIMITER_NORMAL, &wish, 1,
                                      scene->world.now_us + 10 * MS - 1, scene->world.now_us),
                     0);
}

static unsigned retry_after_s(struct scene *scene)
{
    return limiter_retry_after_seconds(scene->world.limiter, scene->world.now_us);
}

static void retry_after_is_when_the_queue_will_have_been_served(void **state)
{
    struct scene *scene = *state;

    assert_int_equal(retry_after_s(scene), 1);
    fill_queue(scene, 20);
    assert_int_equal(retry_after_s(scene), 1);
    scene->world.now_us += 3 * SECOND; /* and nobody was served */
    assert_int_equal(retry_after_s(scene), 4);
    serve(scene, 10, 100 * MS);
    assert_int_equal(retry_after_s(scene), 4);
    scene->world.now_us += 100 * SECOND;
    assert_in_range(retry_after_s(scene), 5, 60);
}

static void retry_after_does_not_count_the_time_in_which_nobody_waited(void **state)
{
    struct scene *scene = *state;

    fill_queue(scene, 10);
    serve(scene, 10, 100 * MS);
    scene->world.now_us += 2 * SECOND;
    fill_queue(scene, 40);
    assert_int_equal(retry_after_s(scene), 4);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(nobody_is_refused_as_long_as_the_rate_is_unknown),
        TEST(who_cannot_be_served_in_time_is_refused),
        TEST(who_takes_turns_with_a_long_queue_need_not_wait_for_all_of_it),
        TEST(who_had_more_than_a_burst_of_turns_waits_for_the_others),
        cmocka_unit_test(a_rate_is_known_when_those_begun_together_have_ended),
        TEST(higher_priorities_are_waited_for),
        TEST(the_time_in_which_nobody_waits_says_nothing),
        TEST(a_rate_of_long_ago_is_forgotten),
        TEST(a_lane_that_serves_nobody_for_long_is_known_to_be_slow),
        TEST(a_slot_is_not_wasted_on_who_is_late_by_then),
        TEST(a_gathering_is_let_in_whole_where_nobody_waits),
        TEST(a_gathering_learns_how_many_of_it_are_late),
        cmocka_unit_test(what_is_more_than_a_burst_is_for_later_turns),
        TEST(a_gathering_needs_room_in_the_queue),
        TEST(those_without_a_caller_may_fill_the_queue),
        cmocka_unit_test(a_gathering_is_not_promised_the_same_slot_twice),
        TEST(what_takes_too_long_can_wait_for_nothing),
        TEST(retry_after_is_when_the_queue_will_have_been_served),
        TEST(retry_after_does_not_count_the_time_in_which_nobody_waited),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
