/* A limit for calls in flight that follows what the upstream can take. */
#include "fanout/adaptive_limit.h"

#include <assert.h>

#define LOG_BITS  10u /* of the fraction of a logarithm to base 2 */
#define LOG_SCALE ((double)(1u << LOG_BITS))

/*
 * A window ends after so many calls for each slot of the limit: with fewer, the short ones would
 * outnumber the long ones that began with them; or as soon as it is seen that all are alike …
 */
#define WINDOW_CALLS_PER_SLOT 10u
#define WINDOW_FEWEST         50u
#define WINDOW_SHORTEST_US    50000u
/* … or with fewer when it takes long; one that gets none in time starts anew. */
#define WINDOW_LONG_US     5000000u
#define WINDOW_LONG_FEWEST 20u
#define WINDOW_STALE_US    30000000u

#define TOLERANCE    (0.2016 * LOG_SCALE) /* log2 1.15 */
#define SURE         3.0                  /* standard errors, to lower the limit … */
#define VERY_SURE    4.0                  /* … and to lower the baseline */
#define SHALLOW_CUT  (0.3219 * LOG_SCALE) /* log2 1 / 0.8 */
#define DEEPEST_CUT  (1.0 * LOG_SCALE)    /* log2 1 / 0.5 */
#define SLOWLY       0.125 /* parts of a difference that the baseline follows it by */
#define QUICKLY      0.25
#define DROPS_IN_ALL 10u /* one in so many lowers the limit */

void adaptive_limit_init(struct adaptive_limit *limit,
                         const struct adaptive_limit_settings *settings)
{
    assert(settings->min >= 1 && settings->min <= settings->initial &&
           settings->initial <= settings->max);
    *limit = (struct adaptive_limit){
        .settings = *settings, .phase = ADAPTIVE_CLIMBS, .doubts_baseline = true};
    atomic_init(&limit->current, settings->initial);
    pthread_mutex_init(&limit->mutex, NULL);
}

void adaptive_limit_release(struct adaptive_limit *limit)
{
    pthread_mutex_destroy(&limit->mutex);
}

/* To base 2 and in parts of LOG_SCALE, off by less than 1 %: log2(1 + x) is about
 * x + 0.343 x (1 - x), for x from 0 to 1. Never 0. */
static uint64_t log_of(uint64_t value)
{
    uint64_t at_least_two = value < 2 ? 2 : value;
    unsigned exponent = 63u - (unsigned)__builtin_clzll(at_least_two);
    uint64_t rest = at_least_two - ((uint64_t)1 << exponent);
    uint64_t x =
        exponent > LOG_BITS ? rest >> (exponent - LOG_BITS) : rest << (LOG_BITS - exponent);
    uint64_t bulge = (351 * x * ((1u << LOG_BITS) - x)) >> (2 * LOG_BITS);

    return ((uint64_t)exponent << LOG_BITS) + x + bulge;
}

/* The inverse, for 0 and above. */
static double value_of(double log)
{
    unsigned exponent = (unsigned)(log / LOG_SCALE);
    double x = log / LOG_SCALE - exponent;

    return (double)((uint64_t)1 << exponent) * (1 + x - 0.343 * x * (1 - x));
}

/* ---- what a window says ---- */

static double mean_of(const struct adaptive_window *window)
{
    return (double)window->log_sum / window->finished;
}

/* The square of the mean's standard error. */
static double noise_of(const struct adaptive_window *window)
{
    double mean = mean_of(window);
    double variance = (double)window->log_square_sum / window->finished - mean * mean;

    return variance / window->finished;
}

/* Whether noise so often explains no such difference. */
static bool is_beyond_noise(const struct adaptive_window *window, double difference, double errors)
{
    return difference * difference > errors * errors * noise_of(window);
}

static bool is_slow(const struct adaptive_limit *limit, const struct adaptive_window *window)
{
    double excess = mean_of(window) - limit->baseline;

    return excess > TOLERANCE && is_beyond_noise(window, excess, SURE);
}

static bool is_fast(const struct adaptive_limit *limit, const struct adaptive_window *window)
{
    double gain = limit->baseline - mean_of(window);

    return gain > TOLERANCE && is_beyond_noise(window, gain, VERY_SURE);
}

static bool drops_too_many(const struct adaptive_window *window)
{
    return window->dropped * DROPS_IN_ALL >= window->dropped + window->finished;
}

