/*
 * A limiter, its lanes and one member, for tests on one thread. Every step
 * checks the limiter's own counts; every grant is noted in the order it comes.
 */
#ifndef TESTS_LIMITER_WORLD_H
#define TESTS_LIMITER_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fanout/clock.h"
#include "fanout/limiter.h"

#include <stdlib.h>
#include <string.h>

#define MANY       1000
#define MOST       (3 * MANY)
#define MANY_LANES 10
#define START_US   1000000000u

struct world {
    struct limiter *limiter;
    struct limiter_lane *lanes[MANY_LANES];
    struct limiter_member member;
    uint64_t now_us;
    unsigned wakes;
    struct call *granted[MOST]; /* in the order in which on_granted was called */
    size_t granted_count;
    struct call *refused[MOST]; /* and on_refused */
    size_t refused_count;
};

/* One wish for a slot. */
struct call {
    struct limiter_waiter waiter;
    struct world *world;
    size_t lane;
    enum limiter_answer refusal;
    void (*then)(struct call *call);
    struct call *other;
};

static inline void on_wake(void *arg)
{
    struct world *world = arg;

    world->wakes++;
}

static inline void open_world_as(struct world *world, const struct limiter_settings *settings)
{
    memset(world, 0, sizeof *world);
    world->now_us = START_US;
    world->limiter = limiter_new(settings, world->now_us);
    limiter_member_init(&world->member, world->limiter, on_wake, world);
}

static inline void open_world(struct world *world, unsigned max_in_flight, unsigned max_queue)
{
    struct limiter_settings settings = {
        .max_in_flight = max_in_flight, .max_queue = max_queue, .shed_target_us = CLOCK_NEVER};

    open_world_as(world, &settings);
}

/* Every slot given back, every waiter gone. */
static inline void close_world(struct world *world)
{
    struct limiter_counts counts;

    limiter_check(world->limiter);
    limiter_counts(world->limiter, &counts);
    assert_int_equal(counts.in_flight, 0);
    assert_int_equal(counts.queued, 0);
    for (size_t i = 0; i < MANY_LANES; i++)
        limiter_lane_free(world->lanes[i]);
    limiter_free(world->limiter);
}

static inline void add_lanes(struct world *world, size_t count, unsigned max_in_flight)
{
    size_t lane = 0;

    while (world->lanes[lane] != NULL)
        lane++;
    for (size_t end = lane + count; lane < end; lane++)
        world->lanes[lane] = limiter_lane_new(world->limiter, max_in_flight);
}

static inline void on_granted(void *arg)
{
    struct call *call = arg;
    struct world *world = call->world;

    assert_true(world->granted_count < MOST);
    world->granted[world->granted_count++] = call;
    if (call->then != NULL)
        call->then(call);
}

static inline void on_refused(void *arg, enum limiter_answer answer)
{
    struct call *call = arg;
    struct world *world = call->world;

    assert_true(world->refused_count < MOST);
    call->refusal = answer;
    world->refused[world->refused_count++] = call;
}

/* What take asks for may be changed in between. */
static inline void prepare(struct world *world, struct call *call, size_t lane)
{
    *call = (struct call){.world = world, .lane = lane};
    call->waiter = (struct limiter_waiter){.on_granted = on_granted,
                                           .on_refused = on_refused,
                                           .arg = call,
                                           .deadline_us = CLOCK_NEVER,
                                           .priority = LIMITER_NORMAL};
}

static inline enum limiter_answer take_prepared(struct call *call, struct limiter_party *party)
{
    struct world *world = call->world;
    enum limiter_answer answer =
        limiter_take(world->lanes[call->lane], &world->member, party, &call->waiter, world->now_us);

    limiter_check(world->limiter);
    return answer;
}

static inline enum limiter_answer take(struct world *world, struct call *call, size_t lane,
                                       struct limiter_party *party)
{
    prepare(world, call, lane);
    return take_prepared(call, party);
}

static inline enum limiter_answer take_as(struct world *world, struct call *call, size_t lane,
                                          struct limiter_party *party,
                                          enum limiter_priority priority)
{
    prepare(world, call, lane);
    call->waiter.priority = priority;
    return take_prepared(call, party);
}

/* count calls of one party, of which each gets a slot at once. */
static inline void take_all(struct world *world, struct call *calls, size_t count, size_t lane,
                            struct limiter_party *party)
{
    for (size_t i = 0; i < count; i++)
        assert_int_equal(take(world, &calls[i], lane, party), LIMITER_TAKEN);
}

/* count calls of one party, of which each has to wait. */
static inline void wait_all(struct world *world, struct call *calls, size_t count, size_t lane,
                            struct limiter_party *party)
{
    for (size_t i = 0; i < count; i++)
        assert_int_equal(take(world, &calls[i], lane, party), LIMITER_WAITING);
}

/* One slot for all lanes, and it is taken, in the first. */
static inline void open_busy_world(struct world *world, size_t lanes, unsigned max_queue,
                                   struct call *holder, struct limiter_party *party)
{
    open_world(world, 1, max_queue);
    add_lanes(world, lanes, 1);
    assert_int_equal(take(world, holder, 0, party), LIMITER_TAKEN);
}

static inline void give(struct world *world, size_t lane)
{
    limiter_give(world->lanes[lane], world->now_us);
    limiter_check(world->limiter);
}

static inline void give_all(struct world *world, size_t lane, size_t count)
{
    for (size_t i = 0; i < count; i++)
        give(world, lane);
}

static inline void cancel(struct world *world, struct call *call)
{
    limiter_cancel(&call->waiter, world->now_us);
    limiter_check(world->limiter);
}

/* Gives one slot back and says who got it, NULL for nobody. */
static inline struct call *next_after(struct world *world, size_t lane)
{
    size_t before = world->granted_count;

    give(world, lane);
    limiter_collect(&world->member);
    assert_true(world->granted_count <= before + 1);
    return world->granted_count > before ? world->granted[before] : NULL;
}

/* The slot of this lane goes from each of these to the next. */
static inline void assert_served_in_order(struct world *world, size_t lane,
                                          const struct call *calls, size_t count)
{
    for (size_t i = 0; i < count; i++)
        assert_ptr_equal(next_after(world, lane), &calls[i]);
}

static inline unsigned in_flight(struct limiter_lane *lane)
{
    struct limiter_counts counts;

    limiter_lane_counts(lane, &counts);
    return counts.in_flight;
}

static inline unsigned queued(const struct world *world)
{
    struct limiter_counts counts;

    limiter_counts(world->limiter, &counts);
    return counts.queued;
}

static inline bool is_among(const struct call *call, const struct call *calls, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (call == &calls[i])
            return true;
    return false;
}

/* Gives slots back one after the other until all of these have had one; says how many it took. */
static inline size_t grants_until_all_served(struct world *world, struct call *holder,
                                             const struct call *calls, size_t count)
{
    size_t grants = 0, served = 0;

    while (served < count) {
        holder = next_after(world, holder->lane);
        assert_non_null(holder);
        grants++;
        if (is_among(holder, calls, count))
            served++;
    }
    return grants;
}

/* The holder and whoever comes after it give back until nobody waits. */
static inline void drain(struct world *world, size_t lane)
{
    struct call *holder;

    while ((holder = next_after(world, lane)) != NULL)
        lane = holder->lane;
}

#endif
