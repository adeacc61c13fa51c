/*
 * The semaphore: how many fetches may be in flight at once, over all callers
 * and all threads. There is one global cap and one cap for each upstream
 * (a lane); a fetch needs a slot in both. The limiter is exact (never one
 * more), work conserving (no slot is idle while somebody who could use it
 * waits), bounded (max_queue) and fair: waiters are served in turns between
 * callers, and those of a caller in turns between its parties (gatherings),
 * first come first served between equals. Higher priorities go first.
 *
 * Turns are taken by tickets. A caller's waiters of one priority for one lane
 * stand in a place, and those of them that are of one party in a line of it,
 * first come first served. A place has one ticket, however many stand there:
 * one turn after the turn being served, and after every ticket its caller drew
 * before. It draws it when somebody is the first to stand there, and again
 * after each turn. The lowest ticket whose lane has room goes next, over all
 * lanes; equal tickets go by when they were drawn. So a caller with 1,000
 * fetches lets one with 3 in between, in each lane and over all lanes. It is
 * start-time fair queueing (Goyal, Vin, Cheng 1996) with the tag drawn late:
 * were it drawn on arrival, a line of 1,000 in a slow lane would hold 1,000
 * tickets that turns in faster lanes have long passed, and go before whoever
 * comes to that lane later. Lines draw tickets of their caller in the same way.
 *
 * A burst is for one turn: a caller that had none for long draws up to 64
 * tickets more, and a party up to `burst` more, for the turn of its first. So
 * those who ask for about as much are served one after the other. With a turn
 * for each, a gathering's last fetch goes behind the first ones of whoever
 * comes after it: under overload, all are begun and all late.
 *
 * A lane that was full for long: what stood first in its lines waited longest
 * and goes first, one for each line, within the lane's cap; what stood behind
 * draws a ticket of now. So nobody starves and nobody catches up at a stroke.
 * But a lower priority starves while higher ones leave it nothing.
 *
 * Overload: whoever can't be served by its deadline, at the rate of the last
 * seconds, is refused at once (limiter_forecast.c); where a target is set, a
 * place that is a standing queue is cleared (shedding.h), each by the waits of
 * its own caller: who waits where others fill the queue is not cleared with them.
 *
 * Shared by all threads; one mutex inside. Nothing here knows an event loop:
 * decisions are put into the waiter's member (one for each worker), whose
 * wake() is called, and the worker collects them on its own thread.
 */
#ifndef FANOUT_LIMITER_H
#define FANOUT_LIMITER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

struct limiter;
struct limiter_caller;
struct limiter_lane;
struct limiter_line;

struct limiter_settings {
    unsigned max_in_flight;    /* at least 1 */
    unsigned max_queue;        /* may be 0: nobody waits */
    uint64_t shed_target_us;   /* as in shedding.h; CLOCK_NEVER: no queue is cleared */
    uint64_t shed_interval_us; /* at least the target; of no meaning without one */
};

enum limiter_priority {
    LIMITER_HIGH,
    LIMITER_NORMAL,
    LIMITER_LOW,
    LIMITER_PRIORITIES,
};

enum limiter_answer {
    LIMITER_TAKEN,   /* the slot is yours: limiter_give it back */
    LIMITER_WAITING, /* on_granted or on_refused will be called, or limiter_cancel it */
    LIMITER_FULL,    /* too many wait already */
    LIMITER_LATE,    /* it could not be served by its deadline */
};

/* Zeroed at first. Stays where it is while it waits. */
struct limiter_waiter {
    /* Set by the owner before limiter_take, and kept. */
    void (*on_granted)(void *arg);
    void (*on_refused)(void *arg, enum limiter_answer answer); /* FULL, LATE: after it waited */
    void *arg;
    uint64_t deadline_us; /* when it is worth nothing any more; CLOCK_NEVER: at no time */
    uint64_t service_us;  /* how long it will need the slot, as expected; 0: unknown */
    enum limiter_priority priority;
    /* Set by the limiter. */
    unsigned in_flight;  /* in the lane with this one, when the slot was taken or granted */
    uint64_t give_up_us; /* by LIMITER_WAITING: when its owner should cancel; CLOCK_NEVER */
    /* The limiter's own. */
    TAILQ_ENTRY(limiter_waiter) link; /* in its line; once decided, in its member */
    TAILQ_ENTRY(limiter_waiter) place_link;
    TAILQ_ENTRY(limiter_waiter) caller_link;
    struct limiter_lane *lane; /* NULL: neither queued nor decided */
    struct limiter_line *line; /* where it is queued, while it is */
    struct limiter_member *member;
    uint64_t arrival;
    uint64_t arrived_us;
    enum limiter_answer answer; /* once decided */
    enum { LIMITER_IDLE, LIMITER_QUEUED, LIMITER_DECIDED, LIMITER_DELIVERING } state;
};
TAILQ_HEAD(limiter_waiters, limiter_waiter);

/* One worker: where decisions on its waiters land. Outlives its waiters. */
struct limiter_member {
    struct limiter *limiter;
    struct limiter_waiters decided;
    struct limiter_waiters delivering; /* the batch being collected: the member's thread alone */
    void (*wake)(void *arg);           /* any thread, the mutex held: must only signal */
    void *arg;
};