/* Only then is the limit what the times come from. */
static bool was_used_up(const struct adaptive_window *window, unsigned current)
{
    return window->most_in_flight >= current - current / 10;
}

/* ---- what follows ---- */

static void set_limit(struct adaptive_limit *limit, unsigned value)
{
    unsigned low = value < limit->settings.min ? limit->settings.min : value;
    unsigned bounded = low > limit->settings.max ? limit->settings.max : low;

    atomic_store_explicit(&limit->current, bounded, memory_order_relaxed);
}

/* By a power of two that is given by its negative logarithm. */
static void cut(struct adaptive_limit *limit, double depth)
{
    unsigned current = adaptive_limit_get(limit);

    limit->ceiling = current;
    limit->climbs = 0;
    set_limit(limit, (unsigned)(current / value_of(depth) + 0.05));
}

static void cut_for_slowness(struct adaptive_limit *limit, double mean)
{
    double depth = mean - limit->baseline;

    if (depth < SHALLOW_CUT)
        depth = SHALLOW_CUT;
    if (depth > DEEPEST_CUT || limit->doubts_baseline)
        depth = DEEPEST_CUT;
    cut(limit, depth);
}

static unsigned climb_step(const struct adaptive_limit *limit)
{
    unsigned current = adaptive_limit_get(limit);

    if (current < limit->cut_from - limit->cut_from / 4)
        return current / 4;
    return current / (limit->climbs == 0 ? 20 : limit->climbs == 1 ? 10 : 5);
}

static void climb(struct adaptive_limit *limit)
{
    unsigned current = adaptive_limit_get(limit);
    unsigned step = climb_step(limit);

    if (current >= limit->ceiling)
        limit->climbs++;
    set_limit(limit, current + (step > 0 ? step : 1));
}

static void follow(struct adaptive_limit *limit, double mean, double part)
{
    limit->baseline += (mean - limit->baseline) * part;
}

/*
 * Calls became faster by less than half of what they would have if they had only waited for each
 * other; they can't by more than what they were above the baseline. If they were not above it,
 * the cut was to see whether the baseline is right, which is so unless it falls.
 */
static bool cut_was_in_vain(const struct adaptive_limit *limit, double mean)
{
    double expected = (double)log_of(limit->cut_from) - (double)log_of(adaptive_limit_get(limit));
    double excess = limit->cut_from_mean - limit->baseline;
    double gain = limit->cut_from_mean - mean;

    if (excess < TOLERANCE)
        return gain < TOLERANCE;
    return gain < (expected < excess ? expected : excess) / 2;
}

static void cut_and_weigh(struct adaptive_limit *limit, double mean)
{
    limit->phase = ADAPTIVE_WEIGHS;
    limit->cut_from = adaptive_limit_get(limit);
    limit->cut_from_mean = mean;
    cut_for_slowness(limit, mean);
}

/* At the maximum, where the limit can't rise until calls are slow, it would never be seen that a
 * baseline is too high. */
static bool baseline_is_to_be_tried(const struct adaptive_limit *limit)
{
    return limit->doubts_baseline && adaptive_limit_get(limit) == limit->settings.max;
}

static void judge_climb(struct adaptive_limit *limit, const struct adaptive_window *window)
{
    double mean = mean_of(window);

    if (is_fast(limit, window))
        limit->baseline = mean;
    if (!was_used_up(window, adaptive_limit_get(limit)))
        follow(limit, mean, SLOWLY);
    else if (is_slow(limit, window) || baseline_is_to_be_tried(limit))
        cut_and_weigh(limit, mean);
    else
        climb(limit);
}

static void take_back(struct adaptive_limit *limit, double mean)
{
    /* A baseline that was only doubted has proved right; one that rises is doubtful. */
    limit->doubts_baseline = limit->cut_from_mean - limit->baseline >= TOLERANCE;
    limit->baseline = mean;
    set_limit(limit, limit->cut_from);
}

static void keep_cut(struct adaptive_limit *limit, const struct adaptive_window *window)
{
    limit->doubts_baseline = is_fast(limit, window);
    follow(limit, mean_of(window), limit->doubts_baseline ? 1 : QUICKLY);
}

