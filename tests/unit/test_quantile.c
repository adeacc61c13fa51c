/*
 * Quantiles against sorted samples of several distributions; how long values
 * count; and all threads at it at once.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fanout/dice.h"
#include "fanout/quantile.h"

#include <pthread.h>
#include <stdlib.h>

#define SECOND_US   1000000u
#define START_US    (1234 * (uint64_t)SECOND_US)
#define SAMPLES     20000
#define THREADS     4
#define EACH        20000
#define LARGEST_OFF (1.0 / 64)

static struct quantile quantile;

static void open_quantile(uint64_t min_count)
{
    quantile_init(&quantile, min_count, START_US);
}

static void add(uint64_t value_us, size_t count, uint64_t now_us)
{
    for (size_t i = 0; i < count; i++)
        quantile_add(&quantile, value_us, now_us);
}

static uint64_t read_part(double part, uint64_t now_us)
{
    uint64_t value_us;

    assert_true(quantile_read(&quantile, part, now_us, &value_us));
    return value_us;
}

static void is_close(uint64_t value, uint64_t exact)
{
    double off = ((double)value - (double)exact) / (double)exact;

    if (value != exact && (off > LARGEST_OFF || off < -LARGEST_OFF))
        fail_msg("%llu is off by %.2f %% from %llu", (unsigned long long)value, off * 100,
                 (unsigned long long)exact);
}

static uint64_t even(struct dice *dice)
{
    return dice_below(dice, 2000000);
}

/* From 4 us to minutes, each doubling about as likely as the next: a long tail. */
static uint64_t long_tailed(struct dice *dice)
{
    uint64_t doublings = dice_below(dice, 8) + dice_below(dice, 9) + dice_below(dice, 9);

    return ((uint64_t)4 << doublings) + dice_below(dice, (uint64_t)4 << doublings);
}

/* About exponential, mean 20 ms: milliseconds, of which each is the last with one chance in 20. */
static uint64_t exponential(struct dice *dice)
{
    uint64_t waited = dice_below(dice, 1000);

    while (dice_below(dice, 20) != 0)
        waited += 1000;
    return waited;
}

static uint64_t two_humped(struct dice *dice)
{
    return dice_below(dice, 10) == 0 ? 800000 + dice_below(dice, 100000)
                                     : 900 + dice_below(dice, 300);
}

static uint64_t constant(struct dice *dice)
{
    (void)dice;
    return 123457;
}

static uint64_t tiny(struct dice *dice)
{
    return dice_below(dice, 70);
}

static int compare(const void *left, const void *right)
{
    uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;

    return a < b ? -1 : a > b;
}

/* One of the values, on the rank that the header gives. */
static uint64_t exact_part(const uint64_t *sorted, size_t count, unsigned thousandths)
{
    size_t rank = (count * thousandths + 999) / 1000;

    return sorted[rank > 0 ? rank - 1 : 0];
}

static void answers_are_within_a_64th_of_sorted_samples(void **state)
{
    static uint64_t (*const draw[])(struct dice *) = {even,       long_tailed, exponential,
                                                      two_humped, constant,    tiny};
    static const unsigned thousandths[] = {0, 1, 10, 250, 500, 750, 900, 950, 990, 995, 999, 1000};
    static uint64_t samples[SAMPLES];
    struct dice dice = {5};

    (void)state;
    for (size_t i = 0; i < sizeof draw / sizeof draw[0]; i++) {
        open_quantile(1);
        for (size_t n = 0; n < SAMPLES; n++) {
            samples[n] = draw[i](&dice);
            quantile_add(&quantile, samples[n], START_US + n * 2000);
        }
        qsort(samples, SAMPLES, sizeof samples[0], compare);
        for (size_t t = 0; t < sizeof thousandths / sizeof thousandths[0]; t++)
            is_close(read_part(thousandths[t] / 1000.0, START_US + SAMPLES * 2000),
                     exact_part(samples, SAMPLES, thousandths[t]));
    }
}

