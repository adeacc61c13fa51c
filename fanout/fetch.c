/*
 * One fetch. Its states, each named for what it waits for:
 *
 *   start ─┬─────────► AWAITS_ATTEMPT ─────────────────► DONE
 *          │             ▲ │      ▲╰─ a while: a hedge beside it
 *          │             │ ▼      ╰── failed: the fallback's attempt
 *          │         AWAITS_RETRY ─(the time is up)────► DONE
 *          │
 *          ╰─ coalesce ─► AWAITS_FLIGHT ───────────────► DONE
 *
 * fetch_enter is the only place that changes it, finish the only exit but for
 * fetch_cancel.
 */
#include "fanout/fetch.h"

#include "fanout/attempt_result.h"
#include "fanout/clock.h"
#include "fanout/endpoints.h"
#include "fanout/engine.h"
#include "fanout/fanout.h"
#include "fanout/flight.h"
#include "fanout/mem.h"
#include "fanout/peer.h"
#include "fanout/retry.h"
#include "fanout/timer.h"
#include "fanout/trace.h"
#include "fanout/upstream.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const state_names[] = {
    [FETCH_IDLE] = "idle",
    [FETCH_AWAITS_ATTEMPT] = "awaits_attempt",
    [FETCH_AWAITS_RETRY] = "awaits_retry",
    [FETCH_AWAITS_FLIGHT] = "awaits_flight",
    [FETCH_DONE] = "done",
};

static const struct upstream_settings *settings_of(const struct fetch *fetch)
{
    return fetch->request->upstream->settings;
}

static void fetch_enter(struct fetch *fetch, enum fetch_state state)
{
    if (trace_on(TRACE_DEBUG))
        trace(TRACE_DEBUG, "event=fetch_state upstream=%s old=%s new=%s", settings_of(fetch)->name,
              state_names[fetch->state], state_names[state]);
    fetch->state = state;
}

static uint64_t timeout_us(const struct fetch *fetch)
{
    return clock_earlier(fetch->request->timeout_us, settings_of(fetch)->timeout_us);
}

/* Whether there is something left to be had after such a time. */
static bool is_in_time(const struct fetch *fetch, uint64_t delay_us, uint64_t now_us)
{
    return clock_after(now_us, delay_us) < clock_earlier(fetch->ends_us, fetch->scope->ends_us);
}

static void wait_for_next(struct fetch *fetch, uint64_t at_us)
{
    fetch->next_us = at_us;
    alarm_want(fetch->scope->alarm, at_us);
}

/* ---- attempts ---- */

static void attempt_again(struct fetch *fetch, uint64_t now_us)
{
    fetch_enter(fetch, FETCH_AWAITS_ATTEMPT);
    attempt_start(&fetch->first, fetch->request, fetch->retries > 0,
                  fetch->retries > 0 ? &fetch->first.failed : NULL, now_us);
}

static void drop_hedge(struct fetch *fetch)
{
    mem_free(fetch->hedge);
    fetch->hedge = NULL;
}

/* Ends what is under way. */
static void stop(struct fetch *fetch, enum upstream_verdict verdict, uint64_t now_us)
{
    fetch->next_us = CLOCK_NEVER;
    if (attempt_is_running(&fetch->first))
        attempt_cancel(&fetch->first, verdict, now_us);
    if (fetch->hedge != NULL)
        attempt_cancel(fetch->hedge, verdict, now_us);
    drop_hedge(fetch);
    if (fetch->seat != NULL)
        flight_leave(fetch->seat);
    fetch->seat = NULL;
}

/* ---- the end ---- */

static void count(const struct fetch *fetch, enum outcome outcome)
{
    if (!fetch->is_bare)
        upstream_count(fetch->request->upstream, outcome);
}

/* Nothing stands in for what is no longer wanted. */
static bool may_fall_back(const struct fetch *fetch, enum outcome outcome)
{
    return !fetch->is_bare && !fetch->is_fallback && outcome != OUTCOME_OK &&
           outcome != OUTCOME_CANCELLED && outcome != OUTCOME_ABANDONED;
}

