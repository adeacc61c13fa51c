/* Plans, piece by piece: what both ways to ask for one are made of. */
#include "service/plan_internal.h"

#include "fanout/clock.h"
#include "fanout/fanout.h"
#include "fanout/mem.h"
#include "service/call.h"

#include <search.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

void plan_reserve(struct plan *plan, size_t count)
{
    plan->fetches = mem_array(count, sizeof plan->fetches[0] + sizeof plan->entries[0]);
    plan->entries = (struct plan_entry *)(plan->fetches + count);
}

static enum method default_method(const struct upstream_settings *settings)
{
    enum method method = METHOD_GET;

    while (!upstream_settings_allow_method(settings, method) && method + 1 < METHOD_COUNT)
        method++;
    return method;
}

/* The caller's own fields that this upstream is to see. Those of a POST document are about the
 * document. */
static void forward_headers(const struct plan_maker *maker, const struct upstream *upstream,
                            struct header_list *headers)
{
    const struct string_list *names = &upstream->settings->forward_headers;

    for (size_t i = 0; i < names->count; i++) {
        const char *value = call_header(maker->call, names->items[i]);

        if (value != NULL && strcasecmp(names->items[i], "Content-Type") != 0 &&
            header_value_is_valid(value, strlen(value)))
            header_list_set(headers, names->items[i], value);
    }
}

size_t plan_add(struct plan_maker *maker, size_t upstream_index)
{
    struct plan *plan = maker->plan;
    size_t at = plan->count++;
    struct fetch_request *fetch = &plan->fetches[at];
    struct plan_entry *entry = &plan->entries[at];

    *fetch = (struct fetch_request){
        .upstream = fanout_upstream(maker->fanout, upstream_index),
        .timeout_us = CLOCK_NEVER,
        .headers = &plan->common,
    };
    fetch->method = default_method(fetch->upstream->settings);
    *entry = (struct plan_entry){.id = fetch->upstream->settings->name};
    forward_headers(maker, fetch->upstream, &entry->headers);
    return at;
}

static int compare_ids(const void *left, const void *right)
{
    const struct plan_entry *one = left, *other = right;

    return strcmp(one->id, other->id);
}

bool plan_set_id(struct plan *plan, size_t at, const char *id)
{
    struct plan_entry *entry = &plan->entries[at];
    struct plan_entry **node;

    entry->id = id;
    node = tsearch(entry, &plan->ids, compare_ids);
    if (node != NULL)
        return *node == entry;
    mem_abort();
}

/* Names of the endpoint's upstreams, for a suggestion. */
static void suggest_upstream(struct plan_maker *maker, const char *wrong)
{
    const struct config_endpoint *endpoint = maker->plan->endpoint;
    const char **names = mem_array(endpoint->upstream_count, sizeof names[0]);

    for (size_t i = 0; i < endpoint->upstream_count; i++)
        names[i] = maker->config->upstreams[endpoint->upstreams[i]].name;
    problem_suggest(maker->problem, wrong, names, endpoint->upstream_count);
    free(names);
}

bool plan_find_upstream(struct plan_maker *maker, const char *name, size_t *index)
{
    const struct config_endpoint *endpoint = maker->plan->endpoint;

    for (size_t i = 0; i < endpoint->upstream_count; i++) {
        *index = endpoint->upstreams[i];
        if (strcmp(maker->config->upstreams[*index].name, name) == 0)
            return true;
    }
    problem_set(maker->problem, 400, "no upstream \"%.100s\" at %s", name, endpoint->path);
    suggest_upstream(maker, name);
    return false;
}

bool plan_set_require(struct plan_maker *maker, const char *text)
{
    static const char *const words[] = {"any", "all", "none"};
    struct require *require = &maker->plan->require;
    char *end;
    unsigned long count;

    for (size_t i = 0; i < 3; i++) {
        if (strcmp(text, words[i]) == 0) {
            *require = (struct require){.kind = (enum require_kind)i};
            return true;
        }
    }
    count = strtoul(text, &end, 10);
    if (text[0] >= '1' && text[0] <= '9' && *end == '\0' && count <= maker->config->max_requests) {
        *require = (struct require){.kind = REQUIRE_COUNT, .count = count};
        return true;
    }
    problem_set(maker->problem, 400,
                "\"%.100s\" is not \"any\", \"all\", \"none\" or a number of results", text);
    problem_suggest(maker->problem, text, words, 3);
    return false;
}

bool plan_set_shape(struct plan_maker *maker, const char *text)
{
    static const char *const words[] = {"list", "map"};

    for (size_t i = 0; i < 2; i++) {
        if (strcmp(text, words[i]) == 0) {
            maker->plan->shape = (enum shape)i;
            return true;
        }
    }
    problem_set(maker->problem, 400, "\"%.100s\" is not \"list\" or \"map\"", text);
    problem_suggest(maker->problem, text, words, 2);
    return false;
}

void plan_lower_deadline(struct plan *plan, uint64_t deadline_us)
{
    if (deadline_us < plan->deadline_us)
        plan->deadline_us = deadline_us;
}
