/*
 * Quantiles of a stream of times over about the last minute: histograms with
 * log-linear buckets (as in HdrHistogram, Gil Tene): each doubling is cut into
 * 32 equal buckets, so an answer, the middle of one, is within 1/64 (1.6 %) of
 * a value that was added. Times below 32 us are exact, those from 268 s on
 * count as 268 s. Five histograms of 15 s each take turns: an answer covers
 * the last 60 to 75 seconds. 15 KiB, no allocation.
 *
 * Shared by all threads; relaxed atomics, no lock. While a histogram is emptied
 * for its next turn (by one thread, every 15 s), an add may be lost.
 */
#ifndef FANOUT_QUANTILE_H
#define FANOUT_QUANTILE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define QUANTILE_BUCKETS 768u
#define QUANTILE_TURNS   5u
#define QUANTILE_TURN_US 15000000u
#define QUANTILE_MOST_US ((1u << 28) - 1)

/* Work in place; no release is needed. */
struct quantile {
    uint64_t start_us;
    uint64_t min_count;
    atomic_uint_fast64_t turn_ends_us; /* of the histogram that is added to now */
    atomic_uint turn;                  /* its number, since the start */
    atomic_flag turning;
    atomic_uint_least32_t buckets[QUANTILE_TURNS][QUANTILE_BUCKETS];
};

/* With fewer than min_count values (at least 1) there is no answer. */
void quantile_init(struct quantile *quantile, uint64_t min_count, uint64_t now_us);

/* Any thread. */
void quantile_add(struct quantile *quantile, uint64_t value_us, uint64_t now_us);

/*
 * The value that a part of `part` (0 to 1) of all values are no larger than (nearest rank), up
 * to the width of a bucket. False, and *value_us as it was: there are fewer than min_count. Any
 * thread. Looks at up to 3,840 counters (a few microseconds): keep the answer for a while
 * where it is wanted for every request, as quantile_watch does.
 */
bool quantile_read(struct quantile *quantile, double part, uint64_t now_us, uint64_t *value_us);

/* How many values an answer would rest on. Any thread. */
uint64_t quantile_count(struct quantile *quantile, uint64_t now_us);

/* One quantile, looked up again when the last answer is older than max_age_us. One thread's own;
 * zeroed but for the settings. */
struct quantile_watch {
    struct quantile *quantile; /* not owned */
    double part;
    uint64_t max_age_us;
    uint64_t due_us; /* from then on the answer is too old */
    uint64_t value_us;
    bool is_known;
};

/* As quantile_read. */
bool quantile_watch_read(struct quantile_watch *watch, uint64_t now_us, uint64_t *value_us);

#endif
