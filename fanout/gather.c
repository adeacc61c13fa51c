/*
 * One aggregation in flight.
 *
 * The way of a request:
 *
 *   on_request ─► route ─► plan                               service/
 *                           │
 *   ────────────────────────┼──────────────────────────────────────────
 *                     gather_start                            fanout/
 *                           │
 *                     fetch_start × N ◄──────────────────╮
 *                           │                            │ retry, hedge,
 *                     attempt_start                      │ fallback
 *                           │                            │
 *                     limiter_take ┄┄ waits its turn ┄┄► on_slot
 *                           │                            │
 *                     resolver_lookup ┄┄ asks DNS ┄┄► on_name
 *                           │                            │
 *                     transport_send ┄┄ HTTP ┄┄► on_answer ─► outcome
 *                                                        │       │
 *                                              on_attempt_done ◄─╯ limiter_give
 *                                                        │
 *                     on_fetch_done ◄────────────────────╯
 *                           │
 *          the last one, enough of them, or the deadline ─► gather_finish
 *                           │
 *   ────────────────────────┼──────────────────────────────────────────
 *                      document ─► reply ─► free                service/
 */
#include "fanout/gather.h"

#include "fanout/clock.h"
#include "fanout/engine.h"
#include "fanout/mem.h"
#include "fanout/timer.h"
#include "fanout/upstream.h"
#include "fanout/upstream_health.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#define LARGEST_BURST 64

struct gather {
    struct fanout_worker *worker;
    struct gather_sink sink;
    const struct fetch_request *requests;
    struct limiter_party party;
    struct fetch_scope scope; /* of all fetches */
    struct alarm alarm;       /* for the deadlines, and whatever the fetches wait for */
    uint64_t deadline_us;     /* as planned */
    uint64_t soft_ends_us;    /* when what is needed is enough */
    size_t count;
    size_t pending;
    size_t ok;
    size_t needed;
    size_t required_pending; /* of required upstreams */
    size_t required_failed;
    bool fail_fast;
    bool is_refused;  /* nothing was started: the service is too busy */
    bool is_in_round; /* many fetches are looked at: what follows comes after that */
    struct fetch fetches[];
};

static void gather_free(struct gather *gather)
{
    alarm_clear(&gather->alarm);
    gather->worker->gathers--;
    free(gather);
}

/* The only exit but for gather_cancel. */
static void gather_finish(struct gather *gather)
{
    struct gather_sink sink = gather->sink;

    assert(gather->pending == 0);
    gather_free(gather);
    sink.on_done(sink.arg);
}

static void end_fetches(struct gather *gather, enum outcome outcome, const char *reason)
{
    gather->is_in_round = true;
    for (size_t i = 0; i < gather->count; i++)
        if (!fetch_has_ended(&gather->fetches[i]))
            fetch_end(&gather->fetches[i], outcome, reason);
    gather->is_in_round = false;
}

void gather_end(struct gather *gather, enum outcome outcome, const char *reason)
{
    end_fetches(gather, outcome, reason);
    gather_finish(gather);
}

/* ---- enough is enough ---- */

static bool has_enough(const struct gather *gather)
{
    return gather->ok >= gather->needed && gather->required_pending == 0 &&
           gather->required_failed == 0;
}

static bool is_hopeless(const struct gather *gather)
{
    return gather->required_failed > 0 || gather->ok + gather->pending < gather->needed;
}

/* Ends the gathering if all there is to come is not worth waiting for. */
static void settle(struct gather *gather)
{
    if (gather->pending == 0)
        gather_finish(gather);
    else if (gather->soft_ends_us != CLOCK_NEVER && has_enough(gather) &&
             clock_now_us() >= gather->soft_ends_us)
        gather_end(gather, OUTCOME_ABANDONED, "enough others had come");
    else if (gather->fail_fast && is_hopeless(gather))
        gather_end(gather, OUTCOME_ABANDONED, "the request had failed already");
}

static void on_fetch_done(void *arg, struct fetch *fetch, struct fetch_result *result)
{
    struct gather *gather = arg;
    size_t index = (size_t)(fetch - gather->fetches);
    bool is_ok = result->outcome == OUTCOME_OK;

    gather->pending--;
    gather->ok += is_ok;
    if (gather->requests[index].upstream->settings->required) {
        gather->required_pending--;
        gather->required_failed += !is_ok;
    }
    gather->sink.on_result(gather->sink.arg, index, result);
    if (!gather->is_in_round)
        settle(gather);
}

/* ---- the time ---- */

static void end_at_deadline(struct gather *gather)
{
    char reason[80];

    snprintf(reason, sizeof reason, "the request's deadline of %g ms passed",
             (double)gather->deadline_us / 1000);
    gather_end(gather, OUTCOME_DEADLINE_EXCEEDED, reason);
}

