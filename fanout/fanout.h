/*
 * libfanout: many HTTP fetches at once, one gathering of what comes of them.
 *
 * A `struct fanout` is what all threads share: the upstreams and the limiter.
 * Each thread has an event loop (libevent) and one `struct fanout_worker` on
 * it, and starts gatherings there (gather.h). The library knows no HTTP
 * server, no JSON document and no configuration file.
 *
 *     fanout_global_init();
 *     struct fanout *fanout = fanout_new(&settings);
 *     ... in each thread:
 *     struct fanout_worker *worker = fanout_worker_new(fanout, base, &message);
 *     fanout_worker_adopt(worker);
 *     gather_start(worker, &plan, &sink);
 */
#ifndef FANOUT_FANOUT_H
#define FANOUT_FANOUT_H

#include "fanout/limiter.h"
#include "fanout/upstream.h"

#include <stdbool.h>
#include <stddef.h>

struct budget;
struct event_base;
struct fanout;
struct fanout_worker;
struct resolver_settings;

/* Everything pointed to must outlive the fanout. */
struct fanout_settings {
    struct limiter_settings limiter; /* over all workers */
    size_t max_memory_bytes;         /* of answers held at once */
    const struct upstream_settings *upstreams;
    size_t upstream_count;
    const struct resolver_settings *resolver;
};

/* Once for the process, before any thread; false: a library could not be initialised. */
bool fanout_global_init(void);
void fanout_global_release(void);
/* The versions of the libraries in use, static. */
const char *fanout_libraries(void);

struct fanout *fanout_new(const struct fanout_settings *settings);
/* Needs every worker freed. */
void fanout_free(struct fanout *fanout);

/* In the order of the settings; any thread. */
size_t fanout_upstream_count(const struct fanout *fanout);
struct upstream *fanout_upstream(struct fanout *fanout, size_t index);
/* To take callers from (limiter_caller_take), and to ask what is to be expected; any thread. */
struct limiter *fanout_limiter(struct fanout *fanout);
void fanout_counts(struct fanout *fanout, struct limiter_counts *counts);

/* For every byte of an answer, until it is sent; any thread. */
struct budget *fanout_budget(struct fanout *fanout);

/* NULL on failure, and then *message says why. */
struct fanout_worker *fanout_worker_new(struct fanout *fanout, struct event_base *base,
                                        const char **message);
/* By the thread that will run the loop, before its first gathering. */
void fanout_worker_adopt(struct fanout_worker *worker);
/* Needs every gathering done or cancelled, and the base still there. */
void fanout_worker_free(struct fanout_worker *worker);

#endif
