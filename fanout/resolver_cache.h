/*
 * What a resolver remembers of names: answers until they expire and for a
 * while longer, and failures. Policy alone: no DNS, no loop, and time comes in
 * as now_us, so that tests own it. Bounded: names that nobody asks for are
 * dropped, the one unused for longest first when there are too many.
 */
#ifndef FANOUT_RESOLVER_CACHE_H
#define FANOUT_RESOLVER_CACHE_H

#include "fanout/resolver.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#define RESOLVER_MAX_NAMES       1024
#define RESOLVER_MAX_NAME_LENGTH 254 /* with a dot at the end (RFC 1035, section 2.3.4) */
#define RESOLVER_BUCKETS         256

struct resolver_query;
TAILQ_HEAD(resolver_lookup_list, resolver_lookup);

struct resolver_entry {
    LIST_ENTRY(resolver_entry) bucket_link;
    TAILQ_ENTRY(resolver_entry) use_link;
    enum resolver_kind kind;
    char *name;                     /* lower case */
    struct resolver_answer *answer; /* the last good one; NULL: none */
    uint64_t refresh_us;            /* asked for from here on, it is queried in the background */
    const char *failure;            /* why the last query gave nothing, static; NULL: it did not */
    bool is_denied;                 /* that is what DNS says, rather than nothing */
    uint64_t retry_us;              /* no query before this moment after a failure */
    /* What follows is the resolver's. */
    unsigned holds; /* queries and look-ups that point here: with any, it is never dropped */
    bool told_stale;
    struct resolver_query *query; /* under way; NULL: none */
    struct resolver_lookup_list waiting;
};

struct resolver_cache {
    struct resolver_settings settings;
    LIST_HEAD(resolver_bucket, resolver_entry) buckets[RESOLVER_BUCKETS];
    TAILQ_HEAD(resolver_entry_list, resolver_entry) by_use; /* unused for longest first */
    size_t count;
};

enum resolver_advice {
    RESOLVER_GIVE,             /* what the entry has, an answer or a failure */
    RESOLVER_GIVE_AND_REFRESH, /* likewise, and query in the background */
    RESOLVER_QUERY,            /* it has nothing that may be given: query and wait */
};

void resolver_cache_init(struct resolver_cache *cache, const struct resolver_settings *settings);
/* Drops every entry, held or not; their queries and look-ups must be gone. */
void resolver_cache_release(struct resolver_cache *cache);

/*
 * The entry for a host or a service, made if need be; case does not count. The caller asks for
 * advice and acts on it before it comes back here: an entry just made is otherwise dropped. NULL:
 * *message says why (no host name, or the cache is full of names that are held).
 */
struct resolver_entry *resolver_cache_find(struct resolver_cache *cache, const char *name,
                                           enum resolver_kind kind, uint64_t now_us,
                                           const char **message);
enum resolver_advice resolver_cache_advise(const struct resolver_cache *cache,
                                           struct resolver_entry *entry, uint64_t now_us);

/* A query gave an answer, whose reference is taken over, good for ttl_us (clamped here). */
void resolver_cache_store(struct resolver_cache *cache, struct resolver_entry *entry,
                          struct resolver_answer *answer, uint64_t ttl_us, uint64_t now_us);
/* DNS says that there is nothing under this name: what was known is forgotten. */
void resolver_cache_deny(struct resolver_cache *cache, struct resolver_entry *entry,
                         const char *message, uint64_t now_us);
/* DNS itself failed: what was known goes on serving, up to stale_us past its expiry. */
void resolver_cache_fail(struct resolver_cache *cache, struct resolver_entry *entry,
                         const char *message, uint64_t now_us);

/* Whether there is an answer that may be given while DNS fails. */
bool resolver_cache_can_serve(const struct resolver_cache *cache,
                              const struct resolver_entry *entry, uint64_t now_us);
/* Whether what resolver_cache_take gives is past its time. */
bool resolver_cache_is_stale(const struct resolver_entry *entry, uint64_t now_us);

/* What an asker is given: true with the answer (one reference), or false with the message. Not for
 * entries that advise RESOLVER_QUERY and had none. */
bool resolver_cache_take(struct resolver_entry *entry, struct resolver_answer **answer,
                         const char **message);

#endif
