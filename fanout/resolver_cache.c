/*
 * The cache's policy. An entry's life: queried, then fresh until its answer
 * expires (refreshed from three quarters of that on, if asked for), then either
 * queried again by the next asker or, while DNS fails, stale for stale_us.
 */
#include "fanout/resolver_cache.h"

#include "fanout/clock.h"
#include "fanout/mem.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

static uint64_t later(uint64_t at_us, uint64_t by_us)
{
    return at_us > CLOCK_NEVER - by_us ? CLOCK_NEVER : at_us + by_us;
}

void resolver_answer_release(struct resolver_answer *answer)
{
    if (--answer->references == 0)
        free(answer);
}

/* ---- names ---- */

/* Writes the name in lower case. False: no host name; what is let in can stand in a log. */
static bool make_key(const char *name, char key[RESOLVER_MAX_NAME_LENGTH + 1])
{
    size_t length = strlen(name);

    if (length == 0 || length > RESOLVER_MAX_NAME_LENGTH)
        return false;
    for (size_t i = 0; i <= length; i++) {
        unsigned char c = (unsigned char)name[i];

        if (i < length && !(c < 0x80 && isalnum(c)) && c != '-' && c != '.' && c != '_')
            return false;
        key[i] = (char)tolower(c);
    }
    return true;
}

/* FNV-1a. */
static size_t bucket_of(const char *key)
{
    uint32_t hash = 2166136261u;

    for (; *key != '\0'; key++)
        hash = (hash ^ (unsigned char)*key) * 16777619u;
    return hash % RESOLVER_BUCKETS;
}

/* ---- entries ---- */

static void forget_answer(struct resolver_entry *entry)
{
    if (entry->answer != NULL)
        resolver_answer_release(entry->answer);
    entry->answer = NULL;
}

static void drop(struct resolver_cache *cache, struct resolver_entry *entry)
{
    LIST_REMOVE(entry, bucket_link);
    TAILQ_REMOVE(&cache->by_use, entry, use_link);
    cache->count--;
    forget_answer(entry);
    free(entry->name);
    free(entry);
}

static bool is_dead(const struct resolver_cache *cache, const struct resolver_entry *entry,
                    uint64_t now_us)
{
    uint64_t end_us = entry->retry_us;

    if (entry->answer != NULL &&
        later(entry->answer->expires_us, cache->settings.stale_us) > end_us)
        end_us = later(entry->answer->expires_us, cache->settings.stale_us);
    return entry->holds == 0 && now_us >= end_us;
}

static void drop_dead(struct resolver_cache *cache, const struct resolver_entry *but,
                      uint64_t now_us)
{
    struct resolver_entry *oldest;

    while ((oldest = TAILQ_FIRST(&cache->by_use)) != NULL && oldest != but &&
           is_dead(cache, oldest, now_us))
        drop(cache, oldest);
}

/* False: every entry is held. */
static bool make_room(struct resolver_cache *cache)
{
    struct resolver_entry *entry;

    if (cache->count < RESOLVER_MAX_NAMES)
        return true;
    TAILQ_FOREACH (entry, &cache->by_use, use_link) {
        if (entry->holds == 0) {
            drop(cache, entry);
            return true;
        }
    }
    return false;
}

static struct resolver_entry *add(struct resolver_cache *cache, const char *key,
                                  enum resolver_kind kind)
{
    struct resolver_entry *entry = mem_zalloc(sizeof *entry);

    entry->kind = kind;
    entry->name = mem_strdup(key);
    TAILQ_INIT(&entry->waiting);
    LIST_INSERT_HEAD(&cache->buckets[bucket_of(key)], entry, bucket_link);
    TAILQ_INSERT_TAIL(&cache->by_use, entry, use_link);
    cache->count++;
    return entry;
}

