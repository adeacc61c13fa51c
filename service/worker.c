/* A thread with its own loop. */
#include "service/worker.h"

#include "fanout/fanout.h"
#include "fanout/mem.h"
#include "service/config.h"
#include "service/log.h"
#include "service/server.h"

#include <event2/event.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct worker {
    struct worker_settings settings;
    struct event_base *base;
    struct fanout_worker *engine; /* NULL: none */
    struct server *server;
    int drain_fd; /* written to by worker_drain */
    struct event *drain_event;
    pthread_t thread;
    bool is_started;
};

struct fanout_worker *worker_engine(struct worker *worker)
{
    return worker->engine;
}

const struct service *worker_service(struct worker *worker)
{
    return worker->settings.service;
}

struct event_base *worker_base(struct worker *worker)
{
    return worker->base;
}

bool worker_is_draining(const struct worker *worker)
{
    return server_is_draining(worker->server);
}

static void on_call(void *arg, struct call *call)
{
    struct worker *worker = arg;

    worker->settings.on_call(worker, call);
}

static void on_drained(void *arg)
{
    struct worker *worker = arg;

    event_base_loopexit(worker->base, NULL);
}

static void on_drain(evutil_socket_t fd, short what, void *arg)
{
    struct worker *worker = arg;

    (void)fd, (void)what;
    event_del(worker->drain_event);
    server_drain(worker->server, worker->settings.service->config->drain_timeout_us);
}

static bool make_engine(struct worker *worker)
{
    const char *reason = NULL;
    char shown[LOG_VALUE_SIZE];

    worker->engine = fanout_worker_new(worker->settings.service->fanout, worker->base, &reason);
    if (worker->engine != NULL)
        return true;
    log_event(TRACE_ERROR, NULL, "event=engine_failed reason=%s", log_value(reason, shown));
    return false;
}

static struct connection_settings connection_settings(const struct worker_settings *settings)
{
    const struct config *config = settings->service->config;
    struct connection_settings connections = {
        .limits = guard_default_limits,
        .max_pipelined = config->max_pipelined,
        .idle_timeout_us = config->idle_timeout_us,
        .head_timeout_us = config->header_timeout_us,
        .body_timeout_us = config->body_timeout_us,
        .write_timeout_us = config->write_timeout_us,
        .admission = settings->service->admission,
        .log_level = settings->is_demo ? TRACE_DEBUG : TRACE_INFO,
    };

    connections.limits.max_target_bytes = config->max_target_bytes;
    connections.limits.max_header_bytes = config->max_header_bytes;
    connections.limits.max_header_count = config->max_header_count;
    connections.limits.max_body_bytes = config->max_request_bytes;
    return connections;
}

static bool make_parts(struct worker *worker)
{
    const struct worker_settings *settings = &worker->settings;
    struct server_settings server = {
        .connections = connection_settings(settings),
        .on_call = on_call,
        .on_drained = on_drained,
        .arg = worker,
    };

    worker->base = event_base_new();
    worker->drain_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (worker->base == NULL || worker->drain_fd < 0)
        return false;
    worker->drain_event = event_new(worker->base, worker->drain_fd, EV_READ, on_drain, worker);
    if (worker->drain_event == NULL || event_add(worker->drain_event, NULL) != 0)
        return false;
    if (!settings->is_demo && !make_engine(worker))
        return false;
    worker->server = server_new(worker->base, settings->sockets, settings->socket_count, &server);
    return worker->server != NULL;
}

struct worker *worker_new(const struct worker_settings *settings)
{
    struct worker *worker = mem_zalloc(sizeof *worker);

    worker->settings = *settings;
    worker->drain_fd = -1;
    if (make_parts(worker))
        return worker;
    log_event(TRACE_ERROR, NULL, "event=worker_failed reason=\"out of memory or descriptors\"");
    worker_free(worker);
    return NULL;
}

static void *run(void *arg)
{
    struct worker *worker = arg;

    server_adopt(worker->server);
    if (worker->engine != NULL)
        fanout_worker_adopt(worker->engine);
    event_base_dispatch(worker->base);
    server_free(worker->server); /* idle callers are told now, not when the last worker ends */
    worker->server = NULL;
    worker->settings.on_end(worker->settings.arg);
    return NULL;
}

bool worker_start(struct worker *worker)
{
    int error = pthread_create(&worker->thread, NULL, run, worker);
    char reason[LOG_VALUE_SIZE];

    worker->is_started = error == 0;
    if (error != 0)
        log_event(TRACE_ERROR, NULL, "event=thread_failed reason=%s",
                  log_value(strerror(error), reason));
    return worker->is_started;
}

void worker_drain(struct worker *worker)
{
    eventfd_write(worker->drain_fd, 1);
}

void worker_free(struct worker *worker)
{
    if (worker->is_started)
        pthread_join(worker->thread, NULL);
    if (worker->server != NULL)
        server_free(worker->server);
    if (worker->engine != NULL)
        fanout_worker_free(worker->engine);
    if (worker->drain_event != NULL)
        event_free(worker->drain_event);
    if (worker->drain_fd >= 0)
        close(worker->drain_fd);
    if (worker->base != NULL)
        event_base_free(worker->base);
    free(worker);
}