static void every_value_comes_back_within_a_64th(void **state)
{
    (void)state;
    for (uint64_t value = 0; value <= QUANTILE_MOST_US; value += 1 + value / 300) {
        open_quantile(1);
        add(value, 1, START_US);
        is_close(read_part(0.5, START_US), value);
        if (value < 32)
            assert_int_equal(read_part(0.5, START_US), value);
    }
}

static void too_long_a_time_counts_as_the_longest(void **state)
{
    (void)state;
    open_quantile(1);
    add(UINT64_MAX, 1, START_US);
    is_close(read_part(1, START_US), QUANTILE_MOST_US);
    add((uint64_t)1 << 32, 1, START_US);
    is_close(read_part(0, START_US), QUANTILE_MOST_US);
}

static void ranks_are_the_nearest(void **state)
{
    (void)state;
    open_quantile(1);
    for (uint64_t value = 1; value <= 20; value++)
        add(value, 1, START_US);
    assert_int_equal(read_part(0, START_US), 1);
    assert_int_equal(read_part(0.05, START_US), 1);
    assert_int_equal(read_part(0.051, START_US), 2);
    assert_int_equal(read_part(0.5, START_US), 10);
    assert_int_equal(read_part(0.95, START_US), 19);
    assert_int_equal(read_part(0.951, START_US), 20);
    assert_int_equal(read_part(0.999, START_US), 20);
    assert_int_equal(read_part(1, START_US), 20);
}

static void there_is_no_answer_from_too_few(void **state)
{
    uint64_t value_us = 42;

    (void)state;
    open_quantile(100);
    add(10, 99, START_US);
    assert_false(quantile_read(&quantile, 0.5, START_US, &value_us));
    assert_int_equal(value_us, 42);
    add(10, 1, START_US);
    assert_int_equal(read_part(0.5, START_US), 10);
    open_quantile(0);
    assert_false(quantile_read(&quantile, 0.5, START_US, &value_us));
}

static void values_count_for_a_minute(void **state)
{
    uint64_t minute_us = 60 * (uint64_t)SECOND_US;

    (void)state;
    for (uint64_t at_us = START_US; at_us < START_US + minute_us; at_us += 3100000) {
        open_quantile(1);
        add(7, 10, at_us);
        assert_int_equal(quantile_count(&quantile, at_us + minute_us - 1), 10);
        assert_int_equal(quantile_count(&quantile, at_us + minute_us + QUANTILE_TURN_US), 0);
    }
}

static void new_values_take_the_place_of_old_ones(void **state)
{
    (void)state;
    open_quantile(1);
    for (uint64_t second = 0; second < 300; second++) {
        add(second < 150 ? 20 : 30, 10, START_US + second * SECOND_US);
        if (second >= 149 && second < 150 + 28)
            assert_int_equal(read_part(0.5, START_US + second * SECOND_US), 20);
        if (second >= 150 + 38)
            assert_int_equal(read_part(0.5, START_US + second * SECOND_US), 30);
        assert_in_range(quantile_count(&quantile, START_US + second * SECOND_US),
                        second < 59 ? 10 * (second + 1) : 600, 750);
    }
}

static void after_an_idle_spell_all_is_forgotten(void **state)
{
    static const uint64_t idle_seconds[] = {75, 76, 89, 90, 150, 86400, 40000000};

    (void)state;
    for (size_t i = 0; i < sizeof idle_seconds / sizeof idle_seconds[0]; i++) {
        uint64_t later_us = START_US + (74 + idle_seconds[i]) * SECOND_US;

        open_quantile(1);
        for (uint64_t second = 0; second < 75; second++)
            add(20, 1, START_US + second * SECOND_US);
        add(30, 1, later_us);
        assert_int_equal(quantile_count(&quantile, later_us), 1);
        assert_int_equal(read_part(0.5, later_us), 30);
    }
}

static void a_clock_read_a_moment_earlier_does_no_harm(void **state)
{
    (void)state;
    open_quantile(1);
    add(20, 1, START_US + 100 * (uint64_t)SECOND_US);
    add(20, 1, START_US + 80 * (uint64_t)SECOND_US);
    assert_int_equal(quantile_count(&quantile, START_US), 2);
}

