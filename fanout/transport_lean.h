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
    TAILQ_HEAD(lean_exchanges, lean_exchange) waiting; /* for a connection */
    struct timer serve;                                /* when one may be opened for who waits */
    struct lean_exchanges idle;
    size_t idle_count;
    LIST_HEAD(lean_answers, lean_answer) idle_answers;
    size_t idle_answer_count;
};

/* What has come of an answer. Most come whole, so that one does for many exchanges in turn. */
struct lean_answer {
    LIST_ENTRY(lean_answer) link; /* while idle */
    struct http_response parser;
    struct exchange_response response;
};

/* Of thousands in flight each is out of the processor's caches when its answer comes: so it is
 * small, and what that needs stands first. */
struct lean_exchange {
    struct exchange face;
    struct lean_peer *peer;
    struct pool_connection *connection; /* NULL: it waits for one */
    struct lean_answer *answer;         /* NULL: it was not looked for yet */
    exchange_done *on_done;
    void *arg;
    bool is_sent;      /* all of it */
    bool has_sent;     /* at least a byte, on this connection */
    bool lacks_memory; /* for its head */
    bool is_spent;     /* the connection ended behind the answer, or something more came */
    bool is_drained;   /* when it was last read, nothing was left behind what came */
    bool may_repeat;   /* the connection was kept, and a second try does no harm */
    bool is_waiting;   /* until it may connect */
    TAILQ_ENTRY(lean_exchange) link; /* while idle or waiting */
    struct exchange_request request;
    struct connector *connector; /* while it connects */
    struct buf head;             /* and a small body; empty but while it is being sent */
    size_t head_sent;            /* bytes of it */
    size_t body_sent;            /* bytes of the body, or standing behind the head */
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
