/*
 * What is to be expected of a wait. How fast a lane's queue moves is measured
 * while somebody stands in it alone: a lane that had little to do an hour ago
 * is not slow. And it is measured for each lane, not for the whole: what
 * stands in a lane whose upstream hangs is in nobody's way elsewhere.
 *
 * How many go before somebody follows from the turns: before its caller's next
 * turn, each other caller has one. Who has had all its turns is taken to be
 * followed by another: under overload, where this matters, it is.
 */
#include "fanout/clock.h"
#include "fanout/limiter_internal.h"

#define RETRY_AFTER_MOST 60u
#define US_PER_SECOND    1000000u

/* A rate is known from so many grants, and a turnover of the slots, so that those begun together
 * have all ended; or from that time of waiting, whatever came of it. */
#define KNOWN_FROM_GRANTS 8u
#define KNOWN_FROM_US     4000000u

/* Gatherings plan for that part of the time that they have: what they are told is an average. */
static uint64_t with_margin(uint64_t time_us)
{
    return time_us / 2;
}

/* Until so many have been granted a slot of the lane; 0: nobody can know. */
static uint64_t wait_us(struct limiter_lane *lane, uint64_t count, uint64_t now_us)
{
    uint64_t waited_us, served = shedding_drain_served(&lane->drain, &waited_us, now_us);
    double wait;

    if ((served < KNOWN_FROM_GRANTS || served < lane->in_flight) && waited_us < KNOWN_FROM_US)
        return 0;
    wait = (double)count * (double)waited_us / (double)(served > 0 ? served : 1);
    return wait < 1e18 ? (uint64_t)wait : CLOCK_NEVER;
}

/* Somebody who wants a slot, or would. */
struct applicant {
    const struct limiter_caller *caller;
    const struct limiter_place *place; /* the caller's there, or NULL */
    enum limiter_priority priority;
    uint64_t turns;      /* of its caller, that its own included */
    uint64_t new_places; /* that its caller will have had before */
};

/* How many are granted a slot of the lane, it included. */
static uint64_t grants_until(const struct limiter_lane *lane, const struct applicant *applicant)
{
    uint64_t before =
        limiter_turns_before(applicant->caller, applicant->place, applicant->new_places);
    uint64_t others = lane->place_count[applicant->priority] - (applicant->place != NULL ? 1u : 0u);
    uint64_t above = 0;

    for (unsigned i = 0; i < applicant->priority; i++)
        above += lane->queued[i];
    return above + others * (before + applicant->turns) + applicant->turns;
}

static uint64_t applicant_wait_us(struct limiter_lane *lane, const struct applicant *applicant,
                                  uint64_t now_us)
{
    return wait_us(lane, grants_until(lane, applicant), now_us);
}

bool limiter_place_is_overloaded(const struct limiter_place *place, uint64_t now_us)
{
    const struct limiter *limiter = place->lane->limiter;
    struct shedding_queue queue = {.last_empty_us = place->since_us};

    if (!limiter->sheds)
        return false;
    queue.oldest_wait_us = limiter_since(TAILQ_FIRST(&place->waiters)->arrived_us, now_us);
    return shedding_is_overloaded(&limiter->shedding, &queue, now_us);
}

static uint64_t longer(uint64_t a_us, uint64_t b_us)
{
    return a_us > b_us ? a_us : b_us;
}

/* The next turn of its caller may always be waited for. */
uint64_t limiter_give_up_us(const struct limiter_waiter *waiter,
                            const struct limiter_caller *caller, const struct limiter_place *place,
                            uint64_t now_us)
{
    struct limiter_lane *lane = waiter->lane;
    const struct shedding_settings *settings = &lane->limiter->shedding;
    struct applicant next = {
        .caller = caller, .place = place, .priority = waiter->priority, .turns = 1};
    bool overloaded = place != NULL && limiter_place_is_overloaded(place, now_us);

    if (!lane->limiter->sheds)
        return CLOCK_NEVER;
    return clock_after(now_us, longer(overloaded ? settings->target_us : settings->interval_us,
                                      applicant_wait_us(lane, &next, now_us)));
}

