/* The semaphore's ways in and out: taking, giving, cancelling, collecting. */
#include "fanout/limiter.h"

#include "fanout/clock.h"
#include "fanout/limiter_internal.h"
#include "fanout/mem.h"

#include <assert.h>
#include <stdlib.h>

struct limiter *limiter_new(const struct limiter_settings *settings, uint64_t now_us)
{
    struct limiter *limiter = mem_zalloc(sizeof *limiter);

    assert(settings->max_in_flight >= 1);
    pthread_mutex_init(&limiter->mutex, NULL);
    limiter->max_in_flight = settings->max_in_flight;
    limiter->max_queue = settings->max_queue;
    limiter->sheds = settings->shed_target_us != CLOCK_NEVER;
    limiter->shedding = (struct shedding_settings){.target_us = settings->shed_target_us,
                                                   .interval_us = settings->shed_interval_us};
    atomic_init(&limiter->queued, 0);
    heap_init(&limiter->ready);
    LIST_INIT(&limiter->lanes);
    for (size_t i = 0; i < LIMITER_PRIORITIES; i++)
        heap_init(&limiter->shares[i]);
    limiter->callers = limiter_callers_new();
    limiter->nobody = limiter_caller_new(limiter, NULL, 0);
    shedding_drain_init(&limiter->drain, now_us);
    shedding_drain_pause(&limiter->drain, now_us);
    return limiter;
}

void limiter_free(struct limiter *limiter)
{
    if (limiter == NULL)
        return;
    assert(limiter->in_flight == 0 && limiter_queued(limiter) == 0 && LIST_EMPTY(&limiter->lanes));
    free(limiter->nobody);
    limiter_callers_free(limiter->callers);
    for (size_t i = 0; i < LIMITER_PRIORITIES; i++)
        heap_release(&limiter->shares[i]);
    heap_release(&limiter->ready);
    pthread_mutex_destroy(&limiter->mutex);
    free(limiter);
}

struct limiter_lane *limiter_lane_new(struct limiter *limiter, unsigned max_in_flight)
{
    struct limiter_lane *lane = mem_zalloc(sizeof *lane);

    assert(max_in_flight >= 1);
    lane->limiter = limiter;
    lane->max_in_flight = lane->most_in_flight = max_in_flight;
    heap_init(&lane->places);
    pthread_mutex_lock(&limiter->mutex);
    shedding_drain_init(&lane->drain, limiter->drain.start_us);
    shedding_drain_pause(&lane->drain, limiter->drain.start_us);
    LIST_INSERT_HEAD(&limiter->lanes, lane, link);
    pthread_mutex_unlock(&limiter->mutex);
    return lane;
}

void limiter_lane_free(struct limiter_lane *lane)
{
    if (lane == NULL)
        return;
    pthread_mutex_lock(&lane->limiter->mutex);
    assert(lane->in_flight == 0 && lane->waiting == 0);
    LIST_REMOVE(lane, link);
    pthread_mutex_unlock(&lane->limiter->mutex);
    heap_release(&lane->places);
    free(lane);
}

void limiter_member_init(struct limiter_member *member, struct limiter *limiter,
                         void (*wake)(void *arg), void *arg)
{
    *member = (struct limiter_member){.limiter = limiter, .wake = wake, .arg = arg};
    TAILQ_INIT(&member->decided);
    TAILQ_INIT(&member->delivering);
}

bool limiter_has_waiters(const struct limiter *limiter)
{
    return limiter_queued(limiter) > 0;
}

/* ---- from here to limiter_take, the mutex is held ---- */

static void decide(struct limiter_waiter *waiter, enum limiter_answer answer)
{
    struct limiter_member *member = waiter->member;
    bool member_was_idle = TAILQ_EMPTY(&member->decided);

    waiter->state = LIMITER_DECIDED;
    waiter->answer = answer;
    TAILQ_INSERT_TAIL(&member->decided, waiter, link);
    if (member_was_idle)
        member->wake(member->arg);
}

static void count_refused(struct limiter_lane *lane, enum limiter_answer answer)
{
    struct limiter_counts *all = &lane->limiter->since_start, *own = &lane->since_start;

    all->refused_full += answer == LIMITER_FULL;
    own->refused_full += answer == LIMITER_FULL;
    all->refused_late += answer == LIMITER_LATE;
    own->refused_late += answer == LIMITER_LATE;
}

static void refuse(struct limiter_waiter *waiter, enum limiter_answer answer, uint64_t now_us)
{
    limiter_unqueue(waiter, false, now_us);
    count_refused(waiter->lane, answer);
    decide(waiter, answer);
}

/* Returns how many are in the lane now. */
static unsigned count_in(struct limiter_lane *lane)
{
    lane->limiter->in_flight++;
    return ++lane->in_flight;
}

static void grant(struct limiter_waiter *waiter, uint64_t now_us)
{
    struct limiter_lane *lane = waiter->lane;

    waiter->in_flight = count_in(lane);
    shedding_drain_note(&lane->limiter->drain, 1, now_us);
    shedding_drain_note(&lane->drain, 1, now_us);
    lane->limiter->since_start.granted_after_wait++;
    lane->since_start.granted_after_wait++;
    limiter_unqueue(waiter, true, now_us);
    decide(waiter, LIMITER_TAKEN);
}

