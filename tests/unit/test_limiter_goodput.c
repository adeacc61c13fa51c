/*
 * A service at twice its capacity, in its own time: requests of ten fetches
 * each with one deadline for all. What counts is how many are complete in time.
 * First come, first served, none is; with the limiter's forecast, as many as
 * there is capacity for, and those that are let in can rely on it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fanout/clock.h"
#include "fanout/dice.h"
#include "fanout/heap.h"
#include "fanout/limiter.h"

#include <stdlib.h>
#include <string.h>

#define MS            ((uint64_t)1000)
#define SECOND        (1000 * MS)
#define FETCHES       10
#define MOST_LANES    20
#define MOST_CALLERS  100
#define SERVICE_US    (10 * MS) /* on average: from half to one and a half times that */
#define WARM_UP_US    (2 * SECOND)
#define END_US        (8 * SECOND)
#define LATE_IN_1000  10 /* of those let in */
#define USEFUL_IN_100 90 /* of what there is capacity for */

struct scenario {
    unsigned slots, slots_of_lane;
    size_t lanes;
    bool any_lanes; /* each request asks ten of the lanes in a row, from any on */
    uint64_t deadline_us;
    size_t callers; /* 0: each request is for itself */
    bool one_is_greedy;
    bool first_come; /* without forecast, deadlines and turns */
    uint64_t shed_target_us;
};

enum kind { ARRIVAL, DEADLINE, ANSWER };

struct event {
    struct heap_node node;
    enum kind kind;
};

struct fetch {
    struct event event; /* its answer, or that it gives up */
    struct limiter_waiter waiter;
    struct request *request;
    size_t lane;
    enum { WAITS, FLIES, ENDED } state;
};

struct request {
    struct event deadline;
    struct limiter_party party;
    size_t caller;
    size_t pending, answered;
    struct fetch fetches[FETCHES];
};

static struct {
    const struct scenario *scenario;
    struct limiter *limiter;
    struct limiter_lane *lanes[MOST_LANES];
    struct limiter_caller *callers[MOST_CALLERS];
    struct limiter_member member;
    struct limiter_party queue; /* of all, first come, first served */
    struct event arrival;
    struct heap events;
    struct dice dice;
    uint64_t now_us;
} world;

static struct {
    unsigned asked[MOST_CALLERS], complete[MOST_CALLERS];
    unsigned let_in, useful, late;
} seen;

static void on_wake(void *arg)
{
    (void)arg;
}

static void at(struct event *event, enum kind kind, uint64_t at_us)
{
    event->kind = kind;
    heap_insert(&world.events, &event->node, at_us);
}

static void forget(struct event *event)
{
    if (heap_holds(&event->node))
        heap_remove(&world.events, &event->node);
}

static void request_end(struct request *request)
{
    bool is_complete = request->answered == FETCHES;

    forget(&request->deadline);
    seen.useful += is_complete;
    seen.late += !is_complete;
    seen.complete[request->caller] += is_complete;
    free(request);
}

static void fetch_end(struct fetch *fetch, bool answered)
{
    struct request *request = fetch->request;

    forget(&fetch->event);
    fetch->state = ENDED;
    request->answered += answered;
    if (--request->pending == 0)
        request_end(request);
}

static void fly(struct fetch *fetch)
{
    forget(&fetch->event);
    fetch->state = FLIES;
    at(&fetch->event, ANSWER, world.now_us + SERVICE_US / 2 + dice_below(&world.dice, SERVICE_US));
}

static void on_granted(void *arg)
{
    fly(arg);
}

static void on_refused(void *arg, enum limiter_answer answer)
{
    (void)answer;
    fetch_end(arg, false);
}

static void fetch_start(struct fetch *fetch)
{
    struct request *request = fetch->request;
    struct limiter_party *party = world.scenario->first_come ? &world.queue : &request->party;
    struct limiter_waiter *waiter = &fetch->waiter;

    *waiter = (struct limiter_waiter){
        .on_granted = on_granted,
        .on_refused = on_refused,
        .arg = fetch,
        .deadline_us = world.scenario->first_come ? CLOCK_NEVER : request->deadline.node.key,
        .service_us = SERVICE_US,
        .priority = LIMITER_NORMAL};
    switch (limiter_take(world.lanes[fetch->lane], &world.member, party, waiter, world.now_us)) {
    case LIMITER_TAKEN:
        fly(fetch);
        break;
    case LIMITER_WAITING:
        if (waiter->give_up_us != CLOCK_NEVER)
            at(&fetch->event, ANSWER, waiter->give_up_us);
        break;
    case LIMITER_FULL:
    case LIMITER_LATE:
        fetch_end(fetch, false);
        break;
    }
}