struct resolver_entry *resolver_cache_find(struct resolver_cache *cache, const char *name,
                                           enum resolver_kind kind, uint64_t now_us,
                                           const char **message)
{
    char key[RESOLVER_MAX_NAME_LENGTH + 1];
    struct resolver_entry *entry;

    if (!make_key(name, key)) {
        *message = "not a host name";
        return NULL;
    }
    LIST_FOREACH (entry, &cache->buckets[bucket_of(key)], bucket_link)
        if (entry->kind == kind && strcmp(entry->name, key) == 0)
            break;
    if (entry != NULL) {
        TAILQ_REMOVE(&cache->by_use, entry, use_link);
        TAILQ_INSERT_TAIL(&cache->by_use, entry, use_link);
    }
    drop_dead(cache, entry, now_us);
    if (entry != NULL)
        return entry;
    if (make_room(cache))
        return add(cache, key, kind);
    *message = "too many names are being looked up";
    return NULL;
}

void resolver_cache_init(struct resolver_cache *cache, const struct resolver_settings *settings)
{
    memset(cache, 0, sizeof *cache); /* empty LISTs are all zero */
    cache->settings = *settings;
    cache->settings.servers = NULL; /* not ours to keep */
    TAILQ_INIT(&cache->by_use);
}

void resolver_cache_release(struct resolver_cache *cache)
{
    struct resolver_entry *entry;

    while ((entry = TAILQ_FIRST(&cache->by_use)) != NULL)
        drop(cache, entry);
}

/* ---- policy ---- */

bool resolver_cache_is_stale(const struct resolver_entry *entry, uint64_t now_us)
{
    return entry->answer != NULL && entry->failure != NULL && now_us >= entry->answer->expires_us;
}

bool resolver_cache_can_serve(const struct resolver_cache *cache,
                              const struct resolver_entry *entry, uint64_t now_us)
{
    return entry->answer != NULL &&
           now_us < later(entry->answer->expires_us, cache->settings.stale_us);
}

enum resolver_advice resolver_cache_advise(const struct resolver_cache *cache,
                                           struct resolver_entry *entry, uint64_t now_us)
{
    bool may_query = entry->failure == NULL || now_us >= entry->retry_us;
    bool fresh = entry->answer != NULL && now_us < entry->answer->expires_us;

    if (fresh)
        return now_us >= entry->refresh_us && may_query ? RESOLVER_GIVE_AND_REFRESH : RESOLVER_GIVE;
    if (entry->failure == NULL)
        return RESOLVER_QUERY;
    if (resolver_cache_can_serve(cache, entry, now_us))
        return may_query ? RESOLVER_GIVE_AND_REFRESH : RESOLVER_GIVE;
    forget_answer(entry);
    return may_query ? RESOLVER_QUERY : RESOLVER_GIVE;
}

void resolver_cache_store(struct resolver_cache *cache, struct resolver_entry *entry,
                          struct resolver_answer *answer, uint64_t ttl_us, uint64_t now_us)
{
    if (ttl_us > cache->settings.max_ttl_us)
        ttl_us = cache->settings.max_ttl_us;
    if (ttl_us < cache->settings.min_ttl_us)
        ttl_us = cache->settings.min_ttl_us;
    forget_answer(entry);
    entry->answer = answer;
    entry->failure = NULL;
    entry->refresh_us = later(now_us, ttl_us / 4 * 3);
    answer->expires_us = later(now_us, ttl_us);
}

void resolver_cache_deny(struct resolver_cache *cache, struct resolver_entry *entry,
                         const char *message, uint64_t now_us)
{
    forget_answer(entry);
    entry->failure = message;
    entry->is_denied = true;
    entry->retry_us = later(now_us, cache->settings.failure_ttl_us);
}

void resolver_cache_fail(struct resolver_cache *cache, struct resolver_entry *entry,
                         const char *message, uint64_t now_us)
{
    if (!resolver_cache_can_serve(cache, entry, now_us))
        forget_answer(entry);
    entry->failure = message;
    entry->is_denied = false;
    entry->retry_us = later(now_us, cache->settings.failure_ttl_us);
}

bool resolver_cache_take(struct resolver_entry *entry, struct resolver_answer **answer,
                         const char **message)
{
    if (entry->answer == NULL) {
        *answer = NULL;
        *message = entry->failure;
        return false;
    }
    entry->answer->references++;
    *answer = entry->answer;
    return true;
}