/*
 * One gathering: takes turns with the others of its caller. Zeroed at first but for
 * caller and burst; no release needed. Stays where it is while a waiter of its own is queued.
 */
struct limiter_party {
    struct limiter_caller *caller; /* NULL: all that have none are one caller together */
    unsigned burst;                /* its count, if it is not large: they are for one turn */
    uint64_t last_ticket;
    LIST_HEAD(limiter_lines, limiter_line) lines;
};

/* Copies the settings. */
struct limiter *limiter_new(const struct limiter_settings *settings, uint64_t now_us);
/* Needs every slot given back, every lane freed and every caller released. */
void limiter_free(struct limiter *limiter);
struct limiter_lane *limiter_lane_new(struct limiter *limiter, unsigned max_in_flight);
void limiter_lane_free(struct limiter_lane *lane);

/*
 * At least 1. A higher cap grants at once; with one below what is in flight nobody is granted
 * until that fits. Any thread.
 */
void limiter_lane_resize(struct limiter_lane *lane, unsigned max_in_flight, uint64_t now_us);

void limiter_member_init(struct limiter_member *member, struct limiter *limiter,
                         void (*wake)(void *arg), void *arg);

/*
 * The caller of that key (any bytes, copied), found or made. To be released once for each take,
 * when no waiter of its parties is queued any more; there are as many as are in use. Any thread.
 */
struct limiter_caller *limiter_caller_take(struct limiter *limiter, const void *key,
                                           size_t key_length);
/* Takes it once more, for whoever may outlast the one who has it. NULL: gives NULL. */
struct limiter_caller *limiter_caller_keep(struct limiter_caller *caller);
void limiter_caller_release(struct limiter_caller *caller); /* NULL: nothing */

/* A slot that is free. Returns how many are taken in the lane, with this one; 0: none is free, so
 * that limiter_take is to be asked. Any thread. */
unsigned limiter_take_free(struct limiter_lane *lane);

/*
 * On the member's thread. Never calls back. Waiter and party are kept only by LIMITER_WAITING.
 * Only who would have to wait is refused. In a full queue, who arrives makes room for itself by
 * the newest waiter of the caller with most waiters of the lowest priority, if that priority is
 * lower than its own, or is the same and that caller has more of it than its own will.
 */
enum limiter_answer limiter_take(struct limiter_lane *lane, struct limiter_member *member,
                                 struct limiter_party *party, struct limiter_waiter *waiter,
                                 uint64_t now_us);

/*
 * Leaves the queue, or gives back a slot that was granted and not collected yet. Neither is
 * called after this. Nothing happens to a waiter that is in neither state. Member's thread.
 */
void limiter_cancel(struct limiter_waiter *waiter, uint64_t now_us);

/* Gives a slot back; whoever waits with the lowest ticket and has room gets it, but for those whose
 * deadline is too near by now: they are refused. Any thread. */
void limiter_give(struct limiter_lane *lane, uint64_t now_us);

/*
 * Calls on_granted or on_refused for each waiter decided on since; on the member's thread, after
 * wake(). wake() is called when there is something to collect again. Either may call anything
 * here and free its own waiter; what it cancels is not called, nor what is decided in the
 * meantime.
 */
void limiter_collect(struct limiter_member *member);

/* ---- what is to be expected ---- */

/* Whether a slot is free in the lane and over all, so that limiter_take would not wait. */
bool limiter_lane_has_slot(struct limiter_lane *lane);

/* Whether anybody waits at all: cheap, without the mutex. */
bool limiter_has_waiters(const struct limiter *limiter);

/* A fetch that somebody is about to start. */
struct limiter_wish {
    struct limiter_lane *lane;
    uint64_t service_us; /* as in a waiter */
};

/*
 * How many of these could be served by the deadline and well before, were they started now for
 * one party: for a gathering, so that under overload whole ones are refused, not parts of each.
 * All, as long as nobody waits; what can't be known counts as could. Any thread.
 */
size_t limiter_can_meet(struct limiter *limiter, const struct limiter_caller *caller,
                        enum limiter_priority priority, const struct limiter_wish *wishes,
                        size_t count, uint64_t deadline_us, uint64_t now_us);

/* For Retry-After: until those who wait now will have been served; 1 to 60. */
unsigned limiter_retry_after_seconds(struct limiter *limiter, uint64_t now_us);

/* How long who comes now, of a caller without waiters, may have to wait there; 0: nobody waits, or
 * nobody can know. */
uint64_t limiter_lane_wait_us(struct limiter_lane *lane, uint64_t now_us);

struct limiter_counts {
    unsigned in_flight;
    unsigned max_in_flight;
    unsigned queued;
    unsigned max_queue; /* 0 for a lane: the queue is bounded globally */
    unsigned callers;   /* that have somebody waiting */
    /* Since the start: */
    uint64_t granted_after_wait;
    uint64_t refused_full;
    uint64_t refused_late;
};

void limiter_counts(struct limiter *limiter, struct limiter_counts *counts);
void limiter_lane_counts(struct limiter_lane *lane, struct limiter_counts *counts);

/* For tests: asserts that the counts add up and that no slot is idle that somebody could use. */
void limiter_check(struct limiter *limiter);

#endif
