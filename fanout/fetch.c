/*
 * One upstream call. Its states, each named for what it waits for:
 *
 *   start ─► AWAITS_SLOT ─► AWAITS_NAME ─► AWAITS_ANSWER ─► DONE
 *     │          limiter       resolver       transport ▲│
 *     │                                                 ╰╯ the next address
 *     ╰────► AWAITS_REPORT (ended at once) ───────────────► DONE
 *
 * A state is left out when there is nothing to wait for. fetch_enter is the
 * only place that changes it, fetch_finish the only exit.
 */
#include "fanout/fetch.h"

#include "fanout/clock.h"
#include "fanout/engine.h"
#include "fanout/fanout.h"
#include "fanout/timer.h"
#include "fanout/trace.h"
#include "fanout/transport.h"
#include "fanout/upstream.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

static const char *const state_names[] = {
    [FETCH_IDLE] = "idle",
    [FETCH_AWAITS_SLOT] = "awaits_slot",
    [FETCH_AWAITS_NAME] = "awaits_name",
    [FETCH_AWAITS_ANSWER] = "awaits_answer",
    [FETCH_AWAITS_REPORT] = "awaits_report",
    [FETCH_DONE] = "done",
};

static const struct upstream_settings *settings_of(const struct fetch *fetch)
{
    return fetch->request->upstream->settings;
}

static void fetch_enter(struct fetch *fetch, enum fetch_state state)
{
    if (trace_on(TRACE_DEBUG))
        trace(TRACE_DEBUG, "event=fetch_state upstream=%s old=%s new=%s", settings_of(fetch)->name,
              state_names[fetch->state], state_names[state]);
    fetch->state = state;
}

static void wait_until(struct fetch *fetch, uint64_t at_us)
{
    fetch->due_us = at_us;
    alarm_want(fetch->alarm, at_us);
}

static uint64_t timeout_us(const struct fetch *fetch)
{
    uint64_t own = settings_of(fetch)->timeout_us;

    return fetch->request->timeout_us < own ? fetch->request->timeout_us : own;
}

/* ---- the end ---- */

/* Lets go of all that the fetch holds or waits for. */
static void let_go(struct fetch *fetch)
{
    fetch->due_us = CLOCK_NEVER;
    limiter_cancel(&fetch->waiter);
    if (fetch->state == FETCH_AWAITS_NAME)
        resolver_cancel(fetch->worker->resolver, &fetch->lookup);
    if (fetch->exchange != NULL)
        transport_cancel(fetch->exchange);
    fetch->exchange = NULL;
    if (fetch->answer != NULL)
        resolver_answer_release(fetch->answer);
    fetch->answer = NULL;
    if (fetch->slot_us != 0)
        limiter_give(fetch->request->upstream->lane);
}

static void fetch_finish(struct fetch *fetch, struct fetch_result *result, uint64_t now_us)
{
    result->elapsed_us = now_us - fetch->started_us;
    result->attempts = fetch->slot_us != 0 ? 1 : 0;
    let_go(fetch);
    fetch_enter(fetch, FETCH_DONE);
    upstream_count(fetch->request->upstream, result->outcome);
    fetch->on_done(fetch->arg, fetch, result);
}

static void finish_with(struct fetch *fetch, enum outcome outcome, const char *message)
{
    struct fetch_result result = {
        .outcome = outcome,
        .retryable = outcome_info(outcome)->retryable,
    };

    snprintf(result.message, sizeof result.message, "%s", message);
    fetch_finish(fetch, &result, clock_now_us());
}

static const char *what_it_did(const struct fetch *fetch)
{
    switch (fetch->state) {
    case FETCH_AWAITS_SLOT:
        return "waiting for a slot";
    case FETCH_AWAITS_NAME:
        return "resolving the name";
    case FETCH_AWAITS_ANSWER:
        return transport_is_connected(fetch->exchange) ? "waiting for the answer" : "connecting";
    default:
        return "starting";
    }
}

void fetch_end(struct fetch *fetch, enum outcome outcome, const char *reason)
{
    char message[FETCH_MESSAGE_SIZE];

    snprintf(message, sizeof message, "%s while %s", reason, what_it_did(fetch));
    finish_with(fetch, outcome, message);
}

void fetch_cancel(struct fetch *fetch)
{
    let_go(fetch);
    fetch_enter(fetch, FETCH_DONE);
    upstream_count(fetch->request->upstream, OUTCOME_CANCELLED);
}

/* ---- the answer ---- */

static bool status_is_retryable(unsigned status)
{
    return status == 408 || status == 425 || status == 429 || status == 502 || status == 503 ||
           status == 504;
}

static void judge_body(const struct fetch *fetch, struct exchange_response *response,
                       struct fetch_result *result)
{
    struct body_judgement judgement =
        body_judge(&response->body, response->content_type, settings_of(fetch)->max_json_depth);

