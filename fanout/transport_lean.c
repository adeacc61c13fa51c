/*
 * The lean way: our own HTTP/1.1 on a connection that libcurl opened.
 *
 *   lean_send ─► a kept connection ─────────────► send ─► receive ─► finish
 *       │                                          ▲ │
 *       ╰──────► connector_start ┄┄► on_connected ─╯ ╰► repeat (it was closed
 *           │         ▲                                 before a byte came)
 *           ╰┄ waits ┄┴────────────────────────────────────╯
 */
#include "fanout/transport_lean.h"

#include "fanout/clock.h"
#include "fanout/mem.h"
#include "fanout/upstream.h"

#include <event2/event.h>
#include <stdlib.h>

#define MOST_IDLE_EXCHANGES 256
#define MOST_KEPT_REQUEST   4096
#define MOST_COPIED_BODY    4096 /* goes out with the head, in one piece */
#define MOST_PIECES         16   /* of an answer in one turn */

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
    link_release(peer);
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
    link_init(peer);
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
    const struct http_request_template *template = &exchange->peer->template;
    bool is_small = request->body != NULL && request->body_length <= MOST_COPIED_BODY;
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
    exchange->is_drained = true;
    exchange->connector = NULL;
    exchange->connection = NULL;
    exchange->copied_body = is_small ? request->body_length : 0;
    exchange->body = request->body;
    exchange->body_length = request->body_length;
    exchange->deadline_us = request->deadline_us;
    exchange->sent = 0;
    http_request_write(template, &wanted, &exchange->head);
    exchange->head_begun = exchange->head.len;
    buf_reserve(&exchange->head, template->longest_end + exchange->copied_body);
    exchange->response = (struct exchange_response){.outcome = OUTCOME_OK};
    buf_init_budgeted(&exchange->response.body, exchange->peer->origin.settings->max_response_bytes,
                      request->budget);
    http_response_init(&exchange->answer, request->method, &exchange->response.body);
}

/* ---- the end ---- */

static bool is_all_sent(const struct lean_exchange *exchange)
{
    return exchange->sent == exchange->head.len + exchange->body_length - exchange->copied_body;
}

/* What was there before the loop last looked is not told of again, so it is looked for. */
static bool is_reusable(const struct lean_exchange *exchange)
{
    const struct http_response *answer = &exchange->answer;

    return answer->phase == HTTP_RESPONSE_DONE && answer->is_persistent && !exchange->is_spent &&
           is_all_sent(exchange) && (exchange->is_drained || pool_is_quiet(exchange->connection));
}

static void let_go_of_connection(struct lean_exchange *exchange)
{
    struct pool_connection *connection = exchange->connection;
    bool may_be_kept = connection != NULL && is_reusable(exchange);

    exchange->connection = NULL;
    if (connection == NULL)
        return;
    if (may_be_kept)
        pool_give(connection, exchange->response.ended_us);
    else
        pool_close(connection);
    link_came_free(exchange->peer);
}

