/*
 * How many calls an upstream can take at once, found by watching how long they
 * take: additive increase, multiplicative decrease on latency, in the family
 * of TCP Vegas and Netflix's concurrency-limits (gradient2), but with a
 * baseline that needs neither probing from the bottom nor time to forget.
 *
 * Calls are looked at in windows. While calls take no longer than the baseline
 * (a difference counts if it is above 15 % and beyond the window's own noise),
 * and the limit was used up, the limit rises by a twentieth. When they take longer, it
 * falls in proportion, by 20 to 50 %, and the next window, of calls begun after
 * that alone, tells why:
 *   - they became faster as well: the time was spent waiting for each other.
 *     The window, from below the knee, renews the baseline: so under constant
 *     overload the baseline cannot creep up with the queue that we cause;
 *   - they did not: the upstream has become slower by itself, and asking it
 *     less does not help. The new time is the baseline, the limit goes back up.
 * Clearly faster calls lower the baseline at once. With little load, where the
 * limit says nothing about the upstream, it stays, and the baseline follows.
 * A window with a tenth of its calls dropped (timed out, or answered with 429 or 503)
 * lowers the limit in any case.
 *
 * Averages are of logarithms, so that a few very slow calls do not weigh like
 * many slow ones.
 *
 * Shared by all threads: the limit is read without a lock; a report holds a
 * mutex for some 20 ns, since its five sums belong together and as many
 * contended atomics would cost more.
 */
#ifndef FANOUT_ADAPTIVE_LIMIT_H
#define FANOUT_ADAPTIVE_LIMIT_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct adaptive_limit_settings {
    unsigned min;     /* at least 1 */
    unsigned max;     /* at least min */
    unsigned initial; /* between them; better too low than too high */
};

/* What the calls of one window came to. */
struct adaptive_window {
    uint64_t start_us; /* when the first of them ended */
    unsigned finished; /* with a time that counts */
    unsigned dropped;
    unsigned most_in_flight;
    uint64_t log_sum;
    uint64_t log_square_sum;
};

enum adaptive_phase {
    ADAPTIVE_CLIMBS, /* a window decides whether to go up or down */
    ADAPTIVE_WEIGHS, /* a window tells what the last cut was good for */
};

struct adaptive_limit {
    struct adaptive_limit_settings settings;
    atomic_uint current;   /* written under the mutex */
    pthread_mutex_t mutex; /* of all below */
    struct adaptive_window window;
    enum adaptive_phase phase;
    uint64_t since_us; /* calls begun before do not count */
    double baseline; /* mean logarithm of the time of a call that waits for no other; 0: unknown */
    bool doubts_baseline; /* it may be of calls that did wait: the next cut is deep */
    unsigned ceiling;     /* the limit before the last cut: above it, climb ever faster … */
    unsigned climbs;      /* … by how often it climbed there */
    unsigned cut_from;    /* before the last row of cuts for slowness: climb fast far below it */
    double cut_from_mean; /* the mean logarithm then */
};

enum adaptive_verdict {
    ADAPTIVE_FINISHED, /* the time it took counts, whatever the answer */
    ADAPTIVE_DROPPED,  /* timed out, or refused by the upstream for overload */
    ADAPTIVE_IGNORED,  /* failed fast, was cancelled, …: says nothing */
};

/* Works in place; copies the settings. */
void adaptive_limit_init(struct adaptive_limit *limit,
                         const struct adaptive_limit_settings *settings);
void adaptive_limit_release(struct adaptive_limit *limit);

/* Any thread. */
static inline unsigned adaptive_limit_get(const struct adaptive_limit *limit)
{
    return atomic_load_explicit(&limit->current, memory_order_relaxed);
}

/*
 * A call ended. in_flight: how many there were, itself included, when it began at started_us.
 * True: the limit changed, and whoever applies it should look. Any thread.
 */
bool adaptive_limit_report(struct adaptive_limit *limit, uint64_t started_us, unsigned in_flight,
                           enum adaptive_verdict verdict, uint64_t now_us);

/* The time of a call that waits for no other, as it is believed to be; 0: unknown. Any thread. */
uint64_t adaptive_limit_baseline_us(struct adaptive_limit *limit);

#endif
