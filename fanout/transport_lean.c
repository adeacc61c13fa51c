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

#define MOST_IDLE_EXCHANGES 1024
#define MOST_IDLE_ANSWERS   64
#define MOST_KEPT_HEAD      4096
#define MOST_COPIED_BODY    4096 /* goes out with the head, in one piece */
#define MOST_PIECES         16   /* of an answer in one turn */

/* ---- peers ---- */

static void exchange_free(struct lean_exchange *exchange)
{
    buf_release(&exchange->head);
    free(exchange);
}

static void lean_peer_free(struct transport_peer *face)
{
    struct lean_peer *peer = (struct lean_peer *)face;
    struct lean_exchange *exchange;
    struct lean_answer *answer;

    while ((exchange = TAILQ_FIRST(&peer->idle)) != NULL) {
        TAILQ_REMOVE(&peer->idle, exchange, link);
        exchange_free(exchange);
    }
    while ((answer = LIST_FIRST(&peer->idle_answers)) != NULL) {
        LIST_REMOVE(answer, link);
        free(answer);
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
    TAILQ_INIT(&peer->idle);
    LIST_INIT(&peer->idle_answers);
    link_init(peer);
    pool_init(&peer->pool, transport->base, transport->timers, settings->idle_timeout_us);
    connectors_init(&peer->connectors, &peer->origin);
    http_request_template_init(&peer->template, settings);
    if (origin_init(&peer->origin, &transport->loop, settings))
        return &peer->face;
    lean_peer_free(&peer->face);
    return NULL;
}

/* ---- answers ---- */

/* The one used last, so that it is in the processor's caches. */
static void take_answer(struct lean_exchange *exchange)
{
    struct lean_peer *peer = exchange->peer;
    struct lean_answer *answer = LIST_FIRST(&peer->idle_answers);

    if (answer != NULL) {
        LIST_REMOVE(answer, link);
        peer->idle_answer_count--;
    } else {
        answer = mem_alloc(sizeof *answer);
    }
    answer->response = (struct exchange_response){.outcome = OUTCOME_OK};
    buf_init_budgeted(&answer->response.body, peer->origin.settings->max_response_bytes,
                      peer->transport->budget);
    http_response_init(&answer->parser, exchange->request.method, &answer->response.body);
    exchange->answer = answer;
}

static void put_answer_back(struct lean_exchange *exchange)
{
    struct lean_peer *peer = exchange->peer;
    struct lean_answer *answer = exchange->answer;

    http_response_release(&answer->parser);
    buf_release(&answer->response.body);
    if (peer->idle_answer_count >= MOST_IDLE_ANSWERS) {
        free(answer);
        return;
    }
    LIST_INSERT_HEAD(&peer->idle_answers, answer, link);
    peer->idle_answer_count++;
}

/* ---- exchanges ---- */

static struct lean_exchange *exchange_take(struct lean_peer *peer)
{
    struct lean_exchange *exchange = TAILQ_FIRST(&peer->idle);

    if (exchange != NULL) {
        TAILQ_REMOVE(&peer->idle, exchange, link);
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

    if (exchange->answer != NULL)
        put_answer_back(exchange);
    if (peer->idle_count >= MOST_IDLE_EXCHANGES) {
        exchange_free(exchange);
        return;
    }
    if (!exchange->is_sent)
        buf_release(&exchange->head);
    TAILQ_INSERT_HEAD(&peer->idle, exchange, link);
    peer->idle_count++;
}

/* ---- the end ---- */

/* What was there before the loop last looked is not told of again, so it is looked for. */
static bool is_reusable(const struct lean_exchange *exchange)
{
    const struct http_response *parser = &exchange->answer->parser;

    return parser->phase == HTTP_RESPONSE_DONE && parser->is_persistent && exchange->is_sent &&
           !exchange->is_spent && (exchange->is_drained || pool_is_quiet(exchange->connection));
}

static void let_go_of_connection(struct lean_exchange *exchange)
{
    struct pool_connection *connection = exchange->connection;
    bool may_be_kept = is_reusable(exchange);

    exchange->connection = NULL;
    if (may_be_kept)
        pool_give(connection, exchange->answer->response.ended_us);
    else
        pool_close(connection);
    link_came_free(exchange->peer);
}

static void report(struct lean_exchange *exchange)
{
    struct http_response *parser = &exchange->answer->parser;
    struct exchange_response *response = &exchange->answer->response;

    response->status = parser->status;
    response->content_type = parser->content_type;
    response->retry_after = parser->fields.retry_after;
    exchange->on_done(exchange->arg, response);
    exchange_put_back(exchange);
}

/* The answer is as it is; the parser has judged it. */
static void finish(struct lean_exchange *exchange)
{
    const struct http_response *parser = &exchange->answer->parser;
    struct exchange_response *response = &exchange->answer->response;

    response->ended_us = clock_now_us();
    if (parser->phase == HTTP_RESPONSE_FAILED) {
        response->outcome = parser->outcome;
        response->detail = parser->reason;
    }
    let_go_of_connection(exchange);
    report(exchange);
}

void lean_fail(struct lean_exchange *exchange, enum outcome outcome, const char *detail)
{
    struct pool_connection *connection = exchange->connection;
    struct exchange_response *response;

    if (exchange->answer == NULL)
        take_answer(exchange);
    response = &exchange->answer->response;
    response->ended_us = clock_now_us();
    response->outcome = outcome;
    response->detail = detail;
    exchange->connection = NULL;
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
    return now_us >= exchange->request.deadline_us;
}

/* As much of the body as goes out with the head. */
static size_t copied_length(const struct exchange_request *request)
{
    return request->body_length <= MOST_COPIED_BODY ? request->body_length : 0;
}

static void write_head(const struct lean_exchange *exchange, uint64_t left_us, struct buf *head)
{
    const struct exchange_request *request = &exchange->request;

    buf_clear(head);
    http_request_write(
        &exchange->peer->template,
        &(struct http_request){
            .method = request->method,
            .target = request->target,
            .headers = request->headers,
            .has_length = http_request_has_length(request->method, request->body != NULL),
            .body_length = request->body_length,
            .left_us = left_us,
        },
        head);
    if (request->body != NULL)
        buf_append(head, request->body, copied_length(request));
}

static bool is_all_sent(const struct lean_exchange *exchange)
{
    return exchange->head.len == 0 && exchange->body_sent == exchange->request.body_length;
}

static enum channel_answer send_piece(struct lean_exchange *exchange)
{
    struct buf *head = &exchange->head;
    bool is_head = head->len > 0;
    const char *start = is_head ? head->data : exchange->request.body;
    size_t length = is_head ? head->len : exchange->request.body_length;
    size_t *done = is_head ? &exchange->head_sent : &exchange->body_sent, sent;
    enum channel_answer answer;

    answer = channel_send(&exchange->connection->channel, start + *done, length - *done, &sent);
    *done += sent;
    exchange->has_sent = exchange->has_sent || sent > 0;
    if (is_head && *done == length)
        buf_release(head);
    exchange->is_sent = is_all_sent(exchange);
    return answer;
}

static enum channel_answer send_on(struct lean_exchange *exchange, enum channel_answer answer)
{
    while (answer == CHANNEL_MOVED && !exchange->is_sent)
        answer = send_piece(exchange);
    pool_want_write(exchange->connection, answer == CHANNEL_AGAIN);
    if (answer == CHANNEL_BROKEN)
        pool_wake(exchange->connection);
    return answer;
}

enum channel_answer lean_send_rest(struct lean_exchange *exchange)
{
    return send_on(exchange, CHANNEL_MOVED);
}

/* All heads are written in one place, which stays with the exchange if any of it is left over: TLS
 * wants to be offered the rest where it was. */
static enum channel_answer send_head(struct lean_exchange *exchange, struct buf *head)
{
    enum channel_answer answer;
    size_t sent;

    answer = channel_send(&exchange->connection->channel, head->data, head->len, &sent);
    exchange->has_sent = sent > 0;
    exchange->head_sent = sent;
    exchange->body_sent = copied_length(&exchange->request);
    if (exchange->head.data != NULL)
        buf_release(&exchange->head);
    if (sent < head->len)
        buf_move(&exchange->head, head);
    else if (head->room > MOST_KEPT_HEAD)
        buf_release(head);
    exchange->is_sent = is_all_sent(exchange);
    return send_on(exchange, answer);
}

enum channel_answer lean_send_first(struct lean_exchange *exchange)
{
    struct buf *head = &exchange->peer->transport->head;
    uint64_t now_us = clock_now_us();

    exchange->is_sent = exchange->has_sent = false;
    if (is_too_late(exchange, now_us))
        return CHANNEL_AGAIN;
    write_head(exchange, exchange->request.deadline_us - now_us, head);
    if (!head->has_failed)
        return send_head(exchange, head);
    exchange->lacks_memory = true; /* told from the loop */
    pool_wake(exchange->connection);
    return CHANNEL_AGAIN;
}

/* ---- starting ---- */

static struct exchange *lean_send(struct transport_peer *face,
                                  const struct exchange_request *request, exchange_done *on_done,
                                  void *arg)
{
    struct lean_exchange *exchange = exchange_take((struct lean_peer *)face);

    exchange->connection = NULL;
    exchange->answer = NULL;
    exchange->on_done = on_done;
    exchange->arg = arg;
    exchange->is_sent = false;
    exchange->lacks_memory = false;
    exchange->is_spent = false;
    exchange->is_drained = true;
    exchange->may_repeat = method_is_idempotent(request->method);
    exchange->connector = NULL;
    exchange->request = *request;
    if (link_start(exchange))
        return &exchange->face;
    exchange_put_back(exchange);
    return NULL;
}

/* ---- receiving ---- */

static enum channel_answer receive_piece(struct lean_exchange *exchange)
{
    struct transport *transport = exchange->peer->transport;
    struct channel *channel = &exchange->connection->channel;
    struct http_response *parser = &exchange->answer->parser;
    size_t room, count;
    char *direct = http_response_room(parser, &room);
    enum channel_answer answer;

    if (direct != NULL) {
        answer = channel_receive(channel, direct, room, &count);
        exchange->is_drained = count < room;
        http_response_took(parser, count);
        return answer;
    }
    answer = channel_receive(channel, transport->scratch, sizeof transport->scratch, &count);
    exchange->is_drained = count < sizeof transport->scratch;
    if (http_response_take(parser, transport->scratch, count) < count)
        exchange->is_spent = true;
    return answer;
}

/* The upstream closed the connection, or it broke. */
static void on_lost(struct lean_exchange *exchange, enum channel_answer answer)
{
    struct http_response *parser = &exchange->answer->parser;
    enum outcome outcome;
    const char *detail;

    if (exchange->may_repeat && !http_response_has_begun(parser)) {
        link_repeat(exchange);
    } else if (answer == CHANNEL_END) {
        http_response_end(parser);
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
    struct http_response *parser;

    if (exchange->answer == NULL)
        take_answer(exchange);
    parser = &exchange->answer->parser;
    for (int i = 0; i < MOST_PIECES && answer == CHANNEL_MOVED && !http_response_is_over(parser);
         i++)
        answer = receive_piece(exchange);
    if (http_response_is_over(parser))
        finish(exchange);
    else if (answer == CHANNEL_MOVED)
        pool_wake(exchange->connection);
    else if (answer != CHANNEL_AGAIN)
        on_lost(exchange, answer);
}

void lean_on_event(void *arg, short what)
{
    struct lean_exchange *exchange = arg;

    if (exchange->lacks_memory) {
        lean_fail(exchange, OUTCOME_INTERNAL, "there is no memory left for the request");
        return;
    }
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