static void it_is_small(void **state)
{
    (void)state;
    assert_true(sizeof quantile < 16 * 1024);
}

static void a_watch_looks_again_when_its_answer_is_old(void **state)
{
    struct quantile_watch watch = {.quantile = &quantile, .part = 0.5, .max_age_us = 1000};
    uint64_t value_us = 42;

    (void)state;
    open_quantile(2);
    add(10, 1, START_US);
    assert_false(quantile_watch_read(&watch, START_US, &value_us));
    assert_int_equal(value_us, 42);
    add(10, 1, START_US);
    assert_false(quantile_watch_read(&watch, START_US + 999, &value_us));
    assert_true(quantile_watch_read(&watch, START_US + 1000, &value_us));
    assert_int_equal(value_us, 10);
    add(20, 100, START_US + 1000);
    assert_true(quantile_watch_read(&watch, START_US + 1999, &value_us));
    assert_int_equal(value_us, 10);
    assert_true(quantile_watch_read(&watch, START_US + 2000, &value_us));
    assert_int_equal(value_us, 20);
    assert_false(quantile_watch_read(&watch, START_US + 90 * (uint64_t)SECOND_US, &value_us));
}

static void *add_many(void *arg)
{
    struct dice dice = {(uint64_t)(uintptr_t)arg};

    for (unsigned i = 0; i < EACH; i++)
        quantile_add(&quantile, 1000 + dice_below(&dice, 1000), START_US);
    return NULL;
}

static void no_value_of_any_thread_is_lost(void **state)
{
    pthread_t threads[THREADS];

    (void)state;
    open_quantile(1);
    for (uintptr_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, add_many, (void *)(i + 1)), 0);
    for (unsigned i = 0; i < 100; i++) {
        uint64_t value_us = 1000;

        quantile_read(&quantile, 0.9, START_US, &value_us);
        assert_in_range(value_us, 990, 2010);
    }
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(quantile_count(&quantile, START_US), THREADS * EACH);
    is_close(read_part(0.5, START_US), 1500);
}

static void *add_through_turns(void *arg)
{
    for (uint64_t i = 0; i < EACH; i++)
        quantile_add(&quantile, 1000, START_US + i * 30000 + (uint64_t)(uintptr_t)arg);
    return NULL;
}

/* 10 minutes, each thread with a clock of its own speed: few are lost or counted too long. */
static void turns_may_come_while_all_threads_add(void **state)
{
    uint64_t end_us = START_US + (uint64_t)EACH * 30000;
    pthread_t threads[THREADS];
    uint64_t value_us;

    (void)state;
    open_quantile(1);
    for (uintptr_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, add_through_turns, (void *)i), 0);
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    /* How many remain depends on how far ahead the fastest thread was. */
    assert_in_range(quantile_count(&quantile, end_us), 0, THREADS * EACH);
    if (quantile_read(&quantile, 0.99, end_us, &value_us))
        is_close(value_us, 1000);
    assert_int_equal(quantile_count(&quantile, end_us + 75 * (uint64_t)SECOND_US), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_are_within_a_64th_of_sorted_samples),
        cmocka_unit_test(every_value_comes_back_within_a_64th),
        cmocka_unit_test(too_long_a_time_counts_as_the_longest),
        cmocka_unit_test(ranks_are_the_nearest),
        cmocka_unit_test(there_is_no_answer_from_too_few),
        cmocka_unit_test(values_count_for_a_minute),
        cmocka_unit_test(new_values_take_the_place_of_old_ones),
        cmocka_unit_test(after_an_idle_spell_all_is_forgotten),
        cmocka_unit_test(a_clock_read_a_moment_earlier_does_no_harm),
        cmocka_unit_test(it_is_small),
        cmocka_unit_test(a_watch_looks_again_when_its_answer_is_old),
        cmocka_unit_test(no_value_of_any_thread_is_lost),
        cmocka_unit_test(turns_may_come_while_all_threads_add),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
