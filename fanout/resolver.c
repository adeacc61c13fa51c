/*
 * c-ares on the loop: its sockets (resolver_sockets.c) and one timer for its
 * next timeout. What is known is in resolver_cache.c; here is what is under
 * way. A service is asked for by its SRV records, then by the hosts that these
 * name (resolver_service.c), which are looked up like any other.
 *
 * c-ares may end a query inside any call to it, so its callback only records:
 * the askers move to `answered` and are told from the loop, outside of c-ares.
 */
#include "fanout/resolver.h"

#define CARES_NO_DEPRECATED /* ares_search is, since 1.28; 1.18 has nothing else */

#include "fanout/clock.h"
#include "fanout/mem.h"
#include "fanout/resolver_cache.h"
#include "fanout/resolver_channel.h"
#include "fanout/resolver_service.h"
#include "fanout/resolver_sockets.h"
#include "fanout/resolver_srv.h"
#include "fanout/timer.h"
#include "fanout/trace.h"

#include <assert.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define US_PER_SECOND 1000000u
#define US_PER_MS     1000u

#define CLASS_IN 1
#define TYPE_SRV 33

/* How long an asker waits for DNS when there is an expired answer to give it instead: long
 * for a DNS server at work, short beside the timeouts of fetches (RFC 8767, section 5). */
#define PATIENCE_US 250000u

static const char no_answer[] = "no answer from the DNS server";

struct resolver_query {
    struct resolver *resolver;
    struct resolver_entry *entry;
    struct timer patience;
    int family;                       /* of a host, what is being asked for: AF_UNSPEC is both */
    struct resolver_service *service; /* its records are there, its hosts are not; NULL */
};

struct resolver {
    ares_channel channel;
    struct resolver_sockets sockets;
    struct timers *timers;
    struct timer timer;                   /* c-ares' next timeout, or somebody to tell */
    struct resolver_lookup_list answered; /* to be told from the loop */
    struct resolver_cache cache;
    uint64_t patience_us;
    bool closing;
};

/* ---- answers ---- */

static struct endpoint_target make_target(const struct ares_addrinfo_node *node, int preferred)
{
    struct endpoint_target target = {.weight = 1};

    memcpy(&target.address, node->ai_addr, node->ai_addrlen);
    target.priority = node->ai_family != preferred;
    return target;
}

/* NULL: it holds no address. */
static struct resolver_answer *copy_addresses(const struct ares_addrinfo *info)
{
    struct resolver_answer *answer =
        mem_zalloc(sizeof *answer + ENDPOINTS_MOST * sizeof answer->targets[0]);

    answer->references = 1;
    for (const struct ares_addrinfo_node *node = info->nodes; node != NULL; node = node->ai_next)
        if (answer->count < ENDPOINTS_MOST && node->ai_addrlen <= sizeof(struct address))
            answer->targets[answer->count++] = make_target(node, info->nodes->ai_family);
    if (answer->count > 0)
        return mem_realloc(answer, sizeof *answer + answer->count * sizeof answer->targets[0]);
    resolver_answer_release(answer);
    return NULL;
}

/* The smallest of all records', aliases included; 0 for /etc/hosts, which has none. */
static uint64_t ttl_us(const struct ares_addrinfo *info)
{
    int ttl = INT_MAX;

    for (const struct ares_addrinfo_node *node = info->nodes; node != NULL; node = node->ai_next)
        if (node->ai_ttl < ttl)
            ttl = node->ai_ttl;
    for (const struct ares_addrinfo_cname *alias = info->cnames; alias != NULL; alias = alias->next)
        if (alias->ttl < ttl)
            ttl = alias->ttl;
    return ttl > 0 ? (uint64_t)ttl * US_PER_SECOND : 0;
}

/* ---- askers ---- */

static void unlink_lookup(struct resolver *resolver, struct resolver_lookup *lookup)
{
    struct resolver_entry *entry = lookup->entry;

    if (lookup->answered)
        TAILQ_REMOVE(&resolver->answered, lookup, link);
    else
        TAILQ_REMOVE(&entry->waiting, lookup, link);
    lookup->entry = NULL;
    entry->holds--;
}

