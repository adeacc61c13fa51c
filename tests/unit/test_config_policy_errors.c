/* Options of policies that are refused: by themselves, and where one clashes with another. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/config_file.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* A good upstream, on one line, for files whose error is elsewhere. */
#define GOOD "upstream a { url = http://h/ }\n"

/* One upstream with these options, in line 1, and what is said of it. */
#define A(options)     "upstream a { url = http://h/ " options " }\n"
#define ERROR(message) "t.conf:1: upstream a: " message "\n"

#define DURATION "a whole number and us, ms, s, m or h, like 250ms"
#define RETRY_ON                                                                                   \
    "must be a status from 100 to 599, like 503, 5xx or 500-599, or one of dns_failure, "          \
    "connect_refused, connect_timeout, connect_failed, tls_error, timeout, reset, "                \
    "protocol_error, invalid_json"
#define NO_FAULT "is no fault of the upstream's: it is never tried again"

static void numbers_and_times_out_of_range_are_refused(void **state)
{
    static const struct wrong_file files[] = {
        {A("retries = 11"), ERROR("retries '11': must be from 0 to 10")},
        {A("retry_budget = 1001"), ERROR("retry_budget '1001': must be from 0 to 1000")},
        {A("retry_budget = 20%"),
         ERROR("retry_budget '20%': must be a whole number from 0 to 1000")},
        {A("breaker_failure_rate = 101"),
         ERROR("breaker_failure_rate '101': must be from 0 to 100")},
        {A("breaker_min_calls = 0 breaker_probes = 0 breaker_successes = 0"),
         ERROR("breaker_min_calls '0': must be from 1 to 1000000")
             ERROR("breaker_probes '0': must be from 1 to 1000000")
                 ERROR("breaker_successes '0': must be from 1 to 1000000")},
        {A("breaker_window = 999us breaker_open = 0s eject_time = 0s"),
         ERROR("breaker_window '999us': must be from 1ms to 24h")
             ERROR("breaker_open '0s': must be from 1us to 24h")
                 ERROR("eject_time '0s': must be from 1us to 24h")},
        {A("attempt_timeout = never"),
         ERROR("attempt_timeout 'never': must be none, or " DURATION)},
        {A("attempt_timeout = 0s"), ERROR("attempt_timeout '0s': must be from 1us to 24h")},
        {A("min_in_flight = 0"),
         ERROR("min_in_flight '0': must be none, or a number from 1 to 1000000")},
        {A("min_in_flight = few"),
         ERROR("min_in_flight 'few': must be none, or a number from 1 to 1000000")},
        {GOOD "shed_target = 0s", "t.conf:2: shed_target '0s': must be from 1us to 24h\n"},
        {GOOD "shed_interval = none", "t.conf:2: shed_interval 'none': must be " DURATION "\n"},
        {GOOD "endpoint /x { soft_deadline = 1 }",
         "t.conf:2: endpoint /x: soft_deadline '1': a unit is missing, it must be none, "
         "or " DURATION "\n"},
        {GOOD "endpoint /x { priority = hihg }",
         "t.conf:2: endpoint /x: priority 'hihg': must be high, normal or low (did you mean "
         "'high'?)\n"},
        {A("breakers = true"), ERROR("unknown option 'breakers' (did you mean 'breaker'?)")},
        {A("shed_target = 5ms"),
         ERROR("unknown option 'shed_target' (it belongs outside of sections)")},
        {GOOD "early = true", "t.conf:2: unknown option 'early' (it belongs into an endpoint)\n"},
    };

    (void)state;
    config_refuse_all(files, COUNT(files));
}

