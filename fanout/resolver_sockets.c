/* c-ares' sockets as libevent events. */
#include "fanout/resolver_sockets.h"

#include "fanout/mem.h"
#include "fanout/trace.h"

#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdlib.h>

struct resolver_socket {
    LIST_ENTRY(resolver_socket) link;
    struct event event;
    struct resolver_sockets *sockets;
    evutil_socket_t fd;
};

static void on_event(evutil_socket_t fd, short what, void *arg)
{
    struct resolver_socket *socket = arg; /* may be gone when on_ready returns */
    struct resolver_sockets *sockets = socket->sockets;

    sockets->on_ready(sockets->arg, fd, (what & EV_READ) != 0, (what & EV_WRITE) != 0);
}

static struct resolver_socket *find_or_add(struct resolver_sockets *sockets, evutil_socket_t fd)
{
    struct resolver_socket *socket;

    LIST_FOREACH (socket, &sockets->all, link)
        if (socket->fd == fd)
            return socket;
    socket = mem_zalloc(sizeof *socket);
    socket->sockets = sockets;
    socket->fd = fd;
    event_assign(&socket->event, sockets->base, fd, 0, on_event, socket);
    LIST_INSERT_HEAD(&sockets->all, socket, link);
    return socket;
}

void resolver_sockets_watch(struct resolver_sockets *sockets, evutil_socket_t fd, bool readable,
                            bool writable)
{
    struct resolver_socket *socket = find_or_add(sockets, fd);
    int what = (readable ? EV_READ : 0) | (writable ? EV_WRITE : 0);

    event_del(&socket->event);
    if (what == 0) {
        LIST_REMOVE(socket, link);
        free(socket);
        return;
    }
    event_assign(&socket->event, sockets->base, fd, (short)(what | EV_PERSIST), on_event, socket);
    if (event_add(&socket->event, NULL) != 0)
        trace(TRACE_ERROR, "event=dns_socket_not_watched");
}