static void wait_for(struct resolver_entry *entry, struct resolver_lookup *lookup)
{
    lookup->entry = entry;
    lookup->answered = false;
    TAILQ_INSERT_TAIL(&entry->waiting, lookup, link);
    entry->holds++;
}

/* Whoever asks from here on belongs to the next query. */
static void release_waiting(struct resolver *resolver, struct resolver_entry *entry)
{
    struct resolver_lookup *lookup;

    TAILQ_FOREACH (lookup, &entry->waiting, link)
        lookup->answered = true;
    TAILQ_CONCAT(&resolver->answered, &entry->waiting, link);
}

static bool give(struct resolver_entry *entry, struct resolver_lookup *lookup,
                 struct resolver_answer **answer, const char **message)
{
    if (!entry->told_stale && resolver_cache_is_stale(entry, clock_now_us())) {
        entry->told_stale = true;
        trace(TRACE_WARN, "event=dns_stale name=%s reason=\"%s\"", entry->name, entry->failure);
    }
    if (resolver_cache_take(entry, answer, message))
        return true;
    lookup->is_denied = entry->is_denied;
    return false;
}

static void tell_answered(struct resolver *resolver)
{
    struct resolver_lookup *lookup;

    while ((lookup = TAILQ_FIRST(&resolver->answered)) != NULL) {
        struct resolver_answer *answer = NULL;
        const char *message = NULL;

        give(lookup->entry, lookup, &answer, &message);
        unlink_lookup(resolver, lookup);
        lookup->on_done(lookup->arg, answer, message);
    }
}

/* After every call into c-ares. */
static void arm_timer(struct resolver *resolver)
{
    struct timeval left;
    uint64_t at_us = CLOCK_NEVER;

    if (!TAILQ_EMPTY(&resolver->answered))
        at_us = 0;
    else if (ares_timeout(resolver->channel, NULL, &left) != NULL)
        /* c-ares rounds down to a millisecond: without one more the loop would spin for it. */
        at_us = clock_now_us() + (uint64_t)left.tv_sec * US_PER_SECOND + (uint64_t)left.tv_usec +
                US_PER_MS;
    timer_start(resolver->timers, &resolver->timer, at_us);
}

static void work(struct resolver *resolver, evutil_socket_t readable, evutil_socket_t writable)
{
    ares_process_fd(resolver->channel, readable, writable);
    tell_answered(resolver);
    arm_timer(resolver);
}

/* ---- queries ---- */

static void free_query(struct resolver_query *query)
{
    timer_stop(query->resolver->timers, &query->patience);
    resolver_service_free(query->service);
    query->entry->query = NULL;
    query->entry->holds--;
    free(query);
}

static void end_query(struct resolver_query *query)
{
    release_waiting(query->resolver, query->entry);
    free_query(query);
}

static void note_dns_works(struct resolver_entry *entry)
{
    if (entry->told_stale)
        trace(TRACE_INFO, "event=dns_back name=%s", entry->name);
    entry->told_stale = false;
}

static const char *print_first(const struct resolver_entry *entry,
                               const struct resolver_answer *answer, char text[ADDRESS_TEXT_SIZE])
{
    const struct address *first = &answer->targets[0].address;

    return entry->kind == RESOLVER_HOST ? address_print_ip(first, text)
                                        : address_print(first, text);
}

static void query_succeeded(struct resolver_query *query, struct resolver_answer *answer,
                            uint64_t ttl)
{
    struct resolver_entry *entry = query->entry;
    char text[ADDRESS_TEXT_SIZE];

    if (trace_on(TRACE_DEBUG))
        trace(TRACE_DEBUG, "event=dns_answer name=%s addresses=%zu first=%s ttl_s=%u", entry->name,
              answer->count, print_first(entry, answer, text), (unsigned)(ttl / US_PER_SECOND));
    note_dns_works(entry);
    resolver_cache_store(&query->resolver->cache, entry, answer, ttl, clock_now_us());
    end_query(query);
}

