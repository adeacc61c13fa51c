/* The options of policies: what the defaults are, how each is read and printed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/config_file.h"

#include "fanout/clock.h"

#define MS     UINT64_C(1000)
#define SECOND UINT64_C(1000000)

#define GOOD "upstream a { url = http://h/ }\n"

/* One upstream with these options. */
#define A(options) "upstream a { url = http://h/ " options " }\n"

static void the_policies_of_an_upstream_have_their_defaults(void **state)
{
    struct config *config = config_text_good(GOOD);
    const struct upstream_settings *upstream = &config->upstreams[0];
    const struct retry_settings *retry = &upstream->retry;

    (void)state;
    assert_true(upstream->attempt_timeout_us == CLOCK_NEVER);
    assert_string_equal(upstream->deadline_header, "X-Request-Deadline-Ms");
    assert_int_equal(retry->most, 0);
    assert_int_equal(retry->outcomes, 1u << OUTCOME_CONNECT_REFUSED |
                                          1u << OUTCOME_CONNECT_TIMEOUT |
                                          1u << OUTCOME_CONNECT_FAILED | 1u << OUTCOME_RESET |
                                          1u << OUTCOME_TIMEOUT);
    assert_int_equal(retry->status_count, 4);
    assert_false(retry->unsafe);
    assert_int_equal(retry->backoff_us, 25 * MS);
    assert_int_equal(retry->max_backoff_us, SECOND);
    assert_int_equal(retry->budget_percent, 20);
    assert_int_equal(retry->budget_floor, 3);
    assert_true(upstream->hedge.delay_us == CLOCK_NEVER && upstream->hedge.part == 0);
    assert_false(upstream->has_breaker);
    assert_int_equal(upstream->breaker.failure_percent, 50);
    assert_int_equal(upstream->breaker.min_calls, 20);
    assert_int_equal(upstream->breaker.window_us, 10 * SECOND);
    assert_int_equal(upstream->breaker.max_consecutive, 0);
    assert_int_equal(upstream->breaker.open_us, SECOND);
    assert_int_equal(upstream->breaker.max_open_us, 30 * SECOND);
    assert_int_equal(upstream->breaker.max_probes, 1);
    assert_int_equal(upstream->breaker.close_after, 2);
    assert_int_equal(upstream->endpoints.max_failures, 5);
    assert_int_equal(upstream->endpoints.base_us, 5 * SECOND);
    assert_int_equal(upstream->endpoints.max_us, 60 * SECOND);
    assert_int_equal(upstream->min_in_flight, 0);
    assert_true(upstream->fallback.json == NULL && upstream->fallback.upstream == NULL);
    assert_false(upstream->required || upstream->coalesce);
    config_free(config);
}

static void the_policies_of_an_upstream_are_read(void **state)
{
    struct config *config = config_text_good(
        A("attempt_timeout = 300ms deadline_header = X-Left retries = 10 retry_unsafe = true\n"
          "retry_backoff = 0s retry_max_backoff = 0s retry_budget = 1000 retry_budget_floor = 0\n"
          "hedge = 20ms breaker = true breaker_failure_rate = 0 breaker_min_calls = 1\n"
          "breaker_window = 1s breaker_consecutive = 7 breaker_open = 2s breaker_max_open = 2s\n"
          "breaker_probes = 3 breaker_successes = 4 eject_failures = 0 eject_time = 1m\n"
          "eject_max_time = 1m min_in_flight = 64 required = true coalesce = true"));
    const struct upstream_settings *upstream = &config->upstreams[0];

    (void)state;
    assert_int_equal(upstream->attempt_timeout_us, 300 * MS);
    assert_string_equal(upstream->deadline_header, "X-Left");
    assert_int_equal(upstream->retry.most, 10);
    assert_true(upstream->retry.unsafe);
    assert_int_equal(upstream->retry.backoff_us, 0);
    assert_int_equal(upstream->retry.max_backoff_us, 0);
    assert_int_equal(upstream->retry.budget_percent, 1000);
    assert_int_equal(upstream->retry.budget_floor, 0);
    assert_int_equal(upstream->hedge.delay_us, 20 * MS);
    assert_true(upstream->has_breaker);
    assert_int_equal(upstream->breaker.failure_percent, 0);
    assert_int_equal(upstream->breaker.min_calls, 1);
    assert_int_equal(upstream->breaker.window_us, SECOND);
    assert_int_equal(upstream->breaker.max_consecutive, 7);
    assert_int_equal(upstream->breaker.open_us, 2 * SECOND);
    assert_int_equal(upstream->breaker.max_open_us, 2 * SECOND);
    assert_int_equal(upstream->breaker.max_probes, 3);
    assert_int_equal(upstream->breaker.close_after, 4);
    assert_int_equal(upstream->endpoints.max_failures, 0);
    assert_int_equal(upstream->endpoints.base_us, 60 * SECOND);
    assert_int_equal(upstream->endpoints.max_us, 60 * SECOND);
    assert_int_equal(upstream->min_in_flight, 64);
    assert_true(upstream->required && upstream->coalesce);
    config_free(config);
}

