/*
 * What the limiter is made of, for its own files:
 *
 *   limiter.c          taking, giving, cancelling, collecting
 *   limiter_turns.c    who stands where, and who is next
 *   limiter_callers.c  callers by their keys
 *   limiter_forecast.c what is to be expected of a wait
 *   limiter_check.c    what must hold whenever the mutex is free
 *
 * Places stand in their lane's heap; lanes that have both a waiter and room of
 * their own ("ready") stand in the limiter's, by their first place's ticket.
 * What holds whenever the mutex is free: no slot is free while a lane is ready.
 * So whoever finds a slot free in both may take it without asking who waits:
 * nobody who waits could use it.
 */
#ifndef FANOUT_LIMITER_INTERNAL_H
#define FANOUT_LIMITER_INTERNAL_H

#include "fanout/heap.h"
#include "fanout/limiter.h"
#include "fanout/shedding.h"

#include <pthread.h>
#include <stdatomic.h>

struct limiter_callers;

struct limiter {
    pthread_mutex_t mutex; /* of all here, of lanes, callers' waiters, parties and members */
    unsigned in_flight;
    unsigned max_in_flight;
    atomic_uint queued; /* written under the mutex */
    unsigned max_queue;
    unsigned waiting[LIMITER_PRIORITIES];
    uint64_t turn; /* the highest ticket that was granted */
    uint64_t draws;
    uint64_t arrivals;
    struct heap ready;
    LIST_HEAD(limiter_lanes, limiter_lane) lanes;
    struct heap shares[LIMITER_PRIORITIES]; /* of callers that wait: most waiters first */
    struct limiter_callers *callers;
    struct limiter_caller *nobody; /* of the parties without a caller */
    bool sheds;
    struct shedding_settings shedding;
    struct shedding_drain drain; /* runs while somebody waits */
    struct limiter_counts since_start;
};

struct limiter_lane {
    struct limiter *limiter;
    unsigned in_flight;
    unsigned max_in_flight;
    unsigned most_in_flight; /* the cap; or what was in flight when it fell below that */
    unsigned queued[LIMITER_PRIORITIES];
    unsigned place_count[LIMITER_PRIORITIES];
    unsigned waiting; /* over all priorities */
    struct heap places;
    struct heap_node node;       /* in limiter->ready */
    struct shedding_drain drain; /* runs while somebody waits */
    struct {
        unsigned taken, waiting; /* of what is asked */
        const struct limiter_place *place;
    } forecast; /* zeroed but while limiter_can_meet looks at the lane */
    struct limiter_counts since_start;
    LIST_ENTRY(limiter_lane) link;
};

/* A caller's waiters of one priority, over all lanes. */
struct limiter_share {
    struct heap_node node; /* in limiter->shares, while there are any */
    struct limiter_caller *caller;
    unsigned queued;
    struct limiter_waiters waiters; /* the newest last */
};

struct limiter_caller {
    struct limiter *limiter;
    uint64_t last_ticket;
    uint64_t turn; /* the highest ticket of its parties that was granted */
    LIST_HEAD(limiter_places, limiter_place) places;
    struct limiter_share shares[LIMITER_PRIORITIES];
    /* limiter_callers.c: */
    LIST_ENTRY(limiter_caller) link;
    size_t references;
    uint64_t hash;
    size_t key_length;
    unsigned char key[];
};

/* A caller's waiters of one priority for one lane. Exists while somebody stands in it. */
struct limiter_place {
    struct heap_node node; /* in lane->places: by priority, ticket, and when that was drawn */
    struct limiter_lane *lane;
    struct limiter_caller *caller;
    enum limiter_priority priority;
    unsigned queued;
    uint64_t since_us;
    struct heap lines;
    struct limiter_waiters waiters; /* the newest last */
    LIST_ENTRY(limiter_place) link;
};

/* A party's waiters in a place. Exists while somebody stands in it. */
struct limiter_line {
    struct heap_node node; /* in place->lines: by ticket, and the first waiter's arrival */
    struct limiter_place *place;
    struct limiter_party *party;
    unsigned queued;
    struct limiter_waiters waiters;
    LIST_ENTRY(limiter_line) link;
};

static inline bool lane_has_room(const struct limiter_lane *lane)
{
    return lane->in_flight < lane->max_in_flight;
}

static inline bool limiter_has_room(const struct limiter *limiter)
{
    return limiter->in_flight < limiter->max_in_flight;
}

/* Whether somebody new may go in, in the lane and over all. */
static inline bool lane_has_slot(const struct limiter_lane *lane)
{
    return limiter_has_room(lane->limiter) && lane_has_room(lane);
}

static inline bool lane_is_ready(const struct limiter_lane *lane)
{
    return lane->waiting > 0 && lane_has_room(lane);
}

/* Read and written under the mutex, but for limiter_has_waiters. */
static inline unsigned limiter_queued(const struct limiter *limiter)
{
    return atomic_load_explicit(&limiter->queued, memory_order_relaxed);
}

static inline struct limiter_caller *caller_of(const struct limiter *limiter,
                                               const struct limiter_party *party)
{
    return party->caller != NULL ? party->caller : limiter->nobody;
}

static inline uint64_t limiter_since(uint64_t then_us, uint64_t now_us)
{
    return now_us > then_us ? now_us - then_us : 0;
}

/* ---- limiter_turns.c; the mutex is held ---- */

/* To be called after any change to the lane's room or to who goes first in it. */
void limiter_lane_follow(struct limiter_lane *lane);
/* NULL: nobody of the caller or party stands there. */
struct limiter_place *limiter_find_place(const struct limiter_caller *caller,
                                         const struct limiter_lane *lane,
                                         enum limiter_priority priority);
struct limiter_line *limiter_find_line(const struct limiter_party *party,
                                       const struct limiter_place *place);
/* How many turns pass before the next of the caller there: in its place, or where it has none yet
 * and is to have it after so many others. */
uint64_t limiter_turns_before(const struct limiter_caller *caller,
                              const struct limiter_place *place, uint64_t more);
void limiter_queue(struct limiter_waiter *waiter, struct limiter_party *party, uint64_t now_us);
/* granted: a turn is used up; else whoever stands behind keeps the ticket. */
void limiter_unqueue(struct limiter_waiter *waiter, bool granted, uint64_t now_us);
/* Whose turn it is, of those whose lane has room; NULL: of none. */
struct limiter_waiter *limiter_next(struct limiter *limiter, uint64_t now_us);
/* Who must go if one of that caller and priority is to wait in a full queue; NULL: itself. */
struct limiter_waiter *limiter_one_too_many(struct limiter *limiter,
                                            const struct limiter_caller *caller,
                                            enum limiter_priority priority);

/* ---- limiter_callers.c; with a mutex of its own ---- */

struct limiter_callers *limiter_callers_new(void);
void limiter_callers_free(struct limiter_callers *callers);
struct limiter_caller *limiter_caller_new(struct limiter *limiter, const void *key,
                                          size_t key_length);

/* ---- limiter_forecast.c; the mutex is held ---- */

bool limiter_place_is_overloaded(const struct limiter_place *place, uint64_t now_us);
/* When a waiter that arrives should be given up; place: its caller's there, or NULL. */
uint64_t limiter_give_up_us(const struct limiter_waiter *waiter,
                            const struct limiter_caller *caller, const struct limiter_place *place,
                            uint64_t now_us);
/* Whether a waiter that arrives could be served by its deadline. */
bool limiter_is_in_time(const struct limiter_waiter *waiter, const struct limiter_party *party,
                        uint64_t now_us);

#endif
