/* Delays before retries, and Retry-After, against tables and the C library's calendar. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fanout/backoff.h"
#include "fanout/dice.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define SECOND_US 1000000u
#define FOREVER   UINT64_MAX
/* Sun, 06 Nov 1994 08:49:37 GMT */
#define THEN_S  784111777u
#define THEN_US (THEN_S * (uint64_t)SECOND_US)

static void the_ceiling_doubles_up_to_the_maximum(void **state)
{
    static const struct {
        uint64_t base, max;
        unsigned retry;
        uint64_t ceiling;
    } cases[] = {
        {100, 1000, 0, 0},
        {100, 1000, 1, 100},
        {100, 1000, 2, 200},
        {100, 1000, 4, 800},
        {100, 1000, 5, 1000},
        {100, 1000, 64, 1000},
        {100, 1000, 65, 1000},
        {100, 1000, UINT32_MAX, 1000},
        {100, 50, 1, 50},
        {0, 1000, 1, 0},
        {0, 1000, 70, 0},
        {1, UINT64_MAX, 64, (uint64_t)1 << 63},
        {1, UINT64_MAX, 65, UINT64_MAX},
        {3, UINT64_MAX, 63, (uint64_t)3 << 62},
        {3, UINT64_MAX, 64, UINT64_MAX},
        {4, UINT64_MAX, 63, UINT64_MAX},
        {UINT64_MAX, UINT64_MAX, 1, UINT64_MAX},
        {100, 0, 3, 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_true(backoff_ceiling_us(cases[i].base, cases[i].max, cases[i].retry) ==
                    cases[i].ceiling);
}

static void delays_are_spread_evenly_from_nothing_to_the_ceiling(void **state)
{
    struct dice dice = {1};
    unsigned seen[5] = {0};

    (void)state;
    for (unsigned i = 0; i < 50000; i++) {
        uint64_t delay = backoff_delay_us(1, 4, 3, &dice);

        assert_in_range(delay, 0, 4);
        seen[delay]++;
    }
    for (size_t i = 0; i < 5; i++)
        assert_in_range(seen[i], 9600, 10400);
}

static void delays_are_the_same_again_for_the_same_seed(void **state)
{
    struct dice one = {7}, same = {7}, other = {8};
    unsigned differences = 0;

    (void)state;
    for (unsigned i = 1; i < 100; i++) {
        uint64_t delay = backoff_delay_us(1000, FOREVER, i, &one);

        assert_true(delay == backoff_delay_us(1000, FOREVER, i, &same));
        differences += delay != backoff_delay_us(1000, FOREVER, i, &other);
    }
    assert_in_range(differences, 90, 99);
}

static void the_dice_are_splitmix64(void **state)
{
    struct dice dice = {1234567};

    (void)state;
    assert_true(dice_next(&dice) == 6457827717110365317u);
    assert_true(dice_next(&dice) == 3203168211198807973u);
    for (unsigned i = 0; i < 100; i++)
        assert_int_equal(dice_below(&dice, 1), 0);
}

static bool parse(const char *value, uint64_t max_us, uint64_t *delay_us)
{
    /* Behind the value stands what must not be read. */
    char text[80];

    snprintf(text, sizeof text, "%s9", value);
    return backoff_retry_after_us(text, strlen(value), THEN_US, max_us, delay_us);
}

static void retry_after_is_read_as_seconds_or_as_a_date(void **state)
{
    static const struct {
        const char *value;
        uint64_t delay_us;
    } cases[] = {
        {"0", 0},
        {"1", SECOND_US},
        {"120", 120 * (uint64_t)SECOND_US},
        {"007", 7 * (uint64_t)SECOND_US},
        {"18446744073709551615", FOREVER},
        {"18446744073709551616", FOREVER},
        {"99999999999999999999999999999999", FOREVER},
        {"18446744073709", 18446744073709u * (uint64_t)SECOND_US},
        {"18446744073710", FOREVER},
        {"Sun, 06 Nov 1994 08:49:37 GMT", 0},
        {"Sun, 06 Nov 1994 08:49:36 GMT", 0},
        {"Sun, 06 Nov 1994 08:49:39 GMT", 2 * (uint64_t)SECOND_US},
        {"Mon, 07 Nov 1994 08:49:37 GMT", 86400 * (uint64_t)SECOND_US},
        {"Sun, 06 Nov 1994 08:49:60 GMT", 23 * (uint64_t)SECOND_US},
        {"Thu, 01 Jan 1970 00:00:00 GMT", 0},
        {"Sat, 01 Jan 0000 00:00:00 GMT", 0},
        {"Fri, 31 Dec 9999 23:59:59 GMT", (253402300799u - (uint64_t)THEN_S) * (uint64_t)SECOND_US},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint64_t delay = 42;

        assert_true(parse(cases[i].value, FOREVER, &delay));
        assert_true(delay == cases[i].delay_us);
    }
}

static void anything_else_is_no_retry_after(void **state)
{
    static const char *const values[] = {
        "",
        " ",
        "1 ",
        " 1",
        "+1",
        "-1",
        "1.5",
        "0x10",
        "1s",
        "soon",
        "sun, 06 Nov 1994 08:49:37 GMT",
        "Sun, 06 nov 1994 08:49:37 GMT",
        "Sun, 6 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 8:49:37 GMT",
        "Sun, 06 Nov 94 08:49:37 GMT",
        "Sun, 06 Nov 1994 08:49:37 UTC",
        "Sun, 06 Nov 1994 08:49:37",
        "Sun, 06 Nov 1994 08:49:37 GMT ",
        "Sun, 06 Nov 1994 08:49:37 GMT0",
        "Sun,  6 Nov 1994 08:49:37 GMT",
        "Sun; 06 Nov 1994 08:49:37 GMT",
        "Sun, 06-Nov-1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 08.49.37 GMT",
        "Mon, 06 Nov 1994 08:49:37 GMT",
        "Mon, 00 Nov 1994 08:49:37 GMT",
        "Thu, 31 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 24:00:00 GMT",
        "Sun, 06 Nov 1994 08:60:37 GMT",
        "Sun, 06 Nov 1994 08:49:61 GMT",
        "Thu, 29 Feb 1900 00:00:00 GMT",
        "Wed, 29 Feb 2023 00:00:00 GMT",
        "Sunday, 06-Nov-94 08:49:37 GMT",
        "Sun Nov  6 08:49:37 1994",
        "Sun, 0\x80 Nov 1994 08:49:37 GMT",
        "Sun, 06 Foo 1994 08:49:37 GMT",
    };

    (void)state;
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        uint64_t delay = 42;

        if (parse(values[i], FOREVER, &delay))
            fail_msg("taken for a Retry-After: %s", values[i]);
        assert_int_equal(delay, 42);
    }
}

static void a_nul_byte_is_no_part_of_a_date(void **state)
{
    static const char value[] = "Sun, 06 Nov 1994 08:49:37\0GMT";
    uint64_t delay;

    (void)state;
    assert_false(backoff_retry_after_us(value, 29, THEN_US, FOREVER, &delay));
}

static void retry_after_is_bounded(void **state)
{
    uint64_t delay;

    (void)state;
    assert_true(parse("3600", 5 * SECOND_US, &delay));
    assert_int_equal(delay, 5 * SECOND_US);
    assert_true(parse("Fri, 31 Dec 9999 23:59:59 GMT", 5 * SECOND_US, &delay));
    assert_int_equal(delay, 5 * SECOND_US);
    assert_true(parse("5", 5 * SECOND_US, &delay));
    assert_int_equal(delay, 5 * SECOND_US);
    assert_true(parse("4", 5 * SECOND_US, &delay));
    assert_int_equal(delay, 4 * SECOND_US);
}

static void a_date_counts_from_within_the_second(void **state)
{
    static const char value[] = "Sun, 06 Nov 1994 08:49:38 GMT";
    uint64_t delay;

    (void)state;
    assert_true(backoff_retry_after_us(value, sizeof value - 1, THEN_US + 250000, FOREVER, &delay));
    assert_int_equal(delay, 750000);
}

/* Every day from 1970 to 2400, and thus every kind of year. */
static void dates_are_those_of_the_c_library(void **state)
{
    (void)state;
    for (int64_t day = 1; day < 157000; day++) {
        time_t at = (time_t)(day * 86400 + day % 86400);
        char value[40];
        struct tm parts;
        uint64_t delay;

        gmtime_r(&at, &parts);
        strftime(value, sizeof value, "%a, %d %b %Y %H:%M:%S GMT", &parts);
        assert_true(backoff_retry_after_us(value, strlen(value), 0, FOREVER, &delay));
        assert_true(delay == (uint64_t)at * SECOND_US);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_ceiling_doubles_up_to_the_maximum),
        cmocka_unit_test(delays_are_spread_evenly_from_nothing_to_the_ceiling),
        cmocka_unit_test(delays_are_the_same_again_for_the_same_seed),
        cmocka_unit_test(the_dice_are_splitmix64),
        cmocka_unit_test(retry_after_is_read_as_seconds_or_as_a_date),
        cmocka_unit_test(anything_else_is_no_retry_after),
        cmocka_unit_test(a_nul_byte_is_no_part_of_a_date),
        cmocka_unit_test(retry_after_is_bounded),
        cmocka_unit_test(a_date_counts_from_within_the_second),
        cmocka_unit_test(dates_are_those_of_the_c_library),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
