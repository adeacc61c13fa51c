/*
 * c-ares on the loop: its sockets (resolver_sockets.c) and one timer for its
 * next timeout. What is known is in resolver_cache.c; here is what is under way.
 *
 * c-ares may end a query inside any call to it, so its callback only records:
 * the askers move to `answered` and are told from the loop, outside of c-ares.
 */
#include "fanout/resolver.h"

#include "fanout/buf.h"
#include "fanout/clock.h"
#include "fanout/mem.h"
#include "fanout/resolver_cache.h"
#include "fanout/resolver_sockets.h"
#include "fanout/timer.h"
#include "fanout/trace.h"

#include <ares.h>
#include <assert.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define US_PER_SECOND 1000000u
#define US_PER_MS     1000u

#define DNS_PORT        53
#define MAX_ADDRESSES   64 /* of one name; the rest is left out */
#define MAX_SERVER_LIST 4096

/* How long an asker waits for DNS when there is an expired answer to give it instead: long
 * for a DNS server at work, short beside the timeouts of fetches (RFC 8767, section 5). */
#define PATIENCE_US 250000u

static const char no_answer[] = "no answer from the DNS server";

struct resolver_query {
    struct resolver *resolver;
    struct resolver_entry *entry;
    struct timer patience;
    int family; /* what is being asked for: AF_UNSPEC is both */
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

/* ---- what c-ares says ---- */

static const struct {
    int status;
    bool is_answer; /* DNS works, and this is what it says */
    const char *message;
} failures[] = {
    {ARES_ENOTFOUND, true, "no such name"},
    {ARES_ENODATA, true, "the name has no address"},
    {ARES_EBADNAME, true, "not a host name"},
    {ARES_ESERVFAIL, false, "the DNS server failed"},
    {ARES_EREFUSED, false, "the DNS server refused"},
    {ARES_ENOTIMP, false, "the DNS server can't answer such queries"},
    {ARES_EFORMERR, false, "the DNS server did not understand"},
    {ARES_EBADRESP, false, "the DNS server's answer is malformed"},
    /* c-ares 1.18 says this for SERVFAIL, REFUSED and NOTIMP too. */
    {ARES_ECONNREFUSED, false, "the DNS server failed or can't be reached"},
    {ARES_ETIMEOUT, false, no_answer},
    {ARES_ENOMEM, false, "out of memory"},
    {0, false, "the look-up failed"}, /* everything else */
};

static size_t failure_of(int status)
{
    size_t row = 0;

    while (failures[row].status != status && failures[row].status != 0)
        row++;
    return row;
}

/* NULL: it holds no address. */
static struct resolver_answer *copy_addresses(const struct ares_addrinfo *info)
{
    struct resolver_answer *answer =
        mem_zalloc(sizeof *answer + MAX_ADDRESSES * sizeof answer->addresses[0]);

