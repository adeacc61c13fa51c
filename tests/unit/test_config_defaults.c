/* The section `defaults`: what holds for every upstream that does not say otherwise. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/config_file.h"

#include "fanout/clock.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define MS           UINT64_C(1000)

#define GOOD "upstream a { url = http://h/ }\n"

static void an_upstream_takes_what_it_does_not_give(void **state)
{
    struct config *config = config_text_good(
        "defaults { timeout = 300ms retries = 2 hedge = p95 deadline_header = none }\n"
        "upstream a { url = http://h/ timeout = 200ms hedge = none }\n"
        "upstream b { url = http://h/ }");
    const struct upstream_settings *upstreams = config->upstreams;

    (void)state;
    assert_int_equal(config->upstream_count, 2);
    assert_int_equal(upstreams[0].timeout_us, 200 * MS);
    assert_int_equal(upstreams[0].retry.most, 2);
    assert_true(upstreams[0].hedge.part == 0);
    assert_null(upstreams[0].deadline_header);
    assert_int_equal(upstreams[1].timeout_us, 300 * MS);
    assert_int_equal(upstreams[1].retry.most, 2);
    assert_true(upstreams[1].hedge.part > 0.9);
    assert_int_equal(upstreams[1].connect_timeout_us, 500 * MS);
    config_free(config);
}

static void they_hold_wherever_they_stand(void **state)
{
    static const char *const texts[] = {
        "defaults { timeout = 7ms }\n" GOOD,
        GOOD "defaults { timeout = 7ms }",
        "include(\"other.conf\")\n" GOOD,
        GOOD "include(\"other.conf\")\n",
    };

    (void)state;
    config_text_write("other.conf", "defaults { timeout = 7ms }");
    for (size_t i = 0; i < COUNT(texts); i++) {
        struct config *config = config_text_good(texts[i]);

        assert_int_equal(config->upstreams[0].timeout_us, 7 * MS);
        config_free(config);
    }
}

static void a_list_is_replaced_as_a_whole(void **state)
{
    struct config *config = config_text_good(
        "defaults { header = { \"A: 1\", \"B: 2\" } success = { 2xx, 404 } retry_on = { 500 }\n"
        "allow_methods = { PUT, POST } forward_headers = { X-A } }\n"
        "upstream a { url = http://h/ header = { \"C: 3\" } success = { 201 } retry_on = { reset "
        "}\n"
        "allow_methods = { GET } forward_headers = {} }\n"
        "upstream b { url = http://h/ header = {} }\n"
        "upstream c { url = http://h/ }\n");
    const struct upstream_settings *upstreams = config->upstreams;

    (void)state;
    assert_int_equal(upstreams[0].headers.count, 1);
    assert_string_equal(upstreams[0].headers.items[0].name, "C");
    assert_int_equal(upstreams[0].success_count, 1);
    assert_int_equal(upstreams[0].retry.outcomes, 1u << OUTCOME_RESET);
    assert_int_equal(upstreams[0].retry.status_count, 0);
    assert_int_equal(upstreams[0].allow_methods, 1u << METHOD_GET);
    assert_int_equal(upstreams[0].forward_headers.count, 0);
    assert_int_equal(upstreams[1].headers.count, 0);
    assert_int_equal(upstreams[1].success_count, 2);
    assert_int_equal(upstreams[1].retry.outcomes, 0);
    assert_int_equal(upstreams[1].retry.status_count, 1);
    assert_int_equal(upstreams[2].headers.count, 2);
    assert_string_equal(header_list_find(&upstreams[2].headers, "B")->value, "2");
    assert_int_equal(upstreams[2].allow_methods, 1u << METHOD_PUT | 1u << METHOD_POST);
    assert_int_equal(upstreams[2].forward_headers.count, 1);
    config_free(config);
}

static void an_empty_list_is_a_default_as_well(void **state)
{
    struct config *config = config_text_good("defaults { header = {} }\n" GOOD);

    (void)state;
    assert_int_equal(config->upstreams[0].headers.count, 0);
    config_free(config);
}

static void what_does_not_apply_to_an_upstream_is_left_out(void **state)
{
    struct config *config =
        config_text_good("defaults { tls_verify = false fallback = b }\n"
                         "upstream a { url = http://h/ }\nupstream b { url = https://h/ }\n"
                         "upstream c { url = https://h/ tls_verify = true fallback = none }\n");
    const struct upstream_settings *upstreams = config->upstreams;

    (void)state;
    assert_true(upstreams[0].tls_verify);
    assert_false(upstreams[1].tls_verify);
    assert_true(upstreams[2].tls_verify);
    assert_string_equal(upstreams[0].fallback.upstream, "b");
    assert_int_equal(upstreams[0].fallback.index, 1);
    assert_null(upstreams[1].fallback.upstream);
    assert_null(upstreams[2].fallback.upstream);
    config_free(config);
}

static void each_upstream_is_printed_with_all_that_holds_for_it(void **state)
{
    char *text;

    (void)state;
    setenv("TEST_KEY", "s3cret", 1);
    text = config_round_trip("upstream a { url = http://h/ retries = 1 }\n"
                             "upstream b { url = http://h/ header = { \"B: 1\" } }\n"
                             "defaults { header = { \"A: ${TEST_KEY}\" } retries = 3\n"
                             "fallback = \"${TEST_NONE:-[]}\" }");
    assert_null(strstr(text, "defaults"));
    assert_null(strstr(text, "s3cret"));
    assert_non_null(strstr(text, "= { \"A: ${TEST_KEY}\" }"));
    assert_non_null(strstr(text, "= { \"B: 1\" }\n"));
    assert_non_null(strstr(text, "= \"${TEST_NONE:-[]}\"\n"));
    assert_non_null(strstr(strstr(text, "upstream a"), " retries              = 1 "));
    assert_non_null(strstr(strstr(text, "upstream b"), " retries              = 3\n"));
    free(text);
}

static void what_is_wrong_in_them_is_said_once_and_there(void **state)
{
    static const struct wrong_file files[] = {
        {"defaults {\n timout = 1s\n timeout = soon }\n" GOOD "upstream b { url = http://h/ }",
         "t.conf:2: defaults: unknown option 'timout' (did you mean 'timeout'?)\n"
         "t.conf:3: defaults: timeout 'soon': must be a whole number and us, ms, s, m or h, like "
         "250ms\n"},
        {"defaults { url = http://h/ }\n" GOOD,
         "t.conf:1: defaults: unknown option 'url' (it belongs into an upstream)\n"},
        {"defaults { workers = 1 }\n" GOOD,
         "t.conf:1: defaults: unknown option 'workers' (it belongs outside of sections)\n"},
        {"defaults { }\n" GOOD "defaults { }",
         "t.conf:3: defaults: the section is given twice (first in line 1)\n"},
        {"defaults { retries = 1\nretries = 2 }\n" GOOD,
         "t.conf:2: defaults: retries is given twice (first in line 1)\n"},
        {"defaults { success = {} }\n" GOOD, "t.conf:1: defaults: success must not be empty\n"},
        {"defaults { header = { \"A: ${TEST_UNSET}\" } }\n" GOOD "upstream b { url = http://h/ }",
         "t.conf:1: defaults: header 'A: ${TEST_UNSET}': the environment variable TEST_UNSET is "
         "not set\n"},
        {"defaults { ca = /nowhere.pem }\n" GOOD,
         "t.conf:1: defaults: ca '/nowhere.pem': can't be read: No such file or directory\n"},
        {"defualts { retries = 1 }\n" GOOD,
         "t.conf:1: unknown option 'defualts' (did you mean 'defaults'?)\n"},
        {"defaults { retries = 1\n" GOOD,
         "t.conf:2: defaults: unknown option 'upstream' (is the '}' of defaults missing?)\n"
         "t.conf:1: this '{' is never closed: a '}' is missing\n"},
        {"defaults { fallback = bb }\n" GOOD "upstream b { url = http://h/ }",
         "t.conf:1: defaults: unknown upstream 'bb' (did you mean 'b'?)\n"},
        {GOOD "upstream b { url = http://h/ }\ndefaults { breaker_open = 1m\nmin_in_flight = 65 }",
         "t.conf:4: defaults: min_in_flight 65 is above max_in_flight, which is 64\n"
         "t.conf:3: defaults: breaker_max_open must not be shorter than breaker_open\n"},
    };

    (void)state;
    unsetenv("TEST_UNSET");
    config_refuse_all(files, COUNT(files));
}

static void what_clashes_with_an_upstreams_own_is_said_there(void **state)
{
    static const struct wrong_file files[] = {
        {GOOD "defaults { min_in_flight = 9 }\nupstream b { url = http://h/\nmax_in_flight = 8 }",
         "t.conf:4: upstream b: min_in_flight 9 is above max_in_flight, which is 8\n"},
        {"defaults { max_in_flight = 8 }\nupstream b { url = http://h/\nmin_in_flight = 9 }" GOOD,
         "t.conf:3: upstream b: min_in_flight 9 is above max_in_flight, which is 8\n"},
        {"defaults { breaker = true }\n" GOOD "upstream b { url = http://h/\n"
         "breaker_failure_rate = 0 }",
         "t.conf:4: upstream b: the breaker would never open: breaker_failure_rate and "
         "breaker_consecutive are both 0\n"},
        {"defaults {\nfallback = b }\nupstream a { url = http://h/ allow_path = true }\n"
         "upstream b { url = http://h/ }\nupstream c { url = http://h/ allow_query = true }",
         "t.conf:2: upstream a: fallback b must allow callers what this one does, and lacks "
         "allow_path\n"
         "t.conf:2: upstream c: fallback b must allow callers what this one does, and lacks "
         "allow_query\n"},
        {"defaults { deadline_header = X-A }\nupstream a { url = http://h/\nheader = \"X-A: 1\" }",
         "t.conf:3: upstream a: header has X-A, which is the deadline_header (and that may be "
         "none)\n"},
    };

    (void)state;
    config_refuse_all(files, COUNT(files));
}

/* Two that clash are no fault as long as every upstream puts it right. */
static void what_no_upstream_takes_may_clash(void **state)
{
    (void)state;
    config_free(config_text_good("defaults { breaker_open = 1m min_in_flight = 65 }\n"
                                 "upstream a { url = http://h/ breaker_max_open = 2m\n"
                                 "max_in_flight = 100 }"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_upstream_takes_what_it_does_not_give),
        cmocka_unit_test(they_hold_wherever_they_stand),
        cmocka_unit_test(a_list_is_replaced_as_a_whole),
        cmocka_unit_test(an_empty_list_is_a_default_as_well),
        cmocka_unit_test(what_does_not_apply_to_an_upstream_is_left_out),
        cmocka_unit_test(each_upstream_is_printed_with_all_that_holds_for_it),
        cmocka_unit_test(what_is_wrong_in_them_is_said_once_and_there),
        cmocka_unit_test(what_clashes_with_an_upstreams_own_is_said_there),
        cmocka_unit_test(what_no_upstream_takes_may_clash),
    };

    return cmocka_run_group_tests(tests, config_file_setup, config_file_teardown);
}
