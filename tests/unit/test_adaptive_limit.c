/* The rules of the adaptive limit one by one, and all threads at once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fanout/dice.h"
#include "tests/unit/adaptive_limit_world.h"

#include <pthread.h>

#define THREADS 4

static const struct adaptive_limit_settings at_the_maximum = {.min = 1, .max = 20, .initial = 20};

static void assert_limit(unsigned expected)
{
    assert_int_equal(adaptive_limit_get(&limit), expected);
}

static void assert_baseline(uint64_t least_us, uint64_t most_us)
{
    assert_in_range(adaptive_limit_baseline_us(&limit), least_us, most_us);
}

/* One window of calls that all take as long, with so many in flight. True: the limit changed. */
static bool window(uint64_t took_us, unsigned in_flight, unsigned dropped_in_ten)
{
    bool changed = false;
    unsigned count = 0;

    now_us += took_us;
    do {
        enum adaptive_verdict verdict =
            count++ % 10 < dropped_in_ten ? ADAPTIVE_DROPPED : ADAPTIVE_FINISHED;

        now_us += 2000;
        changed = adaptive_limit_report(&limit, now_us - took_us, in_flight, verdict, now_us);
    } while (limit.window.finished + limit.window.dropped > 0);
    return changed;
}

static void many_windows(unsigned count, uint64_t took_us, unsigned in_flight,
                         unsigned dropped_in_ten)
{
    while (count-- > 0)
        window(took_us, in_flight, dropped_in_ten);
}

static void windows_change_nothing(unsigned count, uint64_t took_us, unsigned in_flight,
                                   unsigned dropped_in_ten)
{
    while (count-- > 0)
        assert_false(window(took_us, in_flight, dropped_in_ten));
}

static void without_a_word_the_limit_is_the_initial_one(void **state)
{
    (void)state;
    assert_limit(10);
    assert_baseline(0, 0);
}

static void the_baseline_is_the_time_of_a_call(void **state)
{
    (void)state;
    for (uint64_t took_us = 2; took_us < 100 * SECOND; took_us = took_us * 5 / 4 + 1) {
        start_over(&usual);
        window(took_us, 1, 0);
        assert_baseline(took_us * 98 / 100 - 1, took_us * 102 / 100 + 1);
    }
}

static void it_rises_only_while_it_is_used_up(void **state)
{
    (void)state;
    windows_change_nothing(50, 1000, 8, 0);
    window(1000, 10, 0);
    assert_limit(11);
}

static void it_falls_only_while_it_is_used_up(void **state)
{
    (void)state;
    window(1000, 1, 0);
    for (unsigned i = 0; i < 50; i++)
        assert_false(window(1000 + 1000 * i, 8, 0));
    windows_change_nothing(50, 1000, 8, 10);
    window(1000000, 10, 0);
    assert_limit(5);
}

static void a_cut_in_vain_is_taken_back(void **state)
{
    (void)state;
    window(1000, 10, 0);
    assert_true(window(2000, 10, 0));
    assert_limit(5);
    assert_true(window(2000, 10, 0));
    assert_limit(10);
    assert_baseline(1960, 2040);
}

static void a_cut_that_helps_stays(void **state)
{
    (void)state;
    window(1000, 10, 0);
    window(2000, 10, 0);
    assert_false(window(1050, 5, 0));
    assert_limit(5);
    assert_baseline(990, 1040);
    assert_true(window(1050, 5, 0));
    assert_limit(6);
}

static void it_is_cut_again_while_calls_stay_slow(void **state)
{
    (void)state;
    window(1000, 10, 0);
    window(8000, 10, 0);
    assert_limit(5);
    assert_true(window(4000, 5, 0));
    assert_limit(2);
    assert_baseline(980, 1020);
}

static void after_an_outage_it_returns_fast(void **state)
{
    unsigned windows = 0;

    (void)state;
    while (adaptive_limit_get(&limit) < 100)
        window(1000, 1000, 0);
    window(2000, 1000, 0);
    window(1000, 1000, 0);
    while (adaptive_limit_get(&limit) > 1)
        window(1000, 1000, 10);
    for (; adaptive_limit_get(&limit) < 60; windows++)
        window(1000, 1000, 0);
    assert_in_range(windows, 5, 25);
}

static void a_moment_is_too_short_to_judge(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 1000; i++)
        adaptive_limit_report(&limit, now_us, 10, ADAPTIVE_FINISHED, now_us + 1000 + 49 * i);
    assert_baseline(0, 0);
}

static void a_little_slower_is_not_slow(void **state)
{
    (void)state;
    window(1000, 10, 0);
    window(1140, 10, 0);
    assert_limit(11);
    window(1170, 11, 0);
    assert_limit(5);
}

static void faster_calls_lower_the_baseline_at_once(void **state)
{
    (void)state;
    window(8000, 5, 0);
    window(2000, 5, 0);
    assert_baseline(1960, 2040);
}

