/*
 * What the limiter should do, as plainly as it can be said: every question is
 * answered by looking at all calls. Slow, without any structure of its own.
 */
#ifndef TESTS_LIMITER_MODEL_H
#define TESTS_LIMITER_MODEL_H

#include "fanout/limiter.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define CALLS     48
#define PARTIES   6
#define CALLERS   3
#define LANES     4
#define MEMBERS   2
#define MAX_QUEUE 24
#define PLENTY    64 /* what a caller may draw for one turn */

enum mode { IDLE, QUEUED, DECIDED, DELIVERING, HOLDING };

/* What the model says of one call. */
struct call {
    struct limiter_waiter waiter;
    enum mode mode;
    enum limiter_answer decision;
    enum limiter_priority priority;
    size_t party;
    size_t lane;
    size_t member;
    bool is_late;
    unsigned arrival;
    unsigned number; /* of the decision */
};

/* A caller's or a party's. */
struct ticket {
    uint64_t number;
    unsigned draw;
};

static struct {
    struct call calls[CALLS];
    struct ticket of_places[CALLERS][LANES][LIMITER_PRIORITIES];
    struct ticket of_lines[PARTIES][LANES][LIMITER_PRIORITIES];
    uint64_t last_of_caller[CALLERS];
    uint64_t last_of_party[PARTIES];
    uint64_t turn;
    uint64_t turn_of_caller[CALLERS];
    unsigned waits_since[CALLERS][LIMITER_PRIORITIES]; /* the arrival of the first of a row */
    unsigned caller_of[PARTIES];
    unsigned burst_of[PARTIES];
    unsigned lane_caps[LANES];
    unsigned cap;
    unsigned draws;
    unsigned arrivals;
    unsigned decisions;
    unsigned wakes[MEMBERS];
    unsigned depth;
} model;

/* So that a run is known to have come to what it is for. */
static struct {
    unsigned grants;
    unsigned turned_away;
    unsigned displaced;
    unsigned displaced_by_equals;
    unsigned late;
    unsigned swaps;
    unsigned over_the_cap;
    unsigned cancelled_by_mode[HOLDING + 1];
    unsigned idle_with_waiters;
} seen;

/* Of any lane, priority, … */
#define ANY SIZE_MAX

static inline bool is_queued(const struct call *call, size_t caller, size_t lane, size_t priority)
{
    return call->mode == QUEUED && (caller == ANY || model.caller_of[call->party] == caller) &&
           (lane == ANY || call->lane == lane) && (priority == ANY || call->priority == priority);
}

static inline unsigned model_queued(size_t caller, size_t lane, size_t priority)
{
    unsigned count = 0;

    for (size_t i = 0; i < CALLS; i++)
        count += is_queued(&model.calls[i], caller, lane, priority);
    return count;
}

static inline unsigned model_in_flight(size_t lane)
{
    unsigned count = 0;

    for (size_t i = 0; i < CALLS; i++) {
        const struct call *call = &model.calls[i];
        bool has_slot =
            call->mode == HOLDING || (call->mode > QUEUED && call->decision == LIMITER_TAKEN);

        count += has_slot && (lane == ANY || call->lane == lane);
    }
    return count;
}

static inline bool model_lane_has_room(size_t lane)
{
    return model_in_flight(lane) < model.lane_caps[lane];
}

static inline struct call *first_in_line(size_t party, size_t lane, size_t priority)
{
    struct call *first = NULL;

    for (size_t i = 0; i < CALLS; i++) {
        struct call *call = &model.calls[i];

        if (is_queued(call, ANY, lane, priority) && call->party == party &&
            (first == NULL || call->arrival < first->arrival))
            first = call;
    }
    return first;
}

static inline uint64_t draw(uint64_t *last, uint64_t turn, unsigned burst)
{
    *last = (*last > turn ? *last : turn) + 1;
    return *last > turn + burst ? *last - burst : turn + 1;
}

static inline void draw_for_line(size_t party, size_t lane, size_t priority)
{
    model.of_lines[party][lane][priority].number =
        draw(&model.last_of_party[party], model.turn_of_caller[model.caller_of[party]],
             model.burst_of[party]);
}

static inline void draw_for_place(size_t caller, size_t lane, size_t priority)
{
    model.of_places[caller][lane][priority] = (struct ticket){
        .number = draw(&model.last_of_caller[caller], model.turn, PLENTY), .draw = model.draws++};
}

static inline bool is_before(const struct ticket *a, const struct ticket *b)
{
    return a->number < b->number || (a->number == b->number && a->draw < b->draw);
}

/* Which of a caller's goes first in a lane. */
static inline struct call *first_of_caller(size_t caller, size_t lane, size_t priority)
{
    struct call *first = NULL;
    struct ticket lowest = {0};

    for (size_t party = 0; party < PARTIES; party++) {
        struct call *call = first_in_line(party, lane, priority);

        if (call != NULL && model.caller_of[party] == caller) {
            struct ticket ticket = {model.of_lines[party][lane][priority].number, call->arrival};

            if (first == NULL || is_before(&ticket, &lowest)) {
                first = call;
                lowest = ticket;
            }
        }
    }
    return first;
}

static inline bool may_go(size_t caller, size_t lane, size_t priority)
{
    return model_lane_has_room(lane) && model_queued(caller, lane, priority) > 0;
}

/* The caller whose turn it is, and the lane of its ticket. */
static inline bool find_turn(size_t priority, size_t *caller, size_t *lane)
{
    const struct ticket *lowest = NULL;

    for (size_t i = 0; i < CALLERS; i++)
        for (size_t j = 0; j < LANES; j++) {
            const struct ticket *ticket = &model.of_places[i][j][priority];

            if (may_go(i, j, priority) && (lowest == NULL || is_before(ticket, lowest))) {
                lowest = ticket;
                *caller = i;
                *lane = j;
            }
        }
    return lowest != NULL;
}

