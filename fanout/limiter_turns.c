/*
 * Who stands where, and who is next: waiters in lines, lines in places, places
 * in lanes, lanes that are ready in the limiter.
 */
#include "fanout/limiter_internal.h"
#include "fanout/mem.h"

#include <stdlib.h>

#define PRIORITY_SHIFT 62 /* in a place's key, above its ticket */
#define CALLERS_BURST  64 /* see the head of limiter.h */

static uint64_t place_ticket(const struct limiter_place *place)
{
    return place->node.key & ~(UINT64_MAX << PRIORITY_SHIFT);
}

void limiter_lane_follow(struct limiter_lane *lane)
{
    struct heap *ready = &lane->limiter->ready;
    const struct heap_node *first = heap_first(&lane->places);
    bool is_ready = lane_is_ready(lane);

    if (heap_holds(&lane->node)) {
        if (is_ready && lane->node.key == first->key && lane->node.order == first->order)
            return;
        heap_remove(ready, &lane->node);
    }
    if (is_ready)
        heap_insert_ordered(ready, &lane->node, first->key, first->order);
}

/* ---- places and lines ---- */

static void place_stand(struct limiter_place *place, uint64_t key, uint64_t order)
{
    if (heap_holds(&place->node))
        heap_remove(&place->lane->places, &place->node);
    heap_insert_ordered(&place->lane->places, &place->node, key, order);
}

/* One after the turn, and after every ticket drawn before but for the last `burst`. */
static uint64_t draw(uint64_t *last_ticket, uint64_t turn, unsigned burst)
{
    if (*last_ticket < turn)
        *last_ticket = turn;
    ++*last_ticket;
    return *last_ticket > turn + burst ? *last_ticket - burst : turn + 1;
}

static void place_draw(struct limiter_place *place)
{
    struct limiter *limiter = place->lane->limiter;
    uint64_t ticket = draw(&place->caller->last_ticket, limiter->turn, CALLERS_BURST);

    place_stand(place, (uint64_t)place->priority << PRIORITY_SHIFT | ticket, limiter->draws++);
}

uint64_t limiter_turns_before(const struct limiter_caller *caller,
                              const struct limiter_place *place, uint64_t more)
{
    uint64_t turn = caller->limiter->turn, ticket;
    uint64_t last = (caller->last_ticket > turn ? caller->last_ticket : turn) + more;

    ticket = place != NULL ? place_ticket(place) : draw(&last, turn, CALLERS_BURST);
    return ticket > turn ? ticket - turn - 1 : 0;
}

/* The line has a new first waiter, who gets this ticket. */
static void line_stand(struct limiter_line *line, uint64_t ticket)
{
    const struct limiter_waiter *first = TAILQ_FIRST(&line->waiters);

    if (heap_holds(&line->node))
        heap_remove(&line->place->lines, &line->node);
    heap_insert_ordered(&line->place->lines, &line->node, ticket, first->arrival);
}

static void line_draw(struct limiter_line *line)
{
    struct limiter_party *party = line->party;

    line_stand(line, draw(&party->last_ticket, line->place->caller->turn, party->burst));
}

struct limiter_place *limiter_find_place(const struct limiter_caller *caller,
                                         const struct limiter_lane *lane,
                                         enum limiter_priority priority)
{
    struct limiter_place *place;

    LIST_FOREACH (place, &caller->places, link)
        if (place->lane == lane && place->priority == priority)
            return place;
    return NULL;
}

static struct limiter_place *place_new(struct limiter_caller *caller, struct limiter_lane *lane,
                                       enum limiter_priority priority, uint64_t now_us)
{
    struct limiter_place *place = mem_zalloc(sizeof *place);

    place->lane = lane;
    place->caller = caller;
    place->priority = priority;
    place->since_us = now_us;
    heap_init(&place->lines);
    TAILQ_INIT(&place->waiters);
    LIST_INSERT_HEAD(&caller->places, place, link);
    lane->place_count[priority]++;
    place_draw(place);
    return place;
}

static void place_end(struct limiter_place *place)
{
    heap_remove(&place->lane->places, &place->node);
    place->lane->place_count[place->priority]--;
    LIST_REMOVE(place, link);
    heap_release(&place->lines);
    free(place);
}

