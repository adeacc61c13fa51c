/*
 * The semaphore: parties' lines stand in their lane's heap; lanes that have
 * both a waiter and room of their own ("ready") stand in the limiter's, by
 * their first line's ticket. What holds whenever the mutex is free: no slot is
 * free while a lane is ready. So whoever finds a slot free in both may take it
 * without asking who waits: nobody who waits could use it.
 */
#include "fanout/limiter.h"

#include "fanout/mem.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>

struct limiter {
    pthread_mutex_t mutex;
    unsigned in_flight;
    unsigned max_in_flight;
    unsigned queued;
    unsigned max_queue;
    uint64_t turn; /* the highest ticket that was granted */
    uint64_t arrivals;
    struct heap ready;
    LIST_HEAD(limiter_lanes, limiter_lane) lanes;
};

struct limiter_lane {
    struct limiter *limiter;
    unsigned in_flight;
    unsigned max_in_flight;
    unsigned queued;
    struct heap lines;
    struct heap_node node; /* in limiter->ready */
    LIST_ENTRY(limiter_lane) link;
};

/* Exists while somebody stands in it. */
struct limiter_line {
    struct heap_node node; /* in lane->lines: the first waiter's ticket and arrival */
    struct limiter_lane *lane;
    struct limiter_party *party;
    struct limiter_waiters waiters;
    LIST_ENTRY(limiter_line) link;
};

struct limiter *limiter_new(unsigned max_in_flight, unsigned max_queue)
{
    struct limiter *limiter = mem_zalloc(sizeof *limiter);

    assert(max_in_flight >= 1);
    pthread_mutex_init(&limiter->mutex, NULL);
    limiter->max_in_flight = max_in_flight;
    limiter->max_queue = max_queue;
    heap_init(&limiter->ready);
    LIST_INIT(&limiter->lanes);
    return limiter;
}

void limiter_free(struct limiter *limiter)
{
    if (limiter == NULL)
        return;
    assert(limiter->in_flight == 0 && limiter->queued == 0 && LIST_EMPTY(&limiter->lanes));
    heap_release(&limiter->ready);
    pthread_mutex_destroy(&limiter->mutex);
    free(limiter);
}

struct limiter_lane *limiter_lane_new(struct limiter *limiter, unsigned max_in_flight)
{
    struct limiter_lane *lane = mem_zalloc(sizeof *lane);

    assert(max_in_flight >= 1);
    lane->limiter = limiter;
    lane->max_in_flight = max_in_flight;
    heap_init(&lane->lines);
    pthread_mutex_lock(&limiter->mutex);
    LIST_INSERT_HEAD(&limiter->lanes, lane, link);
    pthread_mutex_unlock(&limiter->mutex);
    return lane;
}

void limiter_lane_free(struct limiter_lane *lane)
{
    if (lane == NULL)
        return;
    pthread_mutex_lock(&lane->limiter->mutex);
    assert(lane->in_flight == 0 && lane->queued == 0);
    LIST_REMOVE(lane, link);
    pthread_mutex_unlock(&lane->limiter->mutex);
    heap_release(&lane->lines);
    free(lane);
}

void limiter_member_init(struct limiter_member *member, struct limiter *limiter,
                         void (*wake)(void *arg), void *arg)
{
    *member = (struct limiter_member){.limiter = limiter, .wake = wake, .arg = arg};
    TAILQ_INIT(&member->granted);
    TAILQ_INIT(&member->delivering);
}

/* From here to limiter_take, the mutex is held. */

static bool lane_has_room(const struct limiter_lane *lane)
{
    return lane->in_flight < lane->max_in_flight;
}

static bool limiter_has_room(const struct limiter *limiter)
{
    return limiter->in_flight < limiter->max_in_flight;
}

static bool lane_is_ready(const struct limiter_lane *lane)
{
    return heap_first(&lane->lines) != NULL && lane_has_room(lane);
}

/* To be called after any change to the lane's room or to who stands first in it. */
static void lane_follow(struct limiter_lane *lane)
{
    const struct heap_node *first = heap_first(&lane->lines);

    if (heap_holds(&lane->node))
        heap_remove(&lane->limiter->ready, &lane->node);
    if (lane_is_ready(lane))
        heap_insert_ordered(&lane->limiter->ready, &lane->node, first->key, first->order);
}

