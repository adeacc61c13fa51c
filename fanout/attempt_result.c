/* Outcomes, and the words for them. */
#include "fanout/attempt_result.h"

#include "fanout/address.h"
#include "fanout/budget.h"
#include "fanout/transport.h"
#include "fanout/upstream.h"

#include <stdarg.h>
#include <stdio.h>

static const char *const via_names[] = {
    [FETCH_VIA_RETRY] = "retry",
    [FETCH_VIA_HEDGE] = "hedge",
    [FETCH_VIA_FALLBACK] = "fallback",
};

const char *fetch_via_name(enum fetch_via via)
{
    return via_names[via];
}

__attribute__((format(printf, 2, 3))) static void say(struct fetch_result *result,
                                                      const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(result->message, sizeof result->message, format, args);
    va_end(args);
}

/* ---- without an answer ---- */

void attempt_result_make(struct fetch_result *result, enum outcome outcome, const char *format, ...)
{
    va_list args;

    *result = (struct fetch_result){
        .outcome = outcome,
        .retryable = outcome_info(outcome)->retryable,
    };
    va_start(args, format);
    vsnprintf(result->message, sizeof result->message, format, args);
    va_end(args);
}

void attempt_result_of_denial(struct fetch_result *result, const struct address *address)
{
    char text[ADDRESS_TEXT_SIZE];

    attempt_result_make(result, OUTCOME_ADDRESS_DENIED,
                        "the address %s is denied by deny_addresses",
                        address_print_ip(address, text));
}

static void describe_failure(struct fetch_result *result, const struct upstream_settings *settings,
                             const struct address *at, const struct exchange_response *response)
{
    char text[ADDRESS_TEXT_SIZE];

    address_print(at, text);
    switch (response->outcome) {
    case OUTCOME_CONNECT_REFUSED:
        say(result, "%s refused the connection", text);
        break;
    case OUTCOME_CONNECT_TIMEOUT:
        say(result, "no connection to %s within %g ms", text,
            (double)settings->connect_timeout_us / 1000);
        break;
    case OUTCOME_ADDRESS_DENIED:
        attempt_result_of_denial(result, at);
        break;
    case OUTCOME_QUEUE_FULL:
        say(result, BUDGET_SPENT);
        break;
    case OUTCOME_RESPONSE_TOO_LARGE:
        say(result, "the body is larger than %zu bytes", settings->max_response_bytes);
        break;
    default:
        say(result, "%s: %.120s", text, response->detail);
    }
}

/* ---- from an answer ---- */

static bool status_is_retryable(unsigned status)
{
    return status == 408 || status == 425 || status == 429 || status == 502 || status == 503 ||
           status == 504;
}

static void judge_body(struct fetch_result *result, const struct upstream_settings *settings,
                       struct exchange_response *response)
{
    struct body_judgement judgement =
        body_judge(&response->body, response->content_type, settings->max_json_depth);

    if (judgement.is_broken_json && result->outcome == OUTCOME_OK) {
        result->outcome = OUTCOME_INVALID_JSON;
        say(result, "invalid JSON at byte %zu: %s", judgement.offset, judgement.message);
        return;
    }
    result->body_kind = judgement.kind;
    buf_move(&result->body, &response->body);
}

static void judge_answer(struct fetch_result *result, const struct upstream_settings *settings,
                         struct exchange_response *response)
{
    if (!upstream_settings_is_success(settings, response->status)) {
        result->outcome = OUTCOME_HTTP_STATUS;
        say(result, "the upstream answered %u", response->status);
    }
    judge_body(result, settings, response);
}

void attempt_result_of_answer(struct fetch_result *result, const struct upstream_settings *settings,
                              const struct address *address, struct exchange_response *response)
{
    *result = (struct fetch_result){
        .outcome = response->outcome,
        .status = response->status,
        .content_type = response->content_type,
        .retry_after = response->retry_after,
    };
    if (response->outcome == OUTCOME_OK)
        judge_answer(result, settings, response);
    else
        describe_failure(result, settings, address, response);
    result->retryable =
        outcome_info(result->outcome)->retryable ||
        (result->outcome == OUTCOME_HTTP_STATUS && status_is_retryable(result->status));
}