/* A slot would be wasted on who can't use it in time any more. */
static void serve(struct limiter *limiter, uint64_t now_us)
{
    struct limiter_waiter *waiter;

    while (limiter_has_room(limiter) && (waiter = limiter_next(limiter, now_us)) != NULL)
        if (shedding_can_meet(waiter->deadline_us, now_us, 0, waiter->service_us))
            grant(waiter, now_us);
        else
            refuse(waiter, LIMITER_LATE, now_us);
}

static void give(struct limiter_lane *lane, uint64_t now_us)
{
    assert(lane->in_flight > 0 && lane->limiter->in_flight > 0);
    lane->in_flight--;
    lane->limiter->in_flight--;
    if (limiter_queued(lane->limiter) == 0)
        return;
    limiter_lane_follow(lane);
    serve(lane->limiter, now_us);
}

static bool make_room(struct limiter *limiter, const struct limiter_party *party,
                      enum limiter_priority priority, uint64_t now_us)
{
    struct limiter_waiter *waiter;

    if (limiter_queued(limiter) < limiter->max_queue)
        return true;
    waiter = limiter_one_too_many(limiter, caller_of(limiter, party), priority);
    if (waiter == NULL)
        return false;
    refuse(waiter, LIMITER_FULL, now_us);
    return true;
}

static enum limiter_answer wait_for(struct limiter_lane *lane, struct limiter_party *party,
                                    struct limiter_waiter *waiter, uint64_t now_us)
{
    enum limiter_answer answer = LIMITER_WAITING;

    waiter->lane = lane;
    if (!limiter_is_in_time(waiter, party, now_us))
        answer = LIMITER_LATE;
    else if (!make_room(lane->limiter, party, waiter->priority, now_us))
        answer = LIMITER_FULL;
    if (answer == LIMITER_WAITING) {
        limiter_queue(waiter, party, now_us);
    } else {
        count_refused(lane, answer);
        waiter->lane = NULL;
    }
    return answer;
}

unsigned limiter_take_free(struct limiter_lane *lane)
{
    unsigned in_flight = 0;

    pthread_mutex_lock(&lane->limiter->mutex);
    if (lane_has_slot(lane))
        in_flight = count_in(lane);
    pthread_mutex_unlock(&lane->limiter->mutex);
    return in_flight;
}

enum limiter_answer limiter_take(struct limiter_lane *lane, struct limiter_member *member,
                                 struct limiter_party *party, struct limiter_waiter *waiter,
                                 uint64_t now_us)
{
    struct limiter *limiter = lane->limiter;
    enum limiter_answer answer = LIMITER_TAKEN;

    assert(waiter->lane == NULL && member->limiter == limiter);
    waiter->member = member;
    pthread_mutex_lock(&limiter->mutex);
    if (lane_has_slot(lane))
        waiter->in_flight = count_in(lane);
    else
        answer = wait_for(lane, party, waiter, now_us);
    pthread_mutex_unlock(&limiter->mutex);
    return answer;
}

static void take_back(struct limiter_waiter *waiter, struct limiter_waiters *waiters,
                      uint64_t now_us)
{
    TAILQ_REMOVE(waiters, waiter, link);
    if (waiter->answer == LIMITER_TAKEN)
        give(waiter->lane, now_us);
}

void limiter_cancel(struct limiter_waiter *waiter, uint64_t now_us)
{
    struct limiter *limiter;

    if (waiter->lane == NULL)
        return;
    limiter = waiter->lane->limiter;
    pthread_mutex_lock(&limiter->mutex);
    if (waiter->state == LIMITER_QUEUED)
        limiter_unqueue(waiter, false, now_us);
    else if (waiter->state == LIMITER_DECIDED)
        take_back(waiter, &waiter->member->decided, now_us);
    else
        take_back(waiter, &waiter->member->delivering, now_us);
    waiter->state = LIMITER_IDLE;
    waiter->lane = NULL;
    pthread_mutex_unlock(&limiter->mutex);
}

void limiter_give(struct limiter_lane *lane, uint64_t now_us)
{
    pthread_mutex_lock(&lane->limiter->mutex);
    give(lane, now_us);
    pthread_mutex_unlock(&lane->limiter->mutex);
}

void limiter_lane_resize(struct limiter_lane *lane, unsigned max_in_flight, uint64_t now_us)
{
    assert(max_in_flight >= 1);
    pthread_mutex_lock(&lane->limiter->mutex);
    lane->max_in_flight = max_in_flight;
    lane->most_in_flight = lane->in_flight > max_in_flight ? lane->in_flight : max_in_flight;
    limiter_lane_follow(lane);
    serve(lane->limiter, now_us);
    pthread_mutex_unlock(&lane->limiter->mutex);
}

void limiter_collect(struct limiter_member *member)
{
    struct limiter_waiter *waiter;

    pthread_mutex_lock(&member->limiter->mutex);
    TAILQ_FOREACH (waiter, &member->decided, link)
        waiter->state = LIMITER_DELIVERING;
    TAILQ_CONCAT(&member->delivering, &member->decided, link);
    pthread_mutex_unlock(&member->limiter->mutex);

    /* A nested collect delivers the rest of this batch as well, and leaves nothing here. */
    while ((waiter = TAILQ_FIRST(&member->delivering)) != NULL) {
        TAILQ_REMOVE(&member->delivering, waiter, link);
        waiter->state = LIMITER_IDLE;
        waiter->lane = NULL;
        if (waiter->answer == LIMITER_TAKEN)
            waiter->on_granted(waiter->arg);
        else
            waiter->on_refused(waiter->arg, waiter->answer);
    }
}