static uint64_t draw_ticket(struct limiter_party *party, const struct limiter *limiter)
{
    uint64_t last = party->last_ticket > limiter->turn ? party->last_ticket : limiter->turn;

    party->last_ticket = last + 1;
    return party->last_ticket;
}

static struct limiter_line *line_of(struct limiter_party *party, struct limiter_lane *lane)
{
    struct limiter_line *line;

    for (line = LIST_FIRST(&party->lines); line != NULL; line = LIST_NEXT(line, link))
        if (line->lane == lane)
            return line;
    line = mem_zalloc(sizeof *line);
    line->lane = lane;
    line->party = party;
    TAILQ_INIT(&line->waiters);
    LIST_INSERT_HEAD(&party->lines, line, link);
    return line;
}

/* The line has a new first waiter, who gets this ticket. */
static void line_stand(struct limiter_line *line, uint64_t ticket)
{
    const struct limiter_waiter *first = TAILQ_FIRST(&line->waiters);

    if (heap_holds(&line->node))
        heap_remove(&line->lane->lines, &line->node);
    heap_insert_ordered(&line->lane->lines, &line->node, ticket, first->arrival);
}

static void line_end(struct limiter_line *line)
{
    heap_remove(&line->lane->lines, &line->node);
    LIST_REMOVE(line, link);
    free(line);
}

static void queue(struct limiter_waiter *waiter, struct limiter_party *party)
{
    struct limiter_lane *lane = waiter->lane;
    struct limiter *limiter = lane->limiter;
    struct limiter_line *line = line_of(party, lane);

    waiter->state = LIMITER_QUEUED;
    waiter->line = line;
    waiter->arrival = limiter->arrivals++;
    TAILQ_INSERT_TAIL(&line->waiters, waiter, link);
    limiter->queued++;
    lane->queued++;
    if (TAILQ_FIRST(&line->waiters) == waiter) {
        line_stand(line, draw_ticket(party, limiter));
        lane_follow(lane);
    }
}

/* Whoever stood behind a first that was granted draws a ticket; a cancelled first's is kept. */
static void unqueue(struct limiter_waiter *waiter, bool granted)
{
    struct limiter_line *line = waiter->line;
    struct limiter_lane *lane = line->lane;
    bool was_first = TAILQ_FIRST(&line->waiters) == waiter;

    TAILQ_REMOVE(&line->waiters, waiter, link);
    lane->limiter->queued--;
    lane->queued--;
    if (TAILQ_EMPTY(&line->waiters))
        line_end(line);
    else if (was_first)
        line_stand(line, granted ? draw_ticket(line->party, lane->limiter) : line->node.key);
    lane_follow(lane);
}

static void count_in(struct limiter_lane *lane)
{
    lane->in_flight++;
    lane->limiter->in_flight++;
}

static void grant_first(struct limiter_lane *lane)
{
    struct limiter *limiter = lane->limiter;
    struct heap_node *node = heap_first(&lane->lines);
    struct limiter_line *line = heap_owner(node, struct limiter_line, node);
    struct limiter_waiter *waiter = TAILQ_FIRST(&line->waiters);
    struct limiter_member *member = waiter->member;
    bool member_was_idle = TAILQ_EMPTY(&member->granted);

    if (node->key > limiter->turn)
        limiter->turn = node->key;
    count_in(lane);
    unqueue(waiter, true);
    waiter->state = LIMITER_GRANTED;
    TAILQ_INSERT_TAIL(&member->granted, waiter, link);
    if (member_was_idle)
        member->wake(member->arg);
}

static void give(struct limiter_lane *lane)
{
    struct limiter *limiter = lane->limiter;
    struct heap_node *first;

    assert(lane->in_flight > 0 && limiter->in_flight > 0);
    lane->in_flight--;
    limiter->in_flight--;
    lane_follow(lane);
    while (limiter_has_room(limiter) && (first = heap_first(&limiter->ready)) != NULL)
        grant_first(heap_owner(first, struct limiter_lane, node));
}

enum limiter_answer limiter_take(struct limiter_lane *lane, struct limiter_member *member,
                                 struct limiter_party *party, struct limiter_waiter *waiter)
{
    struct limiter *limiter = lane->limiter;
    enum limiter_answer answer = LIMITER_FULL;

