/* Load balancing over the addresses of one upstream, and which of them to leave alone. */
#include "fanout/endpoints.h"

#include "fanout/dice.h"
#include "fanout/mem.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define WEIGHT_SCALE 100u /* of weight 1; weight 0 has one */

/* The addresses that a call may go to. */
struct choice {
    struct endpoint *items[ENDPOINTS_MOST];
    size_t count;
};

void endpoints_init(struct endpoints *endpoints, const struct endpoints_settings *settings)
{
    *endpoints = (struct endpoints){.settings = *settings};
}

void endpoints_release(struct endpoints *endpoints)
{
    for (size_t i = 0; i < endpoints->count; i++) {
        assert(endpoints->items[i]->in_flight == 0);
        free(endpoints->items[i]);
    }
    free(endpoints->items);
    *endpoints = (struct endpoints){.settings = endpoints->settings};
}

/* ---- set aside, bring back ---- */

static size_t count_aside(const struct endpoints *endpoints)
{
    size_t count = 0;

    for (size_t i = 0; i < endpoints->listed; i++)
        count += endpoints->items[i]->is_aside;
    return count;
}

static void set_aside(const struct endpoints *endpoints, struct endpoint *endpoint, uint64_t now_us)
{
    const struct endpoints_settings *settings = &endpoints->settings;
    bool was_well = !endpoint->is_aside && now_us - endpoint->returned_us >= settings->max_us;
    uint64_t for_us;

    endpoint->times_aside = was_well ? 1 : endpoint->times_aside + 1;
    if (settings->base_us > settings->max_us / endpoint->times_aside)
        for_us = settings->max_us;
    else
        for_us = settings->base_us * endpoint->times_aside;
    endpoint->is_aside = true;
    endpoint->aside_until_us = now_us + for_us;
}

static void bring_back(struct endpoint *endpoint, uint64_t now_us)
{
    endpoint->is_aside = false;
    endpoint->returned_us = now_us;
}

static void note_failure(struct endpoints *endpoints, struct endpoint *endpoint, uint64_t now_us)
{
    unsigned most = endpoints->settings.max_failures;

    if (endpoint->failures < UINT32_MAX)
        endpoint->failures++;
    if (endpoint->is_aside) {
        if (now_us >= endpoint->aside_until_us)
            set_aside(endpoints, endpoint, now_us);
    } else if (most > 0 && endpoint->failures >= most && endpoint->is_listed &&
               count_aside(endpoints) < endpoints->listed / 2) {
        set_aside(endpoints, endpoint, now_us);
    }
}

static void note_success(struct endpoint *endpoint, uint64_t now_us)
{
    endpoint->failures = 0;
    if (endpoint->is_aside)
        bring_back(endpoint, now_us);
}

static bool comes_back_before(const struct endpoint *left, const struct endpoint *right)
{
    return right == NULL || left->aside_until_us < right->aside_until_us;
}

/* NULL: none is aside. */
static struct endpoint *first_to_come_back(const struct endpoints *endpoints)
{
    struct endpoint *first = NULL;

    for (size_t i = 0; i < endpoints->listed; i++) {
        struct endpoint *endpoint = endpoints->items[i];

        if (endpoint->is_aside && comes_back_before(endpoint, first))
            first = endpoint;
    }
    return first;
}

/* When there are fewer addresses than there were, fewer may be aside. */
static void bring_back_surplus(struct endpoints *endpoints, uint64_t now_us)
{
    struct endpoint *first;

    while (count_aside(endpoints) > endpoints->listed / 2 &&
           (first = first_to_come_back(endpoints)) != NULL)
        bring_back(first, now_us);
}

/* ---- what DNS says ---- */

static struct endpoint *find(const struct endpoints *endpoints, const struct address *address)
{
    for (size_t i = 0; i < endpoints->count; i++)
        if (address_equals(&endpoints->items[i]->target.address, address))
            return endpoints->items[i];
    return NULL;
}

/* Writes the addresses that are now listed to the front of items; returns how many. */
static size_t list(struct endpoints *endpoints, struct endpoint **items,
                   const struct endpoint_target *targets, size_t count)
{
    size_t listed = 0;

    for (size_t i = 0; i < endpoints->count; i++)
        endpoints->items[i]->is_listed = false;
    for (size_t i = 0; i < count && listed < ENDPOINTS_MOST; i++) {
        struct endpoint *endpoint = find(endpoints, &targets[i].address);
        struct endpoints so_far = {.items = items, .count = listed};

        if (endpoint == NULL && find(&so_far, &targets[i].address) == NULL)
            endpoint = mem_zalloc(sizeof *endpoint);
        if (endpoint == NULL || endpoint->is_listed)
            continue;
        endpoint->target = targets[i];
        endpoint->is_listed = true;
        items[listed++] = endpoint;
    }
    return listed;
}

void endpoints_replace(struct endpoints *endpoints, const struct endpoint_target *targets,
                       size_t count, uint64_t now_us)
{
    size_t most = (count < ENDPOINTS_MOST ? count : ENDPOINTS_MOST) + endpoints->count;
    struct endpoint **items = mem_array(most, sizeof(struct endpoint *));
    size_t listed = list(endpoints, items, targets, count);
    size_t kept = listed;

    for (size_t i = 0; i < endpoints->count; i++) {
        struct endpoint *endpoint = endpoints->items[i];

        if (endpoint->is_listed)
            continue;
        if (endpoint->in_flight > 0)
            items[kept++] = endpoint;
        else
            free(endpoint);
    }
    free(endpoints->items);
    endpoints->items = items;
    endpoints->listed = listed;
    endpoints->count = kept;
    bring_back_surplus(endpoints, now_us);
}

