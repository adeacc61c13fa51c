/* Quantiles of times over about the last minute. */
#include "fanout/quantile.h"

#include <stddef.h>

/* Times below 1 << STEP_BITS have a bucket each, as has each such part of a doubling. */
#define STEP_BITS 5u
#define STEPS     (1u << STEP_BITS)

static unsigned bucket_of(uint64_t value_us)
{
    unsigned value = value_us < QUANTILE_MOST_US ? (unsigned)value_us : QUANTILE_MOST_US;
    unsigned doubling;

    if (value < STEPS)
        return value;
    doubling = 31u - STEP_BITS - (unsigned)__builtin_clz(value);
    return doubling * STEPS + (value >> doubling);
}

static uint64_t middle_of(unsigned bucket)
{
    unsigned doubling = bucket < STEPS ? 0 : bucket / STEPS - 1;
    uint64_t lowest = (uint64_t)(bucket - doubling * STEPS) << doubling;

    return lowest + (((uint64_t)1 << doubling) - 1) / 2;
}

void quantile_init(struct quantile *quantile, uint64_t min_count, uint64_t now_us)
{
    quantile->start_us = now_us;
    quantile->min_count = min_count;
    atomic_init(&quantile->turn_ends_us, now_us + QUANTILE_TURN_US);
    atomic_init(&quantile->turn, 0);
    atomic_flag_clear(&quantile->turning);
    for (size_t turn = 0; turn < QUANTILE_TURNS; turn++)
        for (size_t bucket = 0; bucket < QUANTILE_BUCKETS; bucket++)
            atomic_init(&quantile->buckets[turn][bucket], 0);
}

static void empty(atomic_uint_least32_t buckets[QUANTILE_BUCKETS])
{
    for (size_t bucket = 0; bucket < QUANTILE_BUCKETS; bucket++)
        atomic_store_explicit(&buckets[bucket], 0, memory_order_relaxed);
}

/* Only by whom has set `turning`. Empties the histograms of all turns that nobody came in. */
static void turn_to(struct quantile *quantile, uint64_t turn)
{
    uint64_t last = atomic_load_explicit(&quantile->turn, memory_order_relaxed);
    uint64_t from = last + 1;

    if (turn <= last)
        return;
    if (turn - last > QUANTILE_TURNS)
        from = turn - QUANTILE_TURNS + 1;
    for (; from <= turn; from++)
        empty(quantile->buckets[from % QUANTILE_TURNS]);
    atomic_store_explicit(&quantile->turn, (unsigned)turn, memory_order_relaxed);
    atomic_store_explicit(&quantile->turn_ends_us,
                          quantile->start_us + (turn + 1) * QUANTILE_TURN_US, memory_order_relaxed);
}

static __attribute__((noinline)) void move_on(struct quantile *quantile, uint64_t now_us)
{
    if (atomic_flag_test_and_set_explicit(&quantile->turning, memory_order_acquire))
        return;
    turn_to(quantile, (now_us - quantile->start_us) / QUANTILE_TURN_US);
    atomic_flag_clear_explicit(&quantile->turning, memory_order_release);
}

static bool turn_is_over(struct quantile *quantile, uint64_t now_us)
{
    return now_us >= atomic_load_explicit(&quantile->turn_ends_us, memory_order_relaxed);
}

void quantile_add(struct quantile *quantile, uint64_t value_us, uint64_t now_us)
{
    unsigned turn;

    if (turn_is_over(quantile, now_us))
        move_on(quantile, now_us);
    turn = atomic_load_explicit(&quantile->turn, memory_order_relaxed) % QUANTILE_TURNS;
    atomic_fetch_add_explicit(&quantile->buckets[turn][bucket_of(value_us)], 1,
                              memory_order_relaxed);
}

/* Adds all turns up; returns how many values there are. */
static uint64_t sum_up(struct quantile *quantile, uint64_t now_us, uint64_t sums[QUANTILE_BUCKETS])
{
    uint64_t count = 0;

    if (turn_is_over(quantile, now_us))
        move_on(quantile, now_us);
    for (size_t bucket = 0; bucket < QUANTILE_BUCKETS; bucket++) {
        sums[bucket] = 0;
        for (size_t turn = 0; turn < QUANTILE_TURNS; turn++)
            sums[bucket] +=
                atomic_load_explicit(&quantile->buckets[turn][bucket], memory_order_relaxed);
        count += sums[bucket];
    }
    return count;
}

/* Nearest rank: the smallest whole number that is not below part * count, from 1 to count. */
static uint64_t rank_of(double part, uint64_t count)
{
    double exact = part * (double)count;
    uint64_t rank;

    if (!(exact > 1))
        return 1;
    if (exact >= (double)count)
        return count;
    rank = (uint64_t)exact;
    /* A part such as 0.95 is not exact in binary, and would be a rank too high. */
    return exact - (double)rank > 1e-9 * (double)count ? rank + 1 : rank;
}

bool quantile_read(struct quantile *quantile, double part, uint64_t now_us, uint64_t *value_us)
{
    uint64_t sums[QUANTILE_BUCKETS];
    uint64_t count = sum_up(quantile, now_us, sums);
    uint64_t rank = rank_of(part, count);
    unsigned bucket = 0;

    if (count == 0 || count < quantile->min_count)
        return false;
    while (sums[bucket] < rank)
        rank -= sums[bucket++];
    *value_us = middle_of(bucket);
    return true;
}

uint64_t quantile_count(struct quantile *quantile, uint64_t now_us)
{
    uint64_t sums[QUANTILE_BUCKETS];

    return sum_up(quantile, now_us, sums);
}

bool quantile_watch_read(struct quantile_watch *watch, uint64_t now_us, uint64_t *value_us)
{
    if (now_us >= watch->due_us) {
        watch->due_us = now_us + watch->max_age_us;
        watch->is_known = quantile_read(watch->quantile, watch->part, now_us, &watch->value_us);
    }
    if (watch->is_known)
        *value_us = watch->value_us;
    return watch->is_known;
}
