/*
 * The open connections to one upstream. Kept ones are watched while they are
 * idle: one that the upstream closes, or on which anything comes that nobody
 * asked for, is dropped. The one used last is used next, so that what is not
 * needed grows old and is closed. For transport_lean.c.
 */
#ifndef FANOUT_TRANSPORT_POOL_H
#define FANOUT_TRANSPORT_POOL_H

#include "fanout/timer.h"
#include "fanout/transport_connect.h"

#include <event2/event_struct.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

struct event_base;
struct pool_site;

struct pool {
    struct event_base *base;
    struct timers *timers;
    uint64_t idle_timeout_us;
    LIST_HEAD(pool_sites, pool_site) sites;
    struct timer sweep; /* due when the oldest idle one is too old */
};

typedef void pool_event(void *arg, short what);

/* One connection; its members are transport_pool.c's own, but for the channel. What is needed when
 * something comes stands together. */
struct pool_connection {
    struct event event;
    pool_event *on_event; /* NULL: idle */
    void *arg;
    struct channel channel;
    short wanted;      /* EV_READ, EV_WRITE: what the event is registered for */
    struct timer wake; /* while in use */
    struct pool_site *site;
    TAILQ_ENTRY(pool_connection) link; /* while idle */
    uint64_t idle_since_us;
};

void pool_init(struct pool *pool, struct event_base *base, struct timers *timers,
               uint64_t idle_timeout_us);
/* Closes what is idle; needs every connection in use given back or closed. */
void pool_release(struct pool *pool);

/*
 * A kept connection that is fit to carry a request; NULL: none. It is the caller's until it is
 * given back or closed. on_event is called when something has come (EV_READ), when the other side
 * has closed (EV_CLOSED), and if that is wanted when it can be written again (EV_WRITE); but only
 * once: read until there is no more, or the rest comes with whatever comes next.
 * is_careful: a system call is spent to see that it is still open at this very moment.
 */
struct pool_connection *pool_take(struct pool *pool, const struct address *address, bool is_careful,
                                  pool_event *on_event, void *arg);
/* The same for a new one, just opened to that address; the channel is the pool's. */
struct pool_connection *pool_add(struct pool *pool, const struct address *address,
                                 struct channel channel, pool_event *on_event, void *arg);

/* Whether to wait for room to write. */
void pool_want_write(struct pool_connection *connection, bool wants);
/* Calls on_event for reading in the loop's next round, whatever the socket says. */
void pool_wake(struct pool_connection *connection);

/*
 * Whether nothing has come that is unread: neither an end nor bytes, which would be taken for the
 * answer to the next request. If not, only closing it is left.
 */
bool pool_is_quiet(struct pool_connection *connection);

/* Keeps it for the next request. Nothing of an answer may be outstanding, nor anything unread that
 * on_event told of. */
void pool_give(struct pool_connection *connection, uint64_t now_us);
void pool_close(struct pool_connection *connection);

#endif