    if (judgement.is_broken_json && result->outcome == OUTCOME_OK) {
        result->outcome = OUTCOME_INVALID_JSON;
        snprintf(result->message, sizeof result->message, "invalid JSON at byte %zu: %s",
                 judgement.offset, judgement.message);
        return;
    }
    result->body_kind = judgement.kind;
    buf_move(&result->body, &response->body);
}

static void judge_answer(const struct fetch *fetch, struct exchange_response *response,
                         struct fetch_result *result)
{
    result->outcome = OUTCOME_OK;
    if (!upstream_settings_is_success(settings_of(fetch), response->status)) {
        result->outcome = OUTCOME_HTTP_STATUS;
        snprintf(result->message, sizeof result->message, "the upstream answered %u",
                 response->status);
    }
    judge_body(fetch, response, result);
}

static void describe_denial(const struct address *address, char message[FETCH_MESSAGE_SIZE])
{
    char text[ADDRESS_TEXT_SIZE];

    snprintf(message, FETCH_MESSAGE_SIZE, "the address %s is denied by deny_addresses",
             address_print_ip(address, text));
}

static void describe_failure(const struct fetch *fetch, const struct exchange_response *response,
                             struct fetch_result *result)
{
    char address[ADDRESS_TEXT_SIZE];
    double connect_ms = (double)settings_of(fetch)->connect_timeout_us / 1000;

    address_print(&fetch->address, address);
    switch (response->outcome) {
    case OUTCOME_CONNECT_REFUSED:
        snprintf(result->message, sizeof result->message, "%s refused the connection", address);
        break;
    case OUTCOME_CONNECT_TIMEOUT:
        snprintf(result->message, sizeof result->message, "no connection to %s within %g ms",
                 address, connect_ms);
        break;
    case OUTCOME_ADDRESS_DENIED:
        describe_denial(&fetch->address, result->message);
        break;
    case OUTCOME_QUEUE_FULL:
        snprintf(result->message, sizeof result->message,
                 "too many bytes of answers are held already (option max_memory)");
        break;
    case OUTCOME_RESPONSE_TOO_LARGE:
        snprintf(result->message, sizeof result->message, "the body is larger than %zu bytes",
                 settings_of(fetch)->max_response_bytes);
        break;
    default:
        snprintf(result->message, sizeof result->message, "%s: %.120s", address, response->detail);
    }
}

static bool is_connect_failure(enum outcome outcome)
{
    return outcome == OUTCOME_CONNECT_REFUSED || outcome == OUTCOME_CONNECT_TIMEOUT ||
           outcome == OUTCOME_CONNECT_FAILED;
}

static bool send_to_next_address(struct fetch *fetch);

static void on_answer(void *arg, struct exchange_response *response)
{
    struct fetch *fetch = arg;
    struct fetch_result result = {
        .outcome = response->outcome,
        .status = response->status,
        .content_type = response->content_type,
    };

    fetch->exchange = NULL; /* ends with this call */
    if (is_connect_failure(response->outcome) && send_to_next_address(fetch))
        return;
    if (response->outcome == OUTCOME_OK)
        judge_answer(fetch, response, &result);
    else
        describe_failure(fetch, response, &result);
    result.retryable =
        outcome_info(result.outcome)->retryable ||
        (result.outcome == OUTCOME_HTTP_STATUS && status_is_retryable(result.status));
    fetch_finish(fetch, &result, response->ended_us);
    buf_release(&result.body);
}

/* ---- the way there ---- */

static void end_from_the_loop(struct fetch *fetch, enum outcome outcome, const char *message)
{
    fetch->early_outcome = outcome;
    fetch->early_message = message;
    fetch_enter(fetch, FETCH_AWAITS_REPORT);
    wait_until(fetch, 0);
}

/* The number-th address in this fetch's order. */
static struct address address_at(const struct fetch *fetch, size_t number)
{
    const struct resolver_answer *answer = fetch->answer;
    struct address address;

    if (answer == NULL)
        return fetch->request->upstream->address;
    address = answer->addresses[(fetch->address_first + number) % answer->count];
    address_set_port(&address, settings_of(fetch)->url.port);
    return address;
}

/* False: none is left that may be connected to. */
static bool take_next_address(struct fetch *fetch)
{
    size_t count = fetch->answer != NULL ? fetch->answer->count : 1;

    while (fetch->addresses_tried < count) {
        struct address address = address_at(fetch, fetch->addresses_tried++);

        if (upstream_settings_denies(settings_of(fetch), &address))
            continue;
        fetch->address = address;
        return true;
    }
    return false;
}

/* False: no address is left. */
static bool send_to_next_address(struct fetch *fetch)
{
    const struct fetch_request *request = fetch->request;
    struct exchange_request exchange = {
        .address = &fetch->address,
        .method = request->method,
        .target = request->target,
        .headers = request->headers,
        .body = request->body,
        .body_length = request->body_length,
        .budget = fanout_budget(fetch->worker->fanout),
    };

    if (!take_next_address(fetch))
        return false;
    fetch->exchange =
        transport_send(fetch->worker->peers[request->upstream->index], &exchange, on_answer, fetch);
    if (fetch->exchange != NULL)
        fetch_enter(fetch, FETCH_AWAITS_ANSWER);
    else
        end_from_the_loop(fetch, OUTCOME_INTERNAL, "the transfer could not be started");
    return true;
}

