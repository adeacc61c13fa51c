/*
 * A limiter of which the rate can be made known, and two callers: one that
 * fills the queue, and one that does not.
 */
#ifndef TESTS_LIMITER_SCENE_H
#define TESTS_LIMITER_SCENE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fanout/limiter.h"
#include "tests/unit/limiter_world.h"

#define MS     ((uint64_t)1000)
#define SECOND (1000 * MS)
#define QUEUE  100

/* One slot for each lane, which is given back every millisecond, and a caller that fills the first
 * lane's queue. Who still waits at the end is served then, and so is in here with its party. */
struct scene {
    struct world world;
    struct limiter_caller *greedy, *light;
    struct limiter_party large, small, nobodys;
    struct call waiters[QUEUE];
    struct call filler; /* of the time before */
};

static inline void open_scene(struct scene *scene, const struct limiter_settings *settings)
{
    open_world_as(&scene->world, settings);
    add_lanes(&scene->world, 2, 1);
    scene->greedy = limiter_caller_take(scene->world.limiter, "greedy", 6);
    scene->light = limiter_caller_take(scene->world.limiter, "light", 5);
    scene->large = (struct limiter_party){.caller = scene->greedy};
    scene->small = (struct limiter_party){.caller = scene->light};
    scene->nobodys = (struct limiter_party){0};
    assert_int_equal(take(&scene->world, &scene->filler, 0, &scene->large), LIMITER_TAKEN);
}

static const struct limiter_settings usual = {
    .max_in_flight = 2, .max_queue = QUEUE, .shed_target_us = CLOCK_NEVER};
static const struct limiter_settings shedding = {
    .max_in_flight = 2, .max_queue = QUEUE, .shed_target_us = 5 * MS, .shed_interval_us = 100 * MS};

static inline void close_scene(struct scene *scene)
{
    drain(&scene->world, 0);
    limiter_caller_release(scene->greedy);
    limiter_caller_release(scene->light);
    close_world(&scene->world);
}

static inline int set_up_as(void **state, const struct limiter_settings *settings)
{
    struct scene *scene = malloc(sizeof *scene);

    open_scene(scene, settings);
    *state = scene;
    return 0;
}

static inline int set_up(void **state)
{
    return set_up_as(state, &usual);
}

static inline int set_up_shedding(void **state)
{
    return set_up_as(state, &shedding);
}

static inline int tear_down(void **state)
{
    close_scene(*state);
    free(*state);
    return 0;
}

/* A second with a turn every millisecond, of a caller with one waiter. */
static inline void make_rate_known(struct scene *scene)
{
    struct world *world = &scene->world;

    wait_all(world, &scene->filler, 1, 0, &scene->large);
    for (uint64_t end_us = world->now_us + SECOND; world->now_us < end_us;) {
        world->now_us += MS;
        world->granted_count = 0;
        assert_ptr_equal(next_after(world, 0), &scene->filler);
        if (world->now_us < end_us)
            wait_all(world, &scene->filler, 1, 0, &scene->large);
    }
}

/* With so many of the greedy caller. */
static inline void fill_queue(struct scene *scene, size_t count)
{
    wait_all(&scene->world, scene->waiters, count, 0, &scene->large);
}

/* Each after such a time. */
static inline void serve(struct scene *scene, size_t count, uint64_t each_us)
{
    for (size_t i = 0; i < count; i++) {
        scene->world.now_us += each_us;
        assert_non_null(next_after(&scene->world, 0));
    }
}

static inline enum limiter_answer take_until(struct scene *scene, struct call *call,
                                             uint64_t within_us, uint64_t service_us,
                                             struct limiter_party *party)
{
    prepare(&scene->world, call, 0);
    call->waiter.deadline_us = scene->world.now_us + within_us;
    call->waiter.service_us = service_us;
    return take_prepared(call, party);
}

/* Whether it would be let in; it does not stay. */
static inline bool is_let_in(struct scene *scene, uint64_t within_us, uint64_t service_us,
                             struct limiter_party *party)
{
    struct call call;
    enum limiter_answer answer = take_until(scene, &call, within_us, service_us, party);

    cancel(&scene->world, &call);
    assert_true(answer == LIMITER_WAITING || answer == LIMITER_LATE);
    return answer == LIMITER_WAITING;
}

/* It is let in with so much time, and not with a microsecond less. */
static inline void assert_needs(struct scene *scene, uint64_t within_us, uint64_t service_us,
                                struct limiter_party *party)
{
    assert_true(is_let_in(scene, within_us, service_us, party));
    assert_false(is_let_in(scene, within_us - 1, service_us, party));
}

/* Of so many for each of the two lanes. */
static inline size_t can_meet(struct scene *scene, const struct limiter_caller *caller,
                              size_t first, size_t second, uint64_t within_us)
{
    struct limiter_wish wishes[QUEUE * 2];

    for (size_t i = 0; i < first + second; i++)
        wishes[i] = (struct limiter_wish){.lane = scene->world.lanes[i < first ? 0 : 1]};
    return limiter_can_meet(scene->world.limiter, caller, LIMITER_NORMAL, wishes, first + second,
                            scene->world.now_us + within_us, scene->world.now_us);
}

#endif
