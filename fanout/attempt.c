/*
 * One attempt of a fetch. Its states, each named for what it waits for:
 *
 *   start ─► AWAITS_SLOT ─► AWAITS_NAME ─► AWAITS_ANSWER ─► end
 *     │          limiter       resolver       transport ▲│
 *     │                                                 ╰╯ the next address
 *     ╰────► AWAITS_REPORT (ended at once) ───────────────► end
 *
 * A state is left out when there is nothing to wait for. attempt_enter is the
 * only place that changes it, attempt_finish and attempt_cancel the exits.
 */
#include "fanout/attempt.h"

#include "fanout/attempt_result.h"
#include "fanout/clock.h"
#include "fanout/endpoints.h"
#include "fanout/engine.h"
#include "fanout/fanout.h"
#include "fanout/mem.h"
#include "fanout/peer.h"
#include "fanout/timer.h"
#include "fanout/trace.h"
#include "fanout/transport.h"
#include "fanout/upstream.h"

#include <assert.h>
#include <stdlib.h>

static const char *const state_names[] = {
    [ATTEMPT_IDLE] = "idle",
    [ATTEMPT_AWAITS_SLOT] = "awaits_slot",
    [ATTEMPT_AWAITS_NAME] = "awaits_name",
    [ATTEMPT_AWAITS_ANSWER] = "awaits_answer",
    [ATTEMPT_AWAITS_REPORT] = "awaits_report",
};

static const struct upstream_settings *settings_of(const struct attempt *attempt)
{
    return attempt->request->upstream->settings;
}

static struct fanout_peer *peer_of(const struct attempt *attempt)
{
    return &attempt->scope->worker->peers[attempt->request->upstream->index];
}

static void attempt_enter(struct attempt *attempt, enum attempt_state state)
{
    if (trace_on(TRACE_DEBUG))
        trace(TRACE_DEBUG, "event=attempt_state upstream=%s old=%s new=%s",
              settings_of(attempt)->name, state_names[attempt->state], state_names[state]);
    attempt->state = state;
}

static void wait_until(struct attempt *attempt, uint64_t at_us)
{
    attempt->due_us = at_us;
    alarm_want(attempt->scope->alarm, at_us);
}

/* ---- the end ---- */

static void avoid(struct attempt *attempt, const struct address *address)
{
    attempt->avoided =
        mem_realloc(attempt->avoided, (attempt->avoided_count + 1) * sizeof attempt->avoided[0]);
    attempt->avoided[attempt->avoided_count++] = *address;
}

static void leave_address(struct attempt *attempt, enum upstream_verdict verdict, uint64_t now_us)
{
    static const enum endpoint_verdict verdicts[] = {
        [UPSTREAM_GOOD] = ENDPOINT_SUCCESS, [UPSTREAM_BAD] = ENDPOINT_FAILURE,
        [UPSTREAM_BUSY] = ENDPOINT_FAILURE, [UPSTREAM_UNJUDGED] = ENDPOINT_IGNORED,
        [UPSTREAM_SLOW] = ENDPOINT_IGNORED,
    };

    if (attempt->endpoint == NULL)
        return;
    if (verdicts[verdict] == ENDPOINT_FAILURE)
        attempt->failed = attempt->endpoint->target.address;
    endpoints_give(&peer_of(attempt)->endpoints, attempt->endpoint, verdicts[verdict], now_us);
    attempt->endpoint = NULL;
}

/* Lets go of all that the attempt holds or waits for. */
static void let_go(struct attempt *attempt, enum upstream_verdict verdict, uint64_t now_us)
{
    struct upstream *upstream = attempt->request->upstream;

    attempt->due_us = CLOCK_NEVER;
    if (attempt->state == ATTEMPT_AWAITS_SLOT)
        limiter_cancel(&attempt->waiter, now_us);
    if (attempt->state == ATTEMPT_AWAITS_NAME)
        resolver_cancel(attempt->scope->worker->resolver, &attempt->lookup);
    if (attempt->exchange != NULL)
        transport_cancel(attempt->exchange);
    attempt->exchange = NULL;
    leave_address(attempt, verdict, now_us);
    mem_free(attempt->avoided);
    attempt->avoided = NULL;
    attempt->avoided_count = 0;
    attempt->shuns_first = false;
    if (attempt->slot_us != 0)
        limiter_give(upstream->lane, now_us);
    upstream_health_report(upstream->health,
                           &(struct upstream_call){.pass = attempt->pass,
                                                   .started_us = attempt->slot_us,
                                                   .in_flight = attempt->in_flight,
                                                   .verdict = verdict},
                           now_us);
}

