/*
 * upstreams.conf, read by libConfuse into one immutable snapshot. Every error
 * says file, line, what was found and what is valid.
 */
#ifndef SERVICE_CONFIG_H
#define SERVICE_CONFIG_H

#include "fanout/address.h"
#include "fanout/deny.h"
#include "fanout/resolver.h"
#include "fanout/trace.h"
#include "fanout/upstream.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* How many results must be ok for the answer to be a 200. */
enum require_kind { REQUIRE_ANY, REQUIRE_ALL, REQUIRE_NONE, REQUIRE_COUNT };
struct require {
    enum require_kind kind;
    size_t count; /* for REQUIRE_COUNT, at least 1 */
};

enum shape { SHAPE_LIST, SHAPE_MAP };

/* Between whom turns are taken where fetches wait. */
enum fair_by {
    FAIR_BY_ADDRESS, /* of the client */
    FAIR_BY_REQUEST, /* every request for itself */
    FAIR_BY_HEADER,  /* the value of a field of the request; by address where it is missing */
};

struct config_endpoint {
    char *path;              /* "/fetch-multiple" */
    const size_t *upstreams; /* indexes into config.upstreams, in the order asked */
    size_t upstream_count;   /* at least 1 */
    struct require require;
    enum shape shape;
    uint64_t deadline_us;
    uint64_t soft_deadline_us; /* from then on what require asks for is enough; CLOCK_NEVER */
    bool early;                /* what require asks for is enough at any time */
    bool fail_fast;            /* the end, once what require asks for can't be had any more */
    unsigned priority;         /* as enum limiter_priority */
};

struct config_written;

struct config {
    char *file; /* its name, for messages */
    struct address *listen;
    size_t listen_count;
    struct address demo_listen;
    bool has_demo_listen;
    unsigned workers; /* auto is already turned into a number */
    unsigned max_in_flight;
    unsigned max_queue;
    uint64_t shed_target_us;   /* a standing queue: waits longer than this … */
    uint64_t shed_interval_us; /* … for this long; CLOCK_NEVER: none is seen in it */
    enum fair_by fair_by;
    char *fair_header; /* for FAIR_BY_HEADER */
    uint64_t deadline_us;
    uint64_t drain_timeout_us;
    size_t max_request_bytes;   /* body of a POST */
    size_t max_requests;        /* in one POST */
    size_t max_id_bytes;        /* of a fetch's id */
    unsigned max_request_depth; /* of the JSON document of a POST */
    size_t max_memory_bytes;    /* of answers held at once */
    size_t max_target_bytes;    /* of a caller's request line */
    size_t max_header_bytes;    /* of a caller's header section */
    size_t max_header_count;
    size_t max_pipelined;   /* requests of a connection that wait for their answers */
    size_t max_connections; /* of callers */
    size_t max_connections_per_client;
    uint64_t idle_timeout_us;        /* how long a caller may take: to ask anything, */
    uint64_t header_timeout_us;      /* for a header section, */
    uint64_t body_timeout_us;        /* for a body, */
    uint64_t write_timeout_us;       /* to read some of an answer */
    bool confine;                    /* confine.h */
    enum transport_choice transport; /* curl: for every upstream */
    enum trace_level log_level;
    struct deny_list denied; /* every upstream's settings point here */
    struct resolver_settings resolver;
    struct upstream_settings *upstreams; /* in the file's order */
    size_t upstream_count;
    struct config_endpoint *endpoints; /* at least one */
    size_t endpoint_count;
    struct config_written *written; /* for config_print */
    size_t written_count;
};

/*
 * Reads and checks a file. NULL on any error, after writing one line for each to `errors`:
 * "upstreams.conf:12: upstream users: unknown option 'timout' (did you mean 'timeout'?)".
 */
struct config *config_load(const char *file, FILE *errors);
void config_free(struct config *config);

/* The effective settings in the file's own syntax, defaults included: what -t shows. A file
 * made of it loads to the same settings. */
void config_print(const struct config *config, FILE *out);

/* NULL: no such name. */
const struct upstream_settings *config_upstream(const struct config *config, const char *name);
const struct config_endpoint *config_endpoint(const struct config *config, const char *path);

#endif
