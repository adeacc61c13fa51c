/*
 * The HTTP front end of one worker: evhttp on its listeners.
 */
#ifndef SERVICE_SERVER_H
#define SERVICE_SERVER_H

#include "service/connection.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct call;
struct event_base;
struct server;

struct server_settings {
    struct connection_settings connections; /* but for its on_quiet and arg, which are ours */
    /* Handles one call: reply.h now or later, exactly once. */
    void (*on_call)(void *arg, struct call *call);
    /* server_drain is over: nothing is in flight. */
    void (*on_drained)(void *arg);
    void *arg;
};

/* Takes the listening sockets, which need not listen yet. NULL on failure. */
struct server *server_new(struct event_base *base, const int *sockets, size_t socket_count,
                          const struct server_settings *settings);
/* By the thread that will run the loop, before it does. */
void server_adopt(struct server *server);
/* Closes every connection. Needs every call answered. */
void server_free(struct server *server);

/* Stops accepting; calls in flight go on for timeout_us, then they are told to stop. Calls
 * on_drained once, from the loop. */
void server_drain(struct server *server, uint64_t timeout_us);
bool server_is_draining(const struct server *server);

#endif