/* is_answer: DNS works, and this is what it says. */
static void query_failed(struct resolver_query *query, bool is_answer, const char *message)
{
    struct resolver_cache *cache = &query->resolver->cache;
    struct resolver_entry *entry = query->entry;

    trace(TRACE_DEBUG, "event=dns_failure name=%s reason=\"%s\"", entry->name, message);
    if (is_answer) {
        note_dns_works(entry);
        resolver_cache_deny(cache, entry, message, clock_now_us());
    } else {
        resolver_cache_fail(cache, entry, message, clock_now_us());
    }
    end_query(query);
}

static void query_failed_by(struct resolver_query *query, int status)
{
    const struct resolver_failure *failure = resolver_channel_failure(status);

    query_failed(query, failure->is_answer, failure->message);
}

/* ---- hosts ---- */

static void ask_for_host(struct resolver_query *query);

/*
 * c-ares reports only the last of its two answers, so that "no address" for AAAA may hide that
 * the query for A failed. Where an answer would be thrown away for it, each is asked alone.
 */
static bool ask_again(struct resolver_query *query, int status)
{
    if (status != ARES_ENODATA || query->entry->answer == NULL || query->family == AF_INET6)
        return false;
    query->family = query->family == AF_UNSPEC ? AF_INET : AF_INET6;
    ask_for_host(query);
    return true;
}

static void on_addresses(void *arg, int status, int timeouts, struct ares_addrinfo *info)
{
    struct resolver_query *query = arg;
    bool closing = query->resolver->closing;
    struct resolver_answer *answer = info != NULL && !closing ? copy_addresses(info) : NULL;
    uint64_t ttl = info != NULL ? ttl_us(info) : 0;

    (void)timeouts;
    ares_freeaddrinfo(info);
    if (closing)
        free_query(query);
    else if (answer != NULL)
        query_succeeded(query, answer, ttl);
    else if (!ask_again(query, status))
        query_failed_by(query, status);
}

static void ask_for_host(struct resolver_query *query)
{
    struct ares_addrinfo_hints hints = {.ai_family = query->family, .ai_socktype = SOCK_STREAM};

    ares_getaddrinfo(query->resolver->channel, query->entry->name, NULL, &hints, on_addresses,
                     query);
}

/* ---- services ---- */

static void on_hosts(void *arg)
{
    struct resolver_query *query = arg;
    struct resolver_service_result result = resolver_service_result(query->service);
    uint64_t now_us = clock_now_us();

    if (result.answer == NULL)
        query_failed(query, result.is_denied, result.message);
    else
        query_succeeded(query, result.answer,
                        result.expires_us > now_us ? result.expires_us - now_us : 0);
}

static void look_up_hosts(struct resolver_query *query, struct resolver_srv_list *records)
{
    struct resolver *resolver = query->resolver;

    query->service =
        resolver_service_new(resolver, records, resolver->cache.settings.failure_ttl_us);
    if (!resolver_service_start(query->service, on_hosts, query))
        on_hosts(query);
}

static void on_records(void *arg, int status, int timeouts, unsigned char *message, int length)
{
    struct resolver_query *query = arg;
    struct resolver_srv_list records;

    (void)timeouts;
    if (query->resolver->closing)
        free_query(query);
    else if (status == ARES_ENODATA)
        query_failed(query, true, "the name has no SRV record");
    else if (status != ARES_SUCCESS)
        query_failed_by(query, status);
    else if (resolver_srv_parse(message, (size_t)length, &records))
        look_up_hosts(query, &records);
    else
        query_failed_by(query, ARES_EBADRESP);
}

static void ask_for_service(struct resolver_query *query)
{
    ares_search(query->resolver->channel, query->entry->name, CLASS_IN, TYPE_SRV, on_records,
                query);
}

/* ---- starts and ends ---- */

/* The answer is late: those who can do with an expired one get it. The query goes on. */
static void on_patience(void *arg)
{
    struct resolver_query *query = arg;
    struct resolver *resolver = query->resolver;
    struct resolver_entry *entry = query->entry;
    uint64_t now_us = clock_now_us();

    if (!resolver_cache_can_serve(&resolver->cache, entry, now_us))
        return;
    resolver_cache_fail(&resolver->cache, entry, no_answer, now_us);
    release_waiting(resolver, entry);
    arm_timer(resolver);
}

