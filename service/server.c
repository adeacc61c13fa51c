/*
 * evhttp and its listeners: accepting, draining, the end.
 */
#include "service/server.h"

#include "fanout/mem.h"
#include "service/log.h"

#include <assert.h>
#include <errno.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/listener.h>
#include <stdlib.h>
#include <string.h>

#define BACKLOG           1024
#define MAX_LISTENERS     16
#define FLUSH_SECONDS     1 /* for answers given at the very end of a drain */
#define ACCEPT_PAUSE_MSEC 100
#define REQUEST_LINE_REST 32 /* what stands around a request's target, at most */

struct server {
    struct event_base *base;
    struct evhttp *http;
    struct server_settings settings;
    struct connection_set connections;
    struct evhttp_bound_socket *listeners[MAX_LISTENERS];
    size_t listener_count;
    struct event *resume_timer; /* accept again after descriptors ran out */
    struct event *drain_timer;
    bool is_stopping; /* drain_timeout is over */
};

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

/* The server of this thread. evhttp keeps the argument of a listener's callbacks for itself. */
static _Thread_local struct server *adopted;

void server_adopt(struct server *server)
{
    adopted = server;
}

/* Out of descriptors or memory: trying again at once would only spin. */
static void on_accept_error(struct evconnlistener *listener, void *arg)
{
    struct server *server = adopted;
    struct timeval pause = {.tv_usec = ACCEPT_PAUSE_MSEC * 1000};
    char reason[LOG_VALUE_SIZE];

    (void)listener, (void)arg;
    log_event(TRACE_ERROR, NULL, "event=accept_failed pause_ms=%d reason=%s", ACCEPT_PAUSE_MSEC,
              log_value(strerror(errno), reason));
    set_accepting(server, false);
    event_add(server->resume_timer, &pause);
}

static struct bufferevent *on_new_connection(struct event_base *base, void *arg)
{
    struct server *server = arg;

    (void)base;
    return connection_open(&server->connections);
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

static void check_drained(struct server *server)
{
    if (!server_is_draining(server) || !connection_set_is_quiet(&server->connections))
        return;
    event_del(server->drain_timer);
    server->settings.on_drained(server->settings.arg);
}

static void on_quiet(void *arg)
{
    check_drained(arg);
}

static void on_drain_timer(evutil_socket_t fd, short what, void *arg)
{
    struct server *server = arg;
    struct timeval flush = {.tv_sec = FLUSH_SECONDS};

    (void)fd, (void)what;
    if (server->is_stopping) { /* whoever has not read his answer by now won't */
        server->settings.on_drained(server->settings.arg);
        return;
    }
    server->is_stopping = true;
    event_add(server->drain_timer, &flush);
    connection_set_stop(&server->connections);
}

void server_drain(struct server *server, uint64_t timeout_us)
{
    struct timeval timeout = {.tv_sec = (time_t)(timeout_us / 1000000),
                              .tv_usec = (suseconds_t)(timeout_us % 1000000)};

    server->connections.is_draining = true;
    close_listeners(server);
    event_add(server->drain_timer, &timeout);
    check_drained(server);
}

bool server_is_draining(const struct server *server)
{
    return server->connections.is_draining;
}

static void on_request(struct evhttp_request *request, void *arg)
{
    struct server *server = arg;

    connection_take_request(&server->connections, request);
}

static void on_call(void *arg, struct call *call)
{
    struct server *server = arg;

    server->settings.on_call(server->settings.arg, call);
}

static bool set_up_connections(struct server *server)
{
    struct connection_settings settings = server->settings.connections;

    settings.on_call = on_call;
    settings.on_quiet = on_quiet;
    settings.arg = server;
    return connection_set_init(&server->connections, server->base, &settings);
}

/* evhttp's own limits are the guard's: what passes it must not be stopped behind it. */
static void set_limits(struct server *server)
{
    const struct guard_limits *limits = &server->connections.settings.limits;

    evhttp_set_max_headers_size(
        server->http,
        (ev_ssize_t)(limits->max_target_bytes + limits->max_header_bytes + REQUEST_LINE_REST));
    evhttp_set_max_body_size(server->http, (ev_ssize_t)limits->max_body_bytes);
}

static bool set_up(struct server *server, const int *sockets, size_t socket_count)
{
    server->http = evhttp_new(server->base);
    server->resume_timer = evtimer_new(server->base, on_resume, server);
    server->drain_timer = evtimer_new(server->base, on_drain_timer, server);
    if (server->http == NULL || server->resume_timer == NULL || server->drain_timer == NULL ||
        !set_up_connections(server))
        return false;
    set_limits(server);
    evhttp_set_allowed_methods(server->http, 0xffff); /* the routes answer the 405 */
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
    if (set_up(server, sockets, socket_count))
        return server;
    server_free(server);
    return NULL;
}

void server_free(struct server *server)
{
    server->connections.is_draining = false; /* nobody waits to hear of it any more */
    if (server->http != NULL)
        evhttp_free(server->http); /* and the listeners */
    connection_set_release(&server->connections);
    if (server->resume_timer != NULL)
        event_free(server->resume_timer);
    if (server->drain_timer != NULL)
        event_free(server->drain_timer);
    free(server);
}