static void fall_back_to_json(struct fetch *fetch, struct fetch_result *result)
{
    const char *json = settings_of(fetch)->fallback.json;

    if (json == NULL)
        return;
    fetch->is_fallback = true;
    upstream_note(fetch->request->upstream, UPSTREAM_FALLBACKS);
    buf_release(&result->body);
    attempt_result_make(result, OUTCOME_OK, "%s", "");
    result->body_kind = BODY_JSON;
    buf_init_budgeted(&result->body, BUF_UNLIMITED, fanout_budget(fetch->scope->worker->fanout));
    if (!buf_append_text(&result->body, json))
        attempt_result_make(result, OUTCOME_QUEUE_FULL, "no memory for it");
}

/* The fetch goes on with another upstream. */
static bool fall_back_to_upstream(struct fetch *fetch, const struct fetch_result *result,
                                  uint64_t now_us)
{
    const struct fetch_request *fallback = fetch->request->fallback;

    if (fallback == NULL || now_us >= fetch->scope->ends_us)
        return false;
    count(fetch, result->outcome);
    upstream_note(fetch->request->upstream, UPSTREAM_FALLBACKS);
    fetch->is_fallback = true;
    fetch->request = fallback;
    fetch->retries = 0;
    fetch->ends_us = CLOCK_NEVER;
    attempt_again(fetch, now_us);
    return true;
}

static void say_of_whom(const struct fetch *fetch, struct fetch_result *result)
{
    char message[FETCH_MESSAGE_SIZE];

    memcpy(message, result->message, sizeof message);
    snprintf(result->message, sizeof result->message, "the fallback %.64s: %.170s",
             settings_of(fetch)->name, message);
}

/* The only exit but for fetch_cancel; nothing is under way any more. */
static void finish(struct fetch *fetch, struct fetch_result *result, uint64_t now_us)
{
    count(fetch, result->outcome);
    if (may_fall_back(fetch, result->outcome))
        fall_back_to_json(fetch, result);
    if (fetch->is_fallback && result->outcome == OUTCOME_OK)
        result->via = FETCH_VIA_FALLBACK;
    else if (fetch->is_fallback)
        say_of_whom(fetch, result);
    result->attempts = fetch->attempts;
    result->elapsed_us = now_us - fetch->started_us;
    fetch->ends_us = CLOCK_NEVER;
    fetch_enter(fetch, FETCH_DONE);
    fetch->on_done(fetch->arg, fetch, result);
}

/* What came of the attempts, unless there is somebody else to ask. */
static void settle(struct fetch *fetch, struct fetch_result *result, uint64_t now_us)
{
    if (!may_fall_back(fetch, result->outcome) || !fall_back_to_upstream(fetch, result, now_us))
        finish(fetch, result, now_us);
}

static const char *what_it_did(const struct fetch *fetch)
{
    switch (fetch->state) {
    case FETCH_AWAITS_ATTEMPT:
        return attempt_waits_for(attempt_is_running(&fetch->first) ? &fetch->first : fetch->hedge);
    case FETCH_AWAITS_RETRY:
        return "waiting to try again";
    case FETCH_AWAITS_FLIGHT:
        return "waiting for the answer to an identical request";
    default:
        return NULL;
    }
}

void fetch_end(struct fetch *fetch, enum outcome outcome, const char *reason)
{
    const char *doing = what_it_did(fetch);
    uint64_t now_us = clock_now_us();
    struct fetch_result result;

    attempt_result_make(&result, outcome, "%s%s%s", reason, doing != NULL ? " while " : "",
                        doing != NULL ? doing : "");
    stop(fetch, outcome == OUTCOME_DEADLINE_EXCEEDED ? UPSTREAM_BUSY : UPSTREAM_UNJUDGED, now_us);
    finish(fetch, &result, now_us);
    buf_release(&result.body);
}

void fetch_cancel(struct fetch *fetch)
{
    stop(fetch, UPSTREAM_UNJUDGED, clock_now_us());
    count(fetch, OUTCOME_CANCELLED);
    fetch_enter(fetch, FETCH_DONE);
}

/* ---- what an attempt came to ---- */

