/* The breaker: its rules one by one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/breaker_world.h"

#include <string.h>

static const struct breaker_settings usual = {
    .failure_percent = 50,
    .min_calls = 10,
    .max_consecutive = 0,
    .window_us = 10 * SECOND,
    .open_us = SECOND,
    .max_open_us = 5 * SECOND,
    .max_probes = 2,
    .close_after = 3,
};

static bool report(struct breaker_pass pass, enum breaker_verdict verdict)
{
    return breaker_report(&breaker, pass, verdict, now_us);
}

static struct breaker_pass admit_as(enum breaker_admission expected)
{
    struct breaker_pass pass = breaker_admit(&breaker, now_us);

    assert_int_equal(pass.admission, expected);
    return pass;
}

static void calls(unsigned count, enum breaker_verdict verdict)
{
    while (count-- > 0)
        assert_false(report(admit_as(BREAKER_ADMITTED), verdict));
}

/* One more failure, which opens it. */
static void last_failure(void)
{
    assert_true(report(admit_as(BREAKER_ADMITTED), BREAKER_FAILURE));
    assert_int_equal(look().state, BREAKER_OPEN);
}

static void trip(void)
{
    calls(9, BREAKER_FAILURE);
    last_failure();
}

static void probe(enum breaker_verdict verdict, bool changes)
{
    assert_int_equal(report(admit_as(BREAKER_PROBE), verdict), changes);
}

static void close_by_probes(void)
{
    probe(BREAKER_SUCCESS, false);
    probe(BREAKER_SUCCESS, false);
    probe(BREAKER_SUCCESS, true);
    assert_int_equal(look().state, BREAKER_CLOSED);
}

static void it_opens_at_the_failure_rate(void **state)
{
    (void)state;
    open_world(&usual);
    calls(11, BREAKER_SUCCESS);
    calls(10, BREAKER_FAILURE);
    last_failure();
    admit_as(BREAKER_REFUSED);
    assert_int_equal(look().calls, 22);
    assert_int_equal(look().failures, 11);
}

static void it_needs_a_minimum_of_calls(void **state)
{
    (void)state;
    open_world(&usual);
    calls(9, BREAKER_FAILURE);
    last_failure();
}

static void a_success_never_opens_it(void **state)
{
    (void)state;
    open_world(&usual);
    calls(9, BREAKER_FAILURE);
    calls(1, BREAKER_SUCCESS);
    assert_int_equal(look().state, BREAKER_CLOSED);
    last_failure();
}

static void ignored_calls_count_for_nothing(void **state)
{
    (void)state;
    open_world(&usual);
    calls(100, BREAKER_IGNORED);
    calls(9, BREAKER_FAILURE);
    calls(100, BREAKER_IGNORED);
    assert_int_equal(look().calls, 9);
    last_failure();
}

static void failures_leave_the_window(void **state)
{
    (void)state;
    open_world(&usual);
    calls(9, BREAKER_FAILURE);
    now_us += 9 * SECOND;
    assert_int_equal(look().failures, 9);
    now_us += SECOND;
    assert_int_equal(look().failures, 0);
    calls(9, BREAKER_FAILURE);
    now_us += 9 * SECOND + 999 * MS;
    assert_int_equal(look().failures, 9);
    last_failure();
}

static void a_run_of_failures_opens_it(void **state)
{
    struct breaker_settings settings = usual;

    (void)state;
    settings.max_consecutive = 4;
    settings.min_calls = 1000;
    open_world(&settings);
    calls(3, BREAKER_FAILURE);
    calls(1, BREAKER_SUCCESS);
    calls(3, BREAKER_FAILURE);
    calls(7, BREAKER_IGNORED);
    assert_int_equal(look().consecutive, 3);
    now_us += 1000 * SECOND;
    last_failure();
}

static void with_both_rules_off_it_never_opens(void **state)
{
    struct breaker_settings settings = usual;

    (void)state;
    settings.failure_percent = 0;
    open_world(&settings);
    calls(10000, BREAKER_FAILURE);
    assert_int_equal(look().state, BREAKER_CLOSED);
}

static void at_a_hundred_percent_one_success_keeps_it_closed(void **state)
{
    struct breaker_settings settings = usual;

    (void)state;
    settings.failure_percent = 100;
    open_world(&settings);
    calls(1, BREAKER_SUCCESS);
    calls(1000, BREAKER_FAILURE);
    now_us += 10 * SECOND;
    trip();
}

