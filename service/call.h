/*
 * A call: one request of a caller, from its last byte in to its answer's last
 * byte out. It is answered exactly once, whether or not its caller is still
 * there.
 */
#ifndef SERVICE_CALL_H
#define SERVICE_CALL_H

#include "fanout/buf.h"
#include "fanout/trace.h"
#include "service/request_id.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

struct connection;
struct evhttp_request;

#define CALL_NOTE_SIZE 128

/* What the one who works on a call wants to hear; NULL: nothing. */
struct call_hooks {
    void (*on_gone)(void *arg); /* the caller left; the call is gone when this returns */
    void (*on_stop)(void *arg); /* the service stops: answer now, with what there is */
    void *arg;
};

struct call {
    TAILQ_ENTRY(call) link;
    struct connection *connection; /* NULL: made by a test */
    struct evhttp_request *request;
    struct call_hooks hooks;
    bool is_answered; /* its reply is on the way */
    bool is_head;     /* a HEAD: the answer has no body */
    bool is_http_1_0;
    const char *method;         /* static */
    const char *path;           /* raw, as sent */
    const char *query;          /* raw; NULL: none */
    uint64_t started_us;        /* clock.h */
    enum trace_level log_level; /* of the lines about it, if it goes well */
    struct buf fields;          /* of the answer, so far */
    char note[CALL_NOTE_SIZE];  /* for the line in the log: " ok=3 failed=1"; empty: none */
    char id[REQUEST_ID_SIZE];   /* taken from X-Request-Id, or made */
};

/* The body of the request, in one piece; *length may be 0. Valid until the answer. */
const char *call_body(struct call *call, size_t *length);
/* NULL: no such header. */
const char *call_header(const struct call *call, const char *name);

/* Reads method, target and id from the request. */
void call_init(struct call *call, struct evhttp_request *request);
void call_release(struct call *call);

#endif
