/*
 * The lean way: our own HTTP/1.1 on a connection that libcurl opened.
 *
 *   lean_send ─► a kept connection ─────────────► send ─► receive ─► finish
 *       │                                          ▲ │
 *       ╰──────► connector_start ┄┄► on_connected ─╯ ╰► repeat (it was closed
 *           │         ▲                                 before a byte came)
 *           ╰┄ waits ┄┴────────────────────────────────────╯
 *
 * A connection being opened needs some 10 KiB of libcurl's, so only so many are
 * opened at once; who waits for one takes a kept one if that comes free first.
 */
#include "fanout/clock.h"
#include "fanout/http_request.h"
#include "fanout/http_response.h"
#include "fanout/mem.h"
#include "fanout/transport_origin.h"
#include "fanout/transport_pool.h"
#include "fanout/transport_way.h"
#include "fanout/upstream.h"

#include <event2/event.h>
#include <stdlib.h>
#include <string.h>

#define MOST_IDLE_EXCHANGES 256
#define MOST_KEPT_REQUEST   4096
#define MOST_COPIED_BODY    4096 /* goes out with the head, in one piece */
#define MOST_PIECES         16   /* of an answer in one turn */
#define MOST_CONNECTING     128  /* at once, to one upstream */

struct lean_peer {
    struct transport_peer face;
    struct transport *transport;
    struct origin origin;
    struct connectors connectors;
    struct pool pool;
    struct http_request_template template;
    size_t connecting;
    TAILQ_HEAD(lean_waiters, lean_exchange) waiting; /* for a connection */
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
    bool may_repeat; /* the connection was kept, and a second try does no harm */
    bool is_spent;   /* the connection ended behind the answer, or something more came */
    struct buf head; /* of the request; small bodies stand behind it */
    const char *body;
    size_t body_length;
    size_t sent; /* of head and body */
    struct http_response answer;
    struct exchange_response response;
    exchange_done *on_done;
    void *arg;
};

/* ---- peers ---- */

static void lean_peer_free(struct transport_peer *face)
{
    struct lean_peer *peer = (struct lean_peer *)face;
    struct lean_exchange *exchange;

    while ((exchange = LIST_FIRST(&peer->idle)) != NULL) {
        LIST_REMOVE(exchange, link);
        buf_release(&exchange->head);
        free(exchange);
    }
    pool_release(&peer->pool);
    connectors_release(&peer->connectors);
    http_request_template_release(&peer->template);
    origin_release(&peer->origin);
    free(peer);
}

static struct transport_peer *lean_peer_new(struct transport *transport,
                                            const struct upstream_settings *settings)
{
    struct lean_peer *peer = mem_zalloc(sizeof *peer);

    peer->face.way = &transport_lean;
    peer->transport = transport;
    LIST_INIT(&peer->idle);
    TAILQ_INIT(&peer->waiting);
    pool_init(&peer->pool, transport->base, transport->timers, settings->idle_timeout_us);
    connectors_init(&peer->connectors, &peer->origin);
    http_request_template_init(&peer->template, settings);
    if (origin_init(&peer->origin, &transport->loop, settings))
        return &peer->face;
    lean_peer_free(&peer->face);
    return NULL;
}

/* ---- exchanges ---- */

static struct lean_exchange *exchange_take(struct lean_peer *peer)
{
    struct lean_exchange *exchange = LIST_FIRST(&peer->idle);

    if (exchange != NULL) {
        LIST_REMOVE(exchange, link);
        peer->idle_count--;
        return exchange;
    }
    exchange = mem_zalloc(sizeof *exchange);
    exchange->face.way = &transport_lean;
    exchange->peer = peer;
    buf_init(&exchange->head, BUF_UNLIMITED);
    return exchange;
}

static void exchange_put_back(struct lean_exchange *exchange)
{
    struct lean_peer *peer = exchange->peer;

    http_response_release(&exchange->answer);
    buf_release(&exchange->response.body);
    if (peer->idle_count >= MOST_IDLE_EXCHANGES || exchange->head.room > MOST_KEPT_REQUEST) {
        buf_release(&exchange->head);
        free(exchange);
        return;
    }
    buf_clear(&exchange->head);
    LIST_INSERT_HEAD(&peer->idle, exchange, link);
    peer->idle_count++;
}

static void begin(struct lean_exchange *exchange, const struct exchange_request *request)
{
    bool is_small = request->body_length <= MOST_COPIED_BODY;
    struct http_request wanted = {
        .method = request->method,
        .target = request->target,
        .headers = request->headers,
        .has_length = http_request_has_length(request->method, request->body != NULL),
        .body_length = request->body_length,
    };

    exchange->address = *request->address;
    exchange->may_repeat = method_is_idempotent(request->method);
    exchange->is_spent = false;
    exchange->sent = 0;
    exchange->connector = NULL;
    exchange->connection = NULL;
    http_request_write(&exchange->peer->template, &wanted, &exchange->head);
    if (is_small)
        buf_append(&exchange->head, request->body, request->body_length);
    exchange->body = request->body;
    exchange->body_length = is_small ? 0 : request->body_length;
    exchange->response = (struct exchange_response){.outcome = OUTCOME_OK};
    buf_init_budgeted(&exchange->response.body, exchange->peer->origin.settings->max_response_bytes,
                      request->budget);
    http_response_init(&exchange->answer, request->method, &exchange->response.body);
}

