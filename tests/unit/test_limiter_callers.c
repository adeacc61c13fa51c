/* The limiter on one thread: turns between callers, priorities, a full queue, caps that change. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fanout/dice.h"
#include "fanout/limiter.h"
#include "tests/unit/limiter_world.h"

static struct limiter_party party_of(struct limiter_caller *caller)
{
    return (struct limiter_party){.caller = caller};
}

static struct limiter_caller *caller_named(struct world *world, const char *name)
{
    return limiter_caller_take(world->limiter, name, strlen(name));
}

/* Two callers with a party each, and a slot that is taken. */
struct scene {
    struct world world;
    struct limiter_caller *greedy, *light;
    struct limiter_party greedys_party, lights_party, holders_party;
    struct call holder;
};

static void open_scene(struct scene *scene, size_t lanes, unsigned max_queue)
{
    scene->holders_party = (struct limiter_party){0};
    open_busy_world(&scene->world, lanes, max_queue, &scene->holder, &scene->holders_party);
    scene->greedy = caller_named(&scene->world, "greedy");
    scene->light = caller_named(&scene->world, "light");
    scene->greedys_party = party_of(scene->greedy);
    scene->lights_party = party_of(scene->light);
}

/* With everybody served, from the slot that is in use in this lane on. */
static void close_scene(struct scene *scene, size_t lane)
{
    drain(&scene->world, lane);
    limiter_caller_release(scene->greedy);
    limiter_caller_release(scene->light);
    close_world(&scene->world);
}

/* Callers by their keys. */

static void a_caller_is_the_same_for_as_long_as_it_is_in_use(void **state)
{
    struct limiter_caller *caller, *again, *other;
    struct world world;

    (void)state;
    open_world(&world, 1, 1);
    caller = caller_named(&world, "one");
    again = caller_named(&world, "one");
    other = caller_named(&world, "ones");
    assert_ptr_equal(caller, again);
    assert_ptr_not_equal(caller, other);
    limiter_caller_release(caller);
    assert_ptr_equal(caller_named(&world, "one"), caller);
    limiter_caller_release(caller);
    limiter_caller_release(again);
    limiter_caller_release(other);
    limiter_caller_release(NULL);
    close_world(&world);
}

static void keys_are_any_bytes_of_any_length(void **state)
{
    static const char keys[][20] = {"",    "\0",      "a",        "a\0",
                                    "\0a", "1234567", "12345678", "123456789"};
    static const size_t lengths[] = {0, 1, 1, 2, 2, 7, 8, 20};
    enum { COUNT = sizeof lengths / sizeof lengths[0] };
    struct limiter_caller *callers[COUNT];
    struct world world;

    (void)state;
    open_world(&world, 1, 1);
    for (size_t i = 0; i < COUNT; i++)
        callers[i] = limiter_caller_take(world.limiter, keys[i], lengths[i]);
    for (size_t i = 0; i < COUNT; i++)
        for (size_t j = 0; j < COUNT; j++) {
            struct limiter_caller *found = limiter_caller_take(world.limiter, keys[j], lengths[j]);

            assert_true((found == callers[i]) == (i == j));
            limiter_caller_release(found);
        }
    for (size_t i = 0; i < COUNT; i++)
        limiter_caller_release(callers[i]);
    close_world(&world);
}

static void many_callers_come_and_go(void **state)
{
    enum { COUNT = 5000 };
    static struct limiter_caller *callers[COUNT];
    struct dice dice = {1};
    struct world world;

    (void)state;
    open_world(&world, 1, 1);
    for (size_t i = 0; i < COUNT; i++)
        callers[i] = limiter_caller_take(world.limiter, &i, sizeof i);
    for (size_t i = 0; i < COUNT; i++) {
        size_t any = (size_t)dice_below(&dice, COUNT);

        assert_ptr_equal(limiter_caller_take(world.limiter, &any, sizeof any), callers[any]);
        limiter_caller_release(callers[any]);
    }
    for (size_t i = 0; i < COUNT; i++)
        limiter_caller_release(callers[i]);
    close_world(&world);
}

