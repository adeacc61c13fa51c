/*
 * HTTP exchanges with upstreams, on libevent. Every connection is opened by
 * libcurl's multi interface; what then goes over it has two ways (see
 * transport_way.h): lean, our own HTTP/1.1, or curl, all by libcurl. Only
 * transport*.c know curl.
 *
 * The transport only carries: names are resolved before (an exchange is told
 * its numeric address), nothing queues here (an exchange starts at once), and
 * no timeout but the one for connecting is kept here. One transport for each
 * worker thread, used by that thread alone.
 */
#ifndef FANOUT_TRANSPORT_H
#define FANOUT_TRANSPORT_H

#include "fanout/address.h"
#include "fanout/buf.h"
#include "fanout/header.h"
#include "fanout/method.h"
#include "fanout/outcome.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct budget;
struct event_base;
struct timers;
struct transport;
struct transport_peer; /* what a transport keeps for one upstream: connections, handles */
struct upstream_settings;
struct exchange;

/* Everything pointed to must stay as it is until the exchange is done or cancelled. */
struct exchange_request {
    enum method method;
    const struct address *address;     /* where to connect, port included */
    const char *target;                /* origin form: "/v1/me/42?full=1"; NULL: the URL's own */
    const struct header_list *headers; /* besides the upstream's own; NULL: none */
    const char *body;                  /* NULL: none */
    size_t body_length;
    uint64_t deadline_us; /* nothing is sent from then on; told to the upstream as time left */
};

/* What it points to is there until on_done returns. */
struct exchange_response {
    enum outcome outcome;     /* OUTCOME_OK: a whole answer of whatever status */
    unsigned status;          /* 0: none came */
    const char *detail;       /* what went wrong, for people */
    const char *content_type; /* as sent; NULL: none */
    const char *retry_after;  /* as sent; empty: none */
    struct buf body;          /* decoded; on_done may take it with buf_move */
    uint64_t ended_us;        /* clock.h */
};

typedef void exchange_done(void *arg, struct exchange_response *response);

/* Once, before any thread; false if libcurl can't be used. */
bool transport_global_init(void);
void transport_global_release(void);
/* "libcurl 8.14.1 OpenSSL/3.5 …", static. */
const char *transport_version(void);

/* The bytes of answers are taken from the budget. NULL on failure. Freeing needs every exchange
 * done or cancelled and every peer freed. */
struct transport *transport_new(struct event_base *base, struct timers *timers,
                                struct budget *budget);
void transport_free(struct transport *transport);

/* settings must outlive the peer. NULL: libcurl does not take the URL. */
struct transport_peer *transport_peer_new(struct transport *transport,
                                          const struct upstream_settings *settings);
void transport_peer_free(struct transport_peer *peer);
/* "lean" or "curl": the way that exchanges with such an upstream take; static. */
const char *transport_way_name(const struct upstream_settings *settings);

/*
 * Starts an exchange; on_done is called exactly once from the loop, never before this returns,
 * unless it is cancelled first. The response and the exchange end when on_done returns.
 * An exchange whose kept connection turns out to be closed before a byte of the answer came is
 * sent once more on a fresh one if its method is idempotent; any other is never sent twice.
 * NULL: libcurl failed for want of memory.
 */
struct exchange *transport_send(struct transport_peer *peer, const struct exchange_request *request,
                                exchange_done *on_done, void *arg);

/* Drops the exchange and closes its connection. */
void transport_cancel(struct exchange *exchange);

/* Whether a connection to the upstream has been made (TLS included) for this exchange. */
bool transport_is_connected(const struct exchange *exchange);

#endif
