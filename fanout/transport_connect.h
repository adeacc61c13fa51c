/*
 * Connections to upstreams, opened by libcurl (address, TLS, time limit) and
 * then left to us as a channel: bytes out, bytes in. Plain TCP is the socket
 * itself, which libcurl has let go of; under TLS the handle stays and carries
 * the bytes. For transport*.c alone.
 */
#ifndef FANOUT_TRANSPORT_CONNECT_H
#define FANOUT_TRANSPORT_CONNECT_H

#include "fanout/address.h"
#include "fanout/outcome.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/queue.h>

struct connector;
struct origin;

/* Non-blocking; its owner watches the descriptor. */
struct channel {
    int fd;
    struct connector *connector; /* that carries the bytes; NULL: plain TCP */
};

/* What libcurl opens connections with, for one origin. */
struct connectors {
    struct origin *origin;
    LIST_HEAD(connector_list, connector) idle;
    size_t idle_count;
};

enum channel_answer {
    CHANNEL_MOVED, /* at least one byte */
    CHANNEL_AGAIN, /* wait for the descriptor */
    CHANNEL_END,   /* the upstream will send nothing more */
    CHANNEL_BROKEN,
};

/* The channel is the receiver's if outcome is OK; detail is there until it returns. */
typedef void connector_done(void *arg, enum outcome outcome, const char *detail,
                            struct channel channel);

void connectors_init(struct connectors *connectors, struct origin *origin);
/* Needs every connector done or cancelled, and every channel closed. */
void connectors_release(struct connectors *connectors);

/* on_done is called once from the loop, never before this returns, unless it is cancelled first.
 * NULL: libcurl failed for want of memory. */
struct connector *connector_start(struct connectors *connectors, const struct address *address,
                                  connector_done *on_done, void *arg);
void connector_cancel(struct connector *connector);

/* A send that says AGAIN must be repeated with the same bytes at the same place (as TLS needs). */
enum channel_answer channel_send(struct channel *channel, const void *bytes, size_t count,
                                 size_t *sent);
enum channel_answer channel_receive(struct channel *channel, void *room, size_t size,
                                    size_t *received);
/* Whether bytes have come that nobody has received; under TLS never, as they may be its own. */
bool channel_has_bytes(const struct channel *channel);
/* Right after BROKEN: what it means. *detail is there until the channel is used again or closed. */
enum outcome channel_failure(const struct channel *channel, const char **detail);
/* Needs the descriptor to be watched no more. */
void channel_close(struct channel *channel);

#endif