static void on_name(void *arg, struct resolver_answer *answer, size_t first, const char *message)
{
    struct fetch *fetch = arg;

    if (answer == NULL) {
        end_from_the_loop(fetch, OUTCOME_DNS_FAILURE, message);
        return;
    }
    fetch->answer = answer;
    fetch->address_first = first;
    if (!send_to_next_address(fetch))
        end_from_the_loop(fetch, OUTCOME_ADDRESS_DENIED, NULL);
}

static void look_up(struct fetch *fetch)
{
    const struct url *url = &settings_of(fetch)->url;
    struct resolver_answer *answer = NULL;
    const char *message = NULL;
    size_t first = 0;

    fetch->lookup.on_done = on_name;
    fetch->lookup.arg = fetch;
    switch (resolver_lookup(fetch->worker->resolver, url->host, &fetch->lookup, &answer, &first,
                            &message)) {
    case RESOLVER_WAITING:
        fetch_enter(fetch, FETCH_AWAITS_NAME);
        break;
    case RESOLVER_READY:
    case RESOLVER_FAILED:
        on_name(fetch, answer, first, message);
        break;
    }
}

/* From here on the upstream's own timeout runs. */
static void use_slot(struct fetch *fetch, uint64_t now_us)
{
    fetch->slot_us = now_us;
    wait_until(fetch, now_us + timeout_us(fetch));
    if (settings_of(fetch)->url.host_is_ip)
        send_to_next_address(fetch);
    else
        look_up(fetch);
}

static void on_slot(void *arg)
{
    use_slot(arg, clock_now_us());
}

static void on_timeout(struct fetch *fetch)
{
    bool connecting =
        fetch->state == FETCH_AWAITS_ANSWER && !transport_is_connected(fetch->exchange);
    char message[FETCH_MESSAGE_SIZE];

    snprintf(message, sizeof message, "%s within %g ms",
             connecting                          ? "no connection"
             : fetch->state == FETCH_AWAITS_NAME ? "no answer from DNS"
                                                 : "no answer",
             (double)timeout_us(fetch) / 1000);
    finish_with(fetch, connecting ? OUTCOME_CONNECT_TIMEOUT : OUTCOME_TIMEOUT, message);
}

static void report(struct fetch *fetch)
{
    char message[FETCH_MESSAGE_SIZE];
    struct address address;

    if (fetch->early_outcome != OUTCOME_ADDRESS_DENIED) {
        finish_with(fetch, fetch->early_outcome, fetch->early_message);
        return;
    }
    address = address_at(fetch, 0); /* all are denied */
    describe_denial(&address, message);
    finish_with(fetch, OUTCOME_ADDRESS_DENIED, message);
}

void fetch_on_due(struct fetch *fetch)
{
    char message[FETCH_MESSAGE_SIZE];

    switch (fetch->state) {
    case FETCH_AWAITS_REPORT:
        report(fetch);
        break;
    case FETCH_AWAITS_SLOT:
        snprintf(message, sizeof message, "no slot was free within %g ms",
                 (double)settings_of(fetch)->queue_timeout_us / 1000);
        finish_with(fetch, OUTCOME_QUEUE_TIMEOUT, message);
        break;
    default:
        on_timeout(fetch);
    }
}

void fetch_init(struct fetch *fetch, struct fanout_worker *worker,
                const struct fetch_request *request, struct alarm *alarm, fetch_done *on_done,
                void *arg)
{
    *fetch = (struct fetch){
        .worker = worker,
        .request = request,
        .alarm = alarm,
        .due_us = CLOCK_NEVER,
        .on_done = on_done,
        .arg = arg,
        .waiter = {.on_granted = on_slot, .arg = fetch},
    };
}

void fetch_start(struct fetch *fetch, struct limiter_party *party, uint64_t now_us)
{
    uint64_t queue_timeout_us = settings_of(fetch)->queue_timeout_us;

    assert(fetch->state == FETCH_IDLE);
    fetch->started_us = now_us;
    switch (limiter_take(fetch->request->upstream->lane, &fetch->worker->member, party,
                         &fetch->waiter)) {
    case LIMITER_TAKEN:
        use_slot(fetch, now_us);
        break;
    case LIMITER_FULL:
        end_from_the_loop(fetch, OUTCOME_QUEUE_FULL, "too many fetches are waiting for a slot");
        break;
    case LIMITER_WAITING:
        fetch_enter(fetch, FETCH_AWAITS_SLOT);
        if (queue_timeout_us != CLOCK_NEVER)
            wait_until(fetch, now_us + queue_timeout_us);
        break;
    }
}
