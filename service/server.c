/*
 * evhttp, and what it needs around it to notice that a caller left.
 *
 * While a request is being worked on, evhttp stops reading and so never hears
 * that its caller went away. Reading is therefore enabled again, without
 * evhttp's read callback (which would end the process on pipelined bytes) and
 * without its timeouts; what arrives stays in the input buffer, up to the
 * read watermark, until the answer is out and evhttp reads on.
 */
#include "service/server.h"

#include "fanout/clock.h"
#include "fanout/mem.h"
#include "service/log.h"
#include "service/request_id.h"

#include <assert.h>
#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/listener.h>
#include <stdlib.h>
#include <string.h>

#define MAX_HEADER_BYTES  (64 * 1024)
#define BACKLOG           1024
#define MAX_LISTENERS     16
#define FLUSH_SECONDS     1 /* for answers given at the very end of a drain */
#define ACCEPT_PAUSE_MSEC 100

static const struct timeval inactivity = {.tv_sec = 60};

struct server {
    struct event_base *base;
    struct evhttp *http;
    struct server_settings settings;
    struct evhttp_bound_socket *listeners[MAX_LISTENERS];
    size_t listener_count;
    struct event *resume_timer; /* accept again after descriptors ran out */
    struct event *drain_timer;
    bool is_draining;
    bool is_stopping; /* drain_timeout is over */
    TAILQ_HEAD(call_list, call) calls;
};

static const struct {
    enum evhttp_cmd_type type;
    const char *name;
} methods[] = {
    {EVHTTP_REQ_GET, "GET"},         {EVHTTP_REQ_HEAD, "HEAD"},     {EVHTTP_REQ_POST, "POST"},
    {EVHTTP_REQ_PUT, "PUT"},         {EVHTTP_REQ_DELETE, "DELETE"}, {EVHTTP_REQ_PATCH, "PATCH"},
    {EVHTTP_REQ_OPTIONS, "OPTIONS"}, {EVHTTP_REQ_TRACE, "TRACE"},   {EVHTTP_REQ_CONNECT, "CONNECT"},
};

#define ALL_METHODS                                                                                \
    (EVHTTP_REQ_GET | EVHTTP_REQ_POST | EVHTTP_REQ_HEAD | EVHTTP_REQ_PUT | EVHTTP_REQ_DELETE |     \
     EVHTTP_REQ_OPTIONS | EVHTTP_REQ_TRACE | EVHTTP_REQ_CONNECT | EVHTTP_REQ_PATCH)

static const char *method_of(struct evhttp_request *request)
{
    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++)
        if (methods[i].type == evhttp_request_get_command(request))
            return methods[i].name;
    return "?";
}

/* ---- calls ---- */

static void check_drained(struct server *server)
{
    if (server->is_draining && TAILQ_EMPTY(&server->calls)) {
        event_del(server->drain_timer);
        server->settings.on_drained(server->settings.arg);
    }
}

static void call_free(struct call *call)
{
    struct server *server = call->server;

    TAILQ_REMOVE(&server->calls, call, link);
    free(call);
    check_drained(server);
}

static void on_reply_sent(struct evhttp_request *request, void *arg)
{
    struct evhttp_connection *connection = evhttp_request_get_connection(request);

    if (connection != NULL)
        evhttp_connection_set_closecb(connection, NULL, NULL);
    call_free(arg);
}

/* The connection is about to be freed. The request stays ours until it has been answered, but
 * there is nobody to read that. */
static void on_connection_closed(struct evhttp_connection *connection, void *arg)
{
    struct call *call = arg;

    (void)connection;
    if (!call->is_answered) {
        log_event(call->server->settings.log_level, call->id,
                  "event=caller_gone path=%s elapsed_ms=%.1f", call->path,
                  (double)(clock_now_us() - call->started_us) / 1000);
        if (call->hooks.on_gone != NULL)
            call->hooks.on_gone(call->hooks.arg);
        evhttp_send_reply(call->request, HTTP_INTERNAL, NULL, NULL); /* frees it */
    }
    call_free(call);
}

