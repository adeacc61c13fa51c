/*
 * One client connection, between the socket and evhttp.
 *
 * What arrives is read by the guard in a callback of the input buffer, before
 * evhttp sees it. What must not pass is taken out of the buffer; a request
 * that is refused stays incomplete for evhttp, and once all earlier ones are
 * answered, the refusal is written past evhttp and the connection closed.
 *
 * While a call is being worked on, evhttp stops reading and so never hears
 * that its caller went away. Reading is therefore enabled again, without
 * evhttp's read callback (which would end the process on pipelined bytes) and
 * without its timeouts; what arrives stays in the input buffer, up to the
 * read watermark, until the answer is out and evhttp reads on.
 */
#include "service/connection.h"

#include "fanout/buf.h"
#include "fanout/clock.h"
#include "fanout/mem.h"
#include "fanout/timer.h"
#include "service/call.h"
#include "service/log.h"
#include "service/problem.h"

#include <assert.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <event2/http.h>
#include <stdlib.h>
#include <sys/socket.h>

#define LINGER_US (2 * UINT64_C(1000000)) /* for a refused caller to read what is wrong */

static const struct timeval inactivity = {.tv_sec = 60};

enum connection_state {
    CONNECTION_OPEN,
    CONNECTION_REFUSED,   /* waits for the answers to earlier requests; reads on, to see it close */
    CONNECTION_REFUSING,  /* the refusal is being written */
    CONNECTION_LINGERING, /* waits for the caller to close; what it sends is thrown away */
};

struct connection {
    struct connection_set *set;
    struct bufferevent *stream;
    struct evhttp_connection *evhttp; /* NULL until evhttp has made it */
    enum connection_state state;
    struct guard guard;
    struct call *call; /* being worked on or answered; NULL: none */
    uint64_t answered; /* calls whose answer is out */
    bool is_editing;   /* the input buffer is being changed by us */
    struct event step; /* something to do from the loop: attach, or write the refusal */
    struct timer deadline;
};

/* ---- the end of calls and connections ---- */

static void call_end(struct call *call)
{
    struct connection_set *set = call->connection->set;

    call->connection->call = NULL;
    TAILQ_REMOVE(&set->calls, call, link);
    free(call);
    if (TAILQ_EMPTY(&set->calls))
        set->settings.on_quiet(set->settings.arg);
}

/* The request stays ours until it has been answered, but there is nobody to read that. */
static void call_lose(struct call *call)
{
    if (!call->is_answered) {
        log_event(call->log_level, call->id, "event=caller_gone path=%s elapsed_ms=%.1f",
                  call->path, (double)(clock_now_us() - call->started_us) / 1000);
        if (call->hooks.on_gone != NULL)
            call->hooks.on_gone(call->hooks.arg);
        evhttp_send_reply(call->request, HTTP_INTERNAL, NULL, NULL); /* frees it */
    }
    call_end(call);
}

static void connection_free(struct connection *connection)
{
    event_del(&connection->step);
    timer_stop(connection->set->timers, &connection->deadline);
    connection->set->by_descriptor[bufferevent_getfd(connection->stream)] = NULL;
    if (connection->call != NULL)
        call_lose(connection->call);
    free(connection);
}

/* evhttp is about to free its connection, and the stream with it. */
static void on_closed(struct evhttp_connection *evhttp, void *arg)
{
    (void)evhttp;
    connection_free(arg);
}

/* ---- refusing ---- */

static void close_now(struct connection *connection)
{
    evhttp_connection_free(connection->evhttp); /* calls on_closed */
}

static void on_deadline(void *arg)
{
    close_now(arg);
}

static void on_lingering_read(struct bufferevent *stream, void *arg)
{
    struct evbuffer *input = bufferevent_get_input(stream);

    (void)arg;
    evbuffer_drain(input, evbuffer_get_length(input));
}

static void on_lingering_event(struct bufferevent *stream, short what, void *arg)
{
    (void)stream, (void)what;
    close_now(arg);
}

/* All is written. To close at once would reset the connection under what is still being sent, and
 * the caller would never read what is wrong (RFC 9112, section 9.6). */
static void on_refusal_written(struct bufferevent *stream, void *arg)
{
    struct connection *connection = arg;

    if (connection->state != CONNECTION_REFUSING)
        return;
    connection->state = CONNECTION_LINGERING;
    shutdown(bufferevent_getfd(stream), SHUT_WR);
    timer_start(connection->set->timers, &connection->deadline, clock_now_us() + LINGER_US);
    bufferevent_setwatermark(stream, EV_READ, 0, 0);
    on_lingering_read(stream, arg);
}

static void describe_refusal(const struct connection *connection, struct problem *problem)
{
    const struct guard *guard = &connection->guard;

    if (guard->status == 413)
        problem_set(problem, 413, "the body is larger than %zu bytes (option max_request_body)",
                    connection->set->settings.limits.max_body_bytes);
    else
        problem_set(problem, guard->status, "%s (byte %llu of the connection)", guard->reason,
                    (unsigned long long)guard->offset);
}

