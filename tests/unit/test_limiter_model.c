/*
 * The limiter against a naive model, over a long random but repeatable run of
 * takes, gives, cancels, resizes and collects, many of them from within
 * callbacks. After each step every waiter's state, every count and every wake
 * must agree.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fanout/clock.h"
#include "fanout/dice.h"
#include "fanout/limiter.h"
#include "tests/unit/limiter_model.h"

#define STEPS   50000
#define DEEPEST 3
#define NOW_US  1000u

static struct {
    struct limiter *limiter;
    struct limiter_lane *lanes[LANES];
    struct limiter_member members[MEMBERS];
    struct limiter_caller *callers[CALLERS]; /* the first: NULL, who have none */
    struct limiter_party parties[PARTIES];
    unsigned wakes[MEMBERS];
} real;

static struct dice dice;

static size_t random_below(size_t limit)
{
    return (size_t)dice_below(&dice, limit);
}

static void counts_agree(void)
{
    struct limiter_counts counts;

    limiter_counts(real.limiter, &counts);
    assert_int_equal(counts.in_flight, model_in_flight(ANY));
    assert_int_equal(counts.queued, model_queued(ANY, ANY, ANY));
    assert_true(counts.in_flight <= model.cap);
    if (counts.in_flight < model.cap && counts.queued > 0)
        seen.idle_with_waiters++;
    for (size_t lane = 0; lane < LANES; lane++) {
        limiter_lane_counts(real.lanes[lane], &counts);
        assert_int_equal(counts.in_flight, model_in_flight(lane));
        assert_int_equal(counts.queued, model_queued(ANY, lane, ANY));
        seen.over_the_cap += counts.in_flight > model.lane_caps[lane];
    }
}

static void everything_agrees(void)
{
    static const int states[] = {[IDLE] = LIMITER_IDLE,
                                 [QUEUED] = LIMITER_QUEUED,
                                 [DECIDED] = LIMITER_DECIDED,
                                 [DELIVERING] = LIMITER_DELIVERING,
                                 [HOLDING] = LIMITER_IDLE};

    limiter_check(real.limiter);
    counts_agree();
    for (size_t i = 0; i < CALLS; i++)
        assert_int_equal(model.calls[i].waiter.state, states[model.calls[i].mode]);
    for (size_t i = 0; i < MEMBERS; i++)
        assert_int_equal(real.wakes[i], model.wakes[i]);
    assert_true(model_in_flight(ANY) == model.cap || !somebody_could_go());
}

static void take(struct call *call)
{
    enum limiter_answer expected;

    call->party = random_below(PARTIES);
    call->lane = random_below(random_below(LANES) + 1); /* the first is the most wanted */
    call->member = random_below(MEMBERS);
    call->priority = (enum limiter_priority)(random_below(10) / 4);
    call->is_late = false;
    call->waiter.priority = call->priority;
    call->waiter.deadline_us = CLOCK_NEVER;
    expected = model_take(call);
    assert_int_equal(limiter_take(real.lanes[call->lane], &real.members[call->member],
                                  &real.parties[call->party], &call->waiter, NOW_US),
                     expected);
    if (expected == LIMITER_TAKEN)
        assert_int_equal(call->waiter.in_flight, model_in_flight(call->lane));
}

/* Its time is up, should its turn come. */
static void make_late(struct call *call)
{
    call->is_late = true;
    call->waiter.deadline_us = NOW_US;
    call->waiter.service_us = 1;
}

static void resize(size_t lane)
{
    model.lane_caps[lane] = (unsigned)random_below(6) + 1;
    limiter_lane_resize(real.lanes[lane], model.lane_caps[lane], NOW_US);
    model_serve();
}

static void give(struct call *call)
{
    call->mode = IDLE;
    limiter_give(real.lanes[call->lane], NOW_US);
    model_serve();
}

static void cancel(struct call *call)
{
    seen.cancelled_by_mode[call->mode]++;
    limiter_cancel(&call->waiter, NOW_US);
    if (call->mode != HOLDING)
        call->mode = IDLE;
    model_serve();
}

static void collect(size_t member)
{
    for (size_t i = 0; i < CALLS; i++)
        if (model.calls[i].mode == DECIDED && model.calls[i].member == member)
            model.calls[i].mode = DELIVERING;
    limiter_collect(&real.members[member]);
    for (size_t i = 0; i < CALLS; i++)
        assert_false(model.calls[i].mode == DELIVERING && model.calls[i].member == member);
}