/* Turns. */

static void callers_take_turns_whatever_the_number_of_their_parties(void **state)
{
    static struct call many[MANY];
    static struct limiter_party parties[MANY];
    struct call few[3];
    struct scene scene;

    (void)state;
    open_scene(&scene, 1, MOST);
    for (size_t i = 0; i < MANY; i++) {
        parties[i] = party_of(scene.greedy);
        wait_all(&scene.world, &many[i], 1, 0, &parties[i]);
    }
    assert_served_in_order(&scene.world, 0, many, 100);
    wait_all(&scene.world, few, 3, 0, &scene.lights_party);
    assert_true(grants_until_all_served(&scene.world, &scene.holder, few, 3) <= 6);
    close_scene(&scene, 0);
}

static void callers_take_turns_over_all_lanes(void **state)
{
    static struct call many[MANY];
    struct call few[3], *holder;
    struct scene scene;

    (void)state;
    open_scene(&scene, MANY_LANES, MOST);
    for (size_t i = 0; i < MANY; i++)
        wait_all(&scene.world, &many[i], 1, i % MANY_LANES, &scene.greedys_party);
    holder = &scene.holder;
    for (size_t i = 0; i < 100; i++) /* what a caller has at once is used up */
        holder = next_after(&scene.world, holder->lane);
    wait_all(&scene.world, few, 3, 4, &scene.lights_party);
    assert_true(grants_until_all_served(&scene.world, holder, few, 3) <= 6);
    close_scene(&scene, scene.world.granted[scene.world.granted_count - 1]->lane);
}

static void a_callers_own_parties_take_turns_in_its_turns(void **state)
{
    struct call of_large[4], of_small[2], of_light[6];
    struct limiter_party small;
    struct call *expected[] = {&of_large[0], &of_light[0], &of_small[0], &of_light[1],
                               &of_large[1], &of_light[2], &of_small[1], &of_light[3],
                               &of_large[2], &of_light[4], &of_large[3], &of_light[5]};
    struct scene scene;

    (void)state;
    open_scene(&scene, 1, MOST);
    small = party_of(scene.greedy);
    wait_all(&scene.world, of_large, 4, 0, &scene.greedys_party);
    wait_all(&scene.world, of_light, 6, 0, &scene.lights_party);
    wait_all(&scene.world, of_small, 2, 0, &small);
    for (size_t i = 0; i < 12; i++)
        assert_ptr_equal(next_after(&scene.world, 0), expected[i]);
    close_scene(&scene, 0);
}

static void what_comes_at_once_is_for_one_turn(void **state)
{
    struct call of_first[3], of_second[3];
    struct call *holder;
    struct scene scene;

    (void)state;
    open_scene(&scene, 3, MOST);
    scene.greedys_party.burst = scene.lights_party.burst = 3;
    for (size_t i = 0; i < 3; i++)
        wait_all(&scene.world, &of_first[i], 1, i, &scene.greedys_party);
    for (size_t i = 0; i < 3; i++)
        wait_all(&scene.world, &of_second[i], 1, 2 - i, &scene.lights_party);
    holder = &scene.holder;
    for (size_t i = 0; i < 6; i++) {
        holder = next_after(&scene.world, holder->lane);
        assert_ptr_equal(holder, i < 3 ? &of_first[i] : &of_second[i - 3]);
    }
    close_scene(&scene, holder->lane);
}

/* Priorities. */