/* Whether a retry could be made in time, and the budget has one. */
static bool retry_later(struct fetch *fetch, const struct fetch_result *result, uint64_t now_us)
{
    const struct upstream_settings *settings = settings_of(fetch);
    struct upstream *upstream = fetch->request->upstream;
    uint64_t delay_us;

    if (fetch->retries >= settings->retry.most ||
        !retry_is_wanted(settings, fetch->request->method, result))
        return false;
    delay_us = retry_delay_us(settings, fetch->retries + 1, result, &fetch->scope->worker->dice);
    if (!is_in_time(fetch, delay_us, now_us) ||
        upstream_health_break_us(upstream->health, now_us) > 0)
        return false;
    if (!upstream_health_take_extra(upstream->health, now_us)) {
        upstream_note(upstream, UPSTREAM_EXTRA_REFUSED);
        return false;
    }
    fetch->retries++;
    fetch_enter(fetch, FETCH_AWAITS_RETRY);
    wait_for_next(fetch, now_us + delay_us);
    return true;
}

/* A failure that another attempt may still make good, or that only we are at fault for. */
static bool is_open(const struct fetch *fetch, const struct fetch_result *result)
{
    return outcome_info(result->outcome)->kind == OUTCOME_CLASS_SHED ||
           retry_is_wanted(settings_of(fetch), fetch->request->method, result);
}

static void note_success(struct fetch *fetch, struct fetch_result *result, bool is_hedge)
{
    if (is_hedge) {
        result->via = FETCH_VIA_HEDGE;
        upstream_note(fetch->request->upstream, UPSTREAM_HEDGE_WINS);
    } else if (fetch->retries > 0) {
        result->via = FETCH_VIA_RETRY;
    }
}

static void on_attempt_done(void *arg, struct attempt *attempt, struct fetch_result *result,
                            uint64_t now_us)
{
    struct fetch *fetch = arg;
    bool is_hedge = attempt == fetch->hedge;
    bool has_other = is_hedge ? attempt_is_running(&fetch->first) : fetch->hedge != NULL;

    if (is_hedge)
        drop_hedge(fetch);
    if (has_other && is_open(fetch, result))
        return;
    if (result->outcome == OUTCOME_OK)
        note_success(fetch, result, is_hedge);
    else if (!has_other && retry_later(fetch, result, now_us))
        return;
    stop(fetch, is_hedge ? UPSTREAM_SLOW : UPSTREAM_UNJUDGED, now_us);
    settle(fetch, result, now_us);
}

static void wait_to_hedge(struct fetch *fetch, uint64_t now_us)
{
    struct fanout_peer *peer = &fetch->scope->worker->peers[fetch->request->upstream->index];
    uint64_t delay_us = peer_hedge_delay_us(peer, now_us);

    if (is_in_time(fetch, delay_us, now_us) &&
        retry_is_safe(settings_of(fetch), fetch->request->method))
        wait_for_next(fetch, now_us + delay_us);
}

static uint64_t on_slot(void *arg, struct attempt *attempt, uint64_t now_us)
{
    struct fetch *fetch = arg;
    const struct upstream_settings *settings = settings_of(fetch);

    fetch->attempts++;
    if (fetch->ends_us == CLOCK_NEVER)
        fetch->ends_us = clock_after(now_us, timeout_us(fetch));
    if (!attempt->is_extra)
        upstream_health_note_first(fetch->request->upstream->health, now_us);
    else
        upstream_note(fetch->request->upstream,
                      attempt == fetch->hedge ? UPSTREAM_HEDGES : UPSTREAM_RETRIES);
    return clock_earlier(fetch->ends_us, clock_after(now_us, settings->attempt_timeout_us));
}

static void on_sent(void *arg, struct attempt *attempt, uint64_t now_us)
{
    if (!attempt->is_extra)
        wait_to_hedge(arg, now_us);
}

static const struct attempt_hooks hooks = {on_slot, on_sent, on_attempt_done};

/* ---- flights ---- */

static void on_flight_done(void *arg, struct fetch_result *result)
{
    struct fetch *fetch = arg;

    fetch->seat = NULL;
    fetch->attempts = result->attempts;
    settle(fetch, result, clock_now_us());
}

