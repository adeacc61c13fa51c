/* The library's face: what is shared by all threads, and what each has. */
#include "fanout/fanout.h"

#include "fanout/budget.h"
#include "fanout/clock.h"
#include "fanout/engine.h"
#include "fanout/mem.h"
#include "fanout/resolver.h"
#include "fanout/timer.h"
#include "fanout/transport.h"

#include <assert.h>
#include <event2/event.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct fanout {
    const struct resolver_settings *resolver;
    struct limiter *limiter;
    struct budget budget;
    struct upstream *upstreams;
    size_t upstream_count;
};

bool fanout_global_init(void)
{
    return transport_global_init() && resolver_global_init();
}

void fanout_global_release(void)
{
    resolver_global_release();
    transport_global_release();
}

const char *fanout_libraries(void)
{
    return transport_version();
}

struct fanout *fanout_new(const struct fanout_settings *settings)
{
    struct fanout *fanout = mem_zalloc(sizeof *fanout);
    uint64_t now_us = clock_now_us();

    fanout->resolver = settings->resolver;
    fanout->limiter = limiter_new(&settings->limiter, now_us);
    budget_init(&fanout->budget, settings->max_memory_bytes);
    fanout->upstream_count = settings->upstream_count;
    fanout->upstreams = mem_array(settings->upstream_count, sizeof fanout->upstreams[0]);
    for (size_t i = 0; i < fanout->upstream_count; i++)
        upstream_init(&fanout->upstreams[i], i, &settings->upstreams[i], fanout->limiter, now_us);
    return fanout;
}

void fanout_free(struct fanout *fanout)
{
    for (size_t i = 0; i < fanout->upstream_count; i++)
        upstream_release(&fanout->upstreams[i]);
    free(fanout->upstreams);
    limiter_free(fanout->limiter);
    free(fanout);
}

size_t fanout_upstream_count(const struct fanout *fanout)
{
    return fanout->upstream_count;
}

struct upstream *fanout_upstream(struct fanout *fanout, size_t index)
{
    assert(index < fanout->upstream_count);
    return &fanout->upstreams[index];
}

struct limiter *fanout_limiter(struct fanout *fanout)
{
    return fanout->limiter;
}

void fanout_counts(struct fanout *fanout, struct limiter_counts *counts)
{
    limiter_counts(fanout->limiter, counts);
}

struct budget *fanout_budget(struct fanout *fanout)
{
    return &fanout->budget;
}

/* ---- workers ---- */

/* Slots were granted to this worker, maybe by another's thread. */
static void wake(void *arg)
{
    struct fanout_worker *worker = arg;

    if (pthread_equal(worker->thread, pthread_self()))
        event_active(worker->wake_event, EV_READ, 0);
    else
        eventfd_write(worker->wake_fd, 1);
}

static void on_wake(evutil_socket_t fd, short what, void *arg)
{
    struct fanout_worker *worker = arg;
    eventfd_t count;

    (void)what;
    eventfd_read(fd, &count);
    limiter_collect(&worker->member);
}

static bool make_peers(struct fanout_worker *worker, const char **message)
{
    struct fanout *fanout = worker->fanout;
    uint64_t now_us = clock_now_us();

    worker->peers = mem_array(fanout->upstream_count, sizeof worker->peers[0]);
    for (size_t i = 0; i < fanout->upstream_count; i++) {
        if (!peer_init(&worker->peers[i], &fanout->upstreams[i], worker->transport, now_us)) {
            *message = "libcurl does not take the URL of an upstream";
            return false;
        }
    }
    return true;
}

static bool make_parts(struct fanout_worker *worker, struct event_base *base, const char **message)
{
    *message = "out of memory or descriptors";
    worker->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (worker->wake_fd < 0)
        return false;
    worker->wake_event = event_new(base, worker->wake_fd, EV_READ | EV_PERSIST, on_wake, worker);
    if (worker->wake_event == NULL || event_add(worker->wake_event, NULL) < 0)
        return false;
    worker->timers = timers_new(base);
    if (worker->timers == NULL)
        return false;
    worker->transport = transport_new(base, worker->timers, &worker->fanout->budget);
    if (worker->transport == NULL)
        return false;
    worker->resolver = resolver_new(base, worker->timers, worker->fanout->resolver, message);
    if (worker->resolver == NULL)
        return false;
    return make_peers(worker, message);
}

struct fanout_worker *fanout_worker_new(struct fanout *fanout, struct event_base *base,
                                        const char **message)
{
    struct fanout_worker *worker = mem_zalloc(sizeof *worker);

    worker->fanout = fanout;
    worker->dice.state = clock_now_us() ^ (uintptr_t)worker;
    worker->thread = pthread_self();
    worker->wake_fd = -1;
    limiter_member_init(&worker->member, fanout->limiter, wake, worker);
    if (make_parts(worker, base, message))
        return worker;
    fanout_worker_free(worker);
    return NULL;
}

void fanout_worker_adopt(struct fanout_worker *worker)
{
    worker->thread = pthread_self();
}

void fanout_worker_free(struct fanout_worker *worker)
{
    assert(worker->gathers == 0);
    for (size_t i = 0; worker->peers != NULL && i < worker->fanout->upstream_count; i++)
        peer_release(&worker->peers[i]); /* nothing to do for what was not made yet */
    free(worker->peers);
    if (worker->resolver != NULL)
        resolver_free(worker->resolver);
    if (worker->transport != NULL)
        transport_free(worker->transport);
    if (worker->timers != NULL)
        timers_free(worker->timers);
    if (worker->wake_event != NULL)
        event_free(worker->wake_event);
    if (worker->wake_fd >= 0)
        close(worker->wake_fd);
    free(worker);
}