static void watch_caller(struct call *call)
{
    struct evhttp_connection *connection = evhttp_request_get_connection(call->request);
    struct bufferevent *stream = evhttp_connection_get_bufferevent(connection);
    bufferevent_data_cb on_write;
    bufferevent_event_cb on_event;
    void *arg;

    bufferevent_getcb(stream, NULL, &on_write, &on_event, &arg);
    bufferevent_setcb(stream, NULL, on_write, on_event, arg);
    bufferevent_set_timeouts(stream, NULL, NULL);
    bufferevent_enable(stream, EV_READ);
    evhttp_connection_set_closecb(connection, on_connection_closed, call);
}

static void on_request(struct evhttp_request *request, void *arg)
{
    struct server *server = arg;
    struct call *call = mem_zalloc(sizeof *call);
    const struct evhttp_uri *uri = evhttp_request_get_evhttp_uri(request);

    call->server = server;
    call->request = request;
    call->started_us = clock_now_us();
    call->method = method_of(request);
    call->is_head = evhttp_request_get_command(request) == EVHTTP_REQ_HEAD;
    call->path = evhttp_uri_get_path(uri) != NULL ? evhttp_uri_get_path(uri) : "";
    call->query = evhttp_uri_get_query(uri);
    call->is_too_large = evbuffer_get_length(evhttp_request_get_input_buffer(request)) >
                         server->settings.max_body_bytes;
    request_id_take(call->id, call_header(call, "X-Request-Id"));
    TAILQ_INSERT_TAIL(&server->calls, call, link);
    evhttp_request_set_on_complete_cb(request, on_reply_sent, call);
    watch_caller(call);
    server->settings.on_call(server->settings.arg, call);
}

void server_call_answered(struct call *call)
{
    struct evhttp_connection *connection = evhttp_request_get_connection(call->request);

    assert(!call->is_answered);
    call->is_answered = true;
    evhttp_connection_set_timeout_tv(connection, &inactivity);
}

const char *call_header(const struct call *call, const char *name)
{
    return evhttp_find_header(evhttp_request_get_input_headers(call->request), name);
}

const char *call_body(struct call *call, size_t *length)
{
    struct evbuffer *body = evhttp_request_get_input_buffer(call->request);

    *length = evbuffer_get_length(body);
    return *length > 0 ? (const char *)evbuffer_pullup(body, -1) : "";
}

/* ---- accepting ---- */

static void set_accepting(struct server *server, bool accepting)
{
    for (size_t i = 0; i < server->listener_count; i++) {
        struct evconnlistener *listener = evhttp_bound_socket_get_listener(server->listeners[i]);

        if (accepting)
            evconnlistener_enable(listener);
        else
            evconnlistener_disable(listener);
    }
}

/* From now on a new connection is refused instead of left waiting. */
static void close_listeners(struct server *server)
{
    while (server->listener_count > 0)
        evhttp_del_accept_socket(server->http, server->listeners[--server->listener_count]);
}

static void on_resume(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    set_accepting(arg, true);
}

/* Out of descriptors or memory: trying again at once would only spin. */
static void on_accept_error(struct evconnlistener *listener, void *arg)
{
    struct server *server = arg;
    struct timeval pause = {.tv_usec = ACCEPT_PAUSE_MSEC * 1000};
    char reason[LOG_VALUE_SIZE];

    (void)listener;
    log_event(TRACE_ERROR, NULL, "event=accept_failed pause_ms=%d reason=%s", ACCEPT_PAUSE_MSEC,
              log_value(strerror(errno), reason));
    set_accepting(server, false);
    event_add(server->resume_timer, &pause);
}

/* evhttp takes a little more than is allowed, so that the 413 can be ours and not its own. */
static size_t most_body_bytes(const struct server *server)
{
    return server->settings.max_body_bytes * 2 + MAX_HEADER_BYTES;
}