static void what_can_not_be_tried_again_is_refused(void **state)
{
    static const struct wrong_file files[] = {
        {A("retry_on = {}"), ERROR("retry_on must not be empty")},
        {A("retry_on = { timout }"),
         ERROR("retry_on 'timout': " RETRY_ON " (did you mean 'timeout'?)")},
        {A("retry_on = { 6xx }"), ERROR("retry_on '6xx': " RETRY_ON)},
        {A("retry_on = { 500-400 }"), ERROR("retry_on '500-400': " RETRY_ON)},
        {A("retry_on = { reset, reset }"), ERROR("retry_on 'reset': listed twice")},
        {A("retry_on = { http_status }"),
         ERROR("retry_on 'http_status': write the statuses themselves, like 503, 5xx or 500-599")},
        {A("retry_on = { ok, queue_full, queue_timeout, circuit_open, deadline_exceeded }"),
         ERROR("retry_on 'ok': " NO_FAULT) ERROR("retry_on 'queue_full': " NO_FAULT) ERROR(
             "retry_on 'queue_timeout': " NO_FAULT) ERROR("retry_on 'circuit_open': " NO_FAULT)
             ERROR("retry_on 'deadline_exceeded': " NO_FAULT)},
        {A("retry_on = { response_too_large, address_denied, abandoned, cancelled, internal }"),
         ERROR("retry_on 'response_too_large': " NO_FAULT)
             ERROR("retry_on 'address_denied': " NO_FAULT) ERROR("retry_on 'abandoned': " NO_FAULT)
                 ERROR("retry_on 'cancelled': " NO_FAULT) ERROR("retry_on 'internal': " NO_FAULT)},
    };

    (void)state;
    config_refuse_all(files, COUNT(files));
}

#define QUANTILE "a quantile is from p50 to p99.9, like p95 or p99.5"
#define HEDGE    "must be none, a quantile like p95, or " DURATION
#define FALLBACK "must be none, a JSON value, or the name of another upstream "

static void hedges_headers_and_fallbacks_that_make_no_sense_are_refused(void **state)
{
    static const struct wrong_file files[] = {
        {A("hedge = p49.9"), ERROR("hedge 'p49.9': " QUANTILE)},
        {A("hedge = p100"), ERROR("hedge 'p100': " QUANTILE)},
        {A("hedge = p99.99"), ERROR("hedge 'p99.99': " QUANTILE)},
        {A("hedge = p99."), ERROR("hedge 'p99.': " QUANTILE)},
        {A("hedge = p"), ERROR("hedge 'p': " QUANTILE)},
        {A("hedge = 95"), ERROR("hedge '95': a unit is missing, it must be none, a quantile like "
                                "p95, or " DURATION)},
        {A("hedge = soon"), ERROR("hedge 'soon': " HEDGE)},
        {A("hedge = 0s"), ERROR("hedge '0s': must be from 1us to 24h")},
        {A("deadline_header = \"X Y\""), ERROR("deadline_header 'X Y': not a header name")},
        {A("deadline_header = host"),
         ERROR("deadline_header 'host': host is ours to send: it can't be set")},
        {A("deadline_header = X-A header = { \"x-a: 1\" }"),
         ERROR("header has X-A, which is the deadline_header (and that may be none)")},
        {A("forward_headers = { x-request-deadline-ms }"),
         ERROR("forward_headers has X-Request-Deadline-Ms, which is the deadline_header (and that "
               "may be none)")},
        {A("fallback = '{\"a\":}'"),
         ERROR("fallback '{\"a\":}': " FALLBACK "(as JSON, expected a value at byte 6)")},
        {A("fallback = ''"),
         ERROR("fallback '': " FALLBACK "(as JSON, expected a value at byte 1)")},
        {A("fallback = a"), ERROR("fallback can't be the upstream itself")},
        {A("fallback = usres") "upstream users { url = http://h/ }",
         ERROR("unknown upstream 'usres' (did you mean 'users'?)")},
        {GOOD "fair_by = adress", "t.conf:2: fair_by 'adress': must be address, request, or "
                                  "\"header NAME\" (did you mean 'address'?)\n"},
        {GOOD "fair_by = header",
         "t.conf:2: fair_by 'header': must have the name of a header, like \"header X-Tenant\"\n"},
        {GOOD "fair_by = \"header X Y\"", "t.conf:2: fair_by 'header X Y': must have the name of a "
                                          "header, like \"header X-Tenant\"\n"},
        {GOOD "fair_by = \"header X\" fair_by = \"header Y\"",
         "t.conf:2: fair_by is given twice (first in line 2)\n"},
        {A("fallback = '1' fallback = c fallback = b deadline_header = X deadline_header = Y"),
         ERROR("fallback is given twice (first in line 1)")
             ERROR("fallback is given twice (first in line 1)") ERROR(
                 "deadline_header is given twice (first in line 1)") ERROR("unknown upstream 'b'")},
    };

    (void)state;
    config_refuse_all(files, COUNT(files));
}