/* What several cuts in a row were good for is weighed together: the difference is clearer. */
static void weigh_cut(struct adaptive_limit *limit, const struct adaptive_window *window)
{
    double mean = mean_of(window);
    bool is_used_up = was_used_up(window, adaptive_limit_get(limit));
    bool in_vain = cut_was_in_vain(limit, mean);

    if (is_used_up && !in_vain && is_slow(limit, window)) {
        cut_for_slowness(limit, mean);
        return;
    }
    limit->phase = ADAPTIVE_CLIMBS;
    if (!is_used_up)
        judge_climb(limit, window);
    else if (in_vain)
        take_back(limit, mean);
    else
        keep_cut(limit, window);
}

static void judge(struct adaptive_limit *limit, const struct adaptive_window *window)
{
    if (drops_too_many(window)) {
        limit->phase = ADAPTIVE_CLIMBS;
        if (was_used_up(window, adaptive_limit_get(limit)))
            cut(limit, SHALLOW_CUT);
    } else if (limit->baseline == 0) {
        limit->baseline = mean_of(window);
    } else if (limit->phase == ADAPTIVE_WEIGHS) {
        weigh_cut(limit, window);
    } else {
        judge_climb(limit, window);
    }
}

/* ---- windows ---- */

/* Calls that hardly differ: more of them tell nothing new. */
static bool is_steady(const struct adaptive_window *window)
{
    return window->finished >= WINDOW_FEWEST &&
           noise_of(window) * window->finished < TOLERANCE * TOLERANCE;
}

static bool window_is_full(const struct adaptive_limit *limit, uint64_t now_us)
{
    const struct adaptive_window *window = &limit->window;
    uint64_t length_us = now_us > window->start_us ? now_us - window->start_us : 0;
    unsigned count = window->finished + window->dropped;

    if (length_us >= WINDOW_LONG_US)
        return count >= WINDOW_LONG_FEWEST;
    if (length_us < WINDOW_SHORTEST_US || count < WINDOW_FEWEST)
        return false;
    return count / WINDOW_CALLS_PER_SLOT >= adaptive_limit_get(limit) || is_steady(window);
}

static void window_add(struct adaptive_window *window, uint64_t took_us, unsigned in_flight,
                       enum adaptive_verdict verdict, uint64_t now_us)
{
    uint64_t log = log_of(took_us);
    bool is_first = window->finished + window->dropped == 0;

    if (is_first || now_us > window->start_us + WINDOW_STALE_US)
        *window = (struct adaptive_window){.start_us = now_us};
    if (in_flight > window->most_in_flight)
        window->most_in_flight = in_flight;
    if (verdict == ADAPTIVE_DROPPED) {
        window->dropped++;
        return;
    }
    window->finished++;
    window->log_sum += log;
    window->log_square_sum += log * log;
}

/* The mutex is held. */
static void report(struct adaptive_limit *limit, uint64_t took_us, unsigned in_flight,
                   enum adaptive_verdict verdict, uint64_t now_us)
{
    struct adaptive_window window;

    window_add(&limit->window, took_us, in_flight, verdict, now_us);
    if (!window_is_full(limit, now_us))
        return;
    window = limit->window;
    limit->window = (struct adaptive_window){.finished = 0};
    judge(limit, &window);
    /* Whatever was decided: so all windows are alike. */
    limit->since_us = now_us;
}

bool adaptive_limit_report(struct adaptive_limit *limit, uint64_t started_us, unsigned in_flight,
                           enum adaptive_verdict verdict, uint64_t now_us)
{
    uint64_t took_us = now_us > started_us ? now_us - started_us : 0;
    unsigned before;
    bool has_changed;

    if (verdict == ADAPTIVE_IGNORED)
        return false;
    pthread_mutex_lock(&limit->mutex);
    before = adaptive_limit_get(limit);
    if (started_us >= limit->since_us)
        report(limit, took_us, in_flight, verdict, now_us);
    has_changed = adaptive_limit_get(limit) != before;
    pthread_mutex_unlock(&limit->mutex);
    return has_changed;
}

uint64_t adaptive_limit_baseline_us(struct adaptive_limit *limit)
{
    double baseline;

    pthread_mutex_lock(&limit->mutex);
    baseline = limit->baseline;
    pthread_mutex_unlock(&limit->mutex);
    return baseline > 0 ? (uint64_t)value_of(baseline) : 0;
}
