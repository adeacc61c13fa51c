/*
 * What one worker keeps of one upstream: connections, and the addresses it
 * knows, with what is in flight to each of them. Used by that worker's thread
 * alone.
 */
#ifndef FANOUT_PEER_H
#define FANOUT_PEER_H

#include "fanout/endpoints.h"
#include "fanout/quantile.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct dice;
struct resolver_answer;
struct transport;
struct transport_peer;
struct upstream;

struct fanout_peer {
    struct upstream *upstream;
    struct transport_peer *transport;
    struct endpoints endpoints;
    struct resolver_answer *known;     /* that the endpoints were made of; NULL: none yet */
    struct quantile_watch hedge_delay; /* where that is measured */
};

/* Works in place. False: libcurl does not take the URL; release it nevertheless. */
bool peer_init(struct fanout_peer *peer, struct upstream *upstream, struct transport *transport,
               uint64_t now_us);
void peer_release(struct fanout_peer *peer);

/* What DNS says now; the answer is kept by a reference of the peer's own. Addresses that are
 * denied are left out. */
void peer_learn(struct fanout_peer *peer, struct resolver_answer *answer, uint64_t now_us);

/* How long to wait for an answer before a second attempt is made; CLOCK_NEVER: for ever. */
uint64_t peer_hedge_delay_us(struct fanout_peer *peer, uint64_t now_us);

#endif
