/*
 * One fetch: what one request of a gathering comes to, by one attempt or by
 * several. Retries, a hedge beside the first attempt, one flight for many
 * identical fetches, and the fallback are decided here.
 */
#ifndef FANOUT_FETCH_H
#define FANOUT_FETCH_H

#include "fanout/attempt.h"
#include "fanout/fetch_result.h"

#include <stdbool.h>
#include <stdint.h>

struct flight_seat;

enum fetch_state {
    FETCH_IDLE,           /* not started */
    FETCH_AWAITS_ATTEMPT, /* one, or one and a hedge */
    FETCH_AWAITS_RETRY,   /* its time */
    FETCH_AWAITS_FLIGHT,  /* what an identical fetch comes to */
    FETCH_DONE,
};

struct fetch;
/* Called once, from the loop, with the fetch already at an end: it may be freed. */
typedef void fetch_done(void *arg, struct fetch *fetch, struct fetch_result *result);

/* Embedded in its gathering; the members are fetch.c's own. */
struct fetch {
    enum fetch_state state;
    bool is_bare;     /* made for others: no fallback, not counted, in no flight */
    bool is_fallback; /* its first upstream failed */
    unsigned attempts;
    unsigned retries;
    const struct fetch_scope *scope;
    const struct fetch_request *request;
    fetch_done *on_done;
    void *arg;
    uint64_t started_us;
    uint64_t ends_us;         /* by the upstream's timeout, which begins with the first slot */
    uint64_t next_us;         /* when a retry or a hedge is to be made; CLOCK_NEVER: none is */
    struct attempt *hedge;    /* NULL: none */
    struct flight_seat *seat; /* in FETCH_AWAITS_FLIGHT */
    struct attempt first;     /* last: see there */
};

/* scope and request must stay until the fetch has ended. */
void fetch_init(struct fetch *fetch, const struct fetch_scope *scope,
                const struct fetch_request *request, fetch_done *on_done, void *arg,
                uint64_t now_us);
/* Never calls back before it returns. */
void fetch_start(struct fetch *fetch, uint64_t now_us);

/* When fetch_on_due is to be called; it was told to the scope's alarm. */
uint64_t fetch_due_us(const struct fetch *fetch);
/* Does one of the things that are due. The fetch may end with this. */
void fetch_on_due(struct fetch *fetch, uint64_t now_us);

static inline bool fetch_has_ended(const struct fetch *fetch)
{
    return fetch->state == FETCH_DONE;
}

/* Ends a fetch from outside, started or not, on_done included: the deadline came, the service
 * stops. A fallback without another request may still stand in. */
void fetch_end(struct fetch *fetch, enum outcome outcome, const char *reason);
/* Ends a fetch without on_done: nobody is there to be told. */
void fetch_cancel(struct fetch *fetch);

#endif
