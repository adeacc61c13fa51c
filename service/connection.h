/*
 * Client connections. The guard reads every byte before evhttp does, whole
 * requests become calls, and a caller that leaves is noticed: one that closes
 * its connection, or only its sending half, counts as gone, and its call is
 * told so at once.
 */
#ifndef SERVICE_CONNECTION_H
#define SERVICE_CONNECTION_H

#include "fanout/trace.h"
#include "service/guard.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

struct admission;
struct bufferevent;
struct call;
struct event_base;
struct evhttp_request;
struct pieces;
struct timers;

struct connection_settings {
    struct guard_limits limits;
    size_t max_pipelined; /* requests of one connection that wait for their answers */
    /* How long a caller may take, from the first byte (or, where there is none, the moment there
     * could be one): */
    uint64_t idle_timeout_us;  /* to ask anything */
    uint64_t head_timeout_us;  /* for the header section */
    uint64_t body_timeout_us;  /* for the body */
    uint64_t write_timeout_us; /* to read some of an answer, and again */
    struct admission *admission;
    enum trace_level log_level; /* of the lines about calls that go well */
    /* Handles one call: reply.h now or later, exactly once. */
    void (*on_call)(void *arg, struct call *call);
    /* The last call there was has ended. */
    void (*on_quiet)(void *arg);
    void *arg;
};

struct connection;

/* All connections of one server. */
struct connection_set {
    struct event_base *base;
    struct timers *timers;
    struct connection_settings settings;
    bool is_draining; /* every answer is its connection's last */
    TAILQ_HEAD(call_list, call) calls;
    struct connection **by_descriptor;
    size_t descriptor_room;
};

/* False: out of memory. The settings are copied. */
bool connection_set_init(struct connection_set *set, struct event_base *base,
                         const struct connection_settings *settings);
/* Needs every connection closed. */
void connection_set_release(struct connection_set *set);

/* A stream for a connection that evhttp is about to take; NULL: out of memory. */
struct bufferevent *connection_open(struct connection_set *set);
/* evhttp has read a whole request. */
void connection_take_request(struct connection_set *set, struct evhttp_request *request);

/* Whether no call is under way. */
bool connection_set_is_quiet(const struct connection_set *set);
/* Tells every call that is not answered yet that the service stops. */
void connection_set_stop(struct connection_set *set);

/* Where the call came from; AF_UNSPEC: nobody knows. */
const struct address *connection_caller(const struct call *call);

/* For reply.c: whether this call's answer is its connection's last, and must say so. */
bool connection_closes_after(const struct call *call);
/*
 * For reply.c: sends the answer, at once where that is possible: the head, call->fields and the
 * body, which is taken over. The call is gone when it returns, or goes with the last byte.
 */
void connection_answer(struct call *call, const char *head, size_t head_length,
                       struct pieces *body);

#endif
