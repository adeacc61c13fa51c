/* One call to an endpoint, from the plan to the answer. */
#include "service/aggregate.h"

#include "fanout/budget.h"
#include "fanout/clock.h"
#include "fanout/fanout.h"
#include "fanout/gather.h"
#include "fanout/mem.h"
#include "service/document.h"
#include "service/plan.h"
#include "service/reply.h"
#include "service/worker.h"

#include <stdlib.h>

#define RETRY_AFTER_SECONDS "1"

struct aggregate {
    struct call *call;
    struct plan plan;
    struct document *document;
    struct gather *gather;
    struct budget *budget; /* of bytes of answers */
};

static void aggregate_free(struct aggregate *aggregate)
{
    if (aggregate->document != NULL)
        document_free(aggregate->document);
    plan_release(&aggregate->plan);
    free(aggregate);
}

static void refuse_for_memory(struct call *call)
{
    struct problem problem;

    problem_set(&problem, 503, "too many bytes of answers are held already (option max_memory)");
    reply_header(call, "Retry-After", RETRY_AFTER_SECONDS);
    reply_problem(call, &problem);
}

static void answer(struct aggregate *aggregate)
{
    const struct document *document = aggregate->document;
    struct call *call = aggregate->call;
    unsigned status = document_http_status(document);
    struct buf body;

    buf_init_budgeted(&body, BUF_UNLIMITED, aggregate->budget);
    if (!document_write(document, clock_now_us() - call->started_us, &body)) {
        buf_release(&body);
        refuse_for_memory(call);
        return;
    }
    reply_header(call, "X-Fanout-Complete", document_is_complete(document) ? "true" : "false");
    if (status == 503)
        reply_header(call, "Retry-After", RETRY_AFTER_SECONDS);
    if (reply_is_logged(call, status))
        document_summarise(document, call->note, sizeof call->note);
    reply_json(call, status, &body);
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

void aggregate_start(struct worker *worker, struct call *call,
                     const struct config_endpoint *endpoint)
{
    const struct service *service = worker_service(worker);
    struct aggregate *aggregate = mem_zalloc(sizeof *aggregate);
    struct plan *plan = &aggregate->plan;
    struct problem problem;

    aggregate->call = call;
    aggregate->budget = fanout_budget(service->fanout);
    if (budget_used(aggregate->budget) >= aggregate->budget->max_bytes) {
        refuse_for_memory(call);
        aggregate_free(aggregate);
        return;
    }
    if (!plan_make(plan, call, service->config, service->fanout, endpoint, &problem)) {
        reply_problem(call, &problem);
        aggregate_free(aggregate);
        return;
    }
    aggregate->document = document_new(plan);
    call->hooks = (struct call_hooks){.on_gone = on_gone, .on_stop = on_stop, .arg = aggregate};
    aggregate->gather = gather_start(
        worker_engine(worker), &(struct gather_plan){plan->fetches, plan->count, plan->deadline_us},
        (struct gather_sink){.on_result = on_result, .on_done = on_done, .arg = aggregate});
}