    answer->references = 1;
    for (const struct ares_addrinfo_node *node = info->nodes; node != NULL; node = node->ai_next) {
        if (answer->count < MAX_ADDRESSES && node->ai_addrlen <= sizeof answer->addresses[0])
            memcpy(&answer->addresses[answer->count++], node->ai_addr, node->ai_addrlen);
    }
    if (answer->count > 0)
        return mem_realloc(answer, sizeof *answer + answer->count * sizeof answer->addresses[0]);
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

static bool give(struct resolver_entry *entry, struct resolver_answer **answer, size_t *first,
                 const char **message)
{
    if (!entry->told_stale && resolver_cache_is_stale(entry, clock_now_us())) {
        entry->told_stale = true;
        trace(TRACE_WARN, "event=dns_stale name=%s reason=\"%s\"", entry->name, entry->failure);
    }
    return resolver_cache_take(entry, answer, first, message);
}

static void tell_answered(struct resolver *resolver)
{
    struct resolver_lookup *lookup;

    while ((lookup = TAILQ_FIRST(&resolver->answered)) != NULL) {
        struct resolver_answer *answer = NULL;
        const char *message = NULL;
        size_t first = 0;

        give(lookup->entry, &answer, &first, &message);
        unlink_lookup(resolver, lookup);
        lookup->on_done(lookup->arg, answer, first, message);
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

static void query_succeeded(struct resolver_query *query, struct resolver_answer *answer,
                            uint64_t ttl)
{
    struct resolver_entry *entry = query->entry;
    char text[ADDRESS_TEXT_SIZE];

    if (trace_on(TRACE_DEBUG))
        trace(TRACE_DEBUG, "event=dns_answer name=%s addresses=%zu first=%s ttl_s=%u", entry->name,
              answer->count, address_print_ip(&answer->addresses[0], text),
              (unsigned)(ttl / US_PER_SECOND));
    note_dns_works(entry);
    resolver_cache_store(&query->resolver->cache, entry, answer, ttl, clock_now_us());
    end_query(query);
}

static void query_failed(struct resolver_query *query, int status)
{
    struct resolver_cache *cache = &query->resolver->cache;
    struct resolver_entry *entry = query->entry;
    size_t row = failure_of(status);

    trace(TRACE_DEBUG, "event=dns_failure name=%s reason=\"%s\"", entry->name,
          failures[row].message);
    if (failures[row].is_answer) {
        note_dns_works(entry);
        resolver_cache_deny(cache, entry, failures[row].message, clock_now_us());
    } else {
        resolver_cache_fail(cache, entry, failures[row].message, clock_now_us());
    }
    end_query(query);
}

static void send_query(struct resolver_query *query);

/*
 * c-ares reports only the last of its two answers, so that "no address" for AAAA may hide that
 * the query for A failed. Where an answer would be thrown away for it, each is asked alone.
 */
static bool ask_again(struct resolver_query *query, int status)
{
    if (status != ARES_ENODATA || query->entry->answer == NULL || query->family == AF_INET6)
        return false;
    query->family = query->family == AF_UNSPEC ? AF_INET : AF_INET6;
    send_query(query);
    return true;
}

static void on_answer(void *arg, int status, int timeouts, struct ares_addrinfo *info)
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
        query_failed(query, status);
}

static void send_query(struct resolver_query *query)
{
    struct ares_addrinfo_hints hints = {.ai_family = query->family, .ai_socktype = SOCK_STREAM};

    ares_getaddrinfo(query->resolver->channel, query->entry->name, NULL, &hints, on_answer, query);
}

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
    send_query(query);
    arm_timer(resolver);
}

enum resolver_status resolver_lookup(struct resolver *resolver, const char *host,
                                     struct resolver_lookup *lookup,
                                     struct resolver_answer **answer, size_t *first,
                                     const char **message)
{
    uint64_t now_us = clock_now_us();
    struct resolver_entry *entry = resolver_cache_find(&resolver->cache, host, now_us, message);
    enum resolver_advice advice;

    lookup->entry = NULL;
    if (entry == NULL)
        return RESOLVER_FAILED;
    advice = resolver_cache_advise(&resolver->cache, entry, now_us);
    if (advice != RESOLVER_GIVE && entry->query == NULL)
        start_query(resolver, entry);
    if (advice == RESOLVER_QUERY && entry->query != NULL) {
        wait_for(entry, lookup);
        return RESOLVER_WAITING;
    }
    return give(entry, answer, first, message) ? RESOLVER_READY : RESOLVER_FAILED;
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

/* Checks the list and writes it, NUL-ended, in the one form that every c-ares reads alike. */
static bool write_servers(struct buf *out, const char *servers)
{
    char *list = mem_strdup(servers);
    char *rest = list;
    char *item;
    bool good = true;

    while (good && (item = strsep(&rest, ",")) != NULL) {
        char text[ADDRESS_TEXT_SIZE];
        struct address address;

        good = address_parse(item, &address) || address_parse_ip(item, DNS_PORT, &address);
        good =
            good && buf_printf(out, "%s%s", out->len > 0 ? "," : "", address_print(&address, text));
    }
    free(list);
    return good && buf_append(out, "", 1);
}

/* NULL, or what is wrong. */
static const char *set_servers(ares_channel channel, const char *servers)
{
    const char *message = "not a list of DNS servers like 10.0.0.53,[::1]:5353";
    struct buf list;
    int status;

    buf_init(&list, MAX_SERVER_LIST);
    if (write_servers(&list, servers)) {
        status = ares_set_servers_ports_csv(channel, list.data);
        message = status == ARES_SUCCESS ? NULL : ares_strerror(status);
    }
    buf_release(&list);
    return message;
}

static const char *open_channel(struct resolver *resolver, const struct resolver_settings *settings)
{
    struct ares_options options;
    int chosen = ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB;
    int status;

    memset(&options, 0, sizeof options);
    options.timeout = (int)(settings->timeout_us / US_PER_MS);
    options.tries = (int)settings->tries;
    options.sock_state_cb = on_socket_state;
    options.sock_state_cb_data = resolver;
#ifdef ARES_OPT_QUERY_CACHE
    chosen |= ARES_OPT_QUERY_CACHE; /* of 0 s: a refresh must ask the server, not c-ares' memory */
#endif
    status = ares_init_options(&resolver->channel, &options, chosen);
    if (status != ARES_SUCCESS)
        return ares_strerror(status);
    return settings->servers != NULL ? set_servers(resolver->channel, settings->servers) : NULL;
}

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
    problem = open_channel(resolver, settings);
    if (problem == NULL)
        return resolver;
    *message = problem;
    resolver_free(resolver);
    return NULL;
}

void resolver_free(struct resolver *resolver)
{
    resolver->closing = true;
    if (resolver->channel != NULL)
        ares_destroy(resolver->channel); /* ends every query and closes every socket */
    assert(LIST_EMPTY(&resolver->sockets.all));
    timer_stop(resolver->timers, &resolver->timer);
    resolver_cache_release(&resolver->cache);
    free(resolver);
}

bool resolver_global_init(void)
{
    return ares_library_init_mem(ARES_LIB_INIT_ALL, mem_library_alloc, free, mem_library_realloc) ==
           ARES_SUCCESS;
}

void resolver_global_release(void)
{
    ares_library_cleanup();
}