static void a_higher_priority_always_goes_first(void **state)
{
    static const enum limiter_priority priorities[] = {LIMITER_LOW,  LIMITER_NORMAL, LIMITER_HIGH,
                                                       LIMITER_LOW,  LIMITER_HIGH,   LIMITER_NORMAL,
                                                       LIMITER_HIGH, LIMITER_LOW};
    static const size_t order[] = {2, 4, 6, 1, 5, 0, 3, 7};
    struct limiter_party parties[8];
    struct call calls[8], *holder;
    struct scene scene;

    (void)state;
    open_scene(&scene, 3, MOST);
    for (size_t i = 0; i < 8; i++) {
        parties[i] = party_of(i % 2 == 0 ? scene.greedy : scene.light);
        assert_int_equal(take_as(&scene.world, &calls[i], i % 3, &parties[i], priorities[i]),
                         LIMITER_WAITING);
    }
    holder = &scene.holder;
    for (size_t i = 0; i < 8; i++) {
        holder = next_after(&scene.world, holder->lane);
        assert_ptr_equal(holder, &calls[order[i]]);
    }
    close_scene(&scene, holder->lane);
}

/* A full queue. */

static void the_longest_queue_makes_room_for_others(void **state)
{
    struct call many[6], few[3];
    struct limiter_counts counts;
    struct scene scene;

    (void)state;
    open_scene(&scene, 2, 6);
    wait_all(&scene.world, many, 6, 0, &scene.greedys_party);
    assert_int_equal(take(&scene.world, &few[0], 1, &scene.lights_party), LIMITER_WAITING);
    assert_int_equal(take(&scene.world, &few[1], 0, &scene.lights_party), LIMITER_WAITING);
    assert_int_equal(scene.world.wakes, 1);
    assert_int_equal(scene.world.refused_count, 0);
    limiter_collect(&scene.world.member);
    assert_int_equal(scene.world.refused_count, 2);
    assert_ptr_equal(scene.world.refused[0], &many[5]);
    assert_ptr_equal(scene.world.refused[1], &many[4]);
    assert_int_equal(many[4].refusal, LIMITER_FULL);
    assert_int_equal(take(&scene.world, &few[2], 1, &scene.lights_party), LIMITER_WAITING);
    limiter_counts(scene.world.limiter, &counts);
    assert_int_equal(counts.refused_full, 3);
    assert_int_equal(counts.callers, 2);
    limiter_collect(&scene.world.member);
    close_scene(&scene, 0);
}

static void who_has_as_much_as_the_others_is_turned_away(void **state)
{
    struct call of_one[3], of_other[3], late;
    struct scene scene;

    (void)state;
    open_scene(&scene, 1, 6);
    wait_all(&scene.world, of_one, 3, 0, &scene.greedys_party);
    wait_all(&scene.world, of_other, 3, 0, &scene.lights_party);
    assert_int_equal(take(&scene.world, &late, 0, &scene.greedys_party), LIMITER_FULL);
    assert_int_equal(take(&scene.world, &late, 0, &scene.lights_party), LIMITER_FULL);
    assert_int_equal(take(&scene.world, &late, 0, &scene.holders_party), LIMITER_WAITING);
    cancel(&scene.world, &of_one[0]);
    limiter_collect(&scene.world.member);
    close_scene(&scene, 0);
}

static void a_higher_priority_displaces_the_lowest(void **state)
{
    struct call low[2], normal[2], high[4], late;
    struct scene scene;

    (void)state;
    open_scene(&scene, 1, 4);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(take_as(&scene.world, &low[i], 0, &scene.greedys_party, LIMITER_LOW),
                         LIMITER_WAITING);
        assert_int_equal(take_as(&scene.world, &normal[i], 0, &scene.lights_party, LIMITER_NORMAL),
                         LIMITER_WAITING);
    }
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(take_as(&scene.world, &high[i], 0, &scene.lights_party, LIMITER_HIGH),
                         LIMITER_WAITING);
    limiter_collect(&scene.world.member);
    assert_ptr_equal(scene.world.refused[0], &low[1]);
    assert_ptr_equal(scene.world.refused[1], &low[0]);
    assert_ptr_equal(scene.world.refused[2], &normal[1]);
    assert_ptr_equal(scene.world.refused[3], &normal[0]);
    assert_int_equal(take_as(&scene.world, &late, 0, &scene.holders_party, LIMITER_NORMAL),
                     LIMITER_FULL);
    close_scene(&scene, 0);
}

