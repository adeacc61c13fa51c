/* One upstream: questions to its settings, and what the workers share of it. */
#include "fanout/upstream.h"

#include "fanout/deny.h"
#include "fanout/limiter.h"
#include "fanout/trace.h"
#include "fanout/upstream_health.h"

#include <stdlib.h>
#include <strings.h>

static void string_list_release(struct string_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->items[i]);
    free(list->items);
}

void upstream_settings_release(struct upstream_settings *settings)
{
    free(settings->name);
    free(settings->url_text);
    url_release(&settings->url);
    header_list_release(&settings->headers);
    free(settings->success);
    string_list_release(&settings->forward_headers);
    free(settings->ca);
    free(settings->cert);
    free(settings->key);
    free(settings->deadline_header);
    free(settings->retry.statuses);
    free(settings->fallback.json);
    free(settings->fallback.upstream);
}

bool upstream_settings_allow_method(const struct upstream_settings *settings, enum method method)
{
    return (settings->allow_methods >> method & 1u) != 0;
}

bool upstream_settings_forward_header(const struct upstream_settings *settings, const char *name)
{
    for (size_t i = 0; i < settings->forward_headers.count; i++)
        if (strcasecmp(settings->forward_headers.items[i], name) == 0)
            return true;
    return false;
}

static bool is_in(const struct status_range *ranges, size_t count, unsigned status)
{
    for (size_t i = 0; i < count; i++)
        if (status >= ranges[i].low && status <= ranges[i].high)
            return true;
    return false;
}

bool upstream_settings_is_success(const struct upstream_settings *settings, unsigned status)
{
    return is_in(settings->success, settings->success_count, status);
}

bool upstream_settings_retry_on(const struct upstream_settings *settings, enum outcome outcome,
                                unsigned status)
{
    const struct retry_settings *retry = &settings->retry;

    if (outcome == OUTCOME_HTTP_STATUS)
        return is_in(retry->statuses, retry->status_count, status);
    return (retry->outcomes >> outcome & 1u) != 0;
}

bool upstream_settings_denies(const struct upstream_settings *settings,
                              const struct address *address)
{
    return settings->denied != NULL && !settings->url.host_is_ip &&
           deny_list_has(settings->denied, address);
}

void upstream_init(struct upstream *upstream, size_t index,
                   const struct upstream_settings *settings, struct limiter *limiter,
                   uint64_t now_us)
{
    upstream->settings = settings;
    upstream->index = index;
    if (settings->url.host_is_ip)
        address_parse_ip(settings->url.host, settings->url.port, &upstream->address);
    upstream->lane = limiter_lane_new(limiter, settings->max_in_flight);
    upstream->health = upstream_health_new(settings, upstream->lane, now_us);
    for (size_t i = 0; i < OUTCOME_COUNT; i++)
        atomic_init(&upstream->outcomes[i], 0);
    for (size_t i = 0; i < UPSTREAM_EVENT_COUNT; i++)
        atomic_init(&upstream->events[i], 0);
    if (settings->url.tls && !settings->tls_verify)
        trace(TRACE_WARN,
              "event=tls_not_verified upstream=%s reason=\"tls_verify is false: whoever answers is "
              "taken for the upstream, and can read and change everything\"",
              settings->name);
}

void upstream_release(struct upstream *upstream)
{
    upstream_health_free(upstream->health);
    limiter_lane_free(upstream->lane);
}

void upstream_count(struct upstream *upstream, enum outcome outcome)
{
    atomic_fetch_add_explicit(&upstream->outcomes[outcome], 1, memory_order_relaxed);
}

void upstream_note(struct upstream *upstream, enum upstream_event event)
{
    atomic_fetch_add_explicit(&upstream->events[event], 1, memory_order_relaxed);
}

const char *upstream_event_name(enum upstream_event event)
{
    static const char *const names[UPSTREAM_EVENT_COUNT] = {
        [UPSTREAM_RETRIES] = "retries",       [UPSTREAM_HEDGES] = "hedges",
        [UPSTREAM_HEDGE_WINS] = "hedge_wins", [UPSTREAM_EXTRA_REFUSED] = "extra_refused",
        [UPSTREAM_FALLBACKS] = "fallbacks",   [UPSTREAM_COALESCED] = "coalesced",
    };

    return names[event];
}
