/*
 * The limiter against a naive model, over a long random but repeatable run of
 * takes, gives, cancels and collects, many of them from within callbacks.
 * After each step every waiter's state, every count and every wake must agree.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fanout/limiter.h"

#include <stdlib.h>
#include <string.h>

#define STEPS     50000
#define CALLS     40
#define PARTIES   5
#define LANES     4
#define MEMBERS   2
#define MAX_QUEUE 24
#define DEEPEST   3

static const unsigned lane_caps[LANES] = {1, 2, 4, 9};

enum mode { IDLE, QUEUED, GRANTED, DELIVERING, HOLDING };

/* What the model says of one call. */
struct call {
    struct limiter_waiter waiter;
    enum mode mode;
    size_t party;
    size_t lane;
    size_t member;
    unsigned arrival;
    unsigned grant;
};

static struct {
    struct limiter *limiter;
    struct limiter_lane *lanes[LANES];
    struct limiter_member members[MEMBERS];
    struct limiter_party parties[PARTIES];
    unsigned wakes[MEMBERS];
} real;

static struct {
    struct call calls[CALLS];
    uint64_t tickets[PARTIES][LANES]; /* of the first in each line */
    uint64_t last_ticket[PARTIES];
    uint64_t turn;
    unsigned arrivals;
    unsigned grants;
    unsigned wakes[MEMBERS];
    unsigned depth;
    unsigned cap;
} model;

/* So that a run is known to have come to what it is for. */
static struct {
    unsigned grants;
    unsigned turned_away;
    unsigned cancelled_by_mode[HOLDING + 1];
    unsigned idle_with_waiters;
} seen;

static uint64_t random_state;

static size_t random_below(size_t limit)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (size_t)((random_state >> 16) % limit);
}

static bool has_slot(const struct call *call)
{
    return call->mode >= GRANTED;
}

static unsigned model_in_flight(size_t lane) /* LANES: over all */
{
    unsigned count = 0;

    for (size_t i = 0; i < CALLS; i++)
        if (has_slot(&model.calls[i]) && (lane == LANES || model.calls[i].lane == lane))
            count++;
    return count;
}

static unsigned model_queued(size_t lane) /* LANES: over all */
{
    unsigned count = 0;

    for (size_t i = 0; i < CALLS; i++)
        if (model.calls[i].mode == QUEUED && (lane == LANES || model.calls[i].lane == lane))
            count++;
    return count;
}

static struct call *first_in_line(size_t party, size_t lane)
{
    struct call *first = NULL;

    for (size_t i = 0; i < CALLS; i++) {
        struct call *call = &model.calls[i];

        if (call->mode == QUEUED && call->party == party && call->lane == lane &&
            (first == NULL || call->arrival < first->arrival))
            first = call;
    }
    return first;
}

static void model_draw(size_t party, size_t lane)
{
    if (model.last_ticket[party] < model.turn)
        model.last_ticket[party] = model.turn;
    model.tickets[party][lane] = ++model.last_ticket[party];
}

static bool goes_before(const struct call *a, const struct call *b)
{
    uint64_t ticket_a = model.tickets[a->party][a->lane];
    uint64_t ticket_b = model.tickets[b->party][b->lane];

    return ticket_a < ticket_b || (ticket_a == ticket_b && a->arrival < b->arrival);
}

static bool lane_has_room(size_t lane)
{
    return model_in_flight(lane) < lane_caps[lane];
}

static struct call *next_to_serve(void)
{
    struct call *next = NULL;

    for (size_t party = 0; party < PARTIES; party++) {
        for (size_t lane = 0; lane < LANES; lane++) {
            struct call *call = first_in_line(party, lane);

            if (call != NULL && lane_has_room(lane) && (next == NULL || goes_before(call, next)))
                next = call;
        }
    }
    return next;
}

static bool has_uncollected(size_t member)
{
    for (size_t i = 0; i < CALLS; i++)
        if (model.calls[i].mode == GRANTED && model.calls[i].member == member)
            return true;
    return false;
}

