/* For tests and people: the counts, and what must hold whenever the mutex is free. */
#include "fanout/limiter_internal.h"

#include <assert.h>

void limiter_counts(struct limiter *limiter, struct limiter_counts *counts)
{
    pthread_mutex_lock(&limiter->mutex);
    *counts = limiter->since_start;
    counts->in_flight = limiter->in_flight;
    counts->max_in_flight = limiter->max_in_flight;
    counts->queued = limiter_queued(limiter);
    counts->max_queue = limiter->max_queue;
    for (size_t i = 0; i < LIMITER_PRIORITIES; i++)
        counts->callers += (unsigned)limiter->shares[i].count;
    pthread_mutex_unlock(&limiter->mutex);
}

bool limiter_lane_has_slot(struct limiter_lane *lane)
{
    bool has_slot;

    pthread_mutex_lock(&lane->limiter->mutex);
    has_slot = lane_has_slot(lane);
    pthread_mutex_unlock(&lane->limiter->mutex);
    return has_slot;
}

void limiter_lane_counts(struct limiter_lane *lane, struct limiter_counts *counts)
{
    pthread_mutex_lock(&lane->limiter->mutex);
    *counts = lane->since_start;
    counts->in_flight = lane->in_flight;
    counts->max_in_flight = lane->max_in_flight;
    counts->queued = lane->waiting;
    for (size_t i = 0; i < LIMITER_PRIORITIES; i++)
        counts->callers += lane->place_count[i];
    pthread_mutex_unlock(&lane->limiter->mutex);
}

static void check_line(const struct limiter_line *line)
{
    const struct limiter_waiter *waiter;
    unsigned queued = 0;

    TAILQ_FOREACH (waiter, &line->waiters, link) {
        assert(waiter->state == LIMITER_QUEUED && waiter->line == line);
        queued++;
    }
    assert(queued == line->queued && queued > 0);
    assert(line->node.order == TAILQ_FIRST(&line->waiters)->arrival);
}

static void check_place(const struct limiter_place *place)
{
    const struct limiter_waiter *waiter, *last = NULL;
    unsigned queued = 0, in_lines = 0;

    TAILQ_FOREACH (waiter, &place->waiters, place_link) {
        assert(waiter->line->place == place && waiter->priority == place->priority);
        assert(last == NULL || last->arrival < waiter->arrival);
        last = waiter;
        queued++;
    }
    assert(queued == place->queued && queued > 0);
    for (size_t i = 1; i <= place->lines.count; i++) {
        const struct limiter_line *line =
            heap_owner(place->lines.nodes[i], const struct limiter_line, node);

        assert(line->place == place);
        check_line(line);
        in_lines += line->queued;
    }
    assert(in_lines == queued);
}

static void check_lane(const struct limiter_lane *lane)
{
    const struct heap_node *first = heap_first(&lane->places);
    unsigned queued[LIMITER_PRIORITIES] = {0}, places[LIMITER_PRIORITIES] = {0};

    assert(lane->in_flight <= lane->most_in_flight);
    assert((first != NULL) == (lane->waiting > 0));
    assert(lane->drain.is_paused == (lane->waiting == 0));
    assert(heap_holds(&lane->node) == lane_is_ready(lane));
    assert(!lane_is_ready(lane) ||
           (lane->node.key == first->key && lane->node.order == first->order));
    for (size_t i = 1; i <= lane->places.count; i++) {
        const struct limiter_place *place =
            heap_owner(lane->places.nodes[i], const struct limiter_place, node);

        assert(place->lane == lane);
        check_place(place);
        queued[place->priority] += place->queued;
        places[place->priority]++;
    }
    for (size_t i = 0; i < LIMITER_PRIORITIES; i++)
        assert(queued[i] == lane->queued[i] && places[i] == lane->place_count[i]);
}

static unsigned check_shares(const struct heap *shares)
{
    unsigned queued = 0;

    for (size_t i = 1; i <= shares->count; i++) {
        const struct limiter_share *share =
            heap_owner(shares->nodes[i], const struct limiter_share, node);
        const struct limiter_waiter *waiter;
        unsigned count = 0;

        TAILQ_FOREACH (waiter, &share->waiters, caller_link)
            count++;
        assert(count == share->queued && share->node.key == UINT64_MAX - count);
        queued += count;
    }
    return queued;
}

void limiter_check(struct limiter *limiter)
{
    const struct limiter_lane *lane;
    unsigned in_flight = 0, queued = 0;

    pthread_mutex_lock(&limiter->mutex);
    LIST_FOREACH (lane, &limiter->lanes, link) {
        check_lane(lane);
        in_flight += lane->in_flight;
        queued += lane->waiting;
    }
    assert(in_flight == limiter->in_flight && in_flight <= limiter->max_in_flight);
    assert(queued == limiter_queued(limiter) && queued <= limiter->max_queue);
    assert(!limiter_has_room(limiter) || heap_first(&limiter->ready) == NULL);
    for (size_t i = 0; i < LIMITER_PRIORITIES; i++)
        assert(check_shares(&limiter->shares[i]) == limiter->waiting[i]);
    pthread_mutex_unlock(&limiter->mutex);
}
