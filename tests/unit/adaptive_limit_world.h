/* An adaptive limit, and a clock that stands still until a test moves it on. */
#ifndef TESTS_ADAPTIVE_LIMIT_WORLD_H
#define TESTS_ADAPTIVE_LIMIT_WORLD_H

#include "fanout/adaptive_limit.h"

#define SECOND   ((uint64_t)1000000)
#define START_US (50 * SECOND)

static const struct adaptive_limit_settings usual = {.min = 1, .max = 1000, .initial = 10};

static struct adaptive_limit limit;
static uint64_t now_us;

static inline int set_up(void **state)
{
    (void)state;
    now_us = START_US;
    adaptive_limit_init(&limit, &usual);
    return 0;
}

static inline int tear_down(void **state)
{
    (void)state;
    adaptive_limit_release(&limit);
    return 0;
}

static inline void start_over(const struct adaptive_limit_settings *settings)
{
    adaptive_limit_release(&limit);
    now_us = START_US;
    adaptive_limit_init(&limit, settings);
}

#endif
