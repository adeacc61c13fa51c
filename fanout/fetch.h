/*
 * One upstream call, from the wait for a slot to a typed outcome.
 */
#ifndef FANOUT_FETCH_H
#define FANOUT_FETCH_H

#include "fanout/address.h"
#include "fanout/body.h"
#include "fanout/buf.h"
#include "fanout/limiter.h"
#include "fanout/method.h"
#include "fanout/outcome.h"
#include "fanout/resolver.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct alarm;
struct exchange;
struct fanout_worker;
struct header_list;
struct upstream;

#define FETCH_MESSAGE_SIZE 256

/* What is asked. Everything pointed to must stay until the fetch has ended. */
struct fetch_request {
    struct upstream *upstream;
    enum method method;
    const char *target;                /* NULL: the upstream's URL as it is */
    const struct header_list *headers; /* besides the upstream's own; NULL: none */
    const char *body;                  /* NULL: none */
    size_t body_length;
    uint64_t timeout_us; /* lowers the upstream's own; CLOCK_NEVER: as configured */
};

/* How it ended. The receiver may take the body with buf_move; what it points to else is there
 * until on_done returns. */
struct fetch_result {
    enum outcome outcome;
    unsigned status;     /* the upstream's HTTP status; 0: none came */
    unsigned attempts;   /* how often a request was sent, or tried to be; 0: it never got a slot */
    uint64_t elapsed_us; /* since the fetch was started, waiting included */
    bool retryable;
    enum body_kind body_kind;
    struct buf body;
    const char *content_type;         /* NULL: none */
    char message[FETCH_MESSAGE_SIZE]; /* for people; empty when ok */
};

enum fetch_state {
    FETCH_IDLE,
    FETCH_AWAITS_SLOT,   /* of the limiter */
    FETCH_AWAITS_NAME,   /* of the resolver; from here on it holds a slot */
    FETCH_AWAITS_ANSWER, /* of the transport */
    FETCH_AWAITS_REPORT, /* ended at once: told from the loop, as a start never calls back */
    FETCH_DONE,
};

struct fetch;
/* Called once, from the loop, with the fetch already at an end: it may be freed. */
typedef void fetch_done(void *arg, struct fetch *fetch, struct fetch_result *result);

/* Embedded in its gathering; the members are fetch.c's own. */
struct fetch {
    enum fetch_state state;
    struct fanout_worker *worker;
    const struct fetch_request *request;
    fetch_done *on_done;
    void *arg;
    struct limiter_waiter waiter;
    struct resolver_lookup lookup;
    struct exchange *exchange;
    struct alarm *alarm; /* rings at due_us, if not before */
    uint64_t due_us;     /* of the state: the wait for a slot, the upstream's timeout, the report */
    struct resolver_answer *answer; /* NULL: the URL has a numeric host */
    size_t address_first;           /* which of its addresses is tried first */
    size_t addresses_tried;
    struct address address; /* the one being tried */
    uint64_t started_us;
    uint64_t slot_us; /* when the slot was taken; 0: not yet */
    enum outcome early_outcome;
    const char *early_message; /* static; told in FETCH_AWAITS_REPORT; NULL: made then */
};

/* When the alarm rings, fetch_on_due must be called for each fetch that is due. */
void fetch_init(struct fetch *fetch, struct fanout_worker *worker,
                const struct fetch_request *request, struct alarm *alarm, fetch_done *on_done,
                void *arg);
/* Never calls back before it returns. The party takes turns with others for slots. */
void fetch_start(struct fetch *fetch, struct limiter_party *party, uint64_t now_us);

/* It may end with this. */
void fetch_on_due(struct fetch *fetch);

static inline bool fetch_is_running(const struct fetch *fetch)
{
    return fetch->state != FETCH_IDLE && fetch->state != FETCH_DONE;
}

/* Ends a running fetch from outside, on_done included: the deadline came, the service stops. */
void fetch_end(struct fetch *fetch, enum outcome outcome, const char *reason);
/* Ends a running fetch without on_done: nobody is there to be told. */
void fetch_cancel(struct fetch *fetch);

#endif