/* The only exit but for attempt_cancel. */
static void attempt_finish(struct attempt *attempt, struct fetch_result *result, uint64_t now_us)
{
    let_go(attempt, upstream_verdict_of(result->outcome, result->status), now_us);
    attempt_enter(attempt, ATTEMPT_IDLE);
    attempt->hooks->on_done(attempt->arg, attempt, result, now_us);
}

static bool had_its_time(const struct attempt *attempt, uint64_t now_us)
{
    const struct upstream_settings *settings = settings_of(attempt);

    return now_us - attempt->slot_us >=
           clock_earlier(settings->timeout_us, settings->attempt_timeout_us) / 2;
}

void attempt_cancel(struct attempt *attempt, enum upstream_verdict verdict, uint64_t now_us)
{
    if (attempt->slot_us == 0 || (verdict == UPSTREAM_BUSY && !had_its_time(attempt, now_us)))
        verdict = UPSTREAM_UNJUDGED;
    let_go(attempt, verdict, now_us);
    attempt_enter(attempt, ATTEMPT_IDLE);
}

/* ---- the answer ---- */

static bool is_connect_failure(enum outcome outcome)
{
    return outcome == OUTCOME_CONNECT_REFUSED || outcome == OUTCOME_CONNECT_TIMEOUT ||
           outcome == OUTCOME_CONNECT_FAILED;
}

static bool send_to_next_address(struct attempt *attempt, uint64_t now_us);

/* Another address, where this one could not be connected to. */
static bool go_elsewhere(struct attempt *attempt, enum outcome outcome, uint64_t now_us)
{
    if (!is_connect_failure(outcome))
        return false;
    avoid(attempt, &attempt->endpoint->target.address);
    leave_address(attempt, UPSTREAM_BAD, now_us);
    return send_to_next_address(attempt, now_us);
}

static void on_answer(void *arg, struct exchange_response *response)
{
    struct attempt *attempt = arg;
    struct address address = attempt->endpoint->target.address;
    struct fetch_result result;

    attempt->exchange = NULL; /* ends with this call */
    if (go_elsewhere(attempt, response->outcome, response->ended_us))
        return;
    attempt_result_of_answer(&result, settings_of(attempt), &address, response);
    attempt_finish(attempt, &result, response->ended_us);
    buf_release(&result.body);
}

/* ---- the way there ---- */

static void end_from_the_loop(struct attempt *attempt, enum outcome outcome, const char *message)
{
    attempt->early_outcome = outcome;
    attempt->early_message = message;
    attempt_enter(attempt, ATTEMPT_AWAITS_REPORT);
    wait_until(attempt, 0);
}

static bool is_last_resort(const struct endpoint *endpoint, uint64_t now_us)
{
    return endpoint->is_aside && now_us < endpoint->aside_until_us;
}

/* NULL: no address is left. */
static struct endpoint *take_endpoint(struct attempt *attempt, uint64_t now_us)
{
    struct endpoints *endpoints = &peer_of(attempt)->endpoints;
    struct dice *dice = &attempt->scope->worker->dice;
    struct endpoint *endpoint =
        endpoints_take(endpoints, attempt->avoided, attempt->avoided_count, dice, now_us);

    if (!attempt->shuns_first || (endpoint != NULL && !is_last_resort(endpoint, now_us)))
        return endpoint;
    if (endpoint != NULL)
        endpoints_give(endpoints, endpoint, ENDPOINT_IGNORED, now_us);
    return endpoints_take(endpoints, attempt->avoided + 1, attempt->avoided_count - 1, dice,
                          now_us);
}

/* False: no address is left. */
static bool send_to_next_address(struct attempt *attempt, uint64_t now_us)
{
    const struct fetch_request *request = attempt->request;
    struct exchange_request exchange = {
        .method = request->method,
        .target = request->target,
        .headers = request->headers,
        .body = request->body,
        .body_length = request->body_length,
        .deadline_us = clock_earlier(attempt->due_us, attempt->scope->ends_us),
    };

    attempt->endpoint = take_endpoint(attempt, now_us);
    if (attempt->endpoint == NULL)
        return false;
    exchange.address = &attempt->endpoint->target.address;
    attempt->exchange = transport_send(peer_of(attempt)->transport, &exchange, on_answer, attempt);
    if (attempt->exchange != NULL)
        attempt_enter(attempt, ATTEMPT_AWAITS_ANSWER);
    else
        end_from_the_loop(attempt, OUTCOME_INTERNAL, "the transfer could not be started");
    return true;
}