static void join_flight(struct fetch *fetch, uint64_t now_us)
{
    fetch_enter(fetch, FETCH_AWAITS_FLIGHT);
    fetch->seat = flight_join(fetch->scope, fetch->request, on_flight_done, fetch, now_us);
    if (fetch->request->timeout_us != CLOCK_NEVER) {
        fetch->ends_us = now_us + timeout_us(fetch);
        alarm_want(fetch->scope->alarm, fetch->ends_us);
    }
}

/* ---- the start, and what is due ---- */

void fetch_init(struct fetch *fetch, const struct fetch_scope *scope,
                const struct fetch_request *request, fetch_done *on_done, void *arg,
                uint64_t now_us)
{
    fetch->state = FETCH_IDLE;
    fetch->is_bare = false;
    fetch->is_fallback = false;
    fetch->attempts = 0;
    fetch->retries = 0;
    fetch->scope = scope;
    fetch->request = request;
    fetch->on_done = on_done;
    fetch->arg = arg;
    fetch->started_us = now_us;
    fetch->ends_us = CLOCK_NEVER;
    fetch->next_us = CLOCK_NEVER;
    fetch->hedge = NULL;
    fetch->seat = NULL;
    attempt_init(&fetch->first, scope, &hooks, fetch);
}

void fetch_start(struct fetch *fetch, uint64_t now_us)
{
    assert(fetch->state == FETCH_IDLE);
    if (!fetch->is_bare && flight_applies(fetch->request))
        join_flight(fetch, now_us);
    else
        attempt_again(fetch, now_us);
}

/* The first is slow: the hedge goes elsewhere if it can. It does not wait for a slot, and must not
 * push out who does. */
static void hedge(struct fetch *fetch, uint64_t now_us)
{
    struct upstream *upstream = fetch->request->upstream;
    const struct endpoint *endpoint = fetch->first.endpoint;

    fetch->next_us = CLOCK_NEVER;
    if (!limiter_lane_has_slot(upstream->lane))
        return;
    if (!upstream_health_take_extra(upstream->health, now_us)) {
        upstream_note(upstream, UPSTREAM_EXTRA_REFUSED);
        return;
    }
    fetch->hedge = mem_alloc(sizeof *fetch->hedge);
    attempt_init(fetch->hedge, fetch->scope, &hooks, fetch);
    attempt_start(fetch->hedge, fetch->request, true,
                  endpoint != NULL ? &endpoint->target.address : NULL, now_us);
    if (fetch->hedge->slot_us == 0) { /* somebody was quicker, or the breaker is open */
        attempt_cancel(fetch->hedge, UPSTREAM_UNJUDGED, now_us);
        drop_hedge(fetch);
    }
}

static void do_next(struct fetch *fetch, uint64_t now_us)
{
    if (fetch->state == FETCH_AWAITS_RETRY) {
        fetch->next_us = CLOCK_NEVER;
        attempt_again(fetch, now_us);
    } else {
        hedge(fetch, now_us);
    }
}

static void time_out(struct fetch *fetch, uint64_t now_us)
{
    struct fetch_result result;

    if (attempt_is_running(&fetch->first))
        attempt_describe_timeout(&fetch->first, timeout_us(fetch), &result);
    else
        attempt_result_make(&result, OUTCOME_TIMEOUT, "no answer within %g ms",
                            (double)timeout_us(fetch) / 1000);
    stop(fetch, UPSTREAM_BUSY, now_us);
    settle(fetch, &result, now_us);
    buf_release(&result.body);
}

uint64_t fetch_due_us(const struct fetch *fetch)
{
    uint64_t due_us = clock_earlier(fetch->ends_us, fetch->next_us);

    due_us = clock_earlier(due_us, fetch->first.due_us);
    return fetch->hedge != NULL ? clock_earlier(due_us, fetch->hedge->due_us) : due_us;
}

void fetch_on_due(struct fetch *fetch, uint64_t now_us)
{
    if (fetch->ends_us <= now_us)
        time_out(fetch, now_us);
    else if (fetch->first.due_us <= now_us)
        attempt_on_due(&fetch->first, now_us);
    else if (fetch->hedge != NULL && fetch->hedge->due_us <= now_us)
        attempt_on_due(fetch->hedge, now_us);
    else if (fetch->next_us <= now_us)
        do_next(fetch, now_us);
}
