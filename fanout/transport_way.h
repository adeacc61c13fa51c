/*
 * The two ways of an exchange behind transport.h: lean (our own HTTP/1.1 on a
 * connection that libcurl opened) and curl (all of it by libcurl). Both feed
 * what comes to the same parser (http_response.h), so that an answer means the
 * same on either. For transport*.c alone.
 */
#ifndef FANOUT_TRANSPORT_WAY_H
#define FANOUT_TRANSPORT_WAY_H

#include "fanout/transport.h"
#include "fanout/transport_loop.h"

/* Why bytes that come on a new connection before the request are a protocol_error. */
#define TRANSPORT_SPOKE_FIRST "the upstream spoke before it was asked"

#define TRANSPORT_SCRATCH_BYTES (64 * 1024)

struct transport {
    struct event_base *base;
    struct timers *timers;
    struct budget *budget; /* of the answers */
    struct transport_loop loop;
    struct buf head;                       /* of the request that is being sent */
    char scratch[TRANSPORT_SCRATCH_BYTES]; /* bytes between a socket and a parser */
};

/* The first member of each way's own. */
struct transport_peer {
    const struct transport_way *way;
};
struct exchange {
    const struct transport_way *way;
};

/* See the functions of these names in transport.h. */
struct transport_way {
    const char *name;
    struct transport_peer *(*peer_new)(struct transport *transport,
                                       const struct upstream_settings *settings);
    void (*peer_free)(struct transport_peer *peer);
    struct exchange *(*send)(struct transport_peer *peer, const struct exchange_request *request,
                             exchange_done *on_done, void *arg);
    void (*cancel)(struct exchange *exchange);
    bool (*is_connected)(const struct exchange *exchange);
};

extern const struct transport_way transport_lean;
extern const struct transport_way transport_curl;

#endif