static void who_was_displaced_and_not_told_yet_may_cancel(void **state)
{
    struct call many[3], few;
    struct scene scene;

    (void)state;
    open_scene(&scene, 1, 3);
    wait_all(&scene.world, many, 3, 0, &scene.greedys_party);
    wait_all(&scene.world, &few, 1, 0, &scene.lights_party);
    cancel(&scene.world, &many[2]);
    limiter_collect(&scene.world.member);
    assert_int_equal(scene.world.refused_count, 0);
    assert_int_equal(in_flight(scene.world.lanes[0]), 1);
    close_scene(&scene, 0);
}

/* Caps that change. */

static void a_higher_cap_grants_at_once(void **state)
{
    struct limiter_party party = {0};
    struct call holder, calls[4];
    struct world world;

    (void)state;
    open_world(&world, 4, 8);
    add_lanes(&world, 1, 1);
    assert_int_equal(take(&world, &holder, 0, &party), LIMITER_TAKEN);
    assert_int_equal(holder.waiter.in_flight, 1);
    wait_all(&world, calls, 4, 0, &party);
    limiter_lane_resize(world.lanes[0], 3, world.now_us);
    limiter_check(world.limiter);
    limiter_collect(&world.member);
    assert_int_equal(world.granted_count, 2);
    assert_int_equal(calls[1].waiter.in_flight, 3);
    limiter_lane_resize(world.lanes[0], 9, world.now_us);
    limiter_collect(&world.member);
    assert_int_equal(world.granted_count, 3); /* the cap over all lanes */
    give_all(&world, 0, 5);
    limiter_collect(&world.member);
    close_world(&world);
}

static void a_lower_cap_grants_nobody_until_it_fits(void **state)
{
    struct limiter_party party = {0};
    struct call holders[4], calls[2];
    struct world world;

    (void)state;
    open_world(&world, 8, 8);
    add_lanes(&world, 1, 4);
    take_all(&world, holders, 4, 0, &party);
    limiter_lane_resize(world.lanes[0], 2, world.now_us);
    limiter_check(world.limiter);
    wait_all(&world, calls, 2, 0, &party);
    assert_null(next_after(&world, 0));
    assert_null(next_after(&world, 0));
    assert_int_equal(in_flight(world.lanes[0]), 2);
    assert_ptr_equal(next_after(&world, 0), &calls[0]);
    assert_ptr_equal(next_after(&world, 0), &calls[1]);
    give_all(&world, 0, 2);
    close_world(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_caller_is_the_same_for_as_long_as_it_is_in_use),
        cmocka_unit_test(keys_are_any_bytes_of_any_length),
        cmocka_unit_test(many_callers_come_and_go),
        cmocka_unit_test(callers_take_turns_whatever_the_number_of_their_parties),
        cmocka_unit_test(callers_take_turns_over_all_lanes),
        cmocka_unit_test(a_callers_own_parties_take_turns_in_its_turns),
        cmocka_unit_test(what_comes_at_once_is_for_one_turn),
        cmocka_unit_test(a_higher_priority_always_goes_first),
        cmocka_unit_test(the_longest_queue_makes_room_for_others),
        cmocka_unit_test(who_has_as_much_as_the_others_is_turned_away),
        cmocka_unit_test(a_higher_priority_displaces_the_lowest),
        cmocka_unit_test(who_was_displaced_and_not_told_yet_may_cancel),
        cmocka_unit_test(a_higher_cap_grants_at_once),
        cmocka_unit_test(a_lower_cap_grants_nobody_until_it_fits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