static bool is_let_in(const struct request *request)
{
    struct limiter_wish wishes[FETCHES];

    for (size_t i = 0; i < FETCHES; i++)
        wishes[i] = (struct limiter_wish){.lane = world.lanes[request->fetches[i].lane],
                                          .service_us = SERVICE_US};
    return world.scenario->first_come ||
           limiter_can_meet(world.limiter, request->party.caller, LIMITER_NORMAL, wishes, FETCHES,
                            world.now_us + world.scenario->deadline_us, world.now_us) == FETCHES;
}

static void request_start(struct request *request)
{
    seen.let_in++;
    at(&request->deadline, DEADLINE, world.now_us + world.scenario->deadline_us);
    request->pending = FETCHES + 1;
    for (size_t i = 0; i < FETCHES; i++)
        fetch_start(&request->fetches[i]);
    if (--request->pending == 0)
        request_end(request);
}

static size_t any_caller(void)
{
    const struct scenario *scenario = world.scenario;

    if (scenario->callers == 0 || (scenario->one_is_greedy && dice_below(&world.dice, 10) != 0))
        return 0;
    return (size_t)dice_below(&world.dice, scenario->callers);
}

static void on_arrival(void)
{
    const struct scenario *scenario = world.scenario;
    size_t lane = scenario->any_lanes ? (size_t)dice_below(&world.dice, scenario->lanes) : 0;
    struct request *request = calloc(1, sizeof *request);

    request->caller = any_caller();
    request->party = (struct limiter_party){
        .caller = scenario->callers > 0 ? world.callers[request->caller] : NULL, .burst = FETCHES};
    for (size_t i = 0; i < FETCHES; i++) {
        request->fetches[i].request = request;
        request->fetches[i].lane = (lane + i) % scenario->lanes;
    }
    seen.asked[request->caller]++;
    if (is_let_in(request))
        request_start(request);
    else
        free(request);
}

static void on_deadline(struct request *request)
{
    for (size_t i = 0; i < FETCHES; i++) {
        struct fetch *fetch = &request->fetches[i];

        forget(&fetch->event);
        if (fetch->state == FLIES)
            limiter_give(world.lanes[fetch->lane], world.now_us);
        else
            limiter_cancel(&fetch->waiter, world.now_us);
    }
    request_end(request);
}

static void on_answer(struct fetch *fetch)
{
    bool answered = fetch->state == FLIES;

    if (answered)
        limiter_give(world.lanes[fetch->lane], world.now_us);
    else
        limiter_cancel(&fetch->waiter, world.now_us);
    fetch_end(fetch, answered);
}

static void on_event(struct event *event)
{
    switch (event->kind) {
    case ARRIVAL:
        on_arrival();
        break;
    case DEADLINE:
        on_deadline(heap_owner(event, struct request, deadline));
        break;
    case ANSWER:
        on_answer(heap_owner(event, struct fetch, event));
        break;
    }
    limiter_collect(&world.member);
}

/* So many in a second, at random times. */
static void run_until(uint64_t until_us, uint64_t requests)
{
    while (world.now_us < until_us) {
        struct heap_node *node = heap_first(&world.events);
        struct event *event = heap_owner(node, struct event, node);

        world.now_us = node->key;
        heap_remove(&world.events, node);
        if (event == &world.arrival)
            at(event, ARRIVAL, world.now_us + 1 + dice_below(&world.dice, 2 * SECOND / requests));
        on_event(event);
    }
}

static void open_world(const struct scenario *scenario)
{
    struct limiter_settings settings = {.max_in_flight = scenario->slots,
                                        .max_queue = 4096,
                                        .shed_target_us = scenario->shed_target_us,
                                        .shed_interval_us = 100 * MS};

    memset(&world, 0, sizeof world);
    world.scenario = scenario;
    world.now_us = SECOND;
    world.limiter = limiter_new(&settings, world.now_us);
    for (size_t i = 0; i < scenario->lanes; i++)
        world.lanes[i] = limiter_lane_new(world.limiter, scenario->slots_of_lane);
    for (size_t i = 0; i < scenario->callers; i++)
        world.callers[i] = limiter_caller_take(world.limiter, &i, sizeof i);
    limiter_member_init(&world.member, world.limiter, on_wake, NULL);
    heap_init(&world.events);
}

/* Time goes on until all have ended. */
static void close_world(void)
{
    struct heap_node *node;

    heap_remove(&world.events, &world.arrival.node);
    while ((node = heap_first(&world.events)) != NULL) {
        world.now_us = node->key;
        heap_remove(&world.events, node);
        on_event(heap_owner(node, struct event, node));
    }
    heap_release(&world.events);
    limiter_check(world.limiter);
    for (size_t i = 0; i < world.scenario->callers; i++)
        limiter_caller_release(world.callers[i]);
    for (size_t i = 0; i < world.scenario->lanes; i++)
        limiter_lane_free(world.lanes[i]);
    limiter_free(world.limiter);
}

