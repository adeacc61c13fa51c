/*
 * The document of a POST:
 *
 *   {"requests":[{"id":…,"upstream":…,"path":…,"query":{…},"method":…,"headers":{…},
 *                 "body":…,"timeout_ms":…}, …], "timeout_ms":…, "require":…, "shape":…}
 *
 * It is validated whole first and then walked; bodies are passed on as spans
 * of it, byte for byte.
 */
#include "service/plan_internal.h"

#include "fanout/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static size_t count_elements(struct json_span array)
{
    struct json_walk walk = json_walk_start(array);
    struct json_span element;
    size_t count = 0;

    while (json_next_element(&walk, &element))
        count++;
    return count;
}

static bool read_requests(void *arg, struct json_span value)
{
    struct plan_maker *maker = arg;
    struct json_walk walk;
    struct json_span element;
    size_t count;
    bool ok = true;

    if (!plan_expect(maker, value, JSON_ARRAY))
        return false;
    count = count_elements(value);
    if (count == 0 || count > maker->config->max_requests)
        return plan_fail(maker, "found %zu requests where 1 to %zu are allowed", count,
                         maker->config->max_requests);
    plan_reserve(maker->plan, count);
    walk = json_walk_start(value);
    while (ok && json_next_element(&walk, &element)) {
        char index[24];
        size_t level;

        snprintf(index, sizeof index, "%zu", maker->plan->count);
        level = plan_pointer_push(maker, index);
        ok = plan_read_request(maker, element);
        plan_pointer_pop(maker, level, ok);
    }
    return ok;
}

static bool read_timeout(void *arg, struct json_span value)
{
    struct plan_maker *maker = arg;
    uint64_t timeout_us = 0;

    if (!plan_timeout(maker, value, &timeout_us))
        return false;
    plan_lower_deadline(maker->plan, timeout_us);
    return true;
}

/* A word, or a number of results. */
static bool read_require(void *arg, struct json_span value)
{
    struct plan_maker *maker = arg;
    char *text = json_type(value) == JSON_NUMBER ? mem_strndup(value.start, value.length)
                                                 : plan_string(maker, value);
    bool ok = text != NULL && plan_set_require(maker, text);

    maker->required_by = REQUIRED_BY_DOCUMENT;
    free(text);
    return ok;
}

static bool read_shape(void *arg, struct json_span value)
{
    struct plan_maker *maker = arg;
    char *text = plan_string(maker, value);
    bool ok = text != NULL && plan_set_shape(maker, text);

    free(text);
    return ok;
}

static const struct plan_member members[] = {
    {"requests", read_requests},
    {"timeout_ms", read_timeout},
    {"require", read_require},
    {"shape", read_shape},
};

static bool read_validated(struct plan_maker *maker, struct json_span root)
{
    if (!plan_expect(maker, root, JSON_OBJECT) ||
        !plan_read_members(maker, root, members, sizeof members / sizeof members[0], maker))
        return false;
    if (maker->plan->count == 0)
        return plan_fail(maker, "the document needs \"requests\"");
    return true;
}

bool plan_read_document(struct plan_maker *maker, const char *text, size_t length)
{
    struct json_error error;

    if (!json_validate(text, length, maker->config->max_request_depth, &error))
        return plan_fail(maker, "the document is not JSON: at byte %zu: %s", error.offset,
                         error.message);
    if (read_validated(maker, json_root(text, length)))
        return true;
    problem_at_pointer(maker->problem, maker->pointer);
    return false;
}
