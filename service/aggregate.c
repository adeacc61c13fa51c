/* One call to an endpoint, from the plan to the answer. */
#include "service/aggregate.h"

#include "fanout/budget.h"
#include "fanout/clock.h"
#include "fanout/decimal.h"
#include "fanout/fanout.h"
#include "fanout/gather.h"
#include "fanout/limiter.h"
#include "fanout/mem.h"
#include "fanout/upstream.h"
#include "fanout/upstream_health.h"
#include "service/caller.h"
#include "service/document.h"
#include "service/pieces.h"
#include "service/plan.h"
#include "service/reply.h"
#include "service/worker.h"

#include <stdlib.h>

struct aggregate {
    struct call *call;
    struct plan plan;
    struct document *document;
    struct gather *gather;
    struct fanout *fanout;
    struct limiter_caller *caller; /* NULL: every request is for itself */
};

static void aggregate_free(struct aggregate *aggregate)
{
    if (aggregate->document != NULL)
        document_free(aggregate->document);
    limiter_caller_release(aggregate->caller);
    plan_release(&aggregate->plan);
    free(aggregate);
}

/* Until the breakers that are open let somebody try again. */
static uint64_t longest_break_us(const struct plan *plan, uint64_t now_us)
{
    uint64_t longest_us = 0;

    for (size_t i = 0; i < plan->count; i++) {
        struct upstream_health *health = plan->fetches[i].upstream->health;
        uint64_t break_us = upstream_health_break_us(health, now_us);

        if (break_us > longest_us)
            longest_us = break_us;
    }
    return longest_us;
}

/* Of a 503 (RFC 9110, section 10.2.3): when those who wait now will have been served, and whom
 * nobody asks will be asked again. */
static void tell_when_to_retry(struct aggregate *aggregate)
{
    uint64_t now_us = clock_now_us();
    uint64_t seconds = limiter_retry_after_seconds(fanout_limiter(aggregate->fanout), now_us);
    uint64_t break_seconds = (longest_break_us(&aggregate->plan, now_us) + 999999) / 1000000;
    char text[DECIMAL_SIZE + 1];

    *decimal_write(text, seconds > break_seconds ? seconds : break_seconds) = '\0';
    reply_header(aggregate->call, "Retry-After", text);
}

static void refuse_for_memory(struct aggregate *aggregate)
{
    struct problem problem;

    problem_set(&problem, 503, BUDGET_SPENT);
    tell_when_to_retry(aggregate);
    reply_problem(aggregate->call, &problem);
}

static void answer(struct aggregate *aggregate)
{
    struct document *document = aggregate->document;
    struct call *call = aggregate->call;
    unsigned status = document_http_status(document);
    struct pieces body;

    pieces_init(&body, fanout_budget(aggregate->fanout));
    if (!document_write(document, clock_now_us() - call->started_us, &body)) {
        pieces_release(&body);
        refuse_for_memory(aggregate);
        return;
    }
    reply_header(call, "X-Fanout-Complete", document_is_complete(document) ? "true" : "false");
    if (status == 503)
        tell_when_to_retry(aggregate);
    if (reply_is_logged(call, status))
        document_summarise(document, call->note, sizeof call->note);
    reply_pieces(call, status, &body);
}

static void on_result(void *arg, size_t index, struct fetch_result *result)
{
    struct aggregate *aggregate = arg;

    document_add(aggregate->document, index, result);
}

static void on_done(void *arg)
{
    answer(arg);
    aggregate_free(arg);
}

static void on_gone(void *arg)
{
    struct aggregate *aggregate = arg;

    gather_cancel(aggregate->gather);
    aggregate_free(aggregate);
}

static void on_stop(void *arg)
{
    struct aggregate *aggregate = arg;

    gather_end(aggregate->gather, OUTCOME_CANCELLED, "the service stopped");
}

static struct gather_plan plan_of(const struct aggregate *aggregate)
{
    const struct plan *plan = &aggregate->plan;
    const struct config_endpoint *endpoint = plan->endpoint;

    return (struct gather_plan){
        .requests = plan->fetches,
        .count = plan->count,
        .deadline_us = plan->deadline_us,
        .soft_deadline_us = endpoint->soft_deadline_us,
        .needed = plan_needed(plan),
        .early = endpoint->early,
        .fail_fast = endpoint->fail_fast,
        .priority = (enum limiter_priority)endpoint->priority,
        .caller = aggregate->caller,
    };
}

static void start(struct aggregate *aggregate, struct worker *worker)
{
    struct gather_plan plan;

    aggregate->document = document_new(&aggregate->plan);
    aggregate->caller = caller_take(fanout_limiter(aggregate->fanout),
                                    worker_service(worker)->config, aggregate->call);
    aggregate->call->hooks =
        (struct call_hooks){.on_gone = on_gone, .on_stop = on_stop, .arg = aggregate};
    plan = plan_of(aggregate);
    aggregate->gather = gather_start(
        worker_engine(worker), &plan,
        (struct gather_sink){.on_result = on_result, .on_done = on_done, .arg = aggregate});
}

void aggregate_start(struct worker *worker, struct call *call,
                     const struct config_endpoint *endpoint)
{
    const struct service *service = worker_service(worker);
    struct aggregate *aggregate = mem_zalloc(sizeof *aggregate);
    struct budget *budget = fanout_budget(service->fanout);
    struct problem problem;

    aggregate->call = call;
    aggregate->fanout = service->fanout;
    if (budget_used(budget) >= budget->max_bytes) {
        refuse_for_memory(aggregate);
        aggregate_free(aggregate);
        return;
    }
    if (!plan_make(&aggregate->plan, call, service->config, service->fanout, endpoint, &problem)) {
        reply_problem(call, &problem);
        aggregate_free(aggregate);
        return;
    }
    start(aggregate, worker);
}
