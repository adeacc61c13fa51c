/* The limiter on one thread: queues that stand are cleared from their newest. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/limiter_scene.h"

/* Standing queues. */

static uint64_t patience(struct scene *scene, struct limiter_party *party)
{
    struct call call;
    uint64_t until_us;

    assert_int_equal(take(&scene->world, &call, 0, party), LIMITER_WAITING);
    until_us = call.waiter.give_up_us;
    cancel(&scene->world, &call);
    return until_us == CLOCK_NEVER ? CLOCK_NEVER : until_us - scene->world.now_us;
}

static void without_a_target_nobody_gives_up(void **state)
{
    struct scene *scene = *state;

    fill_queue(scene, 10);
    scene->world.now_us += 10 * SECOND;
    assert_int_equal(patience(scene, &scene->large), CLOCK_NEVER);
    assert_ptr_equal(next_after(&scene->world, 0), &scene->waiters[0]);
}

static void a_standing_queue_is_cleared_from_its_newest(void **state)
{
    struct scene *scene = *state;

    fill_queue(scene, 10);
    assert_int_equal(patience(scene, &scene->large), 100 * MS);
    scene->world.now_us += 100 * MS - 1;
    assert_int_equal(patience(scene, &scene->large), 100 * MS);
    assert_ptr_equal(next_after(&scene->world, 0), &scene->waiters[0]);
    scene->world.now_us += 1;
    assert_int_equal(patience(scene, &scene->large), 5 * MS);
    assert_ptr_equal(next_after(&scene->world, 0), &scene->waiters[9]);
    assert_ptr_equal(next_after(&scene->world, 0), &scene->waiters[8]);
}

static void where_the_newest_goes_first_it_is_in_time(void **state)
{
    struct scene *scene = *state;

    make_rate_known(scene);
    fill_queue(scene, 50);
    assert_false(is_let_in(scene, 20 * MS, 0, &scene->large));
    scene->world.now_us += 100 * MS;
    assert_true(is_let_in(scene, 2 * MS, 0, &scene->large));
}

static void who_waits_where_others_fill_the_queue_is_not_cleared_with_them(void **state)
{
    struct scene *scene = *state;
    struct call calls[2];

    fill_queue(scene, 10);
    scene->world.now_us += 200 * MS;
    assert_int_equal(patience(scene, &scene->small), 100 * MS);
    wait_all(&scene->world, calls, 2, 0, &scene->small);
    assert_ptr_equal(next_after(&scene->world, 0), &scene->waiters[9]);
    assert_ptr_equal(next_after(&scene->world, 0), &calls[0]);
    assert_ptr_equal(next_after(&scene->world, 0), &scene->waiters[8]);
    assert_ptr_equal(next_after(&scene->world, 0), &calls[1]);
}

static void one_turn_may_be_waited_for_however_slow_the_lane(void **state)
{
    struct scene *scene = *state;

    fill_queue(scene, 20);
    serve(scene, 10, 300 * MS);
    assert_int_equal(patience(scene, &scene->large), 300 * MS);
    assert_int_equal(patience(scene, &scene->small), 600 * MS);
}

static void a_gathering_is_let_in_as_long_as_the_queue_need_not_be_cleared(void **state)
{
    struct scene *scene = *state;

    make_rate_known(scene);
    assert_int_equal(can_meet(scene, scene->light, 60, 0, SECOND), 50); /* half the interval */
    wait_all(&scene->world, scene->waiters, 10, 0, &scene->small);
    scene->world.now_us += 80 * MS;
    assert_int_equal(can_meet(scene, scene->light, 60, 0, SECOND), 4); /* of what is left of it */
    scene->world.now_us += 20 * MS;
    assert_int_equal(can_meet(scene, scene->light, 60, 0, SECOND), 1); /* half the target */
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up_shedding, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(without_a_target_nobody_gives_up, set_up, tear_down),
        TEST(a_standing_queue_is_cleared_from_its_newest),
        TEST(where_the_newest_goes_first_it_is_in_time),
        TEST(who_waits_where_others_fill_the_queue_is_not_cleared_with_them),
        TEST(one_turn_may_be_waited_for_however_slow_the_lane),
        TEST(a_gathering_is_let_in_as_long_as_the_queue_need_not_be_cleared),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
