/*
 * One worker: a thread with its own event loop, its own listeners and its own
 * engine. The demo upstreams run on a worker too, one without an engine.
 */
#ifndef SERVICE_WORKER_H
#define SERVICE_WORKER_H

#include <stdbool.h>
#include <stddef.h>

struct admission;
struct call;
struct config;
struct event_base;
struct fanout;
struct fanout_worker;
struct server;
struct worker;

/* What all workers share; outlives them. */
struct service {
    const struct config *config;
    struct fanout *fanout;
    struct admission *admission; /* of callers */
};

struct worker_settings {
    const struct service *service;
    const int *sockets; /* bound, taken over */
    size_t socket_count;
    bool is_demo; /* serves the demo upstreams: has no engine, logs quietly */
    void (*on_call)(struct worker *worker, struct call *call);
    /* Called by the worker's thread at its end, drained or not. */
    void (*on_end)(void *arg);
    void *arg;
};

/* NULL on failure, after a line in the log. worker_start begins to serve. */
struct worker *worker_new(const struct worker_settings *settings);
bool worker_start(struct worker *worker);

/* Any thread: stops accepting, finishes what is in flight within drain_timeout, ends. */
void worker_drain(struct worker *worker);
/* Waits for the thread, if it was started, and frees everything. */
void worker_free(struct worker *worker);

/* On the worker's own thread. */
struct fanout_worker *worker_engine(struct worker *worker);
const struct service *worker_service(struct worker *worker);
struct event_base *worker_base(struct worker *worker);
bool worker_is_draining(const struct worker *worker);

#endif
