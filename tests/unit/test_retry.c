/* After which failures a fetch is tried again, and after what time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fanout/clock.h"
#include "fanout/dice.h"
#include "fanout/retry.h"
#include "fanout/upstream.h"

#include <stdio.h>
#include <time.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define MS           1000u
#define SECOND       1000000u
#define DRAWS        2000

static struct status_range statuses[] = {{429, 429}, {502, 504}};

static struct upstream_settings make_settings(void)
{
    return (struct upstream_settings){
        .retry = {.most = 3,
                  .outcomes = 1u << OUTCOME_RESET | 1u << OUTCOME_TIMEOUT |
                              1u << OUTCOME_DNS_FAILURE | 1u << OUTCOME_CONNECT_REFUSED |
                              1u << OUTCOME_CONNECT_TIMEOUT | 1u << OUTCOME_CONNECT_FAILED,
                  .statuses = statuses,
                  .status_count = COUNT(statuses),
                  .backoff_us = 100 * MS,
                  .max_backoff_us = SECOND},
    };
}

static bool is_wanted(const struct upstream_settings *settings, enum method method,
                      enum outcome outcome, unsigned status)
{
    struct fetch_result result = {.outcome = outcome, .status = status};

    return retry_is_wanted(settings, method, &result);
}

static void what_is_idempotent_may_be_sent_again(void **state)
{
    struct upstream_settings settings = make_settings();

    (void)state;
    for (enum method method = 0; method < METHOD_COUNT; method++)
        assert_int_equal(retry_is_safe(&settings, method), method_is_idempotent(method));
    assert_false(retry_is_safe(&settings, METHOD_POST));
    assert_false(retry_is_safe(&settings, METHOD_PATCH));
    assert_true(retry_is_safe(&settings, METHOD_GET));
    assert_true(retry_is_safe(&settings, METHOD_PUT));
}

static void everything_may_where_the_settings_say_so(void **state)
{
    struct upstream_settings settings = make_settings();

    (void)state;
    settings.retry.unsafe = true;
    for (enum method method = 0; method < METHOD_COUNT; method++)
        assert_true(retry_is_safe(&settings, method));
    assert_true(is_wanted(&settings, METHOD_POST, OUTCOME_RESET, 0));
}

static void the_settings_name_the_failures(void **state)
{
    struct upstream_settings settings = make_settings();

    (void)state;
    for (enum outcome outcome = 0; outcome < OUTCOME_COUNT; outcome++)
        if (outcome != OUTCOME_HTTP_STATUS)
            assert_int_equal(is_wanted(&settings, METHOD_GET, outcome, 503),
                             settings.retry.outcomes >> outcome & 1u);
}

static void the_settings_name_the_statuses(void **state)
{
    struct upstream_settings settings = make_settings();

    (void)state;
    for (unsigned status = 100; status < 600; status++)
        assert_int_equal(is_wanted(&settings, METHOD_GET, OUTCOME_HTTP_STATUS, status),
                         status == 429 || (status >= 502 && status <= 504));
}

static void what_was_never_sent_may_be_sent_by_any_method(void **state)
{
    struct upstream_settings settings = make_settings();

    (void)state;
    assert_true(is_wanted(&settings, METHOD_POST, OUTCOME_DNS_FAILURE, 0));
    assert_true(is_wanted(&settings, METHOD_POST, OUTCOME_CONNECT_REFUSED, 0));
    assert_true(is_wanted(&settings, METHOD_POST, OUTCOME_CONNECT_TIMEOUT, 0));
    assert_true(is_wanted(&settings, METHOD_POST, OUTCOME_CONNECT_FAILED, 0));
    assert_false(is_wanted(&settings, METHOD_POST, OUTCOME_RESET, 0));
    assert_false(is_wanted(&settings, METHOD_POST, OUTCOME_TIMEOUT, 0));
    assert_false(is_wanted(&settings, METHOD_POST, OUTCOME_HTTP_STATUS, 503));
}

static void but_only_where_the_settings_name_it(void **state)
{
    struct upstream_settings settings = make_settings();

    (void)state;
    settings.retry.outcomes = 0;
    assert_false(is_wanted(&settings, METHOD_POST, OUTCOME_CONNECT_REFUSED, 0));
    assert_false(is_wanted(&settings, METHOD_GET, OUTCOME_CONNECT_REFUSED, 0));
}

/* ---- the time ---- */