/* ---- the choice ---- */

static bool is_among(const struct address *address, const struct address *list, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (address_equals(address, &list[i]))
            return true;
    return false;
}

/* Those of the lowest priority value that are not aside; none may be left. */
static void keep_usable(struct choice *choice)
{
    unsigned lowest = UINT32_MAX;
    size_t kept = 0;

    for (size_t i = 0; i < choice->count; i++) {
        const struct endpoint *endpoint = choice->items[i];

        if (!endpoint->is_aside && endpoint->target.priority < lowest)
            lowest = endpoint->target.priority;
    }
    for (size_t i = 0; i < choice->count; i++) {
        struct endpoint *endpoint = choice->items[i];

        if (!endpoint->is_aside && endpoint->target.priority == lowest)
            choice->items[kept++] = endpoint;
    }
    choice->count = kept;
}

/* Its time is over, and no call that could bring it back is on its way. */
static bool awaits_probe(const struct endpoint *endpoint, uint64_t now_us)
{
    return now_us >= endpoint->aside_until_us && endpoint->in_flight == 0;
}

static bool goes_before(const struct endpoint *left, const struct endpoint *right)
{
    if (right == NULL || left->target.priority != right->target.priority)
        return right == NULL || left->target.priority < right->target.priority;
    return comes_back_before(left, right);
}

/* Of those aside, the one with the lowest priority value, and among those the first to come back.
 * NULL: there is none. */
static struct endpoint *best_aside(const struct choice *choice, bool for_probe, uint64_t now_us)
{
    struct endpoint *best = NULL;

    for (size_t i = 0; i < choice->count; i++) {
        struct endpoint *endpoint = choice->items[i];

        if (endpoint->is_aside && (!for_probe || awaits_probe(endpoint, now_us)) &&
            goes_before(endpoint, best))
            best = endpoint;
    }
    return best;
}

static uint64_t scaled_weight(const struct endpoint *endpoint)
{
    return endpoint->target.weight > 0 ? (uint64_t)endpoint->target.weight * WEIGHT_SCALE : 1;
}

/* Takes one out of the choice, by weight. There is one. */
static struct endpoint *draw(struct choice *choice, struct dice *dice)
{
    struct endpoint *drawn;
    uint64_t sum = 0, point;
    size_t place = 0;

    assert(choice->count > 0);
    for (size_t i = 0; i < choice->count; i++)
        sum += scaled_weight(choice->items[i]);
    point = dice_below(dice, sum);
    while (place + 1 < choice->count && point >= scaled_weight(choice->items[place]))
        point -= scaled_weight(choice->items[place++]);
    drawn = choice->items[place];
    choice->items[place] = choice->items[--choice->count];
    return drawn;
}

static struct endpoint *less_loaded_of_two(struct choice *choice, struct dice *dice)
{
    struct endpoint *first = draw(choice, dice);
    struct endpoint *second;

    if (choice->count == 0)
        return first;
    second = draw(choice, dice);
    if (second->in_flight * scaled_weight(first) < first->in_flight * scaled_weight(second))
        return second;
    return first;
}

static struct endpoint *choose(struct choice *choice, struct dice *dice, uint64_t now_us)
{
    struct endpoint *last_resort = best_aside(choice, false, now_us);
    struct endpoint *to_probe = best_aside(choice, true, now_us);

    keep_usable(choice);
    if (choice->count == 0)
        return to_probe != NULL ? to_probe : last_resort;
    if (to_probe != NULL && to_probe->target.priority <= choice->items[0]->target.priority)
        return to_probe;
    return less_loaded_of_two(choice, dice);
}

static struct endpoint *choose_but(const struct endpoints *endpoints, const struct address *avoid,
                                   size_t avoid_count, struct dice *dice, uint64_t now_us)
{
    struct choice choice;

    choice.count = 0;
    for (size_t i = 0; i < endpoints->listed; i++)
        if (!is_among(&endpoints->items[i]->target.address, avoid, avoid_count))
            choice.items[choice.count++] = endpoints->items[i];
    return choose(&choice, dice, now_us);
}

struct endpoint *endpoints_take(struct endpoints *endpoints, const struct address *avoid,
                                size_t avoid_count, struct dice *dice, uint64_t now_us)
{
    struct endpoint *endpoint;

    if (endpoints->listed == 1 && avoid_count == 0) /* which is never aside */
        endpoint = endpoints->items[0];
    else
        endpoint = choose_but(endpoints, avoid, avoid_count, dice, now_us);
    if (endpoint != NULL)
        endpoint->in_flight++;
    return endpoint;
}

static void forget(struct endpoints *endpoints, struct endpoint *endpoint)
{
    size_t place = endpoints->listed;

    while (endpoints->items[place] != endpoint)
        place++;
    endpoints->items[place] = endpoints->items[--endpoints->count];
    free(endpoint);
}

void endpoints_give(struct endpoints *endpoints, struct endpoint *endpoint,
                    enum endpoint_verdict verdict, uint64_t now_us)
{
    assert(endpoint->in_flight > 0);
    endpoint->in_flight--;
    if (verdict == ENDPOINT_FAILURE)
        note_failure(endpoints, endpoint, now_us);
    else if (verdict == ENDPOINT_SUCCESS)
        note_success(endpoint, now_us);
    if (!endpoint->is_listed && endpoint->in_flight == 0)
        forget(endpoints, endpoint);
}
