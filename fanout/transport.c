/* HTTP exchanges with upstreams: the choice between the two ways. */
#include "fanout/transport.h"

#include "fanout/mem.h"
#include "fanout/transport_origin.h"
#include "fanout/transport_trust.h"
#include "fanout/transport_way.h"
#include "fanout/upstream.h"

#include <curl/curl.h>
#include <stdlib.h>

bool transport_global_init(void)
{
    transport_trust_init();
    return curl_global_init_mem(CURL_GLOBAL_DEFAULT, mem_library_alloc, free, mem_library_realloc,
                                mem_strdup, mem_library_array) == CURLE_OK;
}

void transport_global_release(void)
{
    curl_global_cleanup();
}

const char *transport_version(void)
{
    return curl_version();
}

struct transport *transport_new(struct event_base *base, struct timers *timers,
                                struct budget *budget)
{
    struct transport *transport = mem_zalloc(sizeof *transport);

    transport->base = base;
    transport->timers = timers;
    transport->budget = budget;
    buf_init(&transport->head, BUF_UNLIMITED);
    if (transport_loop_init(&transport->loop, base, timers, handle_on_transfer_end))
        return transport;
    transport_free(transport);
    return NULL;
}

void transport_free(struct transport *transport)
{
    transport_loop_release(&transport->loop);
    buf_release(&transport->head);
    free(transport);
}

static const struct transport_way *way_of(const struct upstream_settings *settings)
{
    return settings->transport == TRANSPORT_CURL || settings->http2 ? &transport_curl
                                                                    : &transport_lean;
}

const char *transport_way_name(const struct upstream_settings *settings)
{
    return way_of(settings)->name;
}

struct transport_peer *transport_peer_new(struct transport *transport,
                                          const struct upstream_settings *settings)
{
    return way_of(settings)->peer_new(transport, settings);
}

void transport_peer_free(struct transport_peer *peer)
{
    peer->way->peer_free(peer);
}

struct exchange *transport_send(struct transport_peer *peer, const struct exchange_request *request,
                                exchange_done *on_done, void *arg)
{
    return peer->way->send(peer, request, on_done, arg);
}

void transport_cancel(struct exchange *exchange)
{
    exchange->way->cancel(exchange);
}

bool transport_is_connected(const struct exchange *exchange)
{
    return exchange->way->is_connected(exchange);
}