/* ---- the end ---- */

static bool is_all_sent(const struct lean_exchange *exchange)
{
    return exchange->sent == exchange->head.len + exchange->body_length;
}

static void serve_waiting(struct lean_peer *peer);

static void let_go_of_connection(struct lean_exchange *exchange)
{
    struct pool_connection *connection = exchange->connection;
    const struct http_response *answer = &exchange->answer;

    exchange->connection = NULL;
    if (connection == NULL)
        return;
    if (answer->phase == HTTP_RESPONSE_DONE && answer->is_persistent && !exchange->is_spent &&
        is_all_sent(exchange))
        pool_give(connection, exchange->response.ended_us);
    else
        pool_close(connection);
    serve_waiting(exchange->peer);
}

static void report(struct lean_exchange *exchange)
{
    exchange->response.status = exchange->answer.status;
    exchange->response.content_type = exchange->answer.content_type;
    exchange->on_done(exchange->arg, &exchange->response);
    exchange_put_back(exchange);
}

/* The answer is as it is; the parser has judged it. */
static void finish(struct lean_exchange *exchange)
{
    exchange->response.ended_us = clock_now_us();
    if (exchange->answer.phase == HTTP_RESPONSE_FAILED) {
        exchange->response.outcome = exchange->answer.outcome;
        exchange->response.detail = exchange->answer.reason;
    }
    let_go_of_connection(exchange);
    report(exchange);
}

/* The detail may be the connection's. */
static void fail(struct lean_exchange *exchange, enum outcome outcome, const char *detail)
{
    struct pool_connection *connection = exchange->connection;

    exchange->connection = NULL;
    exchange->response.ended_us = clock_now_us();
    exchange->response.outcome = outcome;
    exchange->response.detail = detail;
    report(exchange);
    if (connection != NULL)
        pool_close(connection);
}

static void stop_waiting(struct lean_exchange *exchange)
{
    TAILQ_REMOVE(&exchange->peer->waiting, exchange, wait);
    exchange->is_waiting = false;
}

static void lean_cancel(struct exchange *face)
{
    struct lean_exchange *exchange = (struct lean_exchange *)face;

    struct lean_peer *peer = exchange->peer;

    if (exchange->is_waiting)
        stop_waiting(exchange);
    if (exchange->connector != NULL) {
        connector_cancel(exchange->connector);
        peer->connecting--;
    }
    if (exchange->connection != NULL)
        pool_close(exchange->connection);
    exchange_put_back(exchange);
    serve_waiting(peer);
}

static bool lean_is_connected(const struct exchange *face)
{
    return ((const struct lean_exchange *)face)->connection != NULL;
}

/* ---- sending ---- */

static enum channel_answer send_piece(struct lean_exchange *exchange)
{
    const struct buf *head = &exchange->head;
    bool is_in_head = exchange->sent < head->len;
    const char *start =
        is_in_head ? head->data + exchange->sent : exchange->body + (exchange->sent - head->len);
    size_t count = (is_in_head ? head->len : head->len + exchange->body_length) - exchange->sent;
    size_t sent;
    enum channel_answer answer = channel_send(&exchange->connection->channel, start, count, &sent);

    exchange->sent += sent;
    return answer;
}

/*
 * Sends what can be sent. Where the upstream takes no more, it may have said why: what it sent is
 * read first, and the connection's failure is found there.
 */
static enum channel_answer send_rest(struct lean_exchange *exchange)
{
    enum channel_answer answer = CHANNEL_MOVED;

    while (answer == CHANNEL_MOVED && !is_all_sent(exchange))
        answer = send_piece(exchange);
    pool_want_write(exchange->connection, answer == CHANNEL_AGAIN);
    if (answer == CHANNEL_BROKEN)
        pool_wake(exchange->connection);
    return answer;
}

/* ---- connecting ---- */

static void on_event(void *arg, short what);

static void on_connected(void *arg, enum outcome outcome, const char *detail,
                         struct channel channel)
{
    struct lean_exchange *exchange = arg;
    struct lean_peer *peer = exchange->peer;

    exchange->connector = NULL;
    peer->connecting--;
    if (outcome != OUTCOME_OK) {
        fail(exchange, outcome, detail);
    } else {
        exchange->connection =
            pool_add(&peer->pool, &exchange->address, channel, on_event, exchange);
        send_rest(exchange);
    }
    serve_waiting(peer);
}

/* False: libcurl failed for want of memory. */
static bool connect_now(struct lean_exchange *exchange)
{
    struct lean_peer *peer = exchange->peer;

    exchange->may_repeat = false;
    exchange->connector =
        connector_start(&peer->connectors, &exchange->address, on_connected, exchange);
    peer->connecting += exchange->connector != NULL;
    return exchange->connector != NULL;
}

