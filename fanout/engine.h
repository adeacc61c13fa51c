/*
 * What a worker of the engine is made of: for the engine's own files. Users
 * of the library include fanout.h.
 */
#ifndef FANOUT_ENGINE_H
#define FANOUT_ENGINE_H

#include "fanout/dice.h"
#include "fanout/flight.h"
#include "fanout/limiter.h"
#include "fanout/peer.h"

#include <pthread.h>
#include <stddef.h>

struct event;
struct event_base;
struct fanout;
struct resolver;
struct timers;
struct transport;

/* Owned and used by one thread; only wake() below is called by others. */
struct fanout_worker {
    struct fanout *fanout;
    pthread_t thread; /* that runs the loop, from fanout_worker_adopt on */
    struct timers *timers;
    struct resolver *resolver;
    struct transport *transport;
    struct fanout_peer *peers; /* by upstream.index */
    struct flights flights;
    struct dice dice;
    struct limiter_member member;
    struct event *wake_event; /* reads wake_fd: slots were granted */
    int wake_fd;
    size_t gathers; /* in flight */
};

#endif
