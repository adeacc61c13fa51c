/* Which waiters of a queue are given up, and what a refused caller is told. */
#include "fanout/shedding.h"

#include "fanout/clock.h"

#define US_PER_SECOND 1000000u

static uint64_t since(uint64_t then_us, uint64_t now_us)
{
    return now_us > then_us ? now_us - then_us : 0;
}

bool shedding_is_overloaded(const struct shedding_settings *settings,
                            const struct shedding_queue *queue, uint64_t now_us)
{
    return since(queue->last_empty_us, now_us) >= settings->interval_us &&
           queue->oldest_wait_us > 0 && queue->oldest_wait_us >= settings->target_us / 2;
}

uint64_t shedding_timeout_us(const struct shedding_settings *settings,
                             const struct shedding_queue *queue, uint64_t now_us)
{
    return shedding_is_overloaded(settings, queue, now_us) ? settings->target_us
                                                           : settings->interval_us;
}

bool shedding_newest_first(const struct shedding_settings *settings,
                           const struct shedding_queue *queue, uint64_t now_us)
{
    return shedding_is_overloaded(settings, queue, now_us);
}

bool shedding_can_meet(uint64_t deadline_us, uint64_t now_us, uint64_t expected_wait_us,
                       uint64_t expected_service_us)
{
    uint64_t left_us = since(now_us, deadline_us);

    if (deadline_us == CLOCK_NEVER)
        return true;
    return expected_wait_us <= left_us && expected_service_us <= left_us - expected_wait_us;
}

void shedding_drain_init(struct shedding_drain *drain, uint64_t now_us)
{
    *drain = (struct shedding_drain){.start_us = now_us, .counted_us = now_us};
}

static uint64_t start_of_part(const struct shedding_drain *drain, uint64_t part)
{
    return drain->start_us + part * SHEDDING_DRAIN_PART_US;
}

static void count_until(struct shedding_drain *drain, uint64_t until_us)
{
    if (!drain->is_paused)
        drain->running_us[drain->last_part % SHEDDING_DRAIN_PARTS] += until_us - drain->counted_us;
    drain->counted_us = until_us;
}

static void next_part(struct shedding_drain *drain)
{
    uint64_t place = ++drain->last_part % SHEDDING_DRAIN_PARTS;

    drain->served[place] = 0;
    drain->running_us[place] = 0;
}

/* Counts the time, and empties the parts that have come since. */
static void move_on(struct shedding_drain *drain, uint64_t now_us)
{
    uint64_t part = since(drain->start_us, now_us) / SHEDDING_DRAIN_PART_US;

    if (now_us <= drain->counted_us)
        return;
    if (part > drain->last_part + SHEDDING_DRAIN_PARTS) {
        drain->last_part = part - SHEDDING_DRAIN_PARTS;
        drain->counted_us = start_of_part(drain, drain->last_part);
    }
    while (drain->last_part < part) {
        count_until(drain, start_of_part(drain, drain->last_part + 1));
        next_part(drain);
    }
    count_until(drain, now_us);
}

void shedding_drain_pause(struct shedding_drain *drain, uint64_t now_us)
{
    move_on(drain, now_us);
    drain->is_paused = true;
}

void shedding_drain_resume(struct shedding_drain *drain, uint64_t now_us)
{
    move_on(drain, now_us);
    drain->is_paused = false;
}

void shedding_drain_note(struct shedding_drain *drain, unsigned served, uint64_t now_us)
{
    move_on(drain, now_us);
    drain->served[drain->last_part % SHEDDING_DRAIN_PARTS] += served;
}

uint64_t shedding_drain_served(struct shedding_drain *drain, uint64_t *running_us, uint64_t now_us)
{
    uint64_t served = 0;

    move_on(drain, now_us);
    *running_us = 0;
    for (unsigned i = 0; i < SHEDDING_DRAIN_PARTS; i++) {
        served += drain->served[i];
        *running_us += drain->running_us[i];
    }
    return served;
}

uint64_t shedding_drain_wait_us(struct shedding_drain *drain, uint64_t waiting, uint64_t now_us)
{
    uint64_t running_us, served = shedding_drain_served(drain, &running_us, now_us);
    double wait_us;

    if (waiting == 0)
        return 0;
    if (served == 0)
        return CLOCK_NEVER;
    wait_us = (double)waiting * (double)running_us / (double)served;
    return wait_us < 1e18 ? (uint64_t)wait_us : CLOCK_NEVER;
}

unsigned shedding_retry_after_seconds(struct shedding_drain *drain, uint64_t waiting,
                                      unsigned max_seconds, uint64_t now_us)
{
    uint64_t wait_us = shedding_drain_wait_us(drain, waiting, now_us);
    uint64_t seconds = wait_us / US_PER_SECOND + (wait_us % US_PER_SECOND != 0);

    if (seconds > max_seconds)
        return max_seconds;
    return seconds > 0 ? (unsigned)seconds : 1;
}