/* May be over when it returns. */
static void start_query(struct resolver *resolver, struct resolver_entry *entry)
{
    struct resolver_query *query = mem_zalloc(sizeof *query);

    query->resolver = resolver;
    query->entry = entry;
    query->family = AF_UNSPEC;
    timer_init(&query->patience, on_patience, query);
    if (entry->answer != NULL)
        timer_start(resolver->timers, &query->patience, clock_now_us() + resolver->patience_us);
    entry->query = query;
    entry->holds++;
    if (entry->kind == RESOLVER_HOST)
        ask_for_host(query);
    else
        ask_for_service(query);
    arm_timer(resolver);
}

enum resolver_status resolver_lookup(struct resolver *resolver, const char *name,
                                     enum resolver_kind kind, struct resolver_lookup *lookup,
                                     struct resolver_answer **answer, const char **message)
{
    uint64_t now_us = clock_now_us();
    struct resolver_entry *entry =
        resolver_cache_find(&resolver->cache, name, kind, now_us, message);
    enum resolver_advice advice;

    lookup->entry = NULL;
    lookup->is_denied = false;
    if (entry == NULL)
        return RESOLVER_FAILED;
    advice = resolver_cache_advise(&resolver->cache, entry, now_us);
    if (advice != RESOLVER_GIVE && entry->query == NULL)
        start_query(resolver, entry);
    if (advice == RESOLVER_QUERY && entry->query != NULL) {
        wait_for(entry, lookup);
        return RESOLVER_WAITING;
    }
    return give(entry, lookup, answer, message) ? RESOLVER_READY : RESOLVER_FAILED;
}

void resolver_cancel(struct resolver *resolver, struct resolver_lookup *lookup)
{
    if (lookup->entry != NULL)
        unlink_lookup(resolver, lookup);
}

/* ---- the loop ---- */

static void on_timer(void *arg)
{
    work(arg, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
}

static void on_ready(void *arg, evutil_socket_t fd, bool readable, bool writable)
{
    work(arg, readable ? fd : ARES_SOCKET_BAD, writable ? fd : ARES_SOCKET_BAD);
}

static void on_socket_state(void *arg, ares_socket_t fd, int readable, int writable)
{
    struct resolver *resolver = arg;

    resolver_sockets_watch(&resolver->sockets, fd, readable != 0, writable != 0);
}

/* ---- making and freeing ---- */

struct resolver *resolver_new(struct event_base *base, struct timers *timers,
                              const struct resolver_settings *settings, const char **message)
{
    struct resolver *resolver = mem_zalloc(sizeof *resolver);
    const char *problem;

    resolver->sockets = (struct resolver_sockets){base, {NULL}, on_ready, resolver};
    resolver->timers = timers;
    resolver->patience_us = settings->timeout_us < PATIENCE_US ? settings->timeout_us : PATIENCE_US;
    TAILQ_INIT(&resolver->answered);
    timer_init(&resolver->timer, on_timer, resolver);
    resolver_cache_init(&resolver->cache, settings);
    problem = resolver_channel_open(&resolver->channel, settings, on_socket_state, resolver);
    if (problem == NULL)
        return resolver;
    *message = problem;
    resolver_free(resolver);
    return NULL;
}

/* Those of c-ares end with it. */
static void end_own_queries(struct resolver *resolver)
{
    struct resolver_entry *entry;

    TAILQ_FOREACH (entry, &resolver->cache.by_use, use_link)
        if (entry->query != NULL && entry->query->service != NULL)
            free_query(entry->query);
}

void resolver_free(struct resolver *resolver)
{
    resolver->closing = true;
    end_own_queries(resolver);
    if (resolver->channel != NULL)
        ares_destroy(resolver->channel); /* ends every query and closes every socket */
    assert(LIST_EMPTY(&resolver->sockets.all));
    timer_stop(resolver->timers, &resolver->timer);
    resolver_cache_release(&resolver->cache);
    free(resolver);
}