static void it_stays_open_for_its_time(void **state)
{
    (void)state;
    open_world(&usual);
    trip();
    assert_int_equal(look().opens_probes_in_us, SECOND);
    now_us += SECOND - 1;
    admit_as(BREAKER_REFUSED);
    assert_int_equal(look().opens_probes_in_us, 1);
    now_us += 1;
    assert_int_equal(look().state, BREAKER_OPEN);
    assert_int_equal(look().opens_probes_in_us, 0);
    report(admit_as(BREAKER_PROBE), BREAKER_IGNORED);
    assert_int_equal(look().state, BREAKER_HALF_OPEN);
}

static void only_so_many_probes_are_out_at_once(void **state)
{
    struct breaker_pass first, second;

    (void)state;
    open_world(&usual);
    trip();
    now_us += SECOND;
    first = admit_as(BREAKER_PROBE);
    second = admit_as(BREAKER_PROBE);
    admit_as(BREAKER_REFUSED);
    assert_false(report(first, BREAKER_SUCCESS));
    first = admit_as(BREAKER_PROBE);
    admit_as(BREAKER_REFUSED);
    assert_false(report(second, BREAKER_SUCCESS));
    assert_true(report(first, BREAKER_SUCCESS));
    admit_as(BREAKER_ADMITTED);
}

static void a_cancelled_probe_gives_its_place_back(void **state)
{
    (void)state;
    open_world(&usual);
    trip();
    now_us += SECOND;
    for (unsigned i = 0; i < 100; i++)
        probe(BREAKER_IGNORED, false);
    assert_int_equal(look().probes_out, 0);
    assert_int_equal(look().successes, 0);
    close_by_probes();
}

static void a_failed_probe_opens_it_for_longer_each_time(void **state)
{
    static const uint64_t seconds[] = {1, 2, 4, 5, 5, 5};

    (void)state;
    open_world(&usual);
    trip();
    for (size_t i = 0; i < sizeof seconds / sizeof seconds[0]; i++) {
        assert_int_equal(look().opens_probes_in_us, seconds[i] * SECOND);
        now_us += seconds[i] * SECOND - 1;
        admit_as(BREAKER_REFUSED);
        now_us += 1;
        probe(BREAKER_SUCCESS, false);
        probe(BREAKER_FAILURE, true);
        assert_int_equal(look().times_opened, i + 2);
    }
}

static void a_probe_that_fails_late_is_a_repeat_too(void **state)
{
    struct breaker_pass pass;

    (void)state;
    open_world(&usual);
    trip();
    now_us += SECOND;
    pass = admit_as(BREAKER_PROBE);
    now_us += 60 * SECOND;
    assert_true(report(pass, BREAKER_FAILURE));
    assert_int_equal(look().opens_probes_in_us, 2 * SECOND);
}

static void what_opened_it_stays_to_be_seen(void **state)
{
    (void)state;
    open_world(&usual);
    calls(3, BREAKER_SUCCESS);
    now_us += 12 * SECOND;
    trip();
    now_us += 100 * SECOND;
    assert_int_equal(look().calls, 10);
    assert_int_equal(look().failures, 10);
}

static void the_longest_time_is_kept_however_often_it_opens(void **state)
{
    (void)state;
    open_world(&usual);
    trip();
    for (unsigned i = 0; i < 200; i++) {
        now_us += 5 * SECOND;
        probe(BREAKER_FAILURE, true);
    }
    assert_int_equal(look().opens_probes_in_us, 5 * SECOND);
}

static void opening_again_soon_after_closing_is_a_repeat(void **state)
{
    (void)state;
    open_world(&usual);
    trip();
    now_us += SECOND;
    close_by_probes();
    now_us += 10 * SECOND - 1;
    trip();
    assert_int_equal(look().opens_probes_in_us, 2 * SECOND);
    now_us += 2 * SECOND;
    close_by_probes();
    now_us += 10 * SECOND;
    trip();
    assert_int_equal(look().opens_probes_in_us, SECOND);
}

static void successes_do_not_add_up_over_half_open_times(void **state)
{
    (void)state;
    open_world(&usual);
    trip();
    now_us += SECOND;
    probe(BREAKER_SUCCESS, false);
    probe(BREAKER_SUCCESS, false);
    probe(BREAKER_FAILURE, true);
    now_us += 2 * SECOND;
    close_by_probes();
}

static void after_closing_the_window_is_empty(void **state)
{
    (void)state;
    open_world(&usual);
    trip();
    now_us += SECOND;
    close_by_probes();
    assert_int_equal(look().calls, 0);
    trip();
}

static void what_was_asked_before_a_change_counts_for_nothing(void **state)
{
    struct breaker_pass old = {BREAKER_REFUSED, 0};

    (void)state;
    open_world(&usual);
    old = admit_as(BREAKER_ADMITTED);
    trip();
    assert_false(report(old, BREAKER_FAILURE));
    now_us += SECOND;
    report(admit_as(BREAKER_PROBE), BREAKER_IGNORED);
    assert_false(report(old, BREAKER_FAILURE));
    assert_false(report(old, BREAKER_SUCCESS));
    assert_int_equal(look().successes, 0);
    close_by_probes();
    assert_false(report(old, BREAKER_FAILURE));
    assert_int_equal(look().calls, 0);
}