/* A party whose waiters are gone makes way for a new one, of any caller. */
static void renew_party(size_t party)
{
    size_t caller = random_below(CALLERS);

    for (size_t i = 0; i < CALLS; i++)
        if (model.calls[i].mode == QUEUED && model.calls[i].party == party)
            return;
    model.burst_of[party] = (unsigned)random_below(4);
    model.caller_of[party] = (unsigned)caller;
    model.last_of_party[party] = 0;
    real.parties[party] =
        (struct limiter_party){.caller = real.callers[caller], .burst = model.burst_of[party]};
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
    struct call *call = any_in(choice < 8 ? QUEUED : choice < 17 ? HOLDING : IDLE);

    if (choice < 4) {
        if (model.depth < DEEPEST)
            collect(random_below(MEMBERS));
    } else if (choice < 5) {
        renew_party(random_below(PARTIES));
    } else if (choice < 7) {
        cancel_any((enum mode)random_below(HOLDING + 1));
    } else if (choice < 8) {
        if (random_below(2) == 0)
            resize(random_below(LANES));
        else if (call != NULL)
            make_late(call);
    } else if (call != NULL && choice < 17) {
        give(call);
    } else if (call != NULL) {
        take(call);
    }
    everything_agrees();
}

/* What follows from a decision: more of the same. */
static void go_on(void)
{
    model.depth++;
    if (random_below(4) == 0)
        cancel_any(DELIVERING);
    for (size_t steps = random_below(6); steps > 0; steps--)
        step();
    model.depth--;
}

static void on_decision(struct call *call, enum limiter_answer answer)
{
    assert_int_equal(call->mode, DELIVERING);
    assert_int_equal(call->decision, answer);
    for (size_t i = 0; i < CALLS; i++)
        assert_false(model.calls[i].mode == DELIVERING && model.calls[i].member == call->member &&
                     model.calls[i].number < call->number);
    call->mode = answer == LIMITER_TAKEN ? HOLDING : IDLE;
    go_on();
}

static void on_refused(void *arg, enum limiter_answer answer)
{
    on_decision(arg, answer);
}

static void on_granted(void *arg)
{
    on_decision(arg, LIMITER_TAKEN);
}

static void on_wake(void *arg)
{
    unsigned *wakes = arg;

    (*wakes)++;
}

static void set_up_lanes(void)
{
    static const unsigned caps[LANES] = {1, 2, 4, 9};

    for (size_t i = 0; i < LANES; i++) {
        model.lane_caps[i] = caps[i];
        real.lanes[i] = limiter_lane_new(real.limiter, caps[i]);
    }
}

static void set_up(unsigned cap)
{
    struct limiter_settings settings = {
        .max_in_flight = cap, .max_queue = MAX_QUEUE, .shed_target_us = CLOCK_NEVER};

    memset(&model, 0, sizeof model);
    model.cap = cap;
    memset(&real, 0, sizeof real);
    real.limiter = limiter_new(&settings, NOW_US);
    set_up_lanes();
    for (size_t i = 1; i < CALLERS; i++)
        real.callers[i] = limiter_caller_take(real.limiter, &i, sizeof i);
    for (size_t i = 0; i < PARTIES; i++)
        renew_party(i);
    for (size_t i = 0; i < MEMBERS; i++)
        limiter_member_init(&real.members[i], real.limiter, on_wake, &real.wakes[i]);
    for (size_t i = 0; i < CALLS; i++) {
        model.calls[i].waiter.on_granted = on_granted;
        model.calls[i].waiter.on_refused = on_refused;
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
    for (size_t i = 0; i < CALLERS; i++)
        limiter_caller_release(real.callers[i]);
    limiter_free(real.limiter);
}

static void run(uint64_t seed, unsigned cap)
{
    dice.state = seed;
    set_up(cap);
    for (unsigned i = 0; i < STEPS; i++)
        step();
    tear_down();
}

static void all_was_seen(void)
{
    assert_true(seen.grants > 3000);
    assert_true(seen.late > 100);
    assert_true(seen.swaps > 100);
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
    assert_true(seen.displaced_by_equals > 100);
    assert_true(seen.displaced - seen.displaced_by_equals > 100);
    all_was_seen();
}

static void it_does_what_the_model_does_where_lanes_are_full(void **state)
{
    (void)state;
    run(3, 9);
    run(4, 16);
    assert_true(seen.idle_with_waiters > 1000);
    assert_true(seen.over_the_cap > 100);
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