static void send_request(struct attempt *attempt, uint64_t now_us)
{
    attempt->hooks->on_sent(attempt->arg, attempt, now_us);
    if (!send_to_next_address(attempt, now_us))
        end_from_the_loop(attempt, OUTCOME_ADDRESS_DENIED, NULL);
}

static void take_answer(struct attempt *attempt, struct resolver_answer *answer,
                        const char *message, uint64_t now_us)
{
    if (answer == NULL) {
        end_from_the_loop(attempt, OUTCOME_DNS_FAILURE, message);
        return;
    }
    peer_learn(peer_of(attempt), answer, now_us);
    resolver_answer_release(answer);
    send_request(attempt, now_us);
}

static void on_name(void *arg, struct resolver_answer *answer, const char *message)
{
    take_answer(arg, answer, message, clock_now_us());
}

static void look_up(struct attempt *attempt, uint64_t now_us)
{
    const struct url *url = &settings_of(attempt)->url;
    struct resolver_answer *answer = NULL;
    const char *message = NULL;

    attempt->lookup.on_done = on_name;
    attempt->lookup.arg = attempt;
    switch (resolver_lookup(
        attempt->scope->worker->resolver, url->is_srv ? url->srv_name : url->host,
        url->is_srv ? RESOLVER_SERVICE : RESOLVER_HOST, &attempt->lookup, &answer, &message)) {
    case RESOLVER_WAITING:
        attempt_enter(attempt, ATTEMPT_AWAITS_NAME);
        break;
    case RESOLVER_READY:
    case RESOLVER_FAILED:
        take_answer(attempt, answer, message, now_us);
        break;
    }
}

/* From here on the upstream's own timeout runs. */
static void use_slot(struct attempt *attempt, unsigned in_flight, uint64_t now_us)
{
    attempt->in_flight = in_flight;
    attempt->slot_us = now_us;
    wait_until(attempt, attempt->hooks->on_slot(attempt->arg, attempt, now_us));
    if (settings_of(attempt)->url.host_is_ip)
        send_request(attempt, now_us);
    else
        look_up(attempt, now_us);
}

/* While it waited the breaker may have opened. */
static void on_slot(void *arg)
{
    struct attempt *attempt = arg;
    uint64_t now_us = clock_now_us();

    attempt->slot_us = now_us;
    if (attempt->pass.admission == BREAKER_ADMITTED)
        attempt->pass = upstream_health_admit(attempt->request->upstream->health, now_us);
    if (attempt->pass.admission == BREAKER_REFUSED)
        end_from_the_loop(attempt, OUTCOME_CIRCUIT_OPEN, NULL);
    else
        use_slot(attempt, attempt->waiter.in_flight, now_us);
}

static void refuse(struct attempt *attempt, enum limiter_answer answer)
{
    end_from_the_loop(attempt, OUTCOME_QUEUE_FULL,
                      answer == LIMITER_LATE
                          ? "too many fetches are waiting for a slot to have one by the deadline"
                          : "too many fetches are waiting for a slot");
}

static void on_refused(void *arg, enum limiter_answer answer)
{
    refuse(arg, answer);
}

static void await_slot(struct attempt *attempt, uint64_t now_us)
{
    uint64_t timeout_us = settings_of(attempt)->queue_timeout_us;

    attempt_enter(attempt, ATTEMPT_AWAITS_SLOT);
    wait_until(attempt, clock_earlier(clock_after(now_us, timeout_us), attempt->waiter.give_up_us));
}

static void ask_for_slot(struct attempt *attempt, uint64_t now_us)
{
    const struct fetch_scope *scope = attempt->scope;
    enum limiter_answer answer;

    attempt->waiter = (struct limiter_waiter){
        .on_granted = on_slot,
        .on_refused = on_refused,
        .arg = attempt,
        .deadline_us = scope->ends_us,
        .priority = scope->priority,
    };
    answer = limiter_take(attempt->request->upstream->lane, &scope->worker->member, scope->party,
                          &attempt->waiter, now_us);
    if (answer == LIMITER_TAKEN)
        use_slot(attempt, attempt->waiter.in_flight, now_us);
    else if (answer == LIMITER_WAITING)
        await_slot(attempt, now_us);
    else
        refuse(attempt, answer);
}

