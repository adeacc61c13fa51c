/*
 * Timers over one libevent timer. The libevent timer is set again only when
 * something becomes due sooner than it; if what it was set for is stopped or
 * moved, it fires for nothing once and is then set for the next.
 */
#include "fanout/timer.h"

#include "fanout/clock.h"
#include "fanout/mem.h"

#include <assert.h>
#include <event2/event.h>
#include <stdlib.h>

#define US_PER_SECOND 1000000u

struct timers {
    struct heap heap;
    struct event *event;
    uint64_t armed_us; /* when the event fires; CLOCK_NEVER: not pending */
    uint64_t pass_us;  /* in a pass: what is due by then runs in it */
    bool in_pass;
};

static void arm(struct timers *timers, uint64_t at_us)
{
    uint64_t now_us = clock_now_us();
    uint64_t delay_us = at_us > now_us ? at_us - now_us : 0;
    struct timeval delay = {.tv_sec = (time_t)(delay_us / US_PER_SECOND),
                            .tv_usec = (suseconds_t)(delay_us % US_PER_SECOND)};

    if (event_add(timers->event, &delay) != 0)
        mem_abort();
    timers->armed_us = at_us;
}

static void follow_earliest(struct timers *timers)
{
    const struct heap_node *first = heap_first(&timers->heap);

    if (timers->in_pass)
        return;
    if (first != NULL && first->key < timers->armed_us)
        arm(timers, first->key);
    if (first == NULL && timers->armed_us != CLOCK_NEVER) {
        event_del(timers->event); /* so that a loop with nothing else to do can end */
        timers->armed_us = CLOCK_NEVER;
    }
}

static struct timer *next_due(struct timers *timers)
{
    struct heap_node *first = heap_first(&timers->heap);

    if (first == NULL || first->key > timers->pass_us)
        return NULL;
    return heap_owner(first, struct timer, node);
}

static void on_event(evutil_socket_t fd, short what, void *arg)
{
    struct timers *timers = arg;
    struct timer *timer;

    (void)fd;
    (void)what;
    timers->armed_us = CLOCK_NEVER;
    timers->pass_us = clock_now_us();
    timers->in_pass = true;
    while ((timer = next_due(timers)) != NULL) {
        heap_remove(&timers->heap, &timer->node);
        timer->on_due(timer->arg);
    }
    timers->in_pass = false;
    follow_earliest(timers);
}

struct timers *timers_new(struct event_base *base)
{
    struct timers *timers = mem_zalloc(sizeof *timers);

    heap_init(&timers->heap);
    timers->armed_us = CLOCK_NEVER;
    timers->event = evtimer_new(base, on_event, timers);
    if (timers->event == NULL) {
        free(timers);
        return NULL;
    }
    return timers;
}

void timers_free(struct timers *timers)
{
    if (timers == NULL)
        return;
    assert(heap_first(&timers->heap) == NULL && !timers->in_pass);
    event_free(timers->event);
    heap_release(&timers->heap);
    free(timers);
}

void timer_init(struct timer *timer, void (*on_due)(void *arg), void *arg)
{
    *timer = (struct timer){.on_due = on_due, .arg = arg};
}

void timer_start(struct timers *timers, struct timer *timer, uint64_t at_us)
{
    if (at_us == CLOCK_NEVER) {
        timer_stop(timers, timer);
        return;
    }
    /* What a pass starts, it does not run: a timer that restarts itself would hang the loop. */
    if (timers->in_pass && at_us <= timers->pass_us)
        at_us = timers->pass_us + 1;
    if (timer_running(timer))
        heap_remove(&timers->heap, &timer->node);
    heap_insert(&timers->heap, &timer->node, at_us);
    follow_earliest(timers);
}

void timer_stop(struct timers *timers, struct timer *timer)
{
    if (!timer_running(timer))
        return;
    heap_remove(&timers->heap, &timer->node);
    follow_earliest(timers);
}

void alarm_init(struct alarm *alarm, struct timers *timers, void (*on_ring)(void *arg), void *arg)
{
    alarm->timers = timers;
    alarm->at_us = CLOCK_NEVER;
    timer_init(&alarm->timer, on_ring, arg);
}

void alarm_want(struct alarm *alarm, uint64_t at_us)
{
    if (at_us >= alarm->at_us)
        return;
    alarm->at_us = at_us;
    timer_start(alarm->timers, &alarm->timer, at_us);
}

void alarm_clear(struct alarm *alarm)
{
    alarm->at_us = CLOCK_NEVER;
    timer_stop(alarm->timers, &alarm->timer);
}
