/*
 * One upstream: its settings, which never change, and what all workers share
 * of it: its lane in the limiter and its counters.
 */
#ifndef FANOUT_UPSTREAM_H
#define FANOUT_UPSTREAM_H

#include "fanout/address.h"
#include "fanout/breaker.h"
#include "fanout/endpoints.h"
#include "fanout/header.h"
#include "fanout/method.h"
#include "fanout/outcome.h"
#include "fanout/url.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct deny_list;
struct limiter;
struct limiter_lane;
struct upstream_health;

/* An inclusive range of HTTP status codes. */
struct status_range {
    unsigned low;
    unsigned high;
};

/* By what a fetch goes: see transport_way.h. */
enum transport_choice {
    TRANSPORT_AUTO, /* lean; by libcurl what is not HTTP/1.1 alone */
    TRANSPORT_CURL,
};

struct string_list {
    char **items;
    size_t count;
};

/* When a fetch is tried again, and how often at most. */
struct retry_settings {
    unsigned most;                 /* retries after the first attempt; 0: none */
    unsigned outcomes;             /* after which: bit 1 << OUTCOME_x, but for http_status */
    struct status_range *statuses; /* after which http_status */
    size_t status_count;
    bool unsafe; /* also what is not idempotent (RFC 9110, section 9.2.2); hedges too */
    uint64_t backoff_us;
    uint64_t max_backoff_us;
    unsigned budget_percent; /* of first attempts: retries and hedges together */
    unsigned budget_floor;   /* a second, besides */
};

/* When a second attempt goes beside the first. */
struct hedge_settings {
    uint64_t delay_us; /* after the first was sent; CLOCK_NEVER: none, or by the part */
    double part;       /* when that part (0.95) of answers have come, as measured; 0: no */
};

/* What stands in for a failure. */
struct fallback_settings {
    char *json;     /* a whole JSON value; NULL: none */
    char *upstream; /* the name of another one; NULL: none */
    size_t index;   /* of that one */
};

struct upstream_settings {
    char *name;
    char *url_text; /* as configured */
    struct url url;
    uint64_t timeout_us;         /* from the slot taken to the answer's last byte */
    uint64_t connect_timeout_us; /* for each address tried, TLS included */
    uint64_t queue_timeout_us;   /* longest wait for a slot; CLOCK_NEVER: until the deadline */
    uint64_t idle_timeout_us;    /* a keep-alive connection idle for longer is not used again */
    enum transport_choice transport;
    bool http2; /* asked for by TLS's ALPN */
    unsigned max_in_flight;
    size_t max_response_bytes; /* of the body, decoded */
    unsigned max_json_depth;
    struct header_list headers; /* sent with every request */
    struct status_range *success;
    size_t success_count;
    unsigned allow_methods; /* bit 1 << METHOD_x */
    bool allow_path;
    bool allow_query;
    bool allow_body;
    struct string_list forward_headers; /* names a caller may set, and that are passed on */
    char *ca;                           /* PEM file of trusted certificates; NULL: the system's */
    char *cert;                         /* PEM file of the client certificate; NULL: none */
    char *key;                          /* and of its key */
    bool tls_verify;                    /* false: neither chain nor name is checked */
    const struct deny_list *denied;     /* never connected to; not owned; NULL: none */
    uint64_t attempt_timeout_us;        /* of each attempt; CLOCK_NEVER: timeout_us alone */
    char *deadline_header;              /* that tells what time is left, in ms; NULL: not told */
    struct retry_settings retry;
    struct hedge_settings hedge;
    bool has_breaker;
    struct breaker_settings breaker;
    struct endpoints_settings endpoints;
    unsigned min_in_flight; /* the limit adapts, down to that; 0: it is max_in_flight */
    struct fallback_settings fallback;
    bool required; /* its failure is the whole request's */
    bool coalesce; /* identical GETs at one time are one */
};

/* What is counted besides outcomes. */
enum upstream_event {
    UPSTREAM_RETRIES,
    UPSTREAM_HEDGES,
    UPSTREAM_HEDGE_WINS,    /* the hedge's answer was the first */
    UPSTREAM_EXTRA_REFUSED, /* retries and hedges that the budget had nothing for */
    UPSTREAM_FALLBACKS,
    UPSTREAM_COALESCED, /* fetches that had no request of their own */
    UPSTREAM_EVENT_COUNT,
};

struct upstream {
    const struct upstream_settings *settings; /* not owned */
    size_t index;                             /* in the configuration's order */
    struct address address;                   /* where the URL's host is numeric */
    struct limiter_lane *lane;
    struct upstream_health *health;
    atomic_uint_fast64_t outcomes[OUTCOME_COUNT]; /* fetches ended, by outcome */
    atomic_uint_fast64_t events[UPSTREAM_EVENT_COUNT];
};

void upstream_settings_release(struct upstream_settings *settings);
bool upstream_settings_allow_method(const struct upstream_settings *settings, enum method method);
bool upstream_settings_forward_header(const struct upstream_settings *settings, const char *name);
bool upstream_settings_is_success(const struct upstream_settings *settings, unsigned status);
/* Whether it is to be tried again after that, if at all; the status counts for http_status. */
bool upstream_settings_retry_on(const struct upstream_settings *settings, enum outcome outcome,
                                unsigned status);
/* Whether the upstream must not be connected to there. An address that is written in the URL
 * itself was meant. */
bool upstream_settings_denies(const struct upstream_settings *settings,
                              const struct address *address);

/* settings must outlive the upstream; the limiter too. Traces a warning if TLS goes unchecked. */
void upstream_init(struct upstream *upstream, size_t index,
                   const struct upstream_settings *settings, struct limiter *limiter,
                   uint64_t now_us);
void upstream_release(struct upstream *upstream);
/* Any thread. */
void upstream_count(struct upstream *upstream, enum outcome outcome);
void upstream_note(struct upstream *upstream, enum upstream_event event);
/* "retries", "hedges", …: for the status page; static. */
const char *upstream_event_name(enum upstream_event event);

#endif
