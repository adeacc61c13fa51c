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

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

struct gather {
    struct fanout_worker *worker;
    struct gather_sink sink;
    struct limiter_party party;
    struct timer deadline;
    uint64_t deadline_us;
    size_t count;
    size_t pending;
    bool is_ending; /* gather_end is at work: it will call gather_finish */
    struct fetch fetches[];
};

static void gather_free(struct gather *gather)
{
    timer_stop(gather->worker->timers, &gather->deadline);
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
    if (gather->pending == 0 && !gather->is_ending)
        gather_finish(gather);
}

void gather_end(struct gather *gather, enum outcome outcome, const char *reason)
{
    gather->is_ending = true;
    for (size_t i = 0; i < gather->count; i++)
        if (fetch_is_running(&gather->fetches[i]))
            fetch_end(&gather->fetches[i], outcome, reason);
    gather_finish(gather);
}

static void on_deadline(void *arg)
{
    struct gather *gather = arg;
    char reason[80];

    snprintf(reason, sizeof reason, "the request's deadline of %g ms passed",
             (double)gather->deadline_us / 1000);
    gather_end(gather, OUTCOME_DEADLINE_EXCEEDED, reason);
}

struct gather *gather_start(struct fanout_worker *worker, const struct gather_plan *plan,
                            struct gather_sink sink)
{
    struct gather *gather = mem_zalloc(sizeof *gather + plan->count * sizeof gather->fetches[0]);

    assert(plan->count > 0);
    gather->worker = worker;
    gather->sink = sink;
    gather->deadline_us = plan->deadline_us;
    gather->count = gather->pending = plan->count;
    worker->gathers++;
    timer_init(&gather->deadline, on_deadline, gather);
    timer_start(worker->timers, &gather->deadline, clock_now_us() + plan->deadline_us);
    for (size_t i = 0; i < plan->count; i++) {
        fetch_init(&gather->fetches[i], worker, &plan->requests[i], on_fetch_done, gather);
        fetch_start(&gather->fetches[i], &gather->party);
    }
    return gather;
}

void gather_cancel(struct gather *gather)
{
    for (size_t i = 0; i < gather->count; i++)
        if (fetch_is_running(&gather->fetches[i]))
            fetch_cancel(&gather->fetches[i]);
    gather_free(gather);
}
