/*
 * One attempt of a fetch: the wait for a slot, the choice of an address, one
 * exchange, one outcome. It asks the upstream's breaker first, and tells all
 * who learn from how attempts end: breaker, addresses, limit, quantile.
 */
#ifndef FANOUT_ATTEMPT_H
#define FANOUT_ATTEMPT_H

#include "fanout/address.h"
#include "fanout/breaker.h"
#include "fanout/fetch_result.h"
#include "fanout/limiter.h"
#include "fanout/method.h"
#include "fanout/resolver.h"
#include "fanout/upstream_health.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct alarm;
struct endpoint;
struct exchange;
struct fanout_worker;
struct header_list;
struct upstream;

/* What is asked. Everything pointed to must stay until the fetch has ended. */
struct fetch_request {
    struct upstream *upstream;
    enum method method;
    const char *target;                /* NULL: the upstream's URL as it is */
    const struct header_list *headers; /* besides the upstream's own; NULL: none */
    const char *body;                  /* NULL: none */
    size_t body_length;
    uint64_t timeout_us; /* lowers the upstream's own; CLOCK_NEVER: as configured */
    const struct fetch_request *fallback; /* asked when this fails; NULL: none */
};

/* What the fetches of one gathering have in common. */
struct fetch_scope {
    struct fanout_worker *worker;
    struct alarm *alarm;         /* when it rings, fetch_on_due is called for each that is due */
    struct limiter_party *party; /* takes turns with others for slots */
    enum limiter_priority priority;
    uint64_t ends_us; /* the deadline: nothing is sent from then on */
};

enum attempt_state {
    ATTEMPT_IDLE,
    ATTEMPT_AWAITS_SLOT,   /* of the limiter */
    ATTEMPT_AWAITS_NAME,   /* of the resolver; from here on it holds a slot */
    ATTEMPT_AWAITS_ANSWER, /* of the transport */
    ATTEMPT_AWAITS_REPORT, /* ended at once: told from the loop, as a start never calls back */
};

struct attempt;

/* Who makes the attempt. */
struct attempt_hooks {
    /* It has its slot, maybe before attempt_start returns. Until when may it last? */
    uint64_t (*on_slot)(void *arg, struct attempt *attempt, uint64_t now_us);
    /* It knows where to go, and is about to be sent; likewise. */
    void (*on_sent)(void *arg, struct attempt *attempt, uint64_t now_us);
    /* Called once, from the loop, with the attempt already at an end: it may be freed. */
    void (*on_done)(void *arg, struct attempt *attempt, struct fetch_result *result,
                    uint64_t now_us);
};

/* The members are attempt.c's own, but due_us, slot_us and endpoint, which all may read. What only
 * some attempts need stands last and is not touched by the others: of thousands in flight each is
 * out of the processor's caches when its answer comes. */
struct attempt {
    enum attempt_state state;
    bool is_extra;    /* a retry or a hedge */
    bool shuns_first; /* better another one, but none that is set aside */
    const struct fetch_scope *scope;
    const struct fetch_request *request;
    const struct attempt_hooks *hooks;
    void *arg;
    struct exchange *exchange;
    struct endpoint *endpoint; /* the address being tried; NULL: none */
    struct breaker_pass pass;
    unsigned in_flight;      /* at the upstream, with this one, when the slot was taken */
    uint64_t slot_us;        /* when the slot was taken; 0: not yet */
    uint64_t due_us;         /* attempt_on_due is to be called then */
    struct address *avoided; /* tried in vain; the first maybe only shunned */
    size_t avoided_count;
    struct address failed; /* where an attempt of this last failed; zeroed: nowhere */
    uint64_t started_us;
    enum outcome early_outcome; /* in ATTEMPT_AWAITS_REPORT */
    const char *early_message;  /* static; NULL: made when it is told */
    struct resolver_lookup lookup;
    struct limiter_waiter waiter;
};

void attempt_init(struct attempt *attempt, const struct fetch_scope *scope,
                  const struct attempt_hooks *hooks, void *arg);

/* Never calls on_done before it returns. The address that another attempt is at, or failed at, is
 * shunned where there is another one that is not set aside; NULL: none. */
void attempt_start(struct attempt *attempt, const struct fetch_request *request, bool is_extra,
                   const struct address *shunned, uint64_t now_us);

/* The time that it waited for has come. It may end with this. */
void attempt_on_due(struct attempt *attempt, uint64_t now_us);

static inline bool attempt_is_running(const struct attempt *attempt)
{
    return attempt->state != ATTEMPT_IDLE;
}

/* What it waits for, for people: "waiting for a slot". */
const char *attempt_waits_for(const struct attempt *attempt);

/* What it comes to if its time is up: fills the result, ends nothing. */
void attempt_describe_timeout(const struct attempt *attempt, uint64_t timeout_us,
                              struct fetch_result *result);

/* Ends a running attempt without on_done. The verdict is told to who learns from it, if it had its
 * slot; and UPSTREAM_BUSY only if it had it for at least half of the time that the settings give:
 * a caller in a hurry says nothing about an upstream. */
void attempt_cancel(struct attempt *attempt, enum upstream_verdict verdict, uint64_t now_us);

#endif
