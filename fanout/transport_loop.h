/*
 * libcurl's multi handles on libevent, by the multi-socket API: the half of
 * the transport that knows sockets and timers and no HTTP. For transport*.c
 * alone.
 */
#ifndef FANOUT_TRANSPORT_LOOP_H
#define FANOUT_TRANSPORT_LOOP_H

#include "fanout/address.h"
#include "fanout/timer.h"

#include <curl/curl.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/queue.h>

/*
 * Connections are spread over a few multi handles, because libcurl searches all connections of
 * a multi on every reuse and removal.
 */
#define MULTI_COUNT  16
#define PORT_BUCKETS 1021 /* odd, as Linux prefers even ports for connections that it opens */

struct event_base;
struct watch;
struct transport_loop;

struct multi {
    struct transport_loop *loop;
    CURLM *handle;
    struct timer timer;
};

struct transport_loop {
    struct event_base *base;
    struct timers *timers;
    struct multi multis[MULTI_COUNT];
    size_t next_multi;
    struct watch **watches; /* one for each socket of libcurl's, by descriptor */
    size_t watch_room;
    LIST_HEAD(watches_of_ports, watch) by_port[PORT_BUCKETS]; /* of those whose port is noted */
    long max_connections;                                     /* that each multi may keep open */
    /* Called for each transfer that has ended; may add and remove handles. */
    void (*on_end)(CURL *easy, CURLcode code);
};

bool transport_loop_init(struct transport_loop *loop, struct event_base *base,
                         struct timers *timers, void (*on_end)(CURL *easy, CURLcode code));
/* Needs every easy handle removed. */
void transport_loop_release(struct transport_loop *loop);

/* So many connections more may be kept open. */
void transport_loop_expect_connections(struct transport_loop *loop, long more);
/* The multi for a new easy handle: taken in turns. */
struct multi *transport_loop_next_multi(struct transport_loop *loop);
/* Makes the closing of the handle's sockets ours; it must then run on a multi of this loop, and
 * its CURLOPT_OPENSOCKETFUNCTION must end in transport_loop_open_socket. */
void transport_loop_adopt(struct transport_loop *loop, CURL *easy);
curl_socket_t transport_loop_open_socket(struct transport_loop *loop,
                                         const struct curl_sockaddr *address);
/*
 * Which socket a transfer uses libcurl tells only by the local port, and only on the way to send
 * (CURLINFO_ACTIVESOCKET is that of the transfer before). So the port is noted when a socket is
 * new, and the socket is found by it later; CURL_SOCKET_BAD: there is none.
 */
void transport_loop_note_port(struct transport_loop *loop, curl_socket_t fd,
                              const struct address *address, int local_port);
curl_socket_t transport_loop_find(const struct transport_loop *loop, const struct address *address,
                                  int local_port);
/* Somebody else watches the socket from here on; libcurl still closes it. */
void transport_loop_unwatch(struct transport_loop *loop, curl_socket_t fd);
/* The socket is the caller's: when libcurl closes it, it stays open. */
void transport_loop_keep_open(struct transport_loop *loop, curl_socket_t fd);

#endif