/* Where the newest goes first, the next turn is for who arrives. */
static uint64_t turns_of(const struct limiter_place *place, const struct limiter_party *party,
                         uint64_t now_us)
{
    const struct limiter_line *line;

    if (place == NULL || limiter_place_is_overloaded(place, now_us))
        return 1;
    line = limiter_find_line(party, place);
    if (line == NULL)
        return place->lines.count + 1;
    return (line->queued + 1) * (uint64_t)place->lines.count;
}

bool limiter_is_in_time(const struct limiter_waiter *waiter, const struct limiter_party *party,
                        uint64_t now_us)
{
    struct limiter_lane *lane = waiter->lane;
    struct applicant applicant = {.caller = caller_of(lane->limiter, party),
                                  .priority = waiter->priority};

    if (waiter->deadline_us == CLOCK_NEVER)
        return true;
    applicant.place = limiter_find_place(applicant.caller, lane, waiter->priority);
    applicant.turns = turns_of(applicant.place, party, now_us);
    return shedding_can_meet(waiter->deadline_us, now_us,
                             applicant_wait_us(lane, &applicant, now_us), waiter->service_us);
}

/* ---- a whole gathering ---- */

/* What is asked, and what is left of what there is. */
struct forecast {
    const struct limiter *limiter;
    const struct limiter_caller *caller;
    enum limiter_priority priority;
    uint64_t left_us;
    uint64_t now_us;
    unsigned slots;
    unsigned seats; /* in the queue */
    unsigned new_places;
};

/* Those that the caller with most waiters would have to give up, until both have as many, to one
 * that has its own already: see limiter_take. */
static unsigned seats_of_the_largest(const struct limiter *limiter, enum limiter_priority priority,
                                     unsigned own)
{
    const struct heap_node *first = heap_first(&limiter->shares[priority]);
    unsigned largest = first != NULL ? heap_owner(first, struct limiter_share, node)->queued : 0;

    return largest > own ? (largest - own) / 2 : 0;
}

/* Those that lower priorities have are to be had. No caller takes more than twice what it leaves
 * free: so who comes later finds room without driving anybody out of it. */
static unsigned seats_for(const struct limiter *limiter, const struct limiter_caller *caller,
                          enum limiter_priority priority)
{
    unsigned seats = limiter->max_queue - limiter_queued(limiter);
    unsigned own = caller->shares[priority].queued;

    for (unsigned i = priority + 1; i < LIMITER_PRIORITIES; i++)
        seats += limiter->waiting[i];
    if (caller != limiter->nobody && own + seats > 2 * seats)
        seats = own < 2 * seats ? 2 * seats - own : 0;
    return seats + seats_of_the_largest(limiter, priority, own + seats);
}

/* How long a wait may be, so that the queue does not become one that is cleared: a burst has what
 * is left of the interval. */
static uint64_t before_shedding_us(const struct forecast *forecast, struct limiter_lane *lane)
{
    const struct shedding_settings *settings = &forecast->limiter->shedding;
    const struct limiter_place *place = lane->forecast.place;
    uint64_t stands_us = place != NULL ? limiter_since(place->since_us, forecast->now_us) : 0;
    uint64_t left_us = limiter_since(stands_us, settings->interval_us);
    struct applicant next = {
        .caller = forecast->caller, .place = place, .priority = forecast->priority, .turns = 1};

    return longer(with_margin(longer(left_us, settings->target_us)),
                  applicant_wait_us(lane, &next, forecast->now_us));
}

static uint64_t allowed_us(const struct forecast *forecast, const struct limiter_wish *wish)
{
    uint64_t allowed = with_margin(limiter_since(wish->service_us, forecast->left_us));
    uint64_t before_us;

    if (!forecast->limiter->sheds)
        return allowed;
    before_us = before_shedding_us(forecast, wish->lane);
    return before_us < allowed ? before_us : allowed;
}

