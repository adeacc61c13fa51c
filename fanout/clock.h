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

#endif