/* Where the caller uses its turn: where the party's turn is. */
static inline struct call *use_turn(size_t priority, size_t caller, size_t lane)
{
    struct call *best = first_of_caller(caller, lane, priority);
    struct ticket *tickets[2] = {&model.of_places[caller][lane][priority]}, saved = *tickets[0];

    for (size_t i = 0; i < LANES; i++) {
        struct call *call =
            may_go(caller, i, priority) ? first_of_caller(caller, i, priority) : NULL;

        if (call != NULL) {
            struct ticket own = {model.of_lines[call->party][i][priority].number, call->arrival};
            struct ticket his = {model.of_lines[best->party][best->lane][priority].number,
                                 best->arrival};

            if (is_before(&own, &his))
                best = call;
        }
    }
    tickets[1] = &model.of_places[caller][best->lane][priority];
    seen.swaps += best->lane != lane;
    *tickets[0] = *tickets[1];
    *tickets[1] = saved;
    return best;
}

static inline struct call *next_to_serve(void)
{
    for (size_t priority = 0; priority < LIMITER_PRIORITIES; priority++) {
        size_t caller = 0, lane = 0;

        if (find_turn(priority, &caller, &lane))
            return use_turn(priority, caller, lane);
    }
    return NULL;
}

static inline bool somebody_could_go(void)
{
    for (size_t i = 0; i < CALLS; i++)
        if (model.calls[i].mode == QUEUED && model_lane_has_room(model.calls[i].lane))
            return true;
    return false;
}

static inline void model_decide(struct call *call, enum limiter_answer decision)
{
    bool was_idle = true;

    for (size_t i = 0; i < CALLS; i++)
        if (model.calls[i].mode == DECIDED && model.calls[i].member == call->member)
            was_idle = false;
    model.wakes[call->member] += was_idle;
    call->mode = DECIDED;
    call->decision = decision;
    call->number = model.decisions++;
}

static inline void model_grant(struct call *call)
{
    size_t caller = model.caller_of[call->party];
    uint64_t *turn_of_caller = &model.turn_of_caller[caller];
    uint64_t ticket = model.of_places[caller][call->lane][call->priority].number;
    uint64_t of_line = model.of_lines[call->party][call->lane][call->priority].number;

    model.turn = model.turn > ticket ? model.turn : ticket;
    *turn_of_caller = *turn_of_caller > of_line ? *turn_of_caller : of_line;
    seen.grants++;
    model_decide(call, LIMITER_TAKEN);
    if (first_in_line(call->party, call->lane, call->priority) != NULL)
        draw_for_line(call->party, call->lane, call->priority);
    if (model_queued(caller, call->lane, call->priority) > 0)
        draw_for_place(caller, call->lane, call->priority);
}

static inline void model_serve(void)
{
    while (model_in_flight(ANY) < model.cap && somebody_could_go()) {
        struct call *call = next_to_serve();

        seen.late += call->is_late;
        if (call->is_late)
            model_decide(call, LIMITER_LATE);
        else
            model_grant(call);
    }
}

/* Who has most waiters of that priority; of equals, who has had some for longest. */
static inline size_t greediest(size_t priority)
{
    size_t most = ANY;

    for (size_t i = 0; i < CALLERS; i++) {
        unsigned queued = model_queued(i, ANY, priority);
        unsigned record = most == ANY ? 0 : model_queued(most, ANY, priority);

        if (queued > record || (queued > 0 && queued == record &&
                                model.waits_since[i][priority] < model.waits_since[most][priority]))
            most = i;
    }
    return most;
}

static inline bool model_make_room(const struct call *call)
{
    size_t lowest = LIMITER_LOW, caller;
    struct call *newest = NULL;

    if (model_queued(ANY, ANY, ANY) < MAX_QUEUE)
        return true;
    while (model_queued(ANY, ANY, lowest) == 0)
        lowest--;
    caller = greediest(lowest);
    if (lowest < call->priority ||
        (lowest == call->priority &&
         model_queued(caller, ANY, lowest) <=
             model_queued(model.caller_of[call->party], ANY, lowest) + 1))
        return false;
    for (size_t i = 0; i < CALLS; i++)
        if (is_queued(&model.calls[i], caller, ANY, lowest) &&
            (newest == NULL || newest->arrival < model.calls[i].arrival))
            newest = &model.calls[i];
    seen.displaced++;
    seen.displaced_by_equals += lowest == call->priority;
    model_decide(newest, LIMITER_FULL);
    return true;
}

static inline enum limiter_answer model_take(struct call *call)
{
    size_t caller = model.caller_of[call->party];

    if (model_in_flight(ANY) < model.cap && model_lane_has_room(call->lane)) {
        call->mode = HOLDING;
        return LIMITER_TAKEN;
    }
    if (!model_make_room(call)) {
        seen.turned_away++;
        return LIMITER_FULL;
    }
    if (model_queued(caller, ANY, call->priority) == 0)
        model.waits_since[caller][call->priority] = model.arrivals;
    if (model_queued(caller, call->lane, call->priority) == 0)
        draw_for_place(caller, call->lane, call->priority);
    if (first_in_line(call->party, call->lane, call->priority) == NULL)
        draw_for_line(call->party, call->lane, call->priority);
    call->arrival = model.arrivals++;
    call->mode = QUEUED;
    return LIMITER_WAITING;
}

#endif
