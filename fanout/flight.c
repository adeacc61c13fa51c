/* Fetches that are shared: who sits in which, and how a result is handed out. */
#include "fanout/flight.h"

#include "fanout/attempt_result.h"
#include "fanout/budget.h"
#include "fanout/clock.h"
#include "fanout/engine.h"
#include "fanout/fanout.h"
#include "fanout/header.h"
#include "fanout/mem.h"
#include "fanout/timer.h"
#include "fanout/upstream.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* One waiting for what comes of a flight. */
struct flight_seat {
    TAILQ_ENTRY(flight_seat) link;
    struct flight *flight;
    flight_done *on_done;
    void *arg;
};

struct flight {
    LIST_ENTRY(flight) link; /* in its bucket, while it can be joined */
    bool is_listed;
    TAILQ_HEAD(flight_seats, flight_seat) seats;
    struct fetch_request request; /* owns what it points to */
    struct header_list headers;
    struct fetch_scope scope;
    struct limiter_party party;
    struct alarm alarm;
    struct fetch fetch;
};

/* ---- which requests are the same ---- */

bool flight_applies(const struct fetch_request *request)
{
    return request->upstream->settings->coalesce && request->method == METHOD_GET &&
           request->body == NULL;
}

/* Names the call, and makes no difference to the answer. */
static bool names_the_call(const char *name)
{
    return header_name_equals(name, "X-Request-Id");
}

static bool has_all_of(const struct header_list *list, const struct header_list *wanted)
{
    for (size_t i = 0; wanted != NULL && i < wanted->count; i++) {
        const struct header *found;

        if (names_the_call(wanted->items[i].name))
            continue;
        found = list != NULL ? header_list_find(list, wanted->items[i].name) : NULL;
        if (found == NULL || strcmp(found->value, wanted->items[i].value) != 0)
            return false;
    }
    return true;
}

static bool is_same_text(const char *one, const char *other)
{
    return one == other || (one != NULL && other != NULL && strcmp(one, other) == 0);
}

static bool is_same(const struct fetch_request *one, const struct fetch_request *other)
{
    return one->upstream == other->upstream && is_same_text(one->target, other->target) &&
           has_all_of(one->headers, other->headers) && has_all_of(other->headers, one->headers);
}

/* FNV-1a of the target; the rest is compared. */
static struct flight_bucket *bucket_of(struct fanout_worker *worker,
                                       const struct fetch_request *request)
{
    uint64_t hash = 14695981039346656037u ^ request->upstream->index;

    for (const char *at = request->target; at != NULL && *at != '\0'; at++)
        hash = (hash ^ (unsigned char)*at) * 1099511628211u;
    return &worker->flights.buckets[hash % FLIGHT_BUCKETS];
}

/* ---- flights ---- */

static void unlist(struct flight *flight)
{
    if (flight->is_listed)
        LIST_REMOVE(flight, link);
    flight->is_listed = false;
}

static void flight_free(struct flight *flight)
{
    unlist(flight);
    alarm_clear(&flight->alarm);
    limiter_caller_release(flight->party.caller);
    header_list_release(&flight->headers);
    free((char *)flight->request.target);
    free(flight);
}

static void on_alarm(void *arg)
{
    struct flight *flight = arg;

    alarm_clear(&flight->alarm);
    alarm_want(&flight->alarm, fetch_due_us(&flight->fetch));
    fetch_on_due(&flight->fetch, clock_now_us()); /* the flight may be gone now */
}

/* A body of one's own for each but the last, who has the original. */
static void copy_body(struct flight *flight, const struct fetch_result *from,
                      struct fetch_result *to)
{
    *to = *from;
    buf_init_budgeted(&to->body, BUF_UNLIMITED, fanout_budget(flight->scope.worker->fanout));
    if (buf_append(&to->body, from->body.data, from->body.len))
        return;
    buf_release(&to->body);
    attempt_result_make(to, OUTCOME_QUEUE_FULL, BUDGET_SPENT);
    to->attempts = from->attempts;
}

static void hand_to(struct flight_seat *seat, struct fetch_result *result)
{
    struct flight_seat copy = *seat;

    TAILQ_REMOVE(&seat->flight->seats, seat, link);
    free(seat);
    copy.on_done(copy.arg, result);
}

/* A result that is taken may end a gathering, and with it others' seats. */
static void on_landed(void *arg, struct fetch *fetch, struct fetch_result *result)
{
    struct flight *flight = arg;
    struct flight_seat *seat;

    (void)fetch;
    unlist(flight);
    while ((seat = TAILQ_FIRST(&flight->seats)) != NULL) {
        struct fetch_result own;

        if (TAILQ_NEXT(seat, link) == NULL) {
            hand_to(seat, result);
            continue;
        }
        copy_body(flight, result, &own);
        hand_to(seat, &own);
        buf_release(&own.body);
    }
    flight_free(flight);
}

static struct flight *flight_begin(const struct fetch_scope *scope,
                                   const struct fetch_request *request, uint64_t now_us)
{
    struct flight *flight = mem_zalloc(sizeof *flight);

    TAILQ_INIT(&flight->seats);
    flight->request = (struct fetch_request){
        .upstream = request->upstream,
        .method = request->method,
        .target = mem_strdup(request->target),
        .headers = &flight->headers,
        .timeout_us = CLOCK_NEVER,
    };
    for (size_t i = 0; request->headers != NULL && i < request->headers->count; i++)
        header_list_add(&flight->headers, request->headers->items[i].name,
                        request->headers->items[i].value);
    alarm_init(&flight->alarm, scope->worker->timers, on_alarm, flight);
    flight->party.caller = limiter_caller_keep(scope->party->caller);
    flight->scope = (struct fetch_scope){
        .worker = scope->worker,
        .alarm = &flight->alarm,
        .party = &flight->party,
        .priority = scope->priority,
        .ends_us = CLOCK_NEVER,
    };
    LIST_INSERT_HEAD(bucket_of(scope->worker, request), flight, link);
    flight->is_listed = true;
    fetch_init(&flight->fetch, &flight->scope, &flight->request, on_landed, flight, now_us);
    flight->fetch.is_bare = true;
    fetch_start(&flight->fetch, now_us);
    return flight;
}

static struct flight *find(const struct fetch_scope *scope, const struct fetch_request *request)
{
    struct flight *flight;

    LIST_FOREACH (flight, bucket_of(scope->worker, request), link)
        if (is_same(&flight->request, request))
            return flight;
    return NULL;
}

/* ---- seats ---- */

struct flight_seat *flight_join(const struct fetch_scope *scope,
                                const struct fetch_request *request, flight_done *on_done,
                                void *arg, uint64_t now_us)
{
    struct flight_seat *seat = mem_alloc(sizeof *seat);
    struct flight *flight = find(scope, request);

    if (flight != NULL)
        upstream_note(request->upstream, UPSTREAM_COALESCED);
    else
        flight = flight_begin(scope, request, now_us);
    *seat = (struct flight_seat){.flight = flight, .on_done = on_done, .arg = arg};
    TAILQ_INSERT_TAIL(&flight->seats, seat, link);
    return seat;
}

void flight_leave(struct flight_seat *seat)
{
    struct flight *flight = seat->flight;

    TAILQ_REMOVE(&flight->seats, seat, link);
    free(seat);
    if (!TAILQ_EMPTY(&flight->seats) || fetch_has_ended(&flight->fetch))
        return; /* others wait; or it landed and is about to go */
    fetch_cancel(&flight->fetch);
    flight_free(flight);
}