static void model_serve(void)
{
    struct call *call;

    while (model_in_flight(LANES) < model.cap && (call = next_to_serve()) != NULL) {
        uint64_t ticket = model.tickets[call->party][call->lane];

        if (!has_uncollected(call->member))
            model.wakes[call->member]++;
        if (model.turn < ticket)
            model.turn = ticket;
        seen.grants++;
        call->mode = GRANTED;
        call->grant = model.grants++;
        if (first_in_line(call->party, call->lane) != NULL)
            model_draw(call->party, call->lane);
    }
}

static void counts_agree(void)
{
    struct limiter_counts counts;

    limiter_counts(real.limiter, &counts);
    assert_int_equal(counts.in_flight, model_in_flight(LANES));
    assert_int_equal(counts.queued, model_queued(LANES));
    assert_true(counts.in_flight <= model.cap);
    if (counts.in_flight < model.cap && counts.queued > 0)
        seen.idle_with_waiters++;
    for (size_t lane = 0; lane < LANES; lane++) {
        limiter_lane_counts(real.lanes[lane], &counts);
        assert_int_equal(counts.in_flight, model_in_flight(lane));
        assert_int_equal(counts.queued, model_queued(lane));
        assert_true(counts.in_flight <= lane_caps[lane]);
    }
}

static void everything_agrees(void)
{
    static const int states[] = {[IDLE] = LIMITER_IDLE,
                                 [QUEUED] = LIMITER_QUEUED,
                                 [GRANTED] = LIMITER_GRANTED,
                                 [DELIVERING] = LIMITER_DELIVERING,
                                 [HOLDING] = LIMITER_IDLE};

    limiter_check(real.limiter);
    counts_agree();
    for (size_t i = 0; i < CALLS; i++)
        assert_int_equal(model.calls[i].waiter.state, states[model.calls[i].mode]);
    for (size_t i = 0; i < MEMBERS; i++)
        assert_int_equal(real.wakes[i], model.wakes[i]);
    assert_true(model_in_flight(LANES) == model.cap || next_to_serve() == NULL);
}

static enum limiter_answer model_take(struct call *call)
{
    if (model_in_flight(LANES) < model.cap && lane_has_room(call->lane)) {
        call->mode = HOLDING;
        return LIMITER_TAKEN;
    }
    if (model_queued(LANES) == MAX_QUEUE) {
        seen.turned_away++;
        return LIMITER_FULL;
    }
    if (first_in_line(call->party, call->lane) == NULL)
        model_draw(call->party, call->lane);
    call->arrival = model.arrivals++;
    call->mode = QUEUED;
    return LIMITER_WAITING;
}

static void take(struct call *call)
{
    enum limiter_answer expected;

    call->party = random_below(PARTIES);
    call->lane = random_below(random_below(LANES) + 1); /* the first is the most wanted */
    call->member = random_below(MEMBERS);
    expected = model_take(call);
    assert_int_equal(limiter_take(real.lanes[call->lane], &real.members[call->member],
                                  &real.parties[call->party], &call->waiter),
                     expected);
}

static void give(struct call *call)
{
    call->mode = IDLE;
    limiter_give(real.lanes[call->lane]);
    model_serve();
}

static void cancel(struct call *call)
{
    seen.cancelled_by_mode[call->mode]++;
    limiter_cancel(&call->waiter);
    if (call->mode != HOLDING)
        call->mode = IDLE;
    model_serve();
}

static void collect(size_t member)
{
    for (size_t i = 0; i < CALLS; i++)
        if (model.calls[i].mode == GRANTED && model.calls[i].member == member)
            model.calls[i].mode = DELIVERING;
    limiter_collect(&real.members[member]);
    for (size_t i = 0; i < CALLS; i++)
        assert_false(model.calls[i].mode == DELIVERING && model.calls[i].member == member);
}

/* A party whose waiters are gone makes way for a new one. */
static void renew_party(size_t party)
{
    for (size_t i = 0; i < CALLS; i++)
        if (model.calls[i].mode == QUEUED && model.calls[i].party == party)
            return;
    memset(&real.parties[party], 0, sizeof real.parties[party]);
    model.last_ticket[party] = 0;
}

