/*
 * One aggregation: a fixed slot for each request, one deadline, one exit.
 */
#ifndef FANOUT_GATHER_H
#define FANOUT_GATHER_H

#include "fanout/fetch.h"

#include <stddef.h>
#include <stdint.h>

struct fanout_worker;
struct gather;

/* Everything pointed to must stay until the gathering is done or cancelled. */
struct gather_plan {
    const struct fetch_request *requests;
    size_t count;              /* at least 1 */
    uint64_t deadline_us;      /* how long the whole may take, from gather_start on */
    uint64_t soft_deadline_us; /* from then on what is needed is enough; CLOCK_NEVER */
    size_t needed;             /* so many must be ok; besides those of required upstreams */
    bool early;                /* what is needed is enough at any time */
    bool fail_fast;            /* the end, once what is needed can't be had any more */
    enum limiter_priority priority;
    struct limiter_caller *caller; /* takes turns with others; NULL: with all that have none */
};

/*
 * Where results go. on_result is called exactly once for each request, as they land, with its
 * index in the plan; the sink may take the body with buf_move, all else it must copy. on_done
 * follows when every request has its result; the gathering is gone by then. Both are called
 * from the loop, never before gather_start returns.
 */
struct gather_sink {
    void (*on_result)(void *arg, size_t index, struct fetch_result *result);
    void (*on_done)(void *arg);
    void *arg;
};

struct gather *gather_start(struct fanout_worker *worker, const struct gather_plan *plan,
                            struct gather_sink sink);

/* The caller is gone: stops every fetch, calls nobody, frees the gathering. */
void gather_cancel(struct gather *gather);

/* Ends what is unfinished as `outcome` now; the sink is told, on_done included. */
void gather_end(struct gather *gather, enum outcome outcome, const char *reason);

#endif
