/*
 * How a plan is built up, from the top down:
 *
 *   plan           which way it is asked for
 *   plan_query     the query,  plan_document  the document of a POST,
 *   plan_request   one request of that
 *   plan_walk      walking JSON,  plan_build  adding to a plan
 */
#ifndef SERVICE_PLAN_INTERNAL_H
#define SERVICE_PLAN_INTERNAL_H

#include "fanout/json.h"
#include "service/plan.h"

/* What a plan is being made of. */
struct plan_maker {
    struct plan *plan;
    struct call *call;
    const struct config *config;
    struct fanout *fanout;
    struct problem *problem;
    enum { REQUIRED_BY_FILE, REQUIRED_BY_QUERY, REQUIRED_BY_DOCUMENT } required_by;
    char pointer[PROBLEM_PLACE_SIZE]; /* where in the document it is being read (RFC 6901) */
};

/* Room for count fetches, once. */
void plan_reserve(struct plan *plan, size_t count);
/* The next fetch, of the upstream with that index in the configuration, as it is without any
 * wishes: its name as its id, its default method, the caller's headers that are forwarded. */
size_t plan_add(struct plan_maker *maker, size_t upstream_index);
/* The index in the configuration of an endpoint's upstream by name; false: a problem is set. */
bool plan_find_upstream(struct plan_maker *maker, const char *name, size_t *index);
/* Gives a fetch its id, which must outlive the plan. False: another that was given one has it
 * already. */
bool plan_set_id(struct plan *plan, size_t at, const char *id);

/* Values that stand in queries and documents alike. False: a problem is set, without a place. */
bool plan_set_require(struct plan_maker *maker, const char *text);
bool plan_set_shape(struct plan_maker *maker, const char *text);
void plan_lower_deadline(struct plan *plan, uint64_t deadline_us);

/* The query of a GET or POST. `upstreams` becomes the fetches where it is allowed. */
bool plan_read_query(struct plan_maker *maker, bool is_get);
/* The document of a POST. */
bool plan_read_document(struct plan_maker *maker, const char *text, size_t length);
/* One element of its "requests". */
bool plan_read_request(struct plan_maker *maker, struct json_span element);

/* Sets a problem; returns false. Its place is where the pointer stands by then. */
bool plan_fail(struct plan_maker *maker, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* One step down into the document, and back. A step that failed (ok false) stays. */
size_t plan_pointer_push(struct plan_maker *maker, const char *name);
void plan_pointer_pop(struct plan_maker *maker, size_t level, bool ok);

/* Each false or NULL: a problem is set. */
bool plan_expect(struct plan_maker *maker, struct json_span value, enum json_type type);
/* Decoded, without NUL characters in it; owned by the caller. */
char *plan_string(struct plan_maker *maker, struct json_span value);
bool plan_timeout(struct plan_maker *maker, struct json_span value, uint64_t *timeout_us);

/* The members that an object may have: each at most once, none but these. */
struct plan_member {
    const char *name;
    bool (*read)(void *arg, struct json_span value);
};
bool plan_read_members(struct plan_maker *maker, struct json_span object,
                       const struct plan_member *members, size_t count, void *arg);

#endif