static void write_refusal(const struct connection *connection, const char *id)
{
    struct evbuffer *output = bufferevent_get_output(connection->stream);
    struct problem problem;
    struct buf body;

    describe_refusal(connection, &problem);
    buf_init(&body, BUF_UNLIMITED);
    problem_write(&problem, id, &body);
    evbuffer_add_printf(output,
                        "HTTP/1.1 %u %s\r\nContent-Type: application/problem+json\r\n"
                        "Content-Length: %zu\r\nX-Request-Id: %s\r\nConnection: close\r\n\r\n",
                        problem.status, http_phrase(problem.status), body.len, id);
    evbuffer_add(output, body.data, body.len);
    buf_release(&body);
}

static void refuse(struct connection *connection)
{
    struct bufferevent *stream = connection->stream;
    const struct guard *guard = &connection->guard;
    char id[REQUEST_ID_SIZE], reason[LOG_VALUE_SIZE];

    request_id_take(id, NULL);
    log_event(TRACE_WARN, id, "event=refused status=%u reason=%s", guard->status,
              log_value(guard->reason, reason));
    connection->state = CONNECTION_REFUSING;
    bufferevent_set_timeouts(stream, NULL, &inactivity);
    bufferevent_setcb(stream, on_lingering_read, on_refusal_written, on_lingering_event,
                      connection);
    write_refusal(connection, id);
    bufferevent_enable(stream, EV_READ | EV_WRITE);
}

/* ---- what arrives ---- */

static bool owes_answers(const struct connection *connection)
{
    return connection->answered < connection->guard.requests_done;
}

/* Replaces all behind the first `keep` bytes of the input by what passed of it. */
static void replace_tail(struct connection *connection, struct evbuffer *input, size_t keep,
                         struct evbuffer *passed)
{
    struct evbuffer *front = evbuffer_new();

    connection->is_editing = true;
    if (front == NULL || evbuffer_remove_buffer(input, front, keep) < 0)
        abort();
    evbuffer_drain(input, evbuffer_get_length(input));
    evbuffer_add_buffer(input, front);
    evbuffer_add_buffer(input, passed);
    evbuffer_free(front);
    connection->is_editing = false;
}

/* Feeds one piece; what passed goes to *passed, which is made when first something does not.
 * `*keep` counts what passed until then. False: refused. */
static bool feed(struct connection *connection, const char *bytes, size_t length, size_t *keep,
                 struct evbuffer **passed)
{
    while (length > 0) {
        size_t taken;
        enum guard_verdict verdict = guard_feed(&connection->guard, bytes, length, &taken);

        if (verdict != GUARD_PASS && *passed == NULL && (*passed = evbuffer_new()) == NULL)
            abort();
        if (verdict == GUARD_REFUSE)
            return false;
        if (*passed == NULL)
            *keep += taken;
        else if (verdict == GUARD_PASS)
            evbuffer_add(*passed, bytes, taken);
        bytes += taken;
        length -= taken;
    }
    return true;
}

static bool feed_tail(struct connection *connection, struct evbuffer *input, size_t tail)
{
    size_t keep = evbuffer_get_length(input) - tail;
    struct evbuffer *passed = NULL;
    struct evbuffer_iovec pieces[16];
    bool ok = true;

    while (ok && tail > 0) {
        struct evbuffer_ptr at;
        int count;

        evbuffer_ptr_set(input, &at, evbuffer_get_length(input) - tail, EVBUFFER_PTR_SET);
        count = evbuffer_peek(input, (ev_ssize_t)tail, &at, pieces, 16);
        for (int i = 0; ok && i < count && i < 16 && tail > 0; i++) {
            size_t length = pieces[i].iov_len < tail ? pieces[i].iov_len : tail;

            ok = feed(connection, pieces[i].iov_base, length, &keep, &passed);
            tail -= length;
        }
    }
    if (passed != NULL) {
        replace_tail(connection, input, keep, passed);
        evbuffer_free(passed);
    }
    return ok;
}

static void drop_tail(struct connection *connection, struct evbuffer *input, size_t tail)
{
    struct evbuffer *nothing = evbuffer_new();

    if (nothing == NULL)
        abort();
    replace_tail(connection, input, evbuffer_get_length(input) - tail, nothing);
    evbuffer_free(nothing);
}

static void on_input(struct evbuffer *input, const struct evbuffer_cb_info *info, void *arg)
{
    struct connection *connection = arg;

    if (connection->is_editing || info->n_added == 0)
        return;
    if (connection->state == CONNECTION_REFUSED)
        drop_tail(connection, input, info->n_added);
    if (connection->state != CONNECTION_OPEN || feed_tail(connection, input, info->n_added))
        return;
    connection->state = CONNECTION_REFUSED;
    if (!owes_answers(connection))
        event_active(&connection->step, EV_TIMEOUT, 0);
}

