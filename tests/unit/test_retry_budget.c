/*
 * The budget of extra requests: by the number, against a naive model that
 * keeps each deposit by itself, and with all threads at it at once.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fanout/dice.h"
#include "fanout/retry_budget.h"

#include <pthread.h>
#include <stdatomic.h>

#define SECOND_US 1000000u
#define START_US  (77 * (uint64_t)SECOND_US + 123456)
#define THREADS   4
#define ATTEMPTS  50000

static struct retry_budget budget;

static uint64_t after_seconds(unsigned seconds)
{
    return START_US + seconds * (uint64_t)SECOND_US;
}

static void open_budget(unsigned percent, unsigned min_per_second)
{
    retry_budget_init(&budget, percent, min_per_second, START_US);
}

static void deposit(unsigned count, uint64_t now_us)
{
    for (unsigned i = 0; i < count; i++)
        retry_budget_deposit(&budget, now_us);
}

/* As many as there are. */
static unsigned withdraw_all(uint64_t now_us)
{
    uint64_t expected = retry_budget_available(&budget, now_us);
    unsigned count = 0;

    while (retry_budget_withdraw(&budget, now_us))
        count++;
    assert_int_equal(count, expected);
    assert_int_equal(retry_budget_available(&budget, now_us), 0);
    return count;
}

static void five_first_attempts_pay_for_one_more(void **state)
{
    (void)state;
    open_budget(20, 0);
    deposit(4, START_US);
    assert_false(retry_budget_withdraw(&budget, START_US));
    deposit(1, START_US);
    assert_true(retry_budget_withdraw(&budget, START_US));
    assert_false(retry_budget_withdraw(&budget, START_US));
    deposit(1003, START_US);
    assert_int_equal(withdraw_all(START_US), 200);
}

static void parts_of_tokens_add_up(void **state)
{
    (void)state;
    open_budget(33, 0);
    deposit(3, START_US);
    assert_false(retry_budget_withdraw(&budget, START_US));
    deposit(97, START_US);
    assert_int_equal(withdraw_all(START_US), 33);
    open_budget(250, 0);
    deposit(3, START_US);
    assert_int_equal(withdraw_all(START_US), 7);
}

static void a_few_are_allowed_each_second_without_any_deposit(void **state)
{
    (void)state;
    open_budget(20, 3);
    assert_int_equal(withdraw_all(START_US), 3);
    assert_int_equal(withdraw_all(START_US + SECOND_US - 1), 0);
    assert_int_equal(withdraw_all(START_US + SECOND_US), 3);
    /* What was not used of earlier seconds does not gather. */
    assert_int_equal(withdraw_all(after_seconds(500)), 3);
}

static void the_allowance_comes_on_top_of_deposits(void **state)
{
    (void)state;
    open_budget(20, 3);
    deposit(50, START_US);
    assert_int_equal(withdraw_all(START_US), 13);
    deposit(50, START_US);
    assert_true(retry_budget_withdraw(&budget, after_seconds(1)));
    /* It was of the allowance, which would be gone a second later. */
    assert_int_equal(withdraw_all(after_seconds(2)), 13);
}

static void with_neither_nothing_is_allowed(void **state)
{
    (void)state;
    open_budget(0, 0);
    deposit(1000, START_US);
    assert_int_equal(withdraw_all(START_US), 0);
    assert_int_equal(withdraw_all(after_seconds(100)), 0);
}

static void deposits_last_ten_seconds_and_no_longer(void **state)
{
    (void)state;
    open_budget(100, 0);
    deposit(10, START_US);
    assert_int_equal(retry_budget_available(&budget, after_seconds(10) - 1), 10);
    assert_int_equal(retry_budget_available(&budget, after_seconds(10)), 0);
    deposit(10, after_seconds(10));
    assert_int_equal(retry_budget_available(&budget, after_seconds(10)), 10);
    assert_int_equal(retry_budget_available(&budget, after_seconds(5000)), 0);
}

static void the_oldest_deposits_are_spent_first(void **state)
{
    (void)state;
    open_budget(100, 0);
    deposit(10, after_seconds(0));
    deposit(10, after_seconds(5));
    for (unsigned i = 0; i < 10; i++)
        assert_true(retry_budget_withdraw(&budget, after_seconds(6)));
    assert_int_equal(retry_budget_available(&budget, after_seconds(12)), 10);
    assert_int_equal(retry_budget_available(&budget, after_seconds(15)), 0);
}

static void a_clock_read_a_moment_earlier_does_no_harm(void **state)
{
    (void)state;
    open_budget(100, 2);
    deposit(10, after_seconds(20));
    assert_int_equal(withdraw_all(after_seconds(20)), 12);
    assert_int_equal(withdraw_all(after_seconds(19)), 0);
    deposit(1, after_seconds(19));
    assert_int_equal(withdraw_all(after_seconds(20)), 1);
    assert_int_equal(withdraw_all(START_US - 5), 0);
    open_budget(0, 2);
    assert_true(retry_budget_withdraw(&budget, after_seconds(20)));
    assert_true(retry_budget_withdraw(&budget, after_seconds(19)));
    assert_false(retry_budget_withdraw(&budget, after_seconds(20)));
}

/* One entry for each second, in hundredths; the last ten are good. */
static struct {
    unsigned deposits[400];
    unsigned allowance_used[400];
} model;