    assert(waiter->lane == NULL && member->limiter == limiter);
    pthread_mutex_lock(&limiter->mutex);
    if (limiter_has_room(limiter) && lane_has_room(lane)) {
        count_in(lane);
        answer = LIMITER_TAKEN;
    } else if (limiter->queued < limiter->max_queue) {
        waiter->lane = lane;
        waiter->member = member;
        queue(waiter, party);
        answer = LIMITER_WAITING;
    }
    pthread_mutex_unlock(&limiter->mutex);
    return answer;
}

void limiter_cancel(struct limiter_waiter *waiter)
{
    struct limiter_lane *lane = waiter->lane;

    if (lane == NULL)
        return;
    pthread_mutex_lock(&lane->limiter->mutex);
    if (waiter->state == LIMITER_QUEUED) {
        unqueue(waiter, false);
    } else {
        if (waiter->state == LIMITER_GRANTED)
            TAILQ_REMOVE(&waiter->member->granted, waiter, link);
        else
            TAILQ_REMOVE(&waiter->member->delivering, waiter, link);
        give(lane);
    }
    waiter->state = LIMITER_IDLE;
    waiter->lane = NULL;
    pthread_mutex_unlock(&lane->limiter->mutex);
}

void limiter_give(struct limiter_lane *lane)
{
    pthread_mutex_lock(&lane->limiter->mutex);
    give(lane);
    pthread_mutex_unlock(&lane->limiter->mutex);
}

void limiter_collect(struct limiter_member *member)
{
    struct limiter_waiter *waiter;

    pthread_mutex_lock(&member->limiter->mutex);
    for (waiter = TAILQ_FIRST(&member->granted); waiter != NULL; waiter = TAILQ_NEXT(waiter, link))
        waiter->state = LIMITER_DELIVERING;
    TAILQ_CONCAT(&member->delivering, &member->granted, link);
    pthread_mutex_unlock(&member->limiter->mutex);

    /* A nested collect delivers the rest of this batch as well, and leaves nothing here. */
    while ((waiter = TAILQ_FIRST(&member->delivering)) != NULL) {
        TAILQ_REMOVE(&member->delivering, waiter, link);
        waiter->state = LIMITER_IDLE;
        waiter->lane = NULL;
        waiter->on_granted(waiter->arg);
    }
}

void limiter_counts(struct limiter *limiter, struct limiter_counts *counts)
{
    pthread_mutex_lock(&limiter->mutex);
    *counts = (struct limiter_counts){.in_flight = limiter->in_flight,
                                      .max_in_flight = limiter->max_in_flight,
                                      .queued = limiter->queued,
                                      .max_queue = limiter->max_queue};
    pthread_mutex_unlock(&limiter->mutex);
}

void limiter_lane_counts(struct limiter_lane *lane, struct limiter_counts *counts)
{
    pthread_mutex_lock(&lane->limiter->mutex);
    *counts = (struct limiter_counts){
        .in_flight = lane->in_flight, .max_in_flight = lane->max_in_flight, .queued = lane->queued};
    pthread_mutex_unlock(&lane->limiter->mutex);
}

void limiter_check(struct limiter *limiter)
{
    struct limiter_lane *lane;
    unsigned in_flight = 0, queued = 0;

    pthread_mutex_lock(&limiter->mutex);
    for (lane = LIST_FIRST(&limiter->lanes); lane != NULL; lane = LIST_NEXT(lane, link)) {
        const struct heap_node *first = heap_first(&lane->lines);

        assert(lane->in_flight <= lane->max_in_flight);
        assert((first != NULL) == (lane->queued > 0));
        assert(heap_holds(&lane->node) == lane_is_ready(lane));
        assert(!lane_is_ready(lane) ||
               (lane->node.key == first->key && lane->node.order == first->order));
        in_flight += lane->in_flight;
        queued += lane->queued;
    }
    assert(in_flight == limiter->in_flight && in_flight <= limiter->max_in_flight);
    assert(queued == limiter->queued && queued <= limiter->max_queue);
    assert(!limiter_has_room(limiter) || heap_first(&limiter->ready) == NULL);
    pthread_mutex_unlock(&limiter->mutex);
}
