/*
 * What the two halves of the lean way share: transport_lean.c, which sends and
 * receives, and transport_link.c, which finds or opens the connection for that.
 * For them alone.
 */
#ifndef FANOUT_TRANSPORT_LEAN_H
#define FANOUT_TRANSPORT_LEAN_H

#include "fanout/http_request.h"
#include "fanout/http_response.h"
#include "fanout/transport_origin.h"
#include "fanout/transport_pool.h"
#include "fanout/transport_way.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/queue.h>

struct lean_peer {
    struct transport_peer face;
    struct transport *transport;
    struct origin origin;
    struct connectors connectors;
    struct pool pool;
    struct http_request_template template;
    size_t connecting;
    TAILQ_HEAD(lean_waiters, lean_exchange) waiting; /* for a connection */
    struct timer serve;                              /* when one may be opened for who waits */
    LIST_HEAD(lean_exchanges, lean_exchange) idle;
    size_t idle_count;
};

struct lean_exchange {
    struct exchange face;
    LIST_ENTRY(lean_exchange) link;
    struct lean_peer *peer;
    TAILQ_ENTRY(lean_exchange) wait;
    bool is_waiting;                    /* until it may connect */
    struct connector *connector;        /* while it connects */
    struct pool_connection *connection; /* from then on */
    struct address address;
    bool may_repeat;    /* the connection was kept, and a second try does no harm */
    bool is_spent;      /* the connection ended behind the answer, or something more came */
    bool is_drained;    /* when it was last read, nothing was left behind what came */
    struct buf head;    /* of the request; small bodies stand behind it */
    size_t head_begun;  /* as much of it as is the same whenever it is sent */
    size_t copied_body; /* bytes of the body that stand behind it, or will */
    const char *body;
    size_t body_length;
    uint64_t deadline_us; /* nothing is sent from then on */
    size_t sent;          /* of head and body */
    struct http_response answer;
    struct exchange_response response;
    exchange_done *on_done;
    void *arg;
};

/* ---- transport_lean.c ---- */

/* Begins to send on the connection it has, or does nothing at all if it is too late by now. */
enum channel_answer lean_send_first(struct lean_exchange *exchange);
/*
 * Sends what can be sent. Where the upstream takes no more (BROKEN), it may have said why: what it
 * sent is read first, from the loop, and the connection's failure is found there.
 */
enum channel_answer lean_send_rest(struct lean_exchange *exchange);
void lean_on_event(void *arg, short what);
/* Ends the exchange. The detail may be the connection's. */
void lean_fail(struct lean_exchange *exchange, enum outcome outcome, const char *detail);

/* ---- transport_link.c ---- */

void link_init(struct lean_peer *peer);
void link_release(struct lean_peer *peer);
/* Begins to send on a kept connection, or waits for a new one. False: libcurl failed for want of
 * memory. Never calls back. */
bool link_start(struct lean_exchange *exchange);
/* The kept connection was closed before it could carry anything: once more, on a fresh one. */
void link_repeat(struct lean_exchange *exchange);
/* Stops waiting and connecting, and closes the connection. Never calls back. */
void link_cancel(struct lean_exchange *exchange);
/* A connection came free, or is no more. */
void link_came_free(struct lean_peer *peer);

#endif