static void what_is_tried_again_is_said_by_codes_and_statuses(void **state)
{
    struct config *config = config_text_good(
        GOOD "upstream b { url = http://h/ retry_on = { dns_failure, invalid_json, 5xx, 404 } }");
    const struct upstream_settings *a = &config->upstreams[0];
    const struct upstream_settings *b = &config->upstreams[1];

    (void)state;
    assert_true(upstream_settings_retry_on(a, OUTCOME_RESET, 0));
    assert_true(upstream_settings_retry_on(a, OUTCOME_HTTP_STATUS, 503));
    assert_false(upstream_settings_retry_on(a, OUTCOME_HTTP_STATUS, 500));
    assert_false(upstream_settings_retry_on(a, OUTCOME_DNS_FAILURE, 0));
    assert_false(upstream_settings_retry_on(a, OUTCOME_INVALID_JSON, 503));
    assert_true(upstream_settings_retry_on(b, OUTCOME_DNS_FAILURE, 0));
    assert_true(upstream_settings_retry_on(b, OUTCOME_INVALID_JSON, 200));
    assert_true(upstream_settings_retry_on(b, OUTCOME_HTTP_STATUS, 599));
    assert_true(upstream_settings_retry_on(b, OUTCOME_HTTP_STATUS, 404));
    assert_false(upstream_settings_retry_on(b, OUTCOME_HTTP_STATUS, 429));
    assert_false(upstream_settings_retry_on(b, OUTCOME_RESET, 0));
    config_free(config);
}

static void a_hedge_is_sent_after_a_time_or_a_quantile(void **state)
{
    static const struct {
        const char *text;
        uint64_t delay_us;
        double part;
    } hedges[] = {
        {A("hedge = none"), CLOCK_NEVER, 0},     {A("hedge = 1us"), 1, 0},
        {A("hedge = p50"), CLOCK_NEVER, 0.5},    {A("hedge = p95"), CLOCK_NEVER, 0.95},
        {A("hedge = p99.5"), CLOCK_NEVER, .995}, {A("hedge = \"p99.9\""), CLOCK_NEVER, .999},
    };

    (void)state;
    for (size_t i = 0; i < sizeof hedges / sizeof hedges[0]; i++) {
        struct config *config = config_text_good(hedges[i].text);
        const struct hedge_settings *hedge = &config->upstreams[0].hedge;

        assert_true(hedge->delay_us == hedges[i].delay_us);
        assert_true(hedge->part > hedges[i].part - 1e-9 && hedge->part < hedges[i].part + 1e-9);
        config_free(config);
    }
}

static void a_fallback_is_a_json_value_or_another_upstream(void **state)
{
    struct config *config =
        config_text_good("upstream a { url = http://h/ fallback = c }\n"
                         "upstream b { url = http://h/ fallback = \" {\\\"x\\\":[1, 2]} \" }\n"
                         "upstream c { url = http://h/ fallback = a }\n"
                         "upstream d { url = http://h/ fallback = null }\n"
                         "upstream e { url = http://h/ fallback = '\"none\"' }\n");
    const struct upstream_settings *upstreams = config->upstreams;

    (void)state;
    assert_string_equal(upstreams[0].fallback.upstream, "c");
    assert_int_equal(upstreams[0].fallback.index, 2);
    assert_null(upstreams[0].fallback.json);
    assert_string_equal(upstreams[1].fallback.json, "{\"x\":[1, 2]}");
    assert_null(upstreams[1].fallback.upstream);
    assert_int_equal(upstreams[2].fallback.index, 0);
    assert_string_equal(upstreams[3].fallback.json, "null");
    assert_string_equal(upstreams[4].fallback.json, "\"none\"");
    config_free(config);
}

static void a_fallback_may_allow_more_than_what_it_stands_in_for(void **state)
{
    config_free(
        config_text_good(A("allow_path = true allow_methods = { GET } forward_headers = { X-A } "
                           "fallback = b") "upstream b { url = http://h/ allow_path = true "
                                           "allow_query = true allow_body = true\n"
                                           "allow_methods = { POST, GET } forward_headers = { X-B, "
                                           "x-a } }"));
    (void)state;
}

