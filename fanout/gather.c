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
 *                     fetch_start × N
 *                           │
 *                     limiter_take ┄┄ waits its turn ┄┄► on_slot
 *                           │
 *                     resolver_lookup ┄┄ asks DNS ┄┄► on_name
 *                           │
 *                     transport_send ┄┄ HTTP ┄┄► on_answer ─► outcome
 *                                                                │
 *                     on_fetch_done ◄─ limiter_give ◄─ fetch_finish
 *                           │
 *          the last one, or on_deadline ─► gather_finish
 *                           │
 *   ────────────────────────┼──────────────────────────────────────────
 *                      document ─► reply ─► free                service/
 */
#include "fanout/gather.h"

#include "fanout/clock.h"
#include "fanout/engine.h"
#include "fanout/mem.h"
#include "fanout/timer.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

struct gather {
    struct fanout_worker *worker;
    struct gather_sink sink;
    struct limiter_party party;
    struct alarm alarm;   /* for the deadline, and whatever the fetches wait for */
    uint64_t deadline_us; /* as planned */
    uint64_t ends_us;     /* when it is over */
    size_t count;
    size_t pending;
    bool is_in_round; /* all fetches are being looked at: gather_finish comes after that */
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

static void on_fetch_done(void *arg, struct fetch *fetch, struct fetch_result *result)
{
    struct gather *gather = arg;

    gather->pending--;
    gather->sink.on_result(gather->sink.arg, (size_t)(fetch - gather->fetches), result);
    if (gather->pending == 0 && !gather->is_in_round)
        gather_finish(gather);
}

void gather_end(struct gather *gather, enum outcome outcome, const char *reason)
{
    gather->is_in_round = true;
    for (size_t i = 0; i < gather->count; i++)
        if (fetch_is_running(&gather->fetches[i]))
            fetch_end(&gather->fetches[i], outcome, reason);
    gather_finish(gather);
}

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

        if (fetch->due_us <= now_us)
            fetch_on_due(fetch);
        alarm_want(&gather->alarm, fetch->due_us);
    }
    gather->is_in_round = false;
}

static void on_alarm(void *arg)
{
    struct gather *gather = arg;
    uint64_t now_us = clock_now_us();

    alarm_clear(&gather->alarm);
    if (now_us >= gather->ends_us) {
        end_at_deadline(gather);
        return;
    }
    alarm_want(&gather->alarm, gather->ends_us);
    look_after_fetches(gather, now_us);
    if (gather->pending == 0)
        gather_finish(gather);
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
        .deadline_us = plan->deadline_us,
        .ends_us = now_us + plan->deadline_us,
        .count = plan->count,
        .pending = plan->count,
    };
    worker->gathers++;
    alarm_init(&gather->alarm, worker->timers, on_alarm, gather);
    alarm_want(&gather->alarm, gather->ends_us);
    for (size_t i = 0; i < plan->count; i++)
        fetch_init(&gather->fetches[i], worker, &plan->requests[i], &gather->alarm, on_fetch_done,
                   gather);
    for (size_t i = 0; i < plan->count; i++)
        fetch_start(&gather->fetches[i], &gather->party, now_us);
    return gather;
}

void gather_cancel(struct gather *gather)
{
    for (size_t i = 0; i < gather->count; i++)
        if (fetch_is_running(&gather->fetches[i]))
            fetch_cancel(&gather->fetches[i]);
    gather_free(gather);
}
