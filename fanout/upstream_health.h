/*
 * What all workers learn of an upstream from how its calls end, and what
 * follows from it: whether it is asked at all (breaker), how much at once
 * (adaptive limit), after what time a second attempt is worth it (quantile),
 * and how many extra requests it may get (budget).
 */
#ifndef FANOUT_UPSTREAM_HEALTH_H
#define FANOUT_UPSTREAM_HEALTH_H

#include "fanout/breaker.h"
#include "fanout/outcome.h"

#include <stdbool.h>
#include <stdint.h>

struct limiter_lane;
struct quantile;
struct upstream_health;
struct upstream_settings;

/* What one call says of an upstream. */
enum upstream_verdict {
    UPSTREAM_UNJUDGED, /* nothing: it was cancelled, or never got there */
    UPSTREAM_GOOD,     /* it answered, if only that we were wrong */
    UPSTREAM_BAD,      /* it failed */
    UPSTREAM_BUSY,     /* it failed as it would under too much load: too late, 429, 503 */
    UPSTREAM_SLOW,     /* it was given up, as another attempt was faster */
};

enum upstream_verdict upstream_verdict_of(enum outcome outcome, unsigned status);

/* One call that has ended. */
struct upstream_call {
    struct breaker_pass pass;
    uint64_t started_us; /* when it had its slot; 0: it had none */
    unsigned in_flight;  /* in the lane at that time, itself included */
    enum upstream_verdict verdict;
};

/* The settings and the lane must outlive it. */
struct upstream_health *upstream_health_new(const struct upstream_settings *settings,
                                            struct limiter_lane *lane, uint64_t now_us);
void upstream_health_free(struct upstream_health *health);

/* What follows may be called by any thread. */

/* Leave for one call; each that is not refused owes one upstream_health_report. */
struct breaker_pass upstream_health_admit(struct upstream_health *health, uint64_t now_us);
/* For how long nobody will be admitted; 0: somebody would be now. */
uint64_t upstream_health_break_us(struct upstream_health *health, uint64_t now_us);
/* The state of the breaker, which there is, in words; returns text. */
const char *upstream_health_print_breaker(struct upstream_health *health, uint64_t now_us,
                                          char text[BREAKER_TEXT_SIZE]);
void upstream_health_report(struct upstream_health *health, const struct upstream_call *call,
                            uint64_t now_us);

/* A first attempt is made, which pays for a part of an extra one. */
void upstream_health_note_first(struct upstream_health *health, uint64_t now_us);
/* Right before a retry or a hedge is made. False: it must not be. */
bool upstream_health_take_extra(struct upstream_health *health, uint64_t now_us);

/* How long a call that is answered takes, about: a moving mean; 0: nobody knows. */
uint64_t upstream_health_usual_us(const struct upstream_health *health);

/* The times of calls; NULL: they are not measured. */
struct quantile *upstream_health_times(struct upstream_health *health);

/* For the status page. */
struct upstream_health_view {
    bool has_breaker;
    struct breaker_view breaker;
    uint64_t extra_available; /* requests that the budget would allow now */
    bool is_adaptive;
    uint64_t baseline_us;    /* of the adaptive limit; 0: unknown */
    uint64_t hedge_delay_us; /* as it is now; CLOCK_NEVER: none is made, or it is not known yet */
};

void upstream_health_look(struct upstream_health *health, uint64_t now_us,
                          struct upstream_health_view *view);

#endif