/* A fetch that is due and goes on waits for something new. */
static void look_after_fetches(struct gather *gather, uint64_t now_us)
{
    gather->is_in_round = true;
    for (size_t i = 0; i < gather->count; i++) {
        struct fetch *fetch = &gather->fetches[i];

        if (fetch_due_us(fetch) <= now_us)
            fetch_on_due(fetch, now_us);
        alarm_want(&gather->alarm, fetch_due_us(fetch));
    }
    gather->is_in_round = false;
}

static void want_deadlines(struct gather *gather, uint64_t now_us)
{
    alarm_want(&gather->alarm, gather->scope.ends_us);
    if (gather->soft_ends_us > now_us)
        alarm_want(&gather->alarm, gather->soft_ends_us);
}

static void on_alarm(void *arg)
{
    struct gather *gather = arg;
    uint64_t now_us = clock_now_us();

    alarm_clear(&gather->alarm);
    if (gather->is_refused) {
        gather_end(gather, OUTCOME_QUEUE_FULL,
                   "too many fetches are waiting for a slot for this request to be in time");
        return;
    }
    if (now_us >= gather->scope.ends_us) {
        end_at_deadline(gather);
        return;
    }
    want_deadlines(gather, now_us);
    look_after_fetches(gather, now_us);
    settle(gather);
}

/* ---- the start ---- */

static void count_required(struct gather *gather)
{
    for (size_t i = 0; i < gather->count; i++)
        gather->required_pending += gather->requests[i].upstream->settings->required;
}

/* Whether so many of the fetches would have their slots in time that the whole may succeed. Where
 * it can't, it is better refused at once than worked on in vain. */
static bool is_feasible(const struct gather *gather, uint64_t now_us)
{
    struct limiter *limiter = gather->worker->member.limiter;
    struct limiter_wish *wishes;
    size_t feasible;

    if (!limiter_has_waiters(limiter) || gather->needed == 0)
        return true;
    wishes = mem_array(gather->count, sizeof wishes[0]);
    for (size_t i = 0; i < gather->count; i++) {
        const struct upstream *upstream = gather->requests[i].upstream;

        wishes[i].lane = upstream->lane;
        wishes[i].service_us = upstream_health_usual_us(upstream->health);
    }
    feasible = limiter_can_meet(limiter, gather->party.caller, gather->scope.priority, wishes,
                                gather->count, gather->scope.ends_us, now_us);
    free(wishes);
    return feasible >= gather->needed;
}

static void start_fetches(struct gather *gather, uint64_t now_us)
{
    for (size_t i = 0; i < gather->count; i++)
        fetch_init(&gather->fetches[i], &gather->scope, &gather->requests[i], on_fetch_done, gather,
                   now_us);
    if (gather->deadline_us == 0)
        return; /* its alarm rings at once */
    gather->is_refused = !is_feasible(gather, now_us);
    if (gather->is_refused) {
        alarm_want(&gather->alarm, 0);
        return;
    }
    for (size_t i = 0; i < gather->count; i++)
        fetch_start(&gather->fetches[i], now_us);
}

/* What is small has its slots together; what is large takes turns for each. */
static unsigned burst_of(size_t count)
{
    return count <= LARGEST_BURST ? (unsigned)count : 0;
}

struct gather *gather_start(struct fanout_worker *worker, const struct gather_plan *plan,
                            struct gather_sink sink)
{
    struct gather *gather = mem_alloc(sizeof *gather + plan->count * sizeof gather->fetches[0]);
    uint64_t now_us = clock_now_us();

    assert(plan->count > 0);
    *gather = (struct gather){
        .worker = worker,
        .sink = sink,
        .requests = plan->requests,
        .party = {.caller = plan->caller, .burst = burst_of(plan->count)},
        .scope = {.worker = worker,
                  .alarm = &gather->alarm,
                  .party = &gather->party,
                  .priority = plan->priority,
                  .ends_us = clock_after(now_us, plan->deadline_us)},
        .deadline_us = plan->deadline_us,
        .soft_ends_us = plan->early ? now_us : clock_after(now_us, plan->soft_deadline_us),
        .count = plan->count,
        .pending = plan->count,
        .needed = plan->needed,
        .fail_fast = plan->fail_fast,
    };
    worker->gathers++;
    alarm_init(&gather->alarm, worker->timers, on_alarm, gather);
    want_deadlines(gather, now_us);
    count_required(gather);
    start_fetches(gather, now_us);
    return gather;
}

void gather_cancel(struct gather *gather)
{
    for (size_t i = 0; i < gather->count; i++)
        if (!fetch_has_ended(&gather->fetches[i]))
            fetch_cancel(&gather->fetches[i]);
    gather_free(gather);
}
