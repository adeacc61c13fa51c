/* The service's own state. */
#include "service/status.h"

#include "fanout/budget.h"
#include "fanout/clock.h"
#include "fanout/fanout.h"
#include "fanout/transport.h"
#include "fanout/upstream_health.h"
#include "service/reply.h"
#include "service/worker.h"

#include <cjson/cJSON.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/* Takes the document over; NULL where there was no memory for one. */
static void reply_document(struct call *call, unsigned status, cJSON *document)
{
    char *text = document != NULL ? cJSON_PrintUnformatted(document) : NULL;
    struct problem problem;
    struct buf body;

    cJSON_Delete(document);
    if (text == NULL) {
        problem_set(&problem, 503, "out of memory");
        reply_problem(call, &problem);
        return;
    }
    buf_init(&body, BUF_UNLIMITED);
    buf_append_text(&body, text);
    buf_append(&body, "\n", 1);
    cJSON_free(text);
    reply_json(call, status, &body);
}

static void reply_state(struct call *call, unsigned status, const char *state)
{
    cJSON *document = cJSON_CreateObject();

    cJSON_AddStringToObject(document, "status", state);
    call->log_level = TRACE_DEBUG; /* asked every few seconds, for ever */
    reply_document(call, status, document);
}

void status_livez(struct worker *worker, struct call *call)
{
    (void)worker;
    reply_state(call, 200, "ok");
}

void status_readyz(struct worker *worker, struct call *call)
{
    if (worker_is_draining(worker))
        reply_state(call, 503, "draining");
    else
        reply_state(call, 200, "ok");
}

static cJSON *describe_outcomes(struct upstream *upstream, uint64_t *total)
{
    cJSON *outcomes = cJSON_CreateObject();

    *total = 0;
    for (enum outcome i = 0; i < OUTCOME_COUNT; i++) {
        uint64_t count = atomic_load_explicit(&upstream->outcomes[i], memory_order_relaxed);

        *total += count;
        if (count > 0)
            cJSON_AddNumberToObject(outcomes, outcome_info(i)->name, (double)count);
    }
    return outcomes;
}

static void add_ms(cJSON *object, const char *name, uint64_t time_us)
{
    cJSON_AddNumberToObject(object, name, (double)time_us / 1000);
}

static cJSON *describe_breaker(const struct breaker_view *view)
{
    cJSON *object = cJSON_CreateObject();

    cJSON_AddStringToObject(object, "state", breaker_state_name(view->state));
    if (view->state == BREAKER_OPEN)
        add_ms(object, "probes_in_ms", view->opens_probes_in_us);
    cJSON_AddNumberToObject(object, "calls", view->calls);
    cJSON_AddNumberToObject(object, "failures", view->failures);
    cJSON_AddNumberToObject(object, "consecutive_failures", view->consecutive);
    cJSON_AddNumberToObject(object, "times_opened", (double)view->times_opened);
    return object;
}

static void add_limits(cJSON *object, struct upstream *upstream)
{
    struct limiter_counts counts;

    limiter_lane_counts(upstream->lane, &counts);
    cJSON_AddNumberToObject(object, "in_flight", counts.in_flight);
    cJSON_AddNumberToObject(object, "max_in_flight", counts.max_in_flight);
    cJSON_AddNumberToObject(object, "queued", counts.queued);
}

static void add_policies(cJSON *object, struct upstream *upstream)
{
    struct upstream_health_view view;

    upstream_health_look(upstream->health, clock_now_us(), &view);
    for (enum upstream_event i = 0; i < UPSTREAM_EVENT_COUNT; i++)
        cJSON_AddNumberToObject(
            object, upstream_event_name(i),
            (double)atomic_load_explicit(&upstream->events[i], memory_order_relaxed));
    cJSON_AddNumberToObject(object, "retry_budget", (double)view.extra_available);
    if (view.has_breaker)
        cJSON_AddItemToObject(object, "breaker", describe_breaker(&view.breaker));
    if (view.is_adaptive)
        add_ms(object, "baseline_ms", view.baseline_us);
    if (view.hedge_delay_us != CLOCK_NEVER)
        add_ms(object, "hedge_delay_ms", view.hedge_delay_us);
}

static cJSON *describe_upstream(struct upstream *upstream)
{
    cJSON *object = cJSON_CreateObject();
    uint64_t total;
    cJSON *outcomes = describe_outcomes(upstream, &total);

    cJSON_AddStringToObject(object, "name", upstream->settings->name);
    cJSON_AddStringToObject(object, "url", upstream->settings->url_text);
    cJSON_AddStringToObject(object, "transport", transport_way_name(upstream->settings));
    add_limits(object, upstream);
    cJSON_AddNumberToObject(object, "requests", (double)total);
    cJSON_AddItemToObject(object, "outcomes", outcomes);
    add_policies(object, upstream);
    return object;
}

static void add_whole(cJSON *document, struct fanout *fanout)
{
    struct limiter_counts counts;

    fanout_counts(fanout, &counts);
    cJSON_AddNumberToObject(document, "in_flight", counts.in_flight);
    cJSON_AddNumberToObject(document, "max_in_flight", counts.max_in_flight);
    cJSON_AddNumberToObject(document, "queued", counts.queued);
    cJSON_AddNumberToObject(document, "max_queue", counts.max_queue);
    cJSON_AddNumberToObject(document, "callers_waiting", counts.callers);
    cJSON_AddNumberToObject(document, "refused_full", (double)counts.refused_full);
    cJSON_AddNumberToObject(document, "refused_late", (double)counts.refused_late);
    cJSON_AddNumberToObject(document, "memory_bytes", (double)budget_used(fanout_budget(fanout)));
}

void status_upstreams(struct worker *worker, struct call *call)
{
    struct fanout *fanout = worker_service(worker)->fanout;
    cJSON *document = cJSON_CreateObject();
    cJSON *list = cJSON_CreateArray();

    add_whole(document, fanout);
    for (size_t i = 0; i < fanout_upstream_count(fanout); i++)
        cJSON_AddItemToArray(list, describe_upstream(fanout_upstream(fanout, i)));
    cJSON_AddItemToObject(document, "upstreams", list);
    reply_document(call, 200, document);
}
