/*
 * Callers by their keys: a hash table with a mutex of its own, so that nobody
 * who wants a slot waits for it. Keys come from outside: the hash is seeded,
 * so that nobody can aim many keys at one bucket.
 */
#include "fanout/clock.h"
#include "fanout/dice.h"
#include "fanout/limiter_internal.h"
#include "fanout/mem.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define FEWEST_BUCKETS 64

LIST_HEAD(bucket, limiter_caller);

struct limiter_callers {
    pthread_mutex_t mutex;
    struct bucket *buckets;
    size_t bucket_count; /* a power of two */
    size_t count;
    uint64_t seeds[2];
};

struct limiter_callers *limiter_callers_new(void)
{
    struct limiter_callers *callers = mem_zalloc(sizeof *callers);

    pthread_mutex_init(&callers->mutex, NULL);
    callers->bucket_count = FEWEST_BUCKETS;
    callers->buckets = mem_array(callers->bucket_count, sizeof callers->buckets[0]);
    if (getrandom(callers->seeds, sizeof callers->seeds, GRND_NONBLOCK) != sizeof callers->seeds) {
        struct dice dice = {clock_now_us() ^ (uintptr_t)callers};

        callers->seeds[0] = dice_next(&dice);
        callers->seeds[1] = dice_next(&dice);
    }
    return callers;
}

void limiter_callers_free(struct limiter_callers *callers)
{
    assert(callers->count == 0);
    pthread_mutex_destroy(&callers->mutex);
    free(callers->buckets);
    free(callers);
}

/* Both halves of the product: as in wyhash (Wang Yi, public domain). */
static uint64_t fold(uint64_t a, uint64_t b)
{
    unsigned __int128 product = (unsigned __int128)a * b;

    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static uint64_t hash_of(const struct limiter_callers *callers, const unsigned char *key,
                        size_t length)
{
    uint64_t hash = fold(callers->seeds[0] ^ length, callers->seeds[1] | 1);

    for (size_t at = 0; at < length; at += sizeof hash) {
        uint64_t part = 0;

        memcpy(&part, key + at, length - at < sizeof part ? length - at : sizeof part);
        hash = fold(hash ^ part ^ callers->seeds[0], hash ^ callers->seeds[1]);
    }
    return hash;
}

static struct bucket *bucket_of(const struct limiter_callers *callers, uint64_t hash)
{
    return &callers->buckets[hash & (callers->bucket_count - 1)];
}

static void resize(struct limiter_callers *callers, size_t bucket_count)
{
    struct bucket *old = callers->buckets;
    size_t old_count = callers->bucket_count;

    callers->bucket_count = bucket_count;
    callers->buckets = mem_array(bucket_count, sizeof callers->buckets[0]);
    for (size_t i = 0; i < old_count; i++) {
        struct limiter_caller *caller;

        while ((caller = LIST_FIRST(&old[i])) != NULL) {
            LIST_REMOVE(caller, link);
            LIST_INSERT_HEAD(bucket_of(callers, caller->hash), caller, link);
        }
    }
    free(old);
}

/* A bucket has one caller at most and an eighth of one at least, on average. */
static void fit(struct limiter_callers *callers)
{
    if (callers->count > callers->bucket_count)
        resize(callers, callers->bucket_count * 2);
    else if (callers->bucket_count > FEWEST_BUCKETS && callers->count < callers->bucket_count / 8)
        resize(callers, callers->bucket_count / 2);
}

struct limiter_caller *limiter_caller_new(struct limiter *limiter, const void *key,
                                          size_t key_length)
{
    struct limiter_caller *caller = mem_alloc(sizeof *caller + key_length);

    *caller =
        (struct limiter_caller){.limiter = limiter, .references = 1, .key_length = key_length};
    if (key_length > 0)
        memcpy(caller->key, key, key_length);
    LIST_INIT(&caller->places);
    for (size_t i = 0; i < LIMITER_PRIORITIES; i++) {
        caller->shares[i].caller = caller;
        TAILQ_INIT(&caller->shares[i].waiters);
    }
    return caller;
}

static struct limiter_caller *find(const struct limiter_callers *callers, uint64_t hash,
                                   const void *key, size_t key_length)
{
    struct limiter_caller *caller;

    LIST_FOREACH (caller, bucket_of(callers, hash), link)
        if (caller->hash == hash && caller->key_length == key_length &&
            (key_length == 0 || memcmp(caller->key, key, key_length) == 0))
            return caller;
    return NULL;
}

struct limiter_caller *limiter_caller_take(struct limiter *limiter, const void *key,
                                           size_t key_length)
{
    struct limiter_callers *callers = limiter->callers;
    uint64_t hash = hash_of(callers, key, key_length);
    struct limiter_caller *caller;

    pthread_mutex_lock(&callers->mutex);
    caller = find(callers, hash, key, key_length);
    if (caller != NULL) {
        caller->references++;
    } else {
        caller = limiter_caller_new(limiter, key, key_length);
        caller->hash = hash;
        callers->count++;
        fit(callers);
        LIST_INSERT_HEAD(bucket_of(callers, hash), caller, link);
    }
    pthread_mutex_unlock(&callers->mutex);
    return caller;
}

struct limiter_caller *limiter_caller_keep(struct limiter_caller *caller)
{
    struct limiter_callers *callers;

    if (caller == NULL)
        return NULL;
    callers = caller->limiter->callers;
    pthread_mutex_lock(&callers->mutex);
    caller->references++;
    pthread_mutex_unlock(&callers->mutex);
    return caller;
}

void limiter_caller_release(struct limiter_caller *caller)
{
    struct limiter_callers *callers;
    bool is_last;

    if (caller == NULL)
        return;
    callers = caller->limiter->callers;
    pthread_mutex_lock(&callers->mutex);
    is_last = --caller->references == 0;
    if (is_last) {
        LIST_REMOVE(caller, link);
        callers->count--;
        fit(callers);
    }
    pthread_mutex_unlock(&callers->mutex);
    if (!is_last)
        return;
    assert(LIST_EMPTY(&caller->places));
    free(caller);
}