static void options_that_clash_are_refused_where_one_was_given(void **state)
{
    static const struct wrong_file files[] = {
        {A("\nretry_backoff = 2s"),
         "t.conf:2: upstream a: retry_max_backoff must not be shorter than retry_backoff\n"},
        {A("\nretry_max_backoff = 24ms\n"),
         "t.conf:2: upstream a: retry_max_backoff must not be shorter than retry_backoff\n"},
        {A("\nbreaker_open = 31s\nbreaker_max_open = 30s"),
         "t.conf:3: upstream a: breaker_max_open must not be shorter than breaker_open\n"},
        {A("\neject_time = 2m"),
         "t.conf:2: upstream a: eject_max_time must not be shorter than eject_time\n"},
        {A("\nmin_in_flight = 65"),
         "t.conf:2: upstream a: min_in_flight 65 is above max_in_flight, which is 64\n"},
        {A("min_in_flight = 2\nmax_in_flight = 1"),
         "t.conf:1: upstream a: min_in_flight 2 is above max_in_flight, which is 1\n"},
        {A("breaker = true\nbreaker_failure_rate = 0"),
         "t.conf:2: upstream a: the breaker would never open: breaker_failure_rate and "
         "breaker_consecutive are both 0\n"},
        {GOOD "shed_target = 101ms",
         "t.conf:2: shed_interval must not be shorter than shed_target\n"},
        {GOOD "shed_interval = 4ms\nshed_target = 5ms",
         "t.conf:2: shed_interval must not be shorter than shed_target\n"},
        {GOOD "endpoint /x { deadline = 1s\nsoft_deadline = 1s }",
         "t.conf:3: endpoint /x: soft_deadline must be shorter than the deadline\n"},
        {"deadline = 10ms\n" GOOD "endpoint /x { soft_deadline = 1s }",
         "t.conf:3: endpoint /x: soft_deadline must be shorter than the deadline\n"},
        {A("retry_backoff = 2s") "shed_target = 1s",
         "t.conf:2: shed_interval must not be shorter than shed_target\n"
         "t.conf:1: upstream a: retry_max_backoff must not be shorter than retry_backoff\n"},
    };

    (void)state;
    config_refuse_all(files, COUNT(files));
}

#define LACKS "fallback b must allow callers what this one does, and lacks "

static void a_fallback_that_allows_callers_less_is_refused(void **state)
{
    static const struct wrong_file files[] = {
        {A("allow_path = true fallback = b") "upstream b { url = http://h/ }",
         ERROR(LACKS "allow_path")},
        {A("fallback = b") "upstream b { url = http://h/ allow_methods = { POST } }",
         ERROR(LACKS "allow_methods GET")},
        {A("fallback = b allow_query = yes allow_body = yes allow_methods = { GET, PUT, DELETE }\n"
           "forward_headers = { X-A, X-B }") "upstream b { url = http://h/ allow_methods = { GET } "
                                             "forward_headers = { x-b } }",
         ERROR(LACKS "allow_query, allow_methods PUT, allow_methods DELETE, allow_body, "
                     "forward_headers X-A")},
    };

    (void)state;
    config_refuse_all(files, COUNT(files));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_and_times_out_of_range_are_refused),
        cmocka_unit_test(what_can_not_be_tried_again_is_refused),
        cmocka_unit_test(hedges_headers_and_fallbacks_that_make_no_sense_are_refused),
        cmocka_unit_test(options_that_clash_are_refused_where_one_was_given),
        cmocka_unit_test(a_fallback_that_allows_callers_less_is_refused),
    };

    return cmocka_run_group_tests(tests, config_file_setup, config_file_teardown);
}