static void turns_and_shedding_are_read(void **state)
{
    struct config *config = config_text_good(GOOD);

    (void)state;
    assert_int_equal(config->fair_by, FAIR_BY_ADDRESS);
    assert_null(config->fair_header);
    assert_true(config->shed_target_us == CLOCK_NEVER);
    assert_int_equal(config->shed_interval_us, 100 * MS);
    config_free(config);
    config = config_text_good(GOOD "fair_by = request shed_target = 5ms shed_interval = 5ms");
    assert_int_equal(config->fair_by, FAIR_BY_REQUEST);
    assert_int_equal(config->shed_target_us, 5 * MS);
    assert_int_equal(config->shed_interval_us, 5 * MS);
    config_free(config);
    config = config_text_good(GOOD "fair_by = \"header  X-Tenant\"");
    assert_int_equal(config->fair_by, FAIR_BY_HEADER);
    assert_string_equal(config->fair_header, "X-Tenant");
    config_free(config);
}

static void the_policies_of_an_endpoint_are_read(void **state)
{
    struct config *config = config_text_good(
        GOOD "endpoint /x { }\n"
             "endpoint /y { soft_deadline = 1999ms early = true fail_fast = true priority = low }\n"
             "endpoint /z { soft_deadline = 2s deadline = 3s priority = high }");
    const struct config_endpoint *endpoints = config->endpoints;

    (void)state;
    assert_true(endpoints[0].soft_deadline_us == CLOCK_NEVER);
    assert_false(endpoints[0].early || endpoints[0].fail_fast);
    assert_int_equal(endpoints[0].priority, 1);
    assert_int_equal(endpoints[1].soft_deadline_us, 1999 * MS);
    assert_true(endpoints[1].early && endpoints[1].fail_fast);
    assert_int_equal(endpoints[1].priority, 2);
    assert_int_equal(endpoints[2].soft_deadline_us, 2 * SECOND);
    assert_int_equal(endpoints[2].priority, 0);
    config_free(config);
}

static void policies_are_printed_as_they_are_read(void **state)
{
    static const struct {
        const char *text;
        const char *printed; /* some of it */
    } files[] = {
        {A("retry_on = { 5xx, reset, 404, protocol_error, 300-301 }"),
         "= { reset, protocol_error, 5xx, 404, 300-301 } "},
        {A("retry_on = { reset }"), "= { reset }"},
        {A("hedge = p50"), "= p50 "},
        {A("hedge = p99.5"), "= p99.5 "},
        {A("hedge = 90s"), "= 90s "},
        {A("fallback = \"[\\\"a \\\\u00e9\\\"]\""), "= \"[\\\"a \\\\u00e9\\\"]\" "},
        {A("fallback = \"${TEST_JSON}\""), "= \"${TEST_JSON}\" "},
        {A("fallback = b") "upstream b { url = http://h/ }", "= b "},
        {A("deadline_header = none"), "= none "},
        {A("deadline_header = \"X-'\""), "= \"X-'\" "},
        {A("min_in_flight = 3 breaker = on breaker_window = 90s"), "= 90s "},
        {GOOD "fair_by = request", "= request "},
        {GOOD "fair_by = \"header X-'\"", "= \"header X-'\" "},
        {GOOD "shed_target = 3ms", "= 3ms "},
        {GOOD "endpoint /x { soft_deadline = 1s early = on fail_fast = on priority = low }",
         "= low "},
    };

    (void)state;
    setenv("TEST_JSON", "{\n}", 1);
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        char *printed = config_round_trip(files[i].text);

        if (strstr(printed, files[i].printed) == NULL)
            fail_msg("%s--- does not have\n%s", printed, files[i].printed);
        free(printed);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_policies_of_an_upstream_have_their_defaults),
        cmocka_unit_test(the_policies_of_an_upstream_are_read),
        cmocka_unit_test(what_is_tried_again_is_said_by_codes_and_statuses),
        cmocka_unit_test(a_hedge_is_sent_after_a_time_or_a_quantile),
        cmocka_unit_test(a_fallback_is_a_json_value_or_another_upstream),
        cmocka_unit_test(a_fallback_may_allow_more_than_what_it_stands_in_for),
        cmocka_unit_test(turns_and_shedding_are_read),
        cmocka_unit_test(the_policies_of_an_endpoint_are_read),
        cmocka_unit_test(policies_are_printed_as_they_are_read),
    };

    return cmocka_run_group_tests(tests, config_file_setup, config_file_teardown);
}
