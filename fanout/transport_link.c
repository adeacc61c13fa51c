/*
 * How an exchange comes by its connection: a kept one, or one that libcurl
 * opens. A connection being opened needs some 10 KiB of libcurl's, so only so
 * many are opened at once; who waits for one takes a kept one if that comes
 * free first.
 */
#include "fanout/transport_lean.h"

#define MOST_CONNECTING 128 /* at once, to one upstream */

static const char no_connector[] = "no connection could be started";

static void stop_waiting(struct lean_exchange *exchange)
{
    TAILQ_REMOVE(&exchange->peer->waiting, exchange, link);
    exchange->is_waiting = false;
}

/*
 * From the loop: a start or a cancel never calls back, and of many that are cancelled together none
 * is to open a connection first.
 */
static void serve_soon(struct lean_peer *peer)
{
    if (!TAILQ_EMPTY(&peer->waiting))
        timer_start(peer->transport->timers, &peer->serve, 0);
}

static void on_connected(void *arg, enum outcome outcome, const char *detail,
                         struct channel channel)
{
    struct lean_exchange *exchange = arg;
    struct lean_peer *peer = exchange->peer;

    exchange->connector = NULL;
    peer->connecting--;
    if (outcome != OUTCOME_OK) {
        lean_fail(exchange, outcome, detail);
    } else {
        exchange->connection =
            pool_add(&peer->pool, exchange->request.address, channel, lean_on_event, exchange);
        if (channel_has_bytes(&channel)) /* answers nothing (RFC 9112, section 6.3) */
            lean_fail(exchange, OUTCOME_PROTOCOL_ERROR, TRANSPORT_SPOKE_FIRST);
        else
            lean_send_first(exchange);
    }
    serve_soon(peer);
}

/* False: libcurl failed for want of memory. */
static bool connect_now(struct lean_exchange *exchange)
{
    struct lean_peer *peer = exchange->peer;

    exchange->may_repeat = false;
    exchange->connector =
        connector_start(&peer->connectors, exchange->request.address, on_connected, exchange);
    peer->connecting += exchange->connector != NULL;
    return exchange->connector != NULL;
}

static bool connect_afresh(struct lean_exchange *exchange)
{
    struct lean_peer *peer = exchange->peer;

    if (peer->connecting < MOST_CONNECTING)
        return connect_now(exchange);
    TAILQ_INSERT_TAIL(&peer->waiting, exchange, link);
    exchange->is_waiting = true;
    return true;
}

void link_repeat(struct lean_exchange *exchange)
{
    pool_close(exchange->connection);
    exchange->connection = NULL;
    exchange->may_repeat = false;
    if (!connect_afresh(exchange))
        lean_fail(exchange, OUTCOME_INTERNAL, no_connector);
}

/* False: there is none, or it turned out to be closed when nothing had been sent yet. */
static bool use_kept_connection(struct lean_exchange *exchange)
{
    struct lean_peer *peer = exchange->peer;

    /* What can't be repeated must not find out the hard way that the connection is closed. */
    exchange->connection = pool_take(&peer->pool, exchange->request.address, !exchange->may_repeat,
                                     lean_on_event, exchange);
    if (exchange->connection == NULL)
        return false;
    if (lean_send_first(exchange) != CHANNEL_BROKEN || exchange->has_sent)
        return true;
    pool_close(exchange->connection);
    exchange->connection = NULL;
    return false;
}

/* Whoever waits first takes it before anybody new does. */
void link_came_free(struct lean_peer *peer)
{
    struct lean_exchange *first = TAILQ_FIRST(&peer->waiting);

    if (first != NULL && use_kept_connection(first))
        stop_waiting(first);
    serve_soon(peer);
}

/* False: whoever waits first must go on waiting. */
static bool serve(struct lean_exchange *first)
{
    if (use_kept_connection(first)) {
        stop_waiting(first);
        return true;
    }
    if (first->peer->connecting >= MOST_CONNECTING)
        return false;
    stop_waiting(first);
    if (!connect_now(first))
        lean_fail(first, OUTCOME_INTERNAL, no_connector);
    return true;
}

static void on_serve(void *arg)
{
    struct lean_peer *peer = arg;
    struct lean_exchange *first;

    while ((first = TAILQ_FIRST(&peer->waiting)) != NULL && serve(first))
        ;
}

void link_init(struct lean_peer *peer)
{
    TAILQ_INIT(&peer->waiting);
    timer_init(&peer->serve, on_serve, peer);
}

void link_release(struct lean_peer *peer)
{
    timer_stop(peer->transport->timers, &peer->serve);
}

bool link_start(struct lean_exchange *exchange)
{
    return use_kept_connection(exchange) || connect_afresh(exchange);
}

void link_cancel(struct lean_exchange *exchange)
{
    if (exchange->is_waiting)
        stop_waiting(exchange);
    if (exchange->connector != NULL) {
        connector_cancel(exchange->connector);
        exchange->peer->connecting--;
    }
    if (exchange->connection != NULL)
        pool_close(exchange->connection);
    serve_soon(exchange->peer);
}
