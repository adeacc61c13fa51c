/*
 * The HTTP front end of one worker: evhttp on its listeners, and each request
 * as a call that is answered exactly once, whether or not its caller is still
 * there. A caller that closes its connection, or only its sending half,
 * counts as gone: its call is told so at once.
 */
#ifndef SERVICE_SERVER_H
#define SERVICE_SERVER_H

#include "fanout/trace.h"
#include "service/request_id.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

struct call;
struct event_base;
struct evhttp_request;
struct server;

#define CALL_NOTE_SIZE 128

/* What the one who works on a call wants to hear; NULL: nothing. */
struct call_hooks {
    void (*on_gone)(void *arg); /* the caller left; the call is gone when this returns */
    void (*on_stop)(void *arg); /* the service stops: answer now, with what there is */
    void *arg;
};

/* One request, from its last byte in to its answer's last byte out. */
struct call {
    TAILQ_ENTRY(call) link;
    struct server *server;
    struct evhttp_request *request;
    struct call_hooks hooks;
    bool is_answered;          /* its reply is on the way */
    bool is_head;              /* a HEAD: the answer has no body */
    bool is_too_large;         /* its body is over max_body_bytes */
    const char *method;        /* static */
    const char *path;          /* raw, as sent */
    const char *query;         /* raw; NULL: none */
    uint64_t started_us;       /* clock.h */
    char note[CALL_NOTE_SIZE]; /* for the line in the log: " ok=3 failed=1"; empty: none */
    char id[REQUEST_ID_SIZE];  /* taken from X-Request-Id, or made */
};

struct server_settings {
    size_t max_body_bytes;
    enum trace_level log_level; /* of the lines about calls that went well */
    /* Handles one call: reply.h now or later, exactly once. */
    void (*on_call)(void *arg, struct call *call);
    /* server_drain is over: nothing is in flight. */
    void (*on_drained)(void *arg);
    void *arg;
};

/* Takes the listening sockets, which need not listen yet. NULL on failure. */
struct server *server_new(struct event_base *base, const int *sockets, size_t socket_count,
                          const struct server_settings *settings);
/* Closes every connection. Needs every call answered. */
void server_free(struct server *server);

/* Stops accepting; calls in flight go on for timeout_us, then they are told to stop. Calls
 * on_drained once, from the loop. */
void server_drain(struct server *server, uint64_t timeout_us);
bool server_is_draining(const struct server *server);

/* How loud a line about a call is that went well. */
enum trace_level server_log_level(const struct server *server);

/* For reply.c: the answer of this call leaves now. */
void server_call_answered(struct call *call);

/* The body of the request, in one piece; *length may be 0. Valid until the answer. */
const char *call_body(struct call *call, size_t *length);
/* NULL: no such header. */
const char *call_header(const struct call *call, const char *name);

#endif