static struct bufferevent *on_new_connection(struct event_base *base, void *arg)
{
    struct server *server = arg;
    struct bufferevent *stream = bufferevent_socket_new(base, -1, 0);

    if (stream != NULL)
        bufferevent_setwatermark(stream, EV_READ, 0,
                                 MAX_HEADER_BYTES + most_body_bytes(server) + 4096);
    return stream;
}

static bool add_listener(struct server *server, int socket)
{
    struct evconnlistener *listener =
        evconnlistener_new(server->base, NULL, NULL, LEV_OPT_CLOSE_ON_FREE, BACKLOG, socket);

    if (listener == NULL)
        return false;
    server->listeners[server->listener_count] = evhttp_bind_listener(server->http, listener);
    if (server->listeners[server->listener_count] == NULL) {
        evconnlistener_free(listener);
        return false;
    }
    server->listener_count++;
    evconnlistener_set_error_cb(listener, on_accept_error);
    return true;
}

/* ---- the server ---- */

static void on_drain_timer(evutil_socket_t fd, short what, void *arg)
{
    struct server *server = arg;
    struct timeval flush = {.tv_sec = FLUSH_SECONDS};
    struct call *call, *next;

    (void)fd, (void)what;
    if (server->is_stopping) { /* whoever has not read his answer by now won't */
        server->settings.on_drained(server->settings.arg);
        return;
    }
    server->is_stopping = true;
    event_add(server->drain_timer, &flush);
    for (call = TAILQ_FIRST(&server->calls); call != NULL; call = next) {
        next = TAILQ_NEXT(call, link);
        if (!call->is_answered && call->hooks.on_stop != NULL)
            call->hooks.on_stop(call->hooks.arg);
    }
}

void server_drain(struct server *server, uint64_t timeout_us)
{
    struct timeval timeout = {.tv_sec = (time_t)(timeout_us / 1000000),
                              .tv_usec = (suseconds_t)(timeout_us % 1000000)};

    server->is_draining = true;
    close_listeners(server);
    event_add(server->drain_timer, &timeout);
    check_drained(server);
}

bool server_is_draining(const struct server *server)
{
    return server->is_draining;
}

enum trace_level server_log_level(const struct server *server)
{
    return server->settings.log_level;
}

static bool set_up(struct server *server, const int *sockets, size_t socket_count)
{
    server->http = evhttp_new(server->base);
    server->resume_timer = evtimer_new(server->base, on_resume, server);
    server->drain_timer = evtimer_new(server->base, on_drain_timer, server);
    if (server->http == NULL || server->resume_timer == NULL || server->drain_timer == NULL)
        return false;
    evhttp_set_allowed_methods(server->http, ALL_METHODS); /* the routes answer the 405 */
    evhttp_set_max_headers_size(server->http, MAX_HEADER_BYTES);
    evhttp_set_max_body_size(server->http, (ev_ssize_t)most_body_bytes(server));
    evhttp_set_timeout_tv(server->http, &inactivity);
    evhttp_set_bevcb(server->http, on_new_connection, server);
    evhttp_set_gencb(server->http, on_request, server);
    for (size_t i = 0; i < socket_count; i++)
        if (!add_listener(server, sockets[i]))
            return false;
    return true;
}

struct server *server_new(struct event_base *base, const int *sockets, size_t socket_count,
                          const struct server_settings *settings)
{
    struct server *server = mem_zalloc(sizeof *server);

    assert(socket_count <= MAX_LISTENERS);
    server->base = base;
    server->settings = *settings;
    TAILQ_INIT(&server->calls);
    if (set_up(server, sockets, socket_count))
        return server;
    server_free(server);
    return NULL;
}

void server_free(struct server *server)
{
    server->is_draining = false; /* nobody waits to hear of it any more */
    if (server->http != NULL)
        evhttp_free(server->http); /* and the listeners */
    if (server->resume_timer != NULL)
        event_free(server->resume_timer);
    if (server->drain_timer != NULL)
        event_free(server->drain_timer);
    free(server);
}
