/*
 * A client connection's parts, shared by the files that make it up:
 *
 *   connection           opening, calls, the end
 *   connection_stream    its socket
 *   connection_guard     what arrives, and how it is refused
 *   connection_deadline  how long the caller may take
 */
#ifndef SERVICE_CONNECTION_INTERNAL_H
#define SERVICE_CONNECTION_INTERNAL_H

#include "fanout/address.h"
#include "fanout/timer.h"
#include "service/connection.h"

#include <event2/event_struct.h>
#include <stdint.h>
#include <sys/uio.h>

enum connection_state {
    CONNECTION_OPEN,
    CONNECTION_REFUSED,   /* waits for the answers to earlier requests; reads on, to see it close */
    CONNECTION_REFUSING,  /* the refusal is being written */
    CONNECTION_LINGERING, /* waits for the caller to close; what it sends is thrown away */
};

/* What the caller is given time for. */
enum connection_wait {
    WAIT_NONE, /* it waits for us */
    WAIT_IDLE, /* for it to ask anything */
    WAIT_HEAD,
    WAIT_BODY,
    WAIT_READ,   /* for it to read an answer */
    WAIT_LINGER, /* for it to close */
};

struct connection {
    struct connection_set *set;
    int fd;
    struct event readable;
    struct event writable;            /* pending while the caller is slow to read */
    struct bufferevent *stream;       /* what evhttp has for a socket */
    struct evhttp_connection *evhttp; /* NULL until evhttp has made it */
    enum connection_state state;
    struct guard guard;
    struct call *call; /* being worked on or answered; NULL: none */
    uint64_t answered; /* calls whose answer is out */
    struct address caller;
    bool is_taking;    /* a request from evhttp */
    bool is_admitted;  /* counted by the admission */
    struct event step; /* something to do from the loop: attach, or write */
    enum connection_wait wait;
    uint64_t wait_request; /* the number of the request that is waited for */
    size_t unread_bytes;   /* of an answer, when its reader was last looked at */
    struct timer deadline;
};

/* Whether earlier requests are still to be answered. */
static inline bool connection_owes_answers(const struct connection *connection)
{
    return connection->answered < connection->guard.requests_done;
}

/* Frees it, and evhttp's part of it. Only where no answer is owed, or all are on their way. */
void connection_close(struct connection *connection);

/* NULL: out of memory. */
struct bufferevent *connection_stream_new(struct connection *connection);
/* Once evhttp has given the stream its socket: takes it away again. */
void connection_stream_start(struct connection *connection);
void connection_stream_stop(struct connection *connection);
/* An answer is out: if reading was stopped because too much had come meanwhile, it goes on. */
void connection_stream_read_on(struct connection *connection);
/*
 * Sends an answer: the two parts of its head, and a body, which is taken over. False: some of it
 * waits in the output buffer until the caller has read more, or evhttp is done with reading.
 */
bool connection_stream_send(struct connection *connection, const struct iovec head[2],
                            struct pieces *body);
/* Writes what waits. The connection may be gone when it returns. */
void connection_stream_write(struct connection *connection);

/* What arrived: the guard reads it, and what passes is left for evhttp. */
void connection_take_bytes(struct connection *connection, const char *bytes, size_t length);
/* All of a refusal is out. */
void connection_on_refusal_written(struct connection *connection);
/* Refuses what comes next, once no answer is owed. reason is static. */
void connection_refuse(struct connection *connection, unsigned status, const char *reason);
/* Prepares the refusal if it is time to; from the loop, which then writes it. */
void connection_refuse_now(struct connection *connection);

/* To be called after anything that may change what is waited for. */
void connection_follow(struct connection *connection);
void connection_on_deadline(void *arg);

#endif