struct limiter_line *limiter_find_line(const struct limiter_party *party,
                                       const struct limiter_place *place)
{
    struct limiter_line *line;

    LIST_FOREACH (line, &party->lines, link)
        if (line->place == place)
            return line;
    return NULL;
}

static struct limiter_line *line_new(struct limiter_party *party, struct limiter_place *place)
{
    struct limiter_line *line = mem_zalloc(sizeof *line);

    line->place = place;
    line->party = party;
    TAILQ_INIT(&line->waiters);
    LIST_INSERT_HEAD(&party->lines, line, link);
    return line;
}

static void line_end(struct limiter_line *line)
{
    heap_remove(&line->place->lines, &line->node);
    LIST_REMOVE(line, link);
    free(line);
}

/* ---- queueing ---- */

static void count_queued(struct limiter *limiter, unsigned queued)
{
    atomic_store_explicit(&limiter->queued, queued, memory_order_relaxed);
}

static void share_follow(struct limiter_share *share, enum limiter_priority priority)
{
    struct heap *shares = &share->caller->limiter->shares[priority];

    if (share->queued == 0)
        heap_remove(shares, &share->node);
    else if (heap_holds(&share->node))
        heap_rekey(shares, &share->node, UINT64_MAX - share->queued);
    else
        heap_insert(shares, &share->node, UINT64_MAX - share->queued);
}

static void share_add(struct limiter_waiter *waiter, struct limiter_caller *caller,
                      enum limiter_priority priority)
{
    struct limiter_share *share = &caller->shares[priority];

    TAILQ_INSERT_TAIL(&share->waiters, waiter, caller_link);
    share->queued++;
    share_follow(share, priority);
}

static void share_remove(struct limiter_waiter *waiter, struct limiter_caller *caller,
                         enum limiter_priority priority)
{
    struct limiter_share *share = &caller->shares[priority];

    TAILQ_REMOVE(&share->waiters, waiter, caller_link);
    share->queued--;
    share_follow(share, priority);
}

static void lane_count(struct limiter_lane *lane, enum limiter_priority priority, uint64_t now_us)
{
    struct limiter *limiter = lane->limiter;

    if (limiter_queued(limiter) == 0)
        shedding_drain_resume(&limiter->drain, now_us);
    count_queued(limiter, limiter_queued(limiter) + 1);
    limiter->waiting[priority]++;
    lane->queued[priority]++;
    if (lane->waiting++ == 0)
        shedding_drain_resume(&lane->drain, now_us);
}

static void lane_uncount(struct limiter_lane *lane, enum limiter_priority priority, uint64_t now_us)
{
    struct limiter *limiter = lane->limiter;

    count_queued(limiter, limiter_queued(limiter) - 1);
    limiter->waiting[priority]--;
    if (limiter_queued(limiter) == 0)
        shedding_drain_pause(&limiter->drain, now_us);
    lane->queued[priority]--;
    if (--lane->waiting == 0)
        shedding_drain_pause(&lane->drain, now_us);
}

void limiter_queue(struct limiter_waiter *waiter, struct limiter_party *party, uint64_t now_us)
{
    struct limiter_lane *lane = waiter->lane;
    struct limiter_caller *caller = caller_of(lane->limiter, party);
    struct limiter_place *place = limiter_find_place(caller, lane, waiter->priority);
    struct limiter_line *line;

    waiter->state = LIMITER_QUEUED;
    waiter->arrival = lane->limiter->arrivals++;
    waiter->arrived_us = now_us;
    waiter->give_up_us = limiter_give_up_us(waiter, caller, place, now_us);
    if (place == NULL)
        place = place_new(caller, lane, waiter->priority, now_us);
    line = limiter_find_line(party, place);
    if (line == NULL)
        line = line_new(party, place);
    waiter->line = line;
    TAILQ_INSERT_TAIL(&line->waiters, waiter, link);
    TAILQ_INSERT_TAIL(&place->waiters, waiter, place_link);
    place->queued++;
    share_add(waiter, caller, place->priority);
    lane_count(lane, place->priority, now_us);
    if (line->queued++ == 0)
        line_draw(line);
    limiter_lane_follow(lane);
}