static void slower_calls_at_low_load_raise_the_baseline_slowly(void **state)
{
    (void)state;
    window(1000, 5, 0);
    window(2000, 5, 0);
    assert_baseline(1030, 1150);
    many_windows(50, 2000, 5, 0);
    assert_baseline(1900, 2040);
}

static void at_the_maximum_a_doubtful_baseline_is_tried(void **state)
{
    (void)state;
    start_over(&at_the_maximum);
    /* It began where calls waited for each other. */
    window(4000, 20, 0);
    assert_true(window(4000, 20, 0));
    assert_limit(10);
    window(2000, 10, 0);
    assert_baseline(1960, 2040);
    assert_limit(10);
}

static void at_the_maximum_a_baseline_that_proved_right_is_left_alone(void **state)
{
    (void)state;
    start_over(&at_the_maximum);
    window(4000, 20, 0);
    assert_true(window(4000, 20, 0));
    assert_true(window(4000, 10, 0));
    assert_limit(20);
    windows_change_nothing(20, 4000, 20, 0);
}

static void dropped_calls_lower_the_limit(void **state)
{
    (void)state;
    window(1000, 10, 0);
    assert_true(window(1000, 10, 1));
    assert_limit(8);
    many_windows(20, 1000, 1000, 10);
    assert_limit(1);
    many_windows(30, 1000, 1000, 0);
    assert_true(adaptive_limit_get(&limit) > 100);
}

static void it_stays_within_its_bounds(void **state)
{
    struct adaptive_limit_settings settings = {.min = 4, .max = 12, .initial = 6};

    (void)state;
    start_over(&settings);
    for (unsigned i = 0; i < 30; i++) {
        window(1000, 100, 0);
        assert_in_range(adaptive_limit_get(&limit), 6, 12);
    }
    assert_limit(12);
    for (unsigned i = 0; i < 30; i++) {
        window(1000, 100, 10);
        assert_in_range(adaptive_limit_get(&limit), 4, 12);
    }
    assert_limit(4);
}

static void what_says_nothing_counts_for_nothing(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 1000; i++)
        assert_false(
            adaptive_limit_report(&limit, now_us, 10, ADAPTIVE_IGNORED, now_us + i * SECOND / 100));
    assert_baseline(0, 0);
}

static void calls_begun_before_a_change_do_not_count(void **state)
{
    uint64_t before_us = START_US;

    (void)state;
    window(1000, 10, 0);
    window(1000, 10, 0);
    assert_limit(11);
    for (unsigned i = 0; i < 1000; i++)
        assert_false(adaptive_limit_report(&limit, before_us, 11, ADAPTIVE_DROPPED,
                                           now_us + i * SECOND / 100));
    assert_limit(11);
}

static void a_few_calls_are_enough_when_they_take_long(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 20; i++, now_us += SECOND / 3)
        adaptive_limit_report(&limit, now_us, 1, ADAPTIVE_FINISHED, now_us + 3000);
    assert_baseline(2900, 3100);
}

static void calls_of_long_ago_do_not_count(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 100; i++, now_us += 2 * SECOND)
        adaptive_limit_report(&limit, now_us, 1, ADAPTIVE_FINISHED, now_us + 3000);
    assert_baseline(0, 0);
}

static void *report_often(void *arg)
{
    struct dice dice = {(uint64_t)(uintptr_t)arg};

    for (uint64_t i = 0; i < 20000; i++) {
        uint64_t at_us = START_US + i * 1000;

        adaptive_limit_report(&limit, at_us - 500 - dice_below(&dice, 100),
                              adaptive_limit_get(&limit),
                              (enum adaptive_verdict)dice_below(&dice, 3), at_us);
    }
    return NULL;
}

static void all_threads_may_report(void **state)
{
    pthread_t threads[THREADS];

    (void)state;
    for (uintptr_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, report_often, (void *)(i + 1)), 0);
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_limit(1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(without_a_word_the_limit_is_the_initial_one),
        TEST(the_baseline_is_the_time_of_a_call),
        TEST(it_rises_only_while_it_is_used_up),
        TEST(it_falls_only_while_it_is_used_up),
        TEST(a_cut_in_vain_is_taken_back),
        TEST(a_cut_that_helps_stays),
        TEST(it_is_cut_again_while_calls_stay_slow),
        TEST(after_an_outage_it_returns_fast),
        TEST(a_moment_is_too_short_to_judge),
        TEST(a_little_slower_is_not_slow),
        TEST(faster_calls_lower_the_baseline_at_once),
        TEST(at_the_maximum_a_doubtful_baseline_is_tried),
        TEST(at_the_maximum_a_baseline_that_proved_right_is_left_alone),
        TEST(slower_calls_at_low_load_raise_the_baseline_slowly),
        TEST(dropped_calls_lower_the_limit),
        TEST(it_stays_within_its_bounds),
        TEST(what_says_nothing_counts_for_nothing),
        TEST(calls_begun_before_a_change_do_not_count),
        TEST(a_few_calls_are_enough_when_they_take_long),
        TEST(calls_of_long_ago_do_not_count),
        TEST(all_threads_may_report),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