static bool can_wait(struct forecast *forecast, const struct limiter_wish *wish)
{
    struct limiter_lane *lane = wish->lane;
    const struct limiter_place *place = lane->forecast.place;
    uint64_t parties = (place != NULL ? place->lines.count : 0) + 1;
    struct applicant applicant = {
        .caller = forecast->caller,
        .place = place,
        .priority = forecast->priority,
        .turns = ++lane->forecast.waiting * parties,
        .new_places = forecast->new_places,
    };

    forecast->new_places += place == NULL;
    if (forecast->seats == 0 || wish->service_us > forecast->left_us ||
        applicant_wait_us(lane, &applicant, forecast->now_us) > allowed_us(forecast, wish))
        return false;
    forecast->seats--;
    return true;
}

static bool can_meet(struct forecast *forecast, const struct limiter_wish *wish)
{
    struct limiter_lane *lane = wish->lane;

    if (forecast->slots == 0 || lane->in_flight + lane->forecast.taken >= lane->max_in_flight)
        return can_wait(forecast, wish);
    forecast->slots--;
    lane->forecast.taken++;
    return true;
}

/* Lanes learn which of the caller's places is theirs, or forget it. */
static void show_places(const struct limiter_caller *caller, enum limiter_priority priority,
                        bool shown)
{
    const struct limiter_place *place;

    LIST_FOREACH (place, &caller->places, link)
        if (place->priority == priority)
            place->lane->forecast.place = shown ? place : NULL;
}

static size_t count_meeting(struct forecast *forecast, const struct limiter_wish *wishes,
                            size_t count)
{
    size_t met = 0;

    for (size_t i = 0; i < count; i++)
        met += can_meet(forecast, &wishes[i]);
    for (size_t i = 0; i < count; i++)
        wishes[i].lane->forecast.taken = wishes[i].lane->forecast.waiting = 0;
    return met;
}

size_t limiter_can_meet(struct limiter *limiter, const struct limiter_caller *caller,
                        enum limiter_priority priority, const struct limiter_wish *wishes,
                        size_t count, uint64_t deadline_us, uint64_t now_us)
{
    struct forecast forecast = {
        .limiter = limiter,
        .caller = caller != NULL ? caller : limiter->nobody,
        .priority = priority,
        .left_us = deadline_us != CLOCK_NEVER ? limiter_since(now_us, deadline_us) : CLOCK_NEVER,
        .now_us = now_us,
    };
    size_t met;

    pthread_mutex_lock(&limiter->mutex);
    forecast.slots = limiter_has_room(limiter) ? limiter->max_in_flight - limiter->in_flight : 0;
    forecast.seats = seats_for(limiter, forecast.caller, priority);
    show_places(forecast.caller, priority, true);
    met = count_meeting(&forecast, wishes, count);
    show_places(forecast.caller, priority, false);
    pthread_mutex_unlock(&limiter->mutex);
    return met;
}

/* ---- for people ---- */

uint64_t limiter_lane_wait_us(struct limiter_lane *lane, uint64_t now_us)
{
    uint64_t wait = 0;
    unsigned callers = 1;

    pthread_mutex_lock(&lane->limiter->mutex);
    for (size_t i = 0; i < LIMITER_PRIORITIES; i++)
        callers += lane->place_count[i];
    if (lane->waiting > 0)
        wait = wait_us(lane, callers, now_us);
    pthread_mutex_unlock(&lane->limiter->mutex);
    return wait;
}

/* When none was served yet, it takes at least as long again as it took so far. */
unsigned limiter_retry_after_seconds(struct limiter *limiter, uint64_t now_us)
{
    uint64_t waited_us, seconds;
    unsigned answer = 0;

    pthread_mutex_lock(&limiter->mutex);
    if (shedding_drain_served(&limiter->drain, &waited_us, now_us) > 0)
        answer = shedding_retry_after_seconds(&limiter->drain, limiter_queued(limiter),
                                              RETRY_AFTER_MOST, now_us);
    pthread_mutex_unlock(&limiter->mutex);
    seconds = waited_us / US_PER_SECOND + 1;
    if (answer == 0)
        answer = seconds < RETRY_AFTER_MOST ? (unsigned)seconds : RETRY_AFTER_MOST;
    return answer;
}
