/*
 * The sockets of c-ares on the loop: one event for each, changed as c-ares
 * says and gone when it closes the socket.
 */
#ifndef FANOUT_RESOLVER_SOCKETS_H
#define FANOUT_RESOLVER_SOCKETS_H

#include <event2/util.h>
#include <stdbool.h>
#include <sys/queue.h>

struct event_base;
struct resolver_socket;

struct resolver_sockets {
    struct event_base *base;
    LIST_HEAD(resolver_socket_list, resolver_socket) all;
    void (*on_ready)(void *arg, evutil_socket_t fd, bool readable, bool writable);
    void *arg;
};

/* Watches what for; neither: forgets the socket. May be called from on_ready. */
void resolver_sockets_watch(struct resolver_sockets *sockets, evutil_socket_t fd, bool readable,
                            bool writable);

#endif