static bool model_withdraw(unsigned second, unsigned min_per_second)
{
    unsigned first = second > 9 ? second - 9 : 0;
    unsigned sum = 0, missing = 100;

    if (model.allowance_used[second] < min_per_second) {
        model.allowance_used[second]++;
        return true;
    }
    for (unsigned i = first; i <= second; i++)
        sum += model.deposits[i];
    if (sum < 100)
        return false;
    for (unsigned i = first; i <= second && missing > 0; i++) {
        unsigned part = model.deposits[i] < missing ? model.deposits[i] : missing;

        model.deposits[i] -= part;
        missing -= part;
    }
    return true;
}

static void it_does_what_the_model_does(void **state)
{
    struct dice dice = {99};
    unsigned second = 0, yes = 0, no = 0;

    (void)state;
    open_budget(35, 1);
    while (second < 380) {
        uint64_t now_us = after_seconds(second) + dice_below(&dice, SECOND_US);
        bool busy = second / 15 % 2 == 0;

        if (dice_below(&dice, 8) == 0) {
            second += (unsigned)dice_below(&dice, dice_below(&dice, 20) == 0 ? 15 : 2);
        } else if (dice_below(&dice, 10) < (busy ? 8 : 3)) {
            retry_budget_deposit(&budget, now_us);
            model.deposits[second] += 35;
        } else {
            bool expected = model_withdraw(second, 1);

            assert_int_equal(retry_budget_withdraw(&budget, now_us), expected);
            yes += expected;
            no += !expected;
        }
    }
    assert_true(yes > 500 && no > 100);
}

static atomic_uint_fast64_t shared_clock;
static atomic_uint extras;
static atomic_uint firsts;

/* An upstream that always fails: whatever may be sent again is. */
static void *fail_always(void *arg)
{
    struct dice dice = {(uint64_t)(uintptr_t)arg};

    for (unsigned i = 0; i < ATTEMPTS; i++) {
        uint64_t now_us = atomic_load(&shared_clock);

        atomic_fetch_add(&firsts, 1);
        retry_budget_deposit(&budget, now_us);
        for (unsigned tries = 0; tries < 3; tries++)
            if (retry_budget_withdraw(&budget, now_us))
                atomic_fetch_add(&extras, 1);
        if (dice_below(&dice, 64) == 0)
            atomic_fetch_add(&shared_clock, SECOND_US / 100);
    }
    return NULL;
}

static void run_threads(void)
{
    pthread_t threads[THREADS];

    atomic_store(&shared_clock, START_US);
    atomic_store(&extras, 0);
    atomic_store(&firsts, 0);
    for (uintptr_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, fail_always, (void *)(i + 1)), 0);
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
}

static void with_every_attempt_failing_on_all_threads_the_extras_are_the_budget(void **state)
{
    unsigned first_share = THREADS * ATTEMPTS / 5;
    unsigned seconds;

    (void)state;
    open_budget(20, 0);
    run_threads();
    assert_int_equal(atomic_load(&firsts), THREADS * ATTEMPTS);
    assert_int_equal(atomic_load(&extras) + withdraw_all(atomic_load(&shared_clock)), first_share);

    open_budget(20, 10);
    run_threads();
    seconds = (unsigned)((atomic_load(&shared_clock) - START_US) / SECOND_US) + 1;
    assert_true(seconds > 10);
    withdraw_all(atomic_load(&shared_clock));
    assert_in_range(atomic_load(&extras), first_share, first_share + 10 * seconds);
}

/* Deposits of one thread, withdrawals of the others, and idle spells in which all expires. */
static void *withdraw_only(void *arg)
{
    (void)arg;
    for (unsigned i = 0; i < 2 * ATTEMPTS; i++)
        if (retry_budget_withdraw(&budget, atomic_load(&shared_clock)))
            atomic_fetch_add(&extras, 1);
    return NULL;
}

static void what_expires_while_others_withdraw_is_never_given_twice(void **state)
{
    pthread_t threads[THREADS];

    (void)state;
    open_budget(100, 0);
    atomic_store(&shared_clock, START_US);
    atomic_store(&extras, 0);
    for (size_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, withdraw_only, NULL), 0);
    for (unsigned i = 0; i < ATTEMPTS; i++) {
        retry_budget_deposit(&budget, atomic_load(&shared_clock));
        if (i % 100 == 0)
            atomic_fetch_add(&shared_clock, 11 * SECOND_US);
    }
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_in_range(atomic_load(&extras), 0, ATTEMPTS);
    withdraw_all(atomic_load(&shared_clock));
    assert_int_equal(atomic_load(&budget.spent), atomic_load(&budget.deposited));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(five_first_attempts_pay_for_one_more),
        cmocka_unit_test(parts_of_tokens_add_up),
        cmocka_unit_test(a_few_are_allowed_each_second_without_any_deposit),
        cmocka_unit_test(the_allowance_comes_on_top_of_deposits),
        cmocka_unit_test(with_neither_nothing_is_allowed),
        cmocka_unit_test(deposits_last_ten_seconds_and_no_longer),
        cmocka_unit_test(the_oldest_deposits_are_spent_first),
        cmocka_unit_test(a_clock_read_a_moment_earlier_does_no_harm),
        cmocka_unit_test(it_does_what_the_model_does),
        cmocka_unit_test(with_every_attempt_failing_on_all_threads_the_extras_are_the_budget),
        cmocka_unit_test(what_expires_while_others_withdraw_is_never_given_twice),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