/* ---- calls ---- */

static void on_sent(struct evhttp_request *request, void *arg)
{
    struct call *call = arg;
    struct connection *connection = call->connection;

    (void)request;
    connection->answered++;
    call_end(call);
    if (connection->state == CONNECTION_REFUSED && !owes_answers(connection))
        event_active(&connection->step, EV_TIMEOUT, 0);
}

bool connection_send(struct call *call)
{
    struct connection *connection = call->connection;
    const struct guard *guard = &connection->guard;

    assert(!call->is_answered);
    call->is_answered = true;
    evhttp_connection_set_timeout_tv(connection->evhttp, &inactivity);
    return connection->set->is_draining ||
           (guard->wants_close && connection->answered + 1 == guard->heads_done);
}

static void watch_caller(struct connection *connection)
{
    struct bufferevent *stream = connection->stream;
    bufferevent_data_cb on_write;
    bufferevent_event_cb on_event;
    void *arg;

    bufferevent_getcb(stream, NULL, &on_write, &on_event, &arg);
    bufferevent_setcb(stream, NULL, on_write, on_event, arg);
    bufferevent_set_timeouts(stream, NULL, NULL);
    bufferevent_enable(stream, EV_READ);
}

void connection_take_request(struct connection_set *set, struct evhttp_request *request)
{
    struct bufferevent *stream =
        evhttp_connection_get_bufferevent(evhttp_request_get_connection(request));
    struct connection *connection = set->by_descriptor[bufferevent_getfd(stream)];
    struct call *call = mem_alloc(sizeof *call);

    call_init(call, request);
    call->connection = connection;
    call->log_level = set->settings.log_level;
    connection->call = call;
    TAILQ_INSERT_TAIL(&set->calls, call, link);
    evhttp_request_set_on_complete_cb(request, on_sent, call);
    watch_caller(connection);
    set->settings.on_call(set->settings.arg, call);
}

/* ---- opening ---- */

/* evhttp tells nobody of a new connection; its callback's argument is where it can be found. */
static void attach(struct connection *connection)
{
    struct connection_set *set = connection->set;
    size_t fd = (size_t)bufferevent_getfd(connection->stream);
    void *evhttp;

    if (fd >= set->descriptor_room) {
        set->by_descriptor =
            mem_realloc(set->by_descriptor, (fd + 1) * 2 * sizeof set->by_descriptor[0]);
        set->descriptor_room = (fd + 1) * 2;
    }
    set->by_descriptor[fd] = connection;
    bufferevent_getcb(connection->stream, NULL, NULL, NULL, &evhttp);
    connection->evhttp = evhttp;
    evhttp_connection_set_closecb(evhttp, on_closed, connection);
}

static void on_step(evutil_socket_t fd, short what, void *arg)
{
    struct connection *connection = arg;

    (void)fd, (void)what;
    if (connection->evhttp == NULL)
        attach(connection);
    if (connection->state == CONNECTION_REFUSED && !owes_answers(connection))
        refuse(connection);
}

struct bufferevent *connection_open(struct connection_set *set)
{
    struct bufferevent *stream = bufferevent_socket_new(set->base, -1, 0);
    struct connection *connection;

    if (stream == NULL)
        return NULL;
    connection = mem_zalloc(sizeof *connection);
    connection->set = set;
    connection->stream = stream;
    guard_init(&connection->guard, &set->settings.limits);
    timer_init(&connection->deadline, on_deadline, connection);
    event_assign(&connection->step, set->base, -1, 0, on_step, connection);
    event_active(&connection->step, EV_TIMEOUT, 0);
    bufferevent_setwatermark(stream, EV_READ, 0,
                             set->settings.limits.max_target_bytes +
                                 set->settings.limits.max_header_bytes +
                                 set->settings.limits.max_body_bytes + 4096);
    evbuffer_add_cb(bufferevent_get_input(stream), on_input, connection);
    return stream;
}

/* ---- all connections ---- */

bool connection_set_init(struct connection_set *set, struct event_base *base,
                         const struct connection_settings *settings)
{
    *set = (struct connection_set){.base = base, .settings = *settings};
    TAILQ_INIT(&set->calls);
    set->timers = timers_new(base);
    return set->timers != NULL;
}

void connection_set_release(struct connection_set *set)
{
    if (set->timers != NULL)
        timers_free(set->timers);
    free(set->by_descriptor);
}

bool connection_set_is_quiet(const struct connection_set *set)
{
    return TAILQ_EMPTY(&set->calls);
}

void connection_set_stop(struct connection_set *set)
{
    struct call *call, *next;

    for (call = TAILQ_FIRST(&set->calls); call != NULL; call = next) {
        next = TAILQ_NEXT(call, link);
        if (!call->is_answered && call->hooks.on_stop != NULL)
            call->hooks.on_stop(call->hooks.arg);
    }
}
