/*
 * One flight for identical GETs: fetches of one worker that ask the same of
 * one upstream at one time share one. The same: upstream, method, target, and
 * every header field but those that only name the call (X-Request-Id). So
 * different credentials never share.
 *
 * The flight belongs to nobody: it goes on as long as anybody sits in it, with
 * the upstream's timeout and no caller's deadline.
 */
#ifndef FANOUT_FLIGHT_H
#define FANOUT_FLIGHT_H

#include "fanout/fetch.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

struct flight;

#define FLIGHT_BUCKETS 256

/* One worker's flights. Zeroed is empty. */
struct flights {
    LIST_HEAD(flight_bucket, flight) buckets[FLIGHT_BUCKETS];
};

typedef void flight_done(void *arg, struct fetch_result *result);

/* Whether the request is one that may be shared, and its upstream's settings say that it is. */
bool flight_applies(const struct fetch_request *request);

/* A seat in the flight of that request, which is begun if there is none. on_done is called once,
 * from the loop, with the seat gone, unless it is left before. */
struct flight_seat *flight_join(const struct fetch_scope *scope,
                                const struct fetch_request *request, flight_done *on_done,
                                void *arg, uint64_t now_us);
/* The last one to leave ends the flight. */
void flight_leave(struct flight_seat *seat);

#endif
