/* The targets of a service: its records' hosts, their addresses, and the share of each. */
#include "fanout/resolver_service.h"

#include "fanout/clock.h"
#include "fanout/mem.h"

#include <stdlib.h>
#include <string.h>

#define US_PER_SECOND 1000000u
#define WEIGHT_MOST   65535.0
#define WEIGHT_OF_0   0.01 /* as endpoints.h has it */

/* One record and what is known of its host. */
struct offer {
    struct resolver_service *service;
    const struct resolver_srv *record;
    struct resolver_lookup lookup;
    struct resolver_answer *answer; /* NULL: not yet, or none */
    const char *message;
};

struct resolver_service {
    struct resolver *resolver;
    struct resolver_srv_list records;
    uint64_t expires_us; /* the records */
    uint64_t failure_ttl_us;
    size_t pending;
    void (*on_done)(void *arg);
    void *arg;
    size_t count;
    struct offer offers[];
};

/* A dot alone is no host. */
static size_t list_offers(struct resolver_service *service)
{
    size_t count = 0;

    for (size_t i = 0; i < service->records.count; i++) {
        const struct resolver_srv *record = &service->records.items[i];

        if (strcmp(record->host, ".") != 0)
            service->offers[count++] = (struct offer){.service = service, .record = record};
    }
    return count;
}

struct resolver_service *resolver_service_new(struct resolver *resolver,
                                              struct resolver_srv_list *records,
                                              uint64_t failure_ttl_us)
{
    struct resolver_service *service =
        mem_zalloc(sizeof *service + records->count * sizeof service->offers[0]);

    service->resolver = resolver;
    service->records = *records;
    records->count = 0;
    service->expires_us = clock_now_us() + (uint64_t)service->records.ttl_s * US_PER_SECOND;
    service->failure_ttl_us = failure_ttl_us;
    service->count = list_offers(service);
    return service;
}

void resolver_service_free(struct resolver_service *service)
{
    if (service == NULL)
        return;
    for (size_t i = 0; i < service->count; i++) {
        resolver_cancel(service->resolver, &service->offers[i].lookup);
        if (service->offers[i].answer != NULL)
            resolver_answer_release(service->offers[i].answer);
    }
    resolver_srv_release(&service->records);
    free(service);
}

/* ---- looking up ---- */

static void on_host(void *arg, struct resolver_answer *answer, const char *message)
{
    struct offer *offer = arg;
    struct resolver_service *service = offer->service;

    offer->answer = answer;
    offer->message = message;
    if (--service->pending == 0)
        service->on_done(service->arg);
}

bool resolver_service_start(struct resolver_service *service, void (*on_done)(void *arg), void *arg)
{
    service->on_done = on_done;
    service->arg = arg;
    for (size_t i = 0; i < service->count; i++) {
        struct offer *offer = &service->offers[i];

        offer->lookup.on_done = on_host;
        offer->lookup.arg = offer;
        if (resolver_lookup(service->resolver, offer->record->host, RESOLVER_HOST, &offer->lookup,
                            &offer->answer, &offer->message) == RESOLVER_WAITING)
            service->pending++;
    }
    return service->pending > 0;
}

/* ---- what came of it ---- */

/* How many addresses are of the family preferred; they stand in front. */
static size_t count_addresses(const struct offer *offer)
{
    const struct resolver_answer *answer = offer->answer;
    size_t count = 0;

    while (answer != NULL && count < answer->count && answer->targets[count].priority == 0)
        count++;
    return count;
}

static double share(const struct offer *offer)
{
    size_t count = count_addresses(offer);
    double weight = offer->record->weight > 0 ? (double)offer->record->weight : WEIGHT_OF_0;

    return count > 0 ? weight / (double)count : 0;
}

/* By how much to multiply the shares of the offers of one priority, as many as fit in 16 bits; 0:
 * their records' weights can stand as they are. */
static double scale_of(const struct offer *offers, size_t count)
{
    double largest_share = 0;
    size_t most = 0, least = SIZE_MAX;

    for (size_t i = 0; i < count; i++) {
        size_t addresses = count_addresses(&offers[i]);

        if (addresses == 0)
            continue;
        if (share(&offers[i]) > largest_share)
            largest_share = share(&offers[i]);
        most = addresses > most ? addresses : most;
        least = addresses < least ? addresses : least;
    }
    return most > least ? WEIGHT_MOST / largest_share : 0;
}

static uint16_t weight_of(const struct offer *offer, double scale)
{
    double weight = share(offer) * scale + 0.5;

    if (scale == 0)
        return offer->record->weight;
    return weight >= 1 ? (uint16_t)weight : 1;
}

static void add(struct resolver_answer *answer, const struct offer *offer, double scale)
{
    struct endpoint_target target = {
        .priority = offer->record->priority,
        .weight = weight_of(offer, scale),
    };
    size_t count = count_addresses(offer);

    for (size_t i = 0; i < count && answer->count < ENDPOINTS_MOST; i++) {
        target.address = offer->answer->targets[i].address;
        address_set_port(&target.address, offer->record->port);
        answer->targets[answer->count++] = target;
    }
}

static size_t end_of_priority(const struct resolver_service *service, size_t start)
{
    size_t end = start;

    while (end < service->count &&
           service->offers[end].record->priority == service->offers[start].record->priority)
        end++;
    return end;
}

/* NULL: none of the hosts has an address. */
static struct resolver_answer *make_answer(const struct resolver_service *service)
{
    struct resolver_answer *answer =
        mem_zalloc(sizeof *answer + ENDPOINTS_MOST * sizeof answer->targets[0]);
    size_t end;

    answer->references = 1;
    for (size_t start = 0; start < service->count; start = end) {
        double scale;

        end = end_of_priority(service, start);
        scale = scale_of(&service->offers[start], end - start);
        for (size_t i = start; i < end; i++)
            add(answer, &service->offers[i], scale);
    }
    if (answer->count > 0)
        return mem_realloc(answer, sizeof *answer + answer->count * sizeof answer->targets[0]);
    resolver_answer_release(answer);
    return NULL;
}

/* What is missing, or known only from before DNS failed, is looked for again soon. */
static uint64_t when_it_expires(const struct resolver_service *service, uint64_t now_us)
{
    uint64_t soon_us = now_us + service->failure_ttl_us;
    uint64_t expires_us = service->expires_us;

    for (size_t i = 0; i < service->count; i++) {
        const struct resolver_answer *answer = service->offers[i].answer;
        bool is_fresh = answer != NULL && answer->expires_us > now_us;
        uint64_t until_us = is_fresh ? answer->expires_us : soon_us;

        if (until_us < expires_us)
            expires_us = until_us;
    }
    return expires_us;
}

static struct resolver_service_result failure_of(const struct resolver_service *service)
{
    for (size_t i = 0; i < service->count; i++)
        if (!service->offers[i].lookup.is_denied)
            return (struct resolver_service_result){.message = service->offers[i].message};
    return (struct resolver_service_result){
        .is_denied = true,
        .message = service->count > 0           ? "no target of the service has an address"
                   : service->records.count > 0 ? "the service is not offered (its target is \".\")"
                                                : "the name has no SRV record",
    };
}

struct resolver_service_result resolver_service_result(const struct resolver_service *service)
{
    struct resolver_answer *answer = make_answer(service);

    if (answer == NULL)
        return failure_of(service);
    return (struct resolver_service_result){
        .answer = answer,
        .expires_us = when_it_expires(service, clock_now_us()),
    };
}
