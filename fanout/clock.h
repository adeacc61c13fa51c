/*
 * The one clock. Everything in the engine is measured on the monotonic clock,
 * in microseconds; policy code never reads it but takes `now_us`, so that
 * tests own time.
 */
#ifndef FANOUT_CLOCK_H
#define FANOUT_CLOCK_H

#include <stdint.h>

/* A moment that never comes: the end of what has no deadline. */
#define CLOCK_NEVER UINT64_MAX

/* Microseconds on CLOCK_MONOTONIC. Never fails, never goes back. */
uint64_t clock_now_us(void);

/* Microseconds since 1970, UTC: for what others say in dates, and nothing else. */
uint64_t clock_wall_us(void);

static inline uint64_t clock_earlier(uint64_t one_us, uint64_t other_us)
{
    return one_us < other_us ? one_us : other_us;
}

/* now_us + span_us, where the span may be CLOCK_NEVER. */
static inline uint64_t clock_after(uint64_t now_us, uint64_t span_us)
{
    return span_us < CLOCK_NEVER - now_us ? now_us + span_us : CLOCK_NEVER;
}

#endif
