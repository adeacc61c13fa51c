/*
 * Timers of one event loop: a heap and a single libevent timer, so that
 * starting and stopping one costs no system call and no libevent bookkeeping.
 * Owned and used by one thread.
 */
#ifndef FANOUT_TIMER_H
#define FANOUT_TIMER_H

#include "fanout/heap.h"

#include <stdbool.h>
#include <stdint.h>

struct event_base;

/* Set up by timer_init, owned by whoever embeds it. */
struct timer {
    struct heap_node node;
    void (*on_due)(void *arg);
    void *arg;
};

struct timers;

/* NULL on failure. timers_free needs every timer stopped. */
struct timers *timers_new(struct event_base *base);
void timers_free(struct timers *timers);

void timer_init(struct timer *timer, void (*on_due)(void *arg), void *arg);

/*
 * Calls on_due once, from the loop, at or after at_us (clock.h), never before this returns;
 * starting a running timer moves it. CLOCK_NEVER stops it. In on_due the timer is no longer
 * running and may be started again or freed.
 */
void timer_start(struct timers *timers, struct timer *timer, uint64_t at_us);
void timer_stop(struct timers *timers, struct timer *timer);
static inline bool timer_running(const struct timer *timer)
{
    return heap_holds(&timer->node);
}

/*
 * One timer for the many moments of one owner. It rings at or after the earliest that was wanted,
 * so maybe for nothing: the owner then looks what is due, and wants the next again. To want a
 * moment costs nothing where an earlier one is wanted already, and none need be taken back.
 */
struct alarm {
    struct timers *timers;
    struct timer timer;
    uint64_t at_us; /* the earliest wanted; CLOCK_NEVER: none */
};

void alarm_init(struct alarm *alarm, struct timers *timers, void (*on_ring)(void *arg), void *arg);
void alarm_want(struct alarm *alarm, uint64_t at_us);
/* Forgets every moment. The owner does so before it looks what is due, and before it ends. */
void alarm_clear(struct alarm *alarm);

#endif