static bool connect_afresh(struct lean_exchange *exchange)
{
    struct lean_peer *peer = exchange->peer;

    if (peer->connecting < MOST_CONNECTING)
        return connect_now(exchange);
    TAILQ_INSERT_TAIL(&peer->waiting, exchange, wait);
    exchange->is_waiting = true;
    return true;
}

static const char no_connector[] = "no connection could be started";

/* The kept connection was closed before it could carry anything. */
static void repeat(struct lean_exchange *exchange)
{
    pool_close(exchange->connection);
    exchange->connection = NULL;
    exchange->may_repeat = false;
    exchange->sent = 0;
    if (!connect_afresh(exchange))
        fail(exchange, OUTCOME_INTERNAL, no_connector);
}

/* False: there is none, or it turned out to be closed when nothing had been sent yet. */
static bool use_kept_connection(struct lean_exchange *exchange)
{
    struct lean_peer *peer = exchange->peer;

    /* What can't be repeated must not find out the hard way that the connection is closed. */
    exchange->connection =
        pool_take(&peer->pool, &exchange->address, !exchange->may_repeat, on_event, exchange);
    if (exchange->connection == NULL)
        return false;
    if (send_rest(exchange) != CHANNEL_BROKEN || exchange->sent > 0)
        return true;
    pool_close(exchange->connection);
    exchange->connection = NULL;
    return false;
}

/* A connection came free, or one may be opened. */
static void serve_waiting(struct lean_peer *peer)
{
    struct lean_exchange *first = TAILQ_FIRST(&peer->waiting);

    if (first == NULL)
        return;
    if (use_kept_connection(first)) {
        stop_waiting(first);
    } else if (peer->connecting < MOST_CONNECTING) {
        stop_waiting(first);
        if (!connect_now(first)) {
            fail(first, OUTCOME_INTERNAL, no_connector);
            serve_waiting(peer);
        }
    }
}

static struct exchange *lean_send(struct transport_peer *face,
                                  const struct exchange_request *request, exchange_done *on_done,
                                  void *arg)
{
    struct lean_exchange *exchange = exchange_take((struct lean_peer *)face);

    exchange->on_done = on_done;
    exchange->arg = arg;
    begin(exchange, request);
    if (use_kept_connection(exchange) || connect_afresh(exchange))
        return &exchange->face;
    exchange_put_back(exchange);
    return NULL;
}

/* ---- receiving ---- */

static enum channel_answer receive_piece(struct lean_exchange *exchange)
{
    struct transport *transport = exchange->peer->transport;
    struct channel *channel = &exchange->connection->channel;
    size_t room, count;
    char *direct = http_response_room(&exchange->answer, &room);
    enum channel_answer answer;

    if (direct != NULL) {
        answer = channel_receive(channel, direct, room, &count);
        http_response_took(&exchange->answer, count);
        return answer;
    }
    answer = channel_receive(channel, transport->scratch, sizeof transport->scratch, &count);
    if (http_response_take(&exchange->answer, transport->scratch, count) < count)
        exchange->is_spent = true;
    return answer;
}

static bool is_over(const struct lean_exchange *exchange)
{
    return exchange->answer.phase == HTTP_RESPONSE_DONE ||
           exchange->answer.phase == HTTP_RESPONSE_FAILED;
}

/* The upstream closed the connection, or it broke. */
static void on_lost(struct lean_exchange *exchange, enum channel_answer answer)
{
    enum outcome outcome;
    const char *detail;

    if (exchange->may_repeat && !http_response_has_begun(&exchange->answer)) {
        repeat(exchange);
    } else if (answer == CHANNEL_END) {
        http_response_end(&exchange->answer);
        finish(exchange);
    } else {
        outcome = channel_failure(&exchange->connection->channel, &detail);
        fail(exchange, outcome, detail);
    }
}

/* Until nothing more is there, as nobody would tell us of it again; but others are waiting. */
static void receive(struct lean_exchange *exchange)
{
    enum channel_answer answer = CHANNEL_MOVED;

    for (int i = 0; i < MOST_PIECES && answer == CHANNEL_MOVED && !is_over(exchange); i++)
        answer = receive_piece(exchange);
    if (is_over(exchange))
        finish(exchange);
    else if (answer == CHANNEL_MOVED)
        pool_wake(exchange->connection);
    else if (answer != CHANNEL_AGAIN)
        on_lost(exchange, answer);
}

static void on_event(void *arg, short what)
{
    struct lean_exchange *exchange = arg;

    if ((what & EV_WRITE) != 0)
        send_rest(exchange);
    if ((what & EV_CLOSED) != 0)
        exchange->is_spent = true;
    if ((what & (EV_READ | EV_CLOSED)) != 0)
        receive(exchange);
}

const struct transport_way transport_lean = {
    .name = "lean",
    .peer_new = lean_peer_new,
    .peer_free = lean_peer_free,
    .send = lean_send,
    .cancel = lean_cancel,
    .is_connected = lean_is_connected,
};