static uint64_t longest_delay_us(unsigned retry, const char *retry_after)
{
    struct upstream_settings settings = make_settings();
    struct fetch_result result = {.outcome = OUTCOME_HTTP_STATUS, .retry_after = retry_after};
    struct dice dice = {.state = 7};
    uint64_t longest_us = 0;

    for (int i = 0; i < DRAWS; i++) {
        uint64_t delay_us = retry_delay_us(&settings, retry, &result, &dice);

        longest_us = delay_us > longest_us ? delay_us : longest_us;
    }
    return longest_us;
}

static uint64_t shortest_delay_us(unsigned retry, const char *retry_after)
{
    struct upstream_settings settings = make_settings();
    struct fetch_result result = {.outcome = OUTCOME_HTTP_STATUS, .retry_after = retry_after};
    struct dice dice = {.state = 7};
    uint64_t shortest_us = CLOCK_NEVER;

    for (int i = 0; i < DRAWS; i++)
        shortest_us = clock_earlier(shortest_us, retry_delay_us(&settings, retry, &result, &dice));
    return shortest_us;
}

static void the_wait_is_random_and_doubles_up_to_the_longest(void **state)
{
    static const uint64_t ceilings_ms[] = {100, 200, 400, 800, 1000, 1000};

    (void)state;
    for (unsigned i = 0; i < COUNT(ceilings_ms); i++) {
        assert_in_range(longest_delay_us(i + 1, NULL), ceilings_ms[i] * MS * 95 / 100,
                        ceilings_ms[i] * MS);
        assert_in_range(shortest_delay_us(i + 1, NULL), 0, ceilings_ms[i] * MS / 20);
    }
}

static void it_is_no_shorter_than_the_upstream_asks_for(void **state)
{
    (void)state;
    assert_int_equal(shortest_delay_us(1, "2"), 2 * SECOND);
    assert_int_equal(longest_delay_us(1, "2"), 2 * SECOND);
}

static void nor_than_the_backoff(void **state)
{
    (void)state;
    assert_int_equal(longest_delay_us(9, "0"), longest_delay_us(9, NULL));
}

static void what_the_upstream_asks_for_may_be_a_date(void **state)
{
    time_t at = (time_t)(clock_wall_us() / SECOND) + 100;
    char date[64];
    struct tm parts;

    (void)state;
    gmtime_r(&at, &parts);
    strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", &parts);
    assert_in_range(shortest_delay_us(1, date), 60 * (uint64_t)SECOND, 100 * (uint64_t)SECOND);
}

static void what_it_asks_for_in_vain_is_as_nothing(void **state)
{
    static const char *const values[] = {"", "soon", "-1", "1.5", "Sun, 06 Nov 1994 08:49:37 GMT"};

    (void)state;
    for (size_t i = 0; i < COUNT(values); i++)
        assert_int_equal(longest_delay_us(1, values[i]), longest_delay_us(1, NULL));
}

static void more_than_any_deadline_is_still_a_time(void **state)
{
    uint64_t delay_us = shortest_delay_us(1, "99999999999999999999999999");

    (void)state;
    assert_in_range(delay_us, 365 * UINT64_C(86400) * SECOND, CLOCK_NEVER / 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_idempotent_may_be_sent_again),
        cmocka_unit_test(everything_may_where_the_settings_say_so),
        cmocka_unit_test(the_settings_name_the_failures),
        cmocka_unit_test(the_settings_name_the_statuses),
        cmocka_unit_test(what_was_never_sent_may_be_sent_by_any_method),
        cmocka_unit_test(but_only_where_the_settings_name_it),
        cmocka_unit_test(the_wait_is_random_and_doubles_up_to_the_longest),
        cmocka_unit_test(it_is_no_shorter_than_the_upstream_asks_for),
        cmocka_unit_test(nor_than_the_backoff),
        cmocka_unit_test(what_the_upstream_asks_for_may_be_a_date),
        cmocka_unit_test(what_it_asks_for_in_vain_is_as_nothing),
        cmocka_unit_test(more_than_any_deadline_is_still_a_time),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
