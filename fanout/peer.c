/* What one worker keeps of one upstream. */
#include "fanout/peer.h"

#include "fanout/clock.h"
#include "fanout/resolver.h"
#include "fanout/transport.h"
#include "fanout/upstream.h"
#include "fanout/upstream_health.h"

#define HEDGE_DELAY_MAX_AGE_US 100000

bool peer_init(struct fanout_peer *peer, struct upstream *upstream, struct transport *transport,
               uint64_t now_us)
{
    const struct upstream_settings *settings = upstream->settings;
    struct endpoint_target only = {.address = upstream->address, .weight = 1};

    *peer = (struct fanout_peer){
        .upstream = upstream,
        .hedge_delay = {.quantile = upstream_health_times(upstream->health),
                        .part = settings->hedge.part,
                        .max_age_us = HEDGE_DELAY_MAX_AGE_US},
    };
    endpoints_init(&peer->endpoints, &settings->endpoints);
    if (settings->url.host_is_ip)
        endpoints_replace(&peer->endpoints, &only, 1, now_us);
    peer->transport = transport_peer_new(transport, settings);
    return peer->transport != NULL;
}

void peer_release(struct fanout_peer *peer)
{
    if (peer->transport != NULL)
        transport_peer_free(peer->transport);
    endpoints_release(&peer->endpoints);
    if (peer->known != NULL)
        resolver_answer_release(peer->known);
}

static size_t take_allowed(const struct upstream_settings *settings,
                           const struct resolver_answer *answer,
                           struct endpoint_target allowed[ENDPOINTS_MOST])
{
    size_t count = 0;

    for (size_t i = 0; i < answer->count && count < ENDPOINTS_MOST; i++) {
        struct endpoint_target target = answer->targets[i];

        if (address_port(&target.address) == 0)
            address_set_port(&target.address, settings->url.port);
        if (!upstream_settings_denies(settings, &target.address))
            allowed[count++] = target;
    }
    return count;
}

void peer_learn(struct fanout_peer *peer, struct resolver_answer *answer, uint64_t now_us)
{
    struct endpoint_target allowed[ENDPOINTS_MOST];
    size_t count;

    if (answer == peer->known) /* whose memory is not used again while it is kept */
        return;
    count = take_allowed(peer->upstream->settings, answer, allowed);
    endpoints_replace(&peer->endpoints, allowed, count, now_us);
    if (peer->known != NULL)
        resolver_answer_release(peer->known);
    answer->references++;
    peer->known = answer;
}

uint64_t peer_hedge_delay_us(struct fanout_peer *peer, uint64_t now_us)
{
    const struct hedge_settings *hedge = &peer->upstream->settings->hedge;
    uint64_t delay_us = CLOCK_NEVER;

    if (hedge->part == 0)
        return hedge->delay_us;
    quantile_watch_read(&peer->hedge_delay, now_us, &delay_us);
    return delay_us;
}
