/* What an answer, or the want of one, comes to, and what is said of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fanout/address.h"
#include "fanout/attempt_result.h"
#include "fanout/transport.h"
#include "fanout/upstream.h"

#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static struct status_range success[] = {{200, 299}};
static const struct upstream_settings settings = {
    .connect_timeout_us = 1500,
    .max_response_bytes = 4096,
    .max_json_depth = 8,
    .success = success,
    .success_count = 1,
};

/* To be released with its body. */
static struct fetch_result result_of(enum outcome outcome, unsigned status, const char *type,
                                     const char *text, const char *detail)
{
    struct exchange_response response = {
        .outcome = outcome, .status = status, .content_type = type, .detail = detail};
    struct fetch_result result;
    struct address address;

    assert_true(address_parse("127.0.0.1:8081", &address));
    buf_init(&response.body, BUF_UNLIMITED);
    buf_append_text(&response.body, text);
    attempt_result_of_answer(&result, &settings, &address, &response);
    buf_release(&response.body);
    return result;
}

static void assert_body(struct fetch_result *result, const char *text)
{
    assert_int_equal(result->body.len, strlen(text));
    assert_memory_equal(result->body.data, text, strlen(text));
    buf_release(&result->body);
}

static void a_success_has_a_body_and_nothing_to_say(void **state)
{
    struct fetch_result result = result_of(OUTCOME_OK, 200, "application/json", "{\"a\": 1}", NULL);

    (void)state;
    assert_int_equal(result.outcome, OUTCOME_OK);
    assert_int_equal(result.via, FETCH_VIA_FIRST);
    assert_int_equal(result.body_kind, BODY_JSON);
    assert_string_equal(result.message, "");
    assert_false(result.retryable);
    assert_body(&result, "{\"a\": 1}");
}

static void another_status_is_an_error_that_keeps_its_body(void **state)
{
    struct fetch_result result = result_of(OUTCOME_OK, 404, "text/plain", "gone", NULL);

    (void)state;
    assert_int_equal(result.outcome, OUTCOME_HTTP_STATUS);
    assert_int_equal(result.status, 404);
    assert_string_equal(result.message, "the upstream answered 404");
    assert_int_equal(result.body_kind, BODY_TEXT);
    assert_body(&result, "gone");
}

static void broken_json_is_an_error_with_its_place(void **state)
{
    struct fetch_result result = result_of(OUTCOME_OK, 200, "application/json", "{\"a\":}", NULL);

    (void)state;
    assert_int_equal(result.outcome, OUTCOME_INVALID_JSON);
    assert_non_null(strstr(result.message, "invalid JSON at byte "));
    assert_int_equal(result.body_kind, BODY_NONE);
    assert_int_equal(result.body.len, 0);
}

static void but_of_an_error_it_is_text(void **state)
{
    struct fetch_result result = result_of(OUTCOME_OK, 500, "application/json", "oops", NULL);

    (void)state;
    assert_int_equal(result.outcome, OUTCOME_HTTP_STATUS);
    assert_int_equal(result.body_kind, BODY_TEXT);
    assert_body(&result, "oops");
}

static void statuses_that_may_pass_are_retryable(void **state)
{
    static const unsigned retryable[] = {408, 425, 429, 502, 503, 504};

    (void)state;
    for (unsigned status = 300; status < 600; status++) {
        struct fetch_result result = result_of(OUTCOME_OK, status, NULL, "", NULL);
        bool expected = false;

        for (size_t i = 0; i < COUNT(retryable); i++)
            expected |= retryable[i] == status;
        assert_int_equal(result.retryable, expected);
    }
}

static void each_failure_has_its_words(void **state)
{
    static const struct {
        enum outcome outcome;
        const char *message;
    } rows[] = {
        {OUTCOME_CONNECT_REFUSED, "127.0.0.1:8081 refused the connection"},
        {OUTCOME_CONNECT_TIMEOUT, "no connection to 127.0.0.1:8081 within 1.5 ms"},
        {OUTCOME_ADDRESS_DENIED, "the address 127.0.0.1 is denied by deny_addresses"},
        {OUTCOME_RESPONSE_TOO_LARGE, "the body is larger than 4096 bytes"},
        {OUTCOME_QUEUE_FULL, "too many bytes of answers are held already (option max_memory)"},
        {OUTCOME_RESET, "127.0.0.1:8081: what happened"},
        {OUTCOME_TLS_ERROR, "127.0.0.1:8081: what happened"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct fetch_result result = result_of(rows[i].outcome, 0, NULL, "", "what happened");

        assert_int_equal(result.outcome, rows[i].outcome);
        assert_string_equal(result.message, rows[i].message);
        assert_int_equal(result.retryable, outcome_info(rows[i].outcome)->retryable);
    }
}

static void long_words_are_cut(void **state)
{
    char detail[1000];
    struct fetch_result result;

    (void)state;
    memset(detail, 'x', sizeof detail - 1);
    detail[sizeof detail - 1] = '\0';
    result = result_of(OUTCOME_RESET, 0, NULL, "", detail);
    assert_int_equal(strlen(result.message), strlen("127.0.0.1:8081: ") + 120);
    attempt_result_make(&result, OUTCOME_TIMEOUT, "%s", detail);
    assert_int_equal(strlen(result.message), FETCH_MESSAGE_SIZE - 1);
}

static void without_an_answer_everything_else_is_empty(void **state)
{
    struct fetch_result result;

    (void)state;
    memset(&result, 0xee, sizeof result);
    attempt_result_make(&result, OUTCOME_TIMEOUT, "no answer within %d ms", 5);
    assert_string_equal(result.message, "no answer within 5 ms");
    assert_int_equal(result.outcome, OUTCOME_TIMEOUT);
    assert_true(result.retryable);
    assert_int_equal(result.status, 0);
    assert_int_equal(result.attempts, 0);
    assert_int_equal(result.via, FETCH_VIA_FIRST);
    assert_int_equal(result.body_kind, BODY_NONE);
    assert_null(result.content_type);
    assert_null(result.retry_after);
    buf_release(&result.body);
}

static void only_what_is_no_first_attempt_has_a_name(void **state)
{
    (void)state;
    assert_null(fetch_via_name(FETCH_VIA_FIRST));
    assert_string_equal(fetch_via_name(FETCH_VIA_RETRY), "retry");
    assert_string_equal(fetch_via_name(FETCH_VIA_HEDGE), "hedge");
    assert_string_equal(fetch_via_name(FETCH_VIA_FALLBACK), "fallback");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_success_has_a_body_and_nothing_to_say),
        cmocka_unit_test(another_status_is_an_error_that_keeps_its_body),
        cmocka_unit_test(broken_json_is_an_error_with_its_place),
        cmocka_unit_test(but_of_an_error_it_is_text),
        cmocka_unit_test(statuses_that_may_pass_are_retryable),
        cmocka_unit_test(each_failure_has_its_words),
        cmocka_unit_test(long_words_are_cut),
        cmocka_unit_test(without_an_answer_everything_else_is_empty),
        cmocka_unit_test(only_what_is_no_first_attempt_has_a_name),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