static struct call *any_in(enum mode mode) /* NULL: none is */
{
    size_t start = random_below(CALLS);

    for (size_t i = 0; i < CALLS; i++) {
        struct call *call = &model.calls[(start + i) % CALLS];

        if (call->mode == mode)
            return call;
    }
    return NULL;
}

static void cancel_any(enum mode mode)
{
    struct call *call = any_in(mode);

    if (call != NULL)
        cancel(call);
}

static void step(void)
{
    size_t choice = random_below(32);
    struct call *call;

    if (choice < 4) {
        if (model.depth < DEEPEST)
            collect(random_below(MEMBERS));
    } else if (choice < 5) {
        renew_party(random_below(PARTIES));
    } else if (choice < 7) {
        cancel_any((enum mode)random_below(HOLDING + 1));
    } else if (choice < 16) {
        call = any_in(HOLDING);
        if (call != NULL)
            give(call);
    } else {
        call = any_in(IDLE);
        if (call != NULL)
            take(call);
    }
    everything_agrees();
}

static void on_granted(void *arg)
{
    struct call *call = arg;

    assert_int_equal(call->mode, DELIVERING);
    for (size_t i = 0; i < CALLS; i++)
        assert_false(model.calls[i].mode == DELIVERING && model.calls[i].member == call->member &&
                     model.calls[i].grant < call->grant);
    call->mode = HOLDING;
    model.depth++;
    if (random_below(4) == 0)
        cancel_any(DELIVERING);
    for (size_t steps = random_below(6); steps > 0; steps--)
        step();
    model.depth--;
}

static void on_wake(void *arg)
{
    unsigned *wakes = arg;

    (*wakes)++;
}

static void set_up(unsigned cap)
{
    memset(&model, 0, sizeof model);
    model.cap = cap;
    memset(&real, 0, sizeof real);
    real.limiter = limiter_new(cap, MAX_QUEUE);
    for (size_t i = 0; i < LANES; i++)
        real.lanes[i] = limiter_lane_new(real.limiter, lane_caps[i]);
    for (size_t i = 0; i < MEMBERS; i++)
        limiter_member_init(&real.members[i], real.limiter, on_wake, &real.wakes[i]);
    for (size_t i = 0; i < CALLS; i++) {
        model.calls[i].waiter.on_granted = on_granted;
        model.calls[i].waiter.arg = &model.calls[i];
    }
}

static void tear_down(void)
{
    for (size_t i = 0; i < CALLS; i++)
        if (model.calls[i].mode == HOLDING)
            give(&model.calls[i]);
        else
            cancel(&model.calls[i]);
    everything_agrees();
    for (size_t i = 0; i < LANES; i++)
        limiter_lane_free(real.lanes[i]);
    limiter_free(real.limiter);
}

static void run(uint64_t seed, unsigned cap)
{
    random_state = seed * 0x9e3779b97f4a7c15u;
    set_up(cap);
    for (unsigned i = 0; i < STEPS; i++)
        step();
    tear_down();
}

static void all_was_seen(void)
{
    assert_true(seen.grants > 3000);
    for (int mode = IDLE; mode <= HOLDING; mode++)
        assert_true(seen.cancelled_by_mode[mode] > 50);
    memset(&seen, 0, sizeof seen);
}

static void it_does_what_the_model_does_where_slots_are_few(void **state)
{
    (void)state;
    run(1, 1);
    run(2, 6);
    assert_true(seen.turned_away > 100);
    all_was_seen();
}

static void it_does_what_the_model_does_where_lanes_are_full(void **state)
{
    (void)state;
    run(3, 9);
    run(4, 16);
    assert_true(seen.idle_with_waiters > 1000);
    all_was_seen();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_does_what_the_model_does_where_slots_are_few),
        cmocka_unit_test(it_does_what_the_model_does_where_lanes_are_full),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