static void report(struct lean_exchange *exchange)
{
    exchange->response.status = exchange->answer.status;
    exchange->response.content_type = exchange->answer.content_type;
    exchange->response.retry_after = exchange->answer.fields.retry_after;
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

void lean_fail(struct lean_exchange *exchange, enum outcome outcome, const char *detail)
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

static void lean_cancel(struct exchange *face)
{
    struct lean_exchange *exchange = (struct lean_exchange *)face;

    link_cancel(exchange);
    exchange_put_back(exchange);
}

static bool lean_is_connected(const struct exchange *face)
{
    return ((const struct lean_exchange *)face)->connection != NULL;
}

/* ---- sending ---- */

/* Nothing is sent then: it is about to be cancelled. */
static bool is_too_late(const struct lean_exchange *exchange, uint64_t now_us)
{
    return now_us >= exchange->deadline_us;
}

static enum channel_answer send_piece(struct lean_exchange *exchange)
{
    const struct buf *head = &exchange->head;
    const char *start = head->data + exchange->sent;
    size_t count = head->len - exchange->sent, sent;
    enum channel_answer answer;

    if (exchange->sent >= head->len) {
        size_t sent_of_body = exchange->copied_body + exchange->sent - head->len;

        start = exchange->body + sent_of_body;
        count = exchange->body_length - sent_of_body;
    }
    answer = channel_send(&exchange->connection->channel, start, count, &sent);
    exchange->sent += sent;
    return answer;
}

enum channel_answer lean_send_rest(struct lean_exchange *exchange)
{
    enum channel_answer answer = CHANNEL_MOVED;

    while (answer == CHANNEL_MOVED && !is_all_sent(exchange))
        answer = send_piece(exchange);
    pool_want_write(exchange->connection, answer == CHANNEL_AGAIN);
    if (answer == CHANNEL_BROKEN)
        pool_wake(exchange->connection);
    return answer;
}

/* The room for it is there. */
static void end_head(struct lean_exchange *exchange, uint64_t left_us)
{
    exchange->sent = 0;
    exchange->head.len = exchange->head_begun;
    http_request_write_end(&exchange->peer->template, left_us, &exchange->head);
    buf_append(&exchange->head, exchange->body, exchange->copied_body);
}

enum channel_answer lean_send_first(struct lean_exchange *exchange)
{
    uint64_t now_us = clock_now_us();

    if (is_too_late(exchange, now_us))
        return CHANNEL_AGAIN;
    end_head(exchange, exchange->deadline_us - now_us);
    return lean_send_rest(exchange);
}

/* ---- starting ---- */

static struct exchange *lean_send(struct transport_peer *face,
                                  const struct exchange_request *request, exchange_done *on_done,
                                  void *arg)
{
    struct lean_exchange *exchange = exchange_take((struct lean_peer *)face);

    exchange->on_done = on_done;
    exchange->arg = arg;
    begin(exchange, request);
    if (!exchange->head.has_failed && /* or the body would be taken for what the head lacks */
        link_start(exchange))
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
        exchange->is_drained = count < room;
        http_response_took(&exchange->answer, count);
        return answer;
    }
    answer = channel_receive(channel, transport->scratch, sizeof transport->scratch, &count);
    exchange->is_drained = count < sizeof transport->scratch;
    if (http_response_take(&exchange->answer, transport->scratch, count) < count)
        exchange->is_spent = true;
    return answer;
}

/* The upstream closed the connection, or it broke. */
static void on_lost(struct lean_exchange *exchange, enum channel_answer answer)
{
    enum outcome outcome;
    const char *detail;

    if (exchange->may_repeat && !http_response_has_begun(&exchange->answer)) {
        link_repeat(exchange);
    } else if (answer == CHANNEL_END) {
        http_response_end(&exchange->answer);
        finish(exchange);
    } else {
        outcome = channel_failure(&exchange->connection->channel, &detail);
        lean_fail(exchange, outcome, detail);
    }
}

/* Until nothing more is there, as nobody would tell us of it again; but others are waiting. */
static void receive(struct lean_exchange *exchange)
{
    enum channel_answer answer = CHANNEL_MOVED;

    for (int i = 0;
         i < MOST_PIECES && answer == CHANNEL_MOVED && !http_response_is_over(&exchange->answer);
         i++)
        answer = receive_piece(exchange);
    if (http_response_is_over(&exchange->answer))
        finish(exchange);
    else if (answer == CHANNEL_MOVED)
        pool_wake(exchange->connection);
    else if (answer != CHANNEL_AGAIN)
        on_lost(exchange, answer);
}

void lean_on_event(void *arg, short what)
{
    struct lean_exchange *exchange = arg;

    if ((what & EV_WRITE) != 0 && !is_too_late(exchange, clock_now_us()))
        lean_send_rest(exchange);
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
