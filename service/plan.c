/* A plan from a call: which way it is asked for, and what holds for the whole. */
#include "service/plan.h"

#include "fanout/fanout.h"
#include "fanout/mem.h"
#include "service/call.h"
#include "service/caller.h"
#include "service/plan_internal.h"

#include <search.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static void keep(void *entry)
{
    (void)entry; /* stands among the others */
}

void plan_release(struct plan *plan)
{
    tdestroy(plan->ids, keep);
    for (size_t i = 0; i < plan->count; i++) {
        mem_free(plan->entries[i].own_id);
        mem_free(plan->entries[i].target);
        mem_free(plan->entries[i].fallback_target);
        header_list_release(&plan->entries[i].headers);
    }
    free(plan->fallbacks);
    free(plan->fetches); /* and the entries */
}

static const struct fallback_settings *fallback_of(const struct fetch_request *fetch)
{
    return &fetch->upstream->settings->fallback;
}

/* The same, of the upstream that stands in. */
static struct fetch_request make_fallback(const struct plan_maker *maker, size_t at)
{
    struct fetch_request fallback = maker->plan->fetches[at];

    fallback.upstream = fanout_upstream(maker->fanout, fallback_of(&fallback)->index);
    fallback.target = maker->plan->entries[at].fallback_target;
    return fallback;
}

static void add_fallbacks(struct plan_maker *maker)
{
    struct plan *plan = maker->plan;

    for (size_t i = 0; i < plan->count; i++) {
        if (fallback_of(&plan->fetches[i])->upstream == NULL)
            continue;
        if (plan->fallbacks == NULL)
            plan->fallbacks = mem_array(plan->count, sizeof plan->fallbacks[0]);
        plan->fallbacks[i] = make_fallback(maker, i);
        plan->fetches[i].fallback = &plan->fallbacks[i];
    }
}

/* Points each fetch at what its entry owns, once nothing moves any more. */
static void finish(struct plan_maker *maker)
{
    struct plan *plan = maker->plan;

    plan->request_id = (struct header){(char *)"X-Request-Id", maker->call->id};
    plan->common = (struct header_list){.items = &plan->request_id, .count = 1};
    for (size_t i = 0; i < plan->count; i++) {
        struct plan_entry *entry = &plan->entries[i];

        plan->fetches[i].target = entry->target;
        if (entry->headers.count == 0)
            continue;
        header_list_set(&entry->headers, "X-Request-Id", maker->call->id);
        plan->fetches[i].headers = &entry->headers;
    }
    add_fallbacks(maker);
}

/* A number that the configuration requires is of the whole list: of a part of it, it is all. */
static bool check_require(struct plan_maker *maker)
{
    struct plan *plan = maker->plan;

    if (plan->require.kind != REQUIRE_COUNT || plan->require.count <= plan->count)
        return true;
    if (maker->required_by == REQUIRED_BY_FILE) {
        plan->require.kind = REQUIRE_ALL;
        return true;
    }
    problem_set(maker->problem, 400, "%zu results are required of %zu requests",
                plan->require.count, plan->count);
    if (maker->required_by == REQUIRED_BY_QUERY)
        problem_at_parameter(maker->problem, "require");
    else
        problem_at_pointer(maker->problem, "/require");
    return false;
}

static bool is_json(const char *content_type)
{
    static const char json[] = "application/json";
    size_t length = sizeof json - 1;

    return content_type != NULL && strncasecmp(content_type, json, length) == 0 &&
           strchr("; \t", content_type[length]) != NULL;
}

static bool read_post(struct plan_maker *maker)
{
    const char *content_type = call_header(maker->call, "Content-Type");
    const char *text;
    size_t length;

    if (!is_json(content_type))
        return problem_set(maker->problem, 415, "the document must be application/json, not %.100s",
                           content_type != NULL ? content_type : "without a Content-Type");
    text = call_body(maker->call, &length);
    if (text == NULL)
        return problem_set(maker->problem, 503, "no memory for a document of this size");
    return plan_read_document(maker, text, length);
}

bool plan_make(struct plan *plan, struct call *call, const struct config *config,
               struct fanout *fanout, const struct config_endpoint *endpoint,
               struct problem *problem)
{
    struct plan_maker maker = {
        .plan = plan, .call = call, .config = config, .fanout = fanout, .problem = problem};
    bool is_post = strcmp(call->method, "POST") == 0;

    *plan = (struct plan){
        .endpoint = endpoint,
        .deadline_us = endpoint->deadline_us,
        .require = endpoint->require,
        .shape = endpoint->shape,
    };
    if (!plan_read_query(&maker, !is_post) || (is_post && !read_post(&maker)) ||
        !check_require(&maker) || !caller_lower_deadline(call, &plan->deadline_us, problem))
        return false;
    finish(&maker);
    return true;
}

size_t plan_needed(const struct plan *plan)
{
    switch (plan->require.kind) {
    case REQUIRE_ALL:
        return plan->count;
    case REQUIRE_NONE:
        return 0;
    case REQUIRE_COUNT:
        return plan->require.count;
    case REQUIRE_ANY:
        break;
    }
    return 1;
}
