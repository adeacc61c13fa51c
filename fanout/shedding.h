/*
 * Which waiters of a queue are given up, and when: Controlled Delay (Nichols,
 * Jacobson, "Controlling Queue Delay", ACM Queue 2012; RFC 8289) as it is used
 * for requests (Maurer, "Fail at Scale", ACM Queue 2015).
 *
 * A queue that was empty a moment ago takes up a burst: its waiters may wait
 * for a whole interval. One that has not been empty for an interval, and where
 * somebody waits for about the target or longer, is a standing queue: it only
 * makes everybody late. Then
 *   - waiters may wait for the target alone, and
 *   - the newest goes first: those who have waited long are likely too late in
 *     any case, and first come, first served would make everybody as late.
 * As soon as the queue was empty, or the oldest waits for less than half the
 * target, it is first come, first served again. Half, because with waiters
 * given up at the target, the oldest of a standing queue is mostly below it.
 *
 * No state but what the caller hands in; who shares that must lock it.
 */
#ifndef FANOUT_SHEDDING_H
#define FANOUT_SHEDDING_H

#include <stdbool.h>
#include <stdint.h>

struct shedding_settings {
    uint64_t target_us;   /* the wait that is all right at any time: 5 ms */
    uint64_t interval_us; /* how long a burst may take to clear, at least target_us: 100 ms */
};

/* What the owner of a queue knows of it. */
struct shedding_queue {
    uint64_t last_empty_us;  /* when nobody waited for the last time; now, while nobody does */
    uint64_t oldest_wait_us; /* for how long the first waits; 0: nobody does */
};

/* Whether it is a standing queue. */
bool shedding_is_overloaded(const struct shedding_settings *settings,
                            const struct shedding_queue *queue, uint64_t now_us);

/* How long a waiter may wait from its arrival before it is given up. To be asked when it arrives;
 * asked again later (of those still waiting), the queue is cleared sooner. */
uint64_t shedding_timeout_us(const struct shedding_settings *settings,
                             const struct shedding_queue *queue, uint64_t now_us);

/* Whether the newest waiter goes next, not the oldest. */
bool shedding_newest_first(const struct shedding_settings *settings,
                           const struct shedding_queue *queue, uint64_t now_us);

/* Whether an answer is to be expected by the deadline (CLOCK_NEVER: always). If not, the call is
 * better refused at once. */
bool shedding_can_meet(uint64_t deadline_us, uint64_t now_us, uint64_t expected_wait_us,
                       uint64_t expected_service_us);

#define SHEDDING_DRAIN_PARTS   10u
#define SHEDDING_DRAIN_PART_US 500000u

/*
 * How fast waiters leave a queue by being served: over the last 5 s, the half second at hand
 * included. While nobody waits it should be paused: that time says nothing. Whoever owns the queue
 * locks it. Zeroed but by the init; a clock that goes back a little does no harm.
 */
struct shedding_drain {
    uint64_t start_us;
    uint64_t counted_us; /* all up to here is counted */
    uint64_t last_part;  /* that was counted in, since the start */
    bool is_paused;
    unsigned served[SHEDDING_DRAIN_PARTS];
    uint64_t running_us[SHEDDING_DRAIN_PARTS];
};

void shedding_drain_init(struct shedding_drain *drain, uint64_t now_us); /* it runs */
void shedding_drain_pause(struct shedding_drain *drain, uint64_t now_us);
void shedding_drain_resume(struct shedding_drain *drain, uint64_t now_us);
void shedding_drain_note(struct shedding_drain *drain, unsigned served, uint64_t now_us);

/* How many have been served, and in what time of running. */
uint64_t shedding_drain_served(struct shedding_drain *drain, uint64_t *running_us, uint64_t now_us);

/* How long it takes until this many waiters have been served, at the rate of the last seconds;
 * CLOCK_NEVER: none was served, so nobody can know. */
uint64_t shedding_drain_wait_us(struct shedding_drain *drain, uint64_t waiting, uint64_t now_us);

/*
 * For Retry-After (RFC 9110, section 10.2.3): when those who wait now will have been served, in
 * whole seconds, rounded up; at least 1, at most max_seconds, which is also the answer when
 * nobody can know.
 */
unsigned shedding_retry_after_seconds(struct shedding_drain *drain, uint64_t waiting,
                                      unsigned max_seconds, uint64_t now_us);

#endif