static void take_slot(struct attempt *attempt, uint64_t now_us)
{
    unsigned in_flight = limiter_take_free(attempt->request->upstream->lane);

    if (in_flight > 0)
        use_slot(attempt, in_flight, now_us);
    else
        ask_for_slot(attempt, now_us);
}

void attempt_init(struct attempt *attempt, const struct fetch_scope *scope,
                  const struct attempt_hooks *hooks, void *arg)
{
    attempt->state = ATTEMPT_IDLE;
    attempt->scope = scope;
    attempt->hooks = hooks;
    attempt->arg = arg;
    attempt->exchange = NULL;
    attempt->endpoint = NULL;
    attempt->failed = (struct address){.any.sa_family = AF_UNSPEC};
    attempt->slot_us = 0;
    attempt->due_us = CLOCK_NEVER;
    attempt->avoided = NULL;
    attempt->avoided_count = 0;
}

void attempt_start(struct attempt *attempt, const struct fetch_request *request, bool is_extra,
                   const struct address *shunned, uint64_t now_us)
{
    assert(attempt->state == ATTEMPT_IDLE);
    attempt->request = request;
    attempt->is_extra = is_extra;
    attempt->started_us = now_us;
    attempt->slot_us = 0;
    attempt->shuns_first = shunned != NULL;
    if (shunned != NULL)
        avoid(attempt, shunned);
    attempt->pass = upstream_health_admit(request->upstream->health, now_us);
    if (attempt->pass.admission == BREAKER_REFUSED)
        end_from_the_loop(attempt, OUTCOME_CIRCUIT_OPEN, NULL);
    else
        take_slot(attempt, now_us);
}

/* ---- what is due ---- */

const char *attempt_waits_for(const struct attempt *attempt)
{
    switch (attempt->state) {
    case ATTEMPT_AWAITS_SLOT:
        return "waiting for a slot";
    case ATTEMPT_AWAITS_NAME:
        return "resolving the name";
    case ATTEMPT_AWAITS_ANSWER:
        return transport_is_connected(attempt->exchange) ? "waiting for the answer" : "connecting";
    default:
        return "starting";
    }
}

void attempt_describe_timeout(const struct attempt *attempt, uint64_t timeout_us,
                              struct fetch_result *result)
{
    bool connecting =
        attempt->state == ATTEMPT_AWAITS_ANSWER && !transport_is_connected(attempt->exchange);
    const char *what = connecting                              ? "no connection"
                       : attempt->state == ATTEMPT_AWAITS_NAME ? "no answer from DNS"
                       : attempt->state == ATTEMPT_AWAITS_SLOT ? "no slot was free"
                                                               : "no answer";

    attempt_result_make(result, connecting ? OUTCOME_CONNECT_TIMEOUT : OUTCOME_TIMEOUT,
                        "%s within %g ms", what, (double)timeout_us / 1000);
}

static void describe_open_breaker(const struct attempt *attempt, struct fetch_result *result,
                                  uint64_t now_us)
{
    struct upstream_health *health = attempt->request->upstream->health;
    char text[BREAKER_TEXT_SIZE];

    attempt_result_make(result, OUTCOME_CIRCUIT_OPEN, "the circuit breaker is %s",
                        upstream_health_print_breaker(health, now_us, text));
}

static void describe_early_end(const struct attempt *attempt, struct fetch_result *result,
                               uint64_t now_us)
{
    switch (attempt->early_outcome) {
    case OUTCOME_ADDRESS_DENIED:
        attempt_result_of_denial(result, &peer_of(attempt)->known->targets[0].address);
        break;
    case OUTCOME_CIRCUIT_OPEN:
        describe_open_breaker(attempt, result, now_us);
        break;
    default:
        attempt_result_make(result, attempt->early_outcome, "%s", attempt->early_message);
    }
}

void attempt_on_due(struct attempt *attempt, uint64_t now_us)
{
    struct fetch_result result;

    switch (attempt->state) {
    case ATTEMPT_AWAITS_REPORT:
        describe_early_end(attempt, &result, now_us);
        break;
    case ATTEMPT_AWAITS_SLOT:
        attempt_result_make(&result, OUTCOME_QUEUE_TIMEOUT, "no slot was free within %g ms",
                            (double)(attempt->due_us - attempt->started_us) / 1000);
        break;
    default:
        attempt_describe_timeout(attempt, attempt->due_us - attempt->slot_us, &result);
    }
    attempt_finish(attempt, &result, now_us);
    buf_release(&result.body); /* of a fallback that nobody took */
}