/* At twice the capacity; says how many could have been useful. */
static unsigned run(const struct scenario *scenario)
{
    uint64_t of_lanes = scenario->slots_of_lane * (uint64_t)scenario->lanes;
    uint64_t slots = of_lanes < scenario->slots ? of_lanes : scenario->slots;
    uint64_t capacity = slots * (SECOND / SERVICE_US) / FETCHES;

    open_world(scenario);
    at(&world.arrival, ARRIVAL, world.now_us);
    run_until(SECOND + WARM_UP_US, capacity * 2);
    memset(&seen, 0, sizeof seen);
    run_until(SECOND + END_US, capacity * 2);
    close_world();
    return (unsigned)(capacity * (END_US - WARM_UP_US) / SECOND);
}

static void capacity_is_used_and_deadlines_are_met(const struct scenario *scenario)
{
    unsigned capacity = run(scenario);

    assert_true(seen.useful * 100 >= capacity * USEFUL_IN_100);
    assert_true(seen.late * 1000 <= seen.let_in * LATE_IN_1000);
}

static void first_come_first_served_next_to_none_is_complete_in_time(void **state)
{
    static const struct scenario scenario = {.slots = 100,
                                             .slots_of_lane = 100,
                                             .lanes = 10,
                                             .deadline_us = 200 * MS,
                                             .first_come = true,
                                             .shed_target_us = CLOCK_NEVER};
    unsigned capacity = run(&scenario);

    (void)state;
    assert_true(seen.useful * 100 <= capacity * 5);
}

static void with_the_forecast_capacity_is_used_and_deadlines_are_met(void **state)
{
    static const struct scenario scenarios[] = {
        {100, 100, 10, false, 200 * MS, 5, false, false, CLOCK_NEVER},
        {100, 100, 10, false, 200 * MS, 0, false, false, CLOCK_NEVER},
        {100, 100, 10, false, 2 * SECOND, 5, false, false, CLOCK_NEVER},
        {100, 100, 10, false, 50 * MS, 5, false, false, CLOCK_NEVER},
        {100, 100, 1, false, 200 * MS, 5, false, false, CLOCK_NEVER},
        {1000, 10, 10, false, 200 * MS, 5, false, false, CLOCK_NEVER},
        {1000, 10, 20, true, 200 * MS, 5, false, false, CLOCK_NEVER},
        {1000, 10, 20, true, 200 * MS, 0, false, false, CLOCK_NEVER},
        {1000, 10, 20, true, 200 * MS, 100, false, false, CLOCK_NEVER},
    };

    (void)state;
    for (size_t i = 0; i < sizeof scenarios / sizeof scenarios[0]; i++)
        capacity_is_used_and_deadlines_are_met(&scenarios[i]);
}

static void with_a_target_waits_are_short_besides(void **state)
{
    static const struct scenario scenarios[] = {
        {100, 100, 10, false, 2 * SECOND, 5, false, false, 5 * MS},
        {100, 100, 10, false, 2 * SECOND, 0, false, false, 5 * MS},
        {1000, 10, 20, true, 2 * SECOND, 5, false, false, 5 * MS},
    };

    (void)state;
    for (size_t i = 0; i < sizeof scenarios / sizeof scenarios[0]; i++)
        capacity_is_used_and_deadlines_are_met(&scenarios[i]);
}

static void whoever_asks_for_little_gets_all_of_it_beside_one_who_asks_for_much(void **state)
{
    static const struct scenario scenarios[] = {
        {100, 100, 10, false, 200 * MS, 10, true, false, CLOCK_NEVER},
        {1000, 10, 10, false, 200 * MS, 10, true, false, CLOCK_NEVER},
        {100, 100, 10, false, 200 * MS, 10, true, false, 5 * MS},
    };

    (void)state;
    for (size_t i = 0; i < sizeof scenarios / sizeof scenarios[0]; i++) {
        capacity_is_used_and_deadlines_are_met(&scenarios[i]);
        assert_true(seen.complete[0] * 10 < seen.asked[0] * 5);
        for (size_t caller = 1; caller < scenarios[i].callers; caller++)
            assert_true(seen.complete[caller] * 100 >= seen.asked[caller] * 97);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(first_come_first_served_next_to_none_is_complete_in_time),
        cmocka_unit_test(with_the_forecast_capacity_is_used_and_deadlines_are_met),
        cmocka_unit_test(with_a_target_waits_are_short_besides),
        cmocka_unit_test(whoever_asks_for_little_gets_all_of_it_beside_one_who_asks_for_much),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
