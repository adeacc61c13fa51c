/*
 * The semaphore: how many fetches may be in flight at once, over all callers
 * and all threads. There is one global cap and one cap for each upstream
 * (a lane); a fetch needs a slot in both. The limiter is exact (never one
 * more), work conserving (no slot is idle while somebody who could use it
 * waits), bounded (max_queue) and fair: waiters are served in turns between
 * parties (gatherings), first come first served between equals.
 *
 * A party's waiters for one lane stand in a line, first come first served. Only
 * the first of a line has a ticket: one turn after the turn being served, and
 * after every ticket its party drew before. It draws it when it becomes the
 * first. The lowest ticket whose lane has room goes next; equal tickets go by
 * arrival, over all lanes. So a caller with 1,000 fetches lets one with 3 in
 * between, in each lane and over all lanes. It is start-time fair queueing
 * (Goyal, Vin, Cheng 1996) with the tag drawn late: were it drawn on arrival, a
 * line of 1,000 in a slow lane would hold 1,000 tickets that turns in faster
 * lanes have long passed, and go before whoever comes to that lane later.
 *
 * A lane that was full for long: what stood first in its lines waited longest
 * and goes first, one for each line, within the lane's cap; what stood behind
 * draws a ticket of now. So nobody starves and nobody catches up at a stroke.
 *
 * Shared by all threads; one mutex inside. Nothing here knows an event loop:
 * grants are put into the waiter's member (one for each worker), whose wake()
 * is called, and the worker collects them on its own thread.
 */
#ifndef FANOUT_LIMITER_H
#define FANOUT_LIMITER_H

#include "fanout/heap.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

struct limiter;
struct limiter_lane;
struct limiter_line;

enum limiter_answer {
    LIMITER_TAKEN,   /* the slot is yours: limiter_give it back */
    LIMITER_WAITING, /* on_granted will be called, or limiter_cancel it */
    LIMITER_FULL,    /* max_queue waiters already; nothing was queued */
};

/* Zeroed at first. Stays where it is while it waits. */
struct limiter_waiter {
    TAILQ_ENTRY(limiter_waiter) link;
    struct limiter_lane *lane; /* NULL: neither queued nor granted */
    struct limiter_line *line; /* where it is queued, while it is */
    struct limiter_member *member;
    uint64_t arrival;
    enum { LIMITER_IDLE, LIMITER_QUEUED, LIMITER_GRANTED, LIMITER_DELIVERING } state;
    void (*on_granted)(void *arg); /* set by the owner before limiter_take */
    void *arg;
};

/* One worker: where its waiters' grants land. Outlives its waiters. */
struct limiter_member {
    struct limiter *limiter;
    TAILQ_HEAD(limiter_waiters, limiter_waiter) granted;
    struct limiter_waiters delivering; /* the batch being collected: the member's thread alone */
    void (*wake)(void *arg);           /* any thread, the mutex held: must only signal */
    void *arg;
};

/*
 * One gathering: takes turns with the others. Zeroed at first; no release needed. Stays where
 * it is while a waiter of its own is queued.
 */
struct limiter_party {
    uint64_t last_ticket;
    LIST_HEAD(limiter_lines, limiter_line) lines;
};

struct limiter_counts {
    unsigned in_flight;
    unsigned max_in_flight;
    unsigned queued;
    unsigned max_queue; /* 0 for a lane: the queue is bounded globally */
};

/* max_in_flight >= 1; max_queue may be 0 (nobody waits). */
struct limiter *limiter_new(unsigned max_in_flight, unsigned max_queue);
/* Needs every slot given back and every lane freed. */
void limiter_free(struct limiter *limiter);
struct limiter_lane *limiter_lane_new(struct limiter *limiter, unsigned max_in_flight);
void limiter_lane_free(struct limiter_lane *lane);

void limiter_member_init(struct limiter_member *member, struct limiter *limiter,
                         void (*wake)(void *arg), void *arg);

/* On the member's thread. Never calls back. Waiter and party are kept only by LIMITER_WAITING. */
enum limiter_answer limiter_take(struct limiter_lane *lane, struct limiter_member *member,
                                 struct limiter_party *party, struct limiter_waiter *waiter);

/*
 * Leaves the queue, or gives back a slot that was granted and not collected yet. on_granted is
 * not called after this. Nothing happens to a waiter that is in neither state. Member's thread.
 */
void limiter_cancel(struct limiter_waiter *waiter);

/* Gives a slot back; whoever waits with the lowest ticket and has room gets it. Any thread. */
void limiter_give(struct limiter_lane *lane);

/*
 * Calls on_granted for each waiter granted since; on the member's thread, after wake(). wake()
 * is called when there is something to collect again. An on_granted may call anything here and
 * free its own waiter; what it cancels is not called, nor what is granted in the meantime.
 */
void limiter_collect(struct limiter_member *member);

void limiter_counts(struct limiter *limiter, struct limiter_counts *counts);
void limiter_lane_counts(struct limiter_lane *lane, struct limiter_counts *counts);

/* For tests: asserts that the counts add up and that no slot is idle that somebody could use. */
void limiter_check(struct limiter *limiter);

#endif
