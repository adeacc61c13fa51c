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
 * lane's queue. */
struct scene {
    struct world world;
    struct limiter_caller *greedy, *light;
    struct limiter_party large, small;
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

/* So that the rate is known: a turn every millisecond, of a caller with one waiter. */
static inline void run_for(struct scene *scene, uint64_t time_us)
{
    struct world *world = &scene->world;

    wait_all(world, &scene->filler, 1, 0, &scene->large);
    for (uint64_t end_us = world->now_us + time_us; world->now_us < end_us;) {
        world->now_us += MS;
        world->granted_count = 0;
        assert_ptr_equal(next_after(world, 0), &scene->filler);
        if (world->now_us < end_us)
            wait_all(world, &scene->filler, 1, 0, &scene->large);
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
