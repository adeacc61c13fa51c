/*
 * What one call asks for: the fetches to make, and how to answer. Made from a
 * query (GET) or a document (POST), checked against what the endpoint and
 * each upstream allow.
 */
#ifndef SERVICE_PLAN_H
#define SERVICE_PLAN_H

#include "fanout/fetch.h"
#include "fanout/header.h"
#include "service/config.h"
#include "service/problem.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct call;
struct fanout;

struct plan_entry {
    const char *id;        /* own_id or the upstream's name */
    char *own_id;          /* NULL: none */
    char *target;          /* NULL: the upstream's own */
    char *fallback_target; /* and that of the upstream that stands in for it */
    struct header_list headers;
};

struct plan {
    const struct config_endpoint *endpoint;
    uint64_t deadline_us;
    struct require require;
    enum shape shape;
    size_t count;
    struct fetch_request *fetches;   /* for the engine; points into entries and the call's body */
    struct plan_entry *entries;      /* what the fetches need; in the same block of memory */
    struct fetch_request *fallbacks; /* for fetches of upstreams that another stands in for */
    void *ids;                       /* a tsearch(3) tree of entries by id, where a caller chose */
    struct header request_id;        /* the call's */
    struct header_list common;       /* that alone: for fetches without fields of their own */
};

/*
 * Makes a plan of a call to an endpoint. False: it asks for something wrong, and the problem
 * says what and where. plan_release in either case. The call must outlive the plan.
 */
bool plan_make(struct plan *plan, struct call *call, const struct config *config,
               struct fanout *fanout, const struct config_endpoint *endpoint,
               struct problem *problem);
void plan_release(struct plan *plan);

/* How many results must be ok for a 200. */
size_t plan_needed(const struct plan *plan);

#endif