static void an_old_probe_takes_up_a_place_but_decides_nothing(void **state)
{
    struct breaker_pass old;

    (void)state;
    open_world(&usual);
    trip();
    now_us += SECOND;
    old = admit_as(BREAKER_PROBE);
    probe(BREAKER_FAILURE, true);
    now_us += 2 * SECOND;
    assert_int_equal(look().probes_out, 1);
    probe(BREAKER_SUCCESS, false);
    assert_false(report(old, BREAKER_FAILURE));
    assert_int_equal(look().state, BREAKER_HALF_OPEN);
    assert_int_equal(look().probes_out, 0);
}

static void a_refused_call_has_nothing_to_report(void **state)
{
    (void)state;
    open_world(&usual);
    trip();
    assert_false(report(admit_as(BREAKER_REFUSED), BREAKER_SUCCESS));
    assert_int_equal(look().probes_out, 0);
}

static void it_says_how_it_stands(void **state)
{
    char text[BREAKER_TEXT_SIZE];
    struct breaker_view view;

    (void)state;
    open_world(&usual);
    view = look();
    assert_string_equal(breaker_print(&view, text), "closed");
    calls(2, BREAKER_SUCCESS);
    calls(1, BREAKER_FAILURE);
    view = look();
    assert_string_equal(breaker_print(&view, text),
                        "closed: 1 of 3 calls failed (33 %), the last 1 in a row");
    calls(6, BREAKER_FAILURE);
    last_failure();
    now_us += 600 * MS;
    view = look();
    assert_string_equal(breaker_print(&view, text),
                        "open for 0.4 s more: 8 of 10 calls failed (80 %), the last 8 in a row");
    now_us += 100 * SECOND;
    view = look();
    assert_string_equal(
        breaker_print(&view, text),
        "open, the next call is a probe: 8 of 10 calls failed (80 %), the last 8 in a row");
    report(admit_as(BREAKER_PROBE), BREAKER_SUCCESS);
    admit_as(BREAKER_PROBE);
    view = look();
    assert_string_equal(breaker_print(&view, text),
                        "half-open, 1 probes out, 1 succeeded: 8 of 10 calls failed (80 %), "
                        "the last 8 in a row");
    view = (struct breaker_view){BREAKER_HALF_OPEN, UINT64_MAX, UINT32_MAX, UINT32_MAX,
                                 UINT32_MAX,        UINT32_MAX, UINT32_MAX, UINT64_MAX};
    assert_true(strlen(breaker_print(&view, text)) < BREAKER_TEXT_SIZE - 1);
    view.state = BREAKER_OPEN;
    assert_true(strlen(breaker_print(&view, text)) < BREAKER_TEXT_SIZE - 1);
}

#define BREAKER_TEST(test) cmocka_unit_test_teardown(test, close_world)

int main(void)
{
    const struct CMUnitTest tests[] = {
        BREAKER_TEST(it_opens_at_the_failure_rate),
        BREAKER_TEST(it_needs_a_minimum_of_calls),
        BREAKER_TEST(a_success_never_opens_it),
        BREAKER_TEST(ignored_calls_count_for_nothing),
        BREAKER_TEST(failures_leave_the_window),
        BREAKER_TEST(a_run_of_failures_opens_it),
        BREAKER_TEST(with_both_rules_off_it_never_opens),
        BREAKER_TEST(at_a_hundred_percent_one_success_keeps_it_closed),
        BREAKER_TEST(it_stays_open_for_its_time),
        BREAKER_TEST(only_so_many_probes_are_out_at_once),
        BREAKER_TEST(a_cancelled_probe_gives_its_place_back),
        BREAKER_TEST(a_failed_probe_opens_it_for_longer_each_time),
        BREAKER_TEST(a_probe_that_fails_late_is_a_repeat_too),
        BREAKER_TEST(what_opened_it_stays_to_be_seen),
        BREAKER_TEST(the_longest_time_is_kept_however_often_it_opens),
        BREAKER_TEST(opening_again_soon_after_closing_is_a_repeat),
        BREAKER_TEST(successes_do_not_add_up_over_half_open_times),
        BREAKER_TEST(after_closing_the_window_is_empty),
        BREAKER_TEST(what_was_asked_before_a_change_counts_for_nothing),
        BREAKER_TEST(an_old_probe_takes_up_a_place_but_decides_nothing),
        BREAKER_TEST(a_refused_call_has_nothing_to_report),
        BREAKER_TEST(it_says_how_it_stands),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