static void take_turn(struct limiter *limiter, const struct limiter_line *line)
{
    struct limiter_place *place = line->place;

    if (limiter->turn < place_ticket(place))
        limiter->turn = place_ticket(place);
    if (place->caller->turn < line->node.key)
        place->caller->turn = line->node.key;
}

static void leave_line(struct limiter_waiter *waiter, bool granted)
{
    struct limiter_line *line = waiter->line;
    bool was_first = TAILQ_FIRST(&line->waiters) == waiter;

    TAILQ_REMOVE(&line->waiters, waiter, link);
    line->queued--;
    waiter->line = NULL;
    if (line->queued == 0)
        line_end(line);
    else if (granted)
        line_draw(line);
    else if (was_first)
        line_stand(line, line->node.key);
}

void limiter_unqueue(struct limiter_waiter *waiter, bool granted, uint64_t now_us)
{
    struct limiter_place *place = waiter->line->place;
    struct limiter_lane *lane = place->lane;

    if (granted)
        take_turn(lane->limiter, waiter->line);
    share_remove(waiter, place->caller, place->priority);
    lane_uncount(lane, place->priority, now_us);
    TAILQ_REMOVE(&place->waiters, waiter, place_link);
    place->queued--;
    leave_line(waiter, granted);
    if (place->queued == 0)
        place_end(place);
    else if (granted)
        place_draw(place);
    limiter_lane_follow(lane);
}

struct limiter_waiter *limiter_one_too_many(struct limiter *limiter,
                                            const struct limiter_caller *caller,
                                            enum limiter_priority priority)
{
    enum limiter_priority lowest = LIMITER_LOW;
    const struct heap_node *most;
    const struct limiter_share *share;

    while ((most = heap_first(&limiter->shares[lowest])) == NULL) {
        if (lowest == LIMITER_HIGH)
            return NULL;
        lowest--;
    }
    share = heap_owner(most, struct limiter_share, node);
    if (lowest < priority ||
        (lowest == priority && share->queued <= caller->shares[priority].queued + 1))
        return NULL;
    return TAILQ_LAST(&share->waiters, limiter_waiters);
}

/* ---- who is next ---- */

static const struct limiter_line *first_line(const struct limiter_place *place)
{
    return heap_owner(heap_first(&place->lines), const struct limiter_line, node);
}

static bool goes_before(const struct limiter_place *a, const struct limiter_place *b)
{
    const struct heap_node *of_a = &first_line(a)->node, *of_b = &first_line(b)->node;

    return of_a->key != of_b->key ? of_a->key < of_b->key : of_a->order < of_b->order;
}

/* A caller's turn is used where its parties' turn is: over all lanes as well. */
static struct limiter_place *best_of_caller(struct limiter_place *place)
{
    struct limiter_place *best = place, *other;

    LIST_FOREACH (other, &place->caller->places, link)
        if (other != place && other->priority == place->priority && lane_has_room(other->lane) &&
            goes_before(other, best))
            best = other;
    return best;
}

static void swap_tickets(struct limiter_place *a, struct limiter_place *b)
{
    struct heap_node of_a = a->node, of_b = b->node;

    place_stand(a, of_b.key, of_b.order);
    place_stand(b, of_a.key, of_a.order);
    limiter_lane_follow(a->lane);
    limiter_lane_follow(b->lane);
}

struct limiter_waiter *limiter_next(struct limiter *limiter, uint64_t now_us)
{
    const struct heap_node *ready = heap_first(&limiter->ready);
    const struct limiter_lane *lane;
    struct limiter_place *place, *best;

    if (ready == NULL)
        return NULL;
    lane = heap_owner(ready, const struct limiter_lane, node);
    place = heap_owner(heap_first(&lane->places), struct limiter_place, node);
    best = best_of_caller(place);
    if (best != place)
        swap_tickets(place, best);
    if (limiter_place_is_overloaded(best, now_us))
        return TAILQ_LAST(&best->waiters, limiter_waiters);
    return TAILQ_FIRST(&first_line(best)->waiters);
}
