/* A breaker, and a clock that stands still until a test moves it on. */
#ifndef TESTS_BREAKER_WORLD_H
#define TESTS_BREAKER_WORLD_H

#include "fanout/breaker.h"

#define MS       ((uint64_t)1000)
#define SECOND   (1000 * MS)
#define START_US (1000 * SECOND)

static struct breaker breaker;
static uint64_t now_us;

static inline void open_world(const struct breaker_settings *settings)
{
    now_us = START_US;
    breaker_init(&breaker, settings, now_us);
}

static inline int close_world(void **state)
{
    (void)state;
    breaker_release(&breaker);
    return 0;
}

static inline struct breaker_view look(void)
{
    struct breaker_view view;

    breaker_look(&breaker, now_us, &view);
    return view;
}

#endif
