/*
 * One client connection: calls, opening, the end. All time limits are ours
 * (connection_deadline.c): evhttp's are about inactivity only.
 */
#include "service/connection_internal.h"

#include "fanout/address.h"
#include "fanout/clock.h"
#include "fanout/mem.h"
#include "service/admission.h"
#include "service/call.h"
#include "service/log.h"

#include <assert.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/http_struct.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/uio.h>

/* ---- the end of calls and connections ---- */

static void call_end(struct call *call)
{
    struct connection_set *set = call->connection->set;

    call->connection->call = NULL;
    TAILQ_REMOVE(&set->calls, call, link);
    call_release(call);
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
    connection_stream_stop(connection);
    connection->set->by_descriptor[connection->fd] = NULL;
    if (connection->is_admitted)
        admission_give(connection->set->settings.admission, &connection->caller);
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

void connection_close(struct connection *connection)
{
    evhttp_connection_free(connection->evhttp); /* calls on_closed */
}

/* ---- calls ---- */

static void on_sent(struct evhttp_request *request, void *arg)
{
    struct call *call = arg;
    struct connection *connection = call->connection;

    (void)request;
    connection->answered++;
    call_end(call);
    if (connection->state == CONNECTION_REFUSED)
        event_active(&connection->step, EV_TIMEOUT, 0);
    connection_stream_read_on(connection);
    connection_follow(connection);
}

/* What evhttp goes by for HTTP/1.0. */
static bool asks_to_stay(const struct call *call)
{
    const char *value = call_header(call, "Connection");

    return value != NULL && strncasecmp(value, "keep-alive", strlen("keep-alive")) == 0;
}

const struct address *connection_caller(const struct call *call)
{
    return &call->connection->caller;
}

bool connection_closes_after(const struct call *call)
{
    const struct connection *connection = call->connection;
    const struct guard *guard = &connection->guard;

    return connection->set->is_draining || (call->is_http_1_0 && !asks_to_stay(call)) ||
           (guard->wants_close && connection->answered + 1 == guard->heads_done);
}

void connection_answer(struct call *call, const char *head, size_t head_length, struct pieces *body)
{
    struct connection *connection = call->connection;
    struct evhttp_request *request = call->request;
    struct iovec pieces[] = {{(char *)head, head_length}, {call->fields.data, call->fields.len}};

    assert(!call->is_answered);
    call->is_answered = true;
    if (connection_closes_after(call)) /* evhttp sends nothing of this, but goes by it */
        evhttp_add_header(evhttp_request_get_output_headers(request), "Connection", "close");
    if (!connection_stream_send(connection, pieces, body))
        connection_follow(connection);
    request->chunked = 0;           /* the request was; evhttp would take the answer for it */
    evhttp_send_reply_end(request); /* on_sent now, or with the last byte */
}

static struct connection *connection_of(const struct connection_set *set,
                                        struct evhttp_request *request)
{
    struct evhttp_connection *evhttp = evhttp_request_get_connection(request);
    size_t descriptor;

    bufferevent_getwatermark(evhttp_connection_get_bufferevent(evhttp), EV_WRITE, NULL,
                             &descriptor);
    return set->by_descriptor[descriptor];
}

void connection_take_request(struct connection_set *set, struct evhttp_request *request)
{
    struct connection *connection = connection_of(set, request);
    struct call *call = mem_alloc(sizeof *call);

    call_init(call, request);
    call->connection = connection;
    call->log_level = set->settings.log_level;
    connection->call = call;
    TAILQ_INSERT_TAIL(&set->calls, call, link);
    evhttp_request_set_on_complete_cb(request, on_sent, call);
    connection_follow(connection);
    connection->is_taking = true; /* evhttp is at its reading, further up the stack */
    set->settings.on_call(set->settings.arg, call);
    connection->is_taking = false;
}

/* ---- opening ---- */

/* The upper watermark for writing is for filters; without one, it is where we keep what leads from
 * evhttp's connection to ours. */
static void keep(struct connection *connection)
{
    struct connection_set *set = connection->set;
    size_t fd = (size_t)connection->fd;

    if (fd >= set->descriptor_room) {
        set->by_descriptor =
            mem_realloc(set->by_descriptor, (fd + 1) * 2 * sizeof set->by_descriptor[0]);
        set->descriptor_room = (fd + 1) * 2;
    }
    set->by_descriptor[fd] = connection;
    bufferevent_setwatermark(connection->stream, EV_WRITE, 0, fd);
}

/* evhttp tells nobody of a new connection; its callback's argument is where it can be found. */
static void attach(struct connection *connection)
{
    void *evhttp;

    connection_stream_start(connection);
    keep(connection);
    bufferevent_getcb(connection->stream, NULL, NULL, NULL, &evhttp);
    connection->evhttp = evhttp;
    evhttp_connection_set_closecb(evhttp, on_closed, connection);
}

/* One caller more, if there is room. */
static void admit(struct connection *connection)
{
    struct address *caller = &connection->caller;
    socklen_t length = sizeof *caller;

    if (getpeername(connection->fd, &caller->any, &length) != 0)
        caller->any.sa_family = AF_UNSPEC;
    connection->is_admitted = admission_take(connection->set->settings.admission, caller);
    if (!connection->is_admitted)
        connection_refuse(connection, 503, "too many connections");
}

static void on_step(evutil_socket_t fd, short what, void *arg)
{
    struct connection *connection = arg;

    (void)fd, (void)what;
    if (connection->evhttp == NULL) {
        attach(connection);
        admit(connection);
        connection_follow(connection);
    }
    connection_refuse_now(connection);
    connection_stream_write(connection);
}

struct bufferevent *connection_open(struct connection_set *set)
{
    struct connection *connection = mem_zalloc(sizeof *connection);

    connection->set = set;
    connection->stream = connection_stream_new(connection);
    if (connection->stream == NULL) {
        free(connection);
        return NULL;
    }
    guard_init(&connection->guard, &set->settings.limits);
    timer_init(&connection->deadline, connection_on_deadline, connection);
    event_assign(&connection->step, set->base, -1, 0, on_step, connection);
    event_active(&connection->step, EV_TIMEOUT, 0);
    return connection->stream;
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
