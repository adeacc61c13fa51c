/*
 * One request of a POST document: which upstream, and what the caller wishes
 * of it, each wish only where the upstream's configuration allows it.
 */
#include "service/plan_internal.h"

#include "fanout/mem.h"

#include <stdlib.h>
#include <string.h>

/* One request of the document, being read. */
struct reading {
    struct plan_maker *maker;
    size_t at; /* its place in the plan */
    char *path;
    char *query;
};

static const struct upstream_settings *settings_of(const struct reading *reading)
{
    return reading->maker->plan->fetches[reading->at].upstream->settings;
}

static bool not_allowed(struct reading *reading, const char *what, const char *option)
{
    return plan_fail(reading->maker, "upstream \"%s\" takes no %s from callers (option %s)",
                     settings_of(reading)->name, what, option);
}

static bool read_id(void *arg, struct json_span value)
{
    struct reading *reading = arg;
    char *id = plan_string(reading->maker, value);

    if (id == NULL)
        return false;
    reading->maker->plan->entries[reading->at].own_id = id;
    if (id[0] == '\0' || strlen(id) > reading->maker->config->max_id_bytes)
        return plan_fail(reading->maker, "an id has 1 to %zu bytes (option max_id)",
                         reading->maker->config->max_id_bytes);
    return plan_set_id(reading->maker->plan, reading->at, id) ||
           plan_fail(reading->maker, "the id \"%.100s\" is given twice", id);
}

static bool read_upstream(void *arg, struct json_span value)
{
    (void)arg, (void)value; /* was read first: it says what the others may hold */
    return true;
}

static bool read_path(void *arg, struct json_span value)
{
    struct reading *reading = arg;
    const char *error;

    if (!settings_of(reading)->allow_path)
        return not_allowed(reading, "path", "allow_path");
    reading->path = plan_string(reading->maker, value);
    if (reading->path == NULL)
        return false;
    error = url_check_path(reading->path, strlen(reading->path));
    return error == NULL || plan_fail(reading->maker, "%s", error);
}

/* The text of a string, number or boolean as it stands in a query; NULL: a problem is set. */
static char *scalar_of(struct plan_maker *maker, struct json_span value)
{
    switch (json_type(value)) {
    case JSON_STRING:
        return plan_string(maker, value);
    case JSON_NUMBER:
    case JSON_TRUE:
    case JSON_FALSE:
        return mem_strndup(value.start, value.length);
    default:
        plan_fail(maker, "found %s where a string, number or boolean was expected",
                  json_type_name(json_type(value)));
        return NULL;
    }
}

/* Calls `read` for each member of an object. */
static bool each_member(struct reading *reading, struct json_span object,
                        bool (*read)(struct reading *reading, const char *name,
                                     struct json_span value))
{
    struct json_walk walk;
    struct json_span key, value;
    bool ok = plan_expect(reading->maker, object, JSON_OBJECT);

    if (ok)
        walk = json_walk_start(object);
    while (ok && json_next_member(&walk, &key, &value)) {
        char *name = plan_string(reading->maker, key);
        size_t level;

        if (name == NULL)
            return false;
        level = plan_pointer_push(reading->maker, name);
        ok = read(reading, name, value);
        plan_pointer_pop(reading->maker, level, ok);
        free(name);
    }
    return ok;
}

static bool read_query_member(struct reading *reading, const char *name, struct json_span value)
{
    char *text = scalar_of(reading->maker, value);

    if (text == NULL)
        return false;
    reading->query = url_query_add(reading->query, name, strlen(name), text, strlen(text));
    free(text);
    return true;
}

static bool read_query(void *arg, struct json_span value)
{
    struct reading *reading = arg;
    if (!settings_of(reading)->allow_query)
        return not_allowed(reading, "query", "allow_query");
    return each_member(reading, value, read_query_member);
}

/* "GET, POST", and the nearest of them to what was found. */
static bool method_not_allowed(struct reading *reading, const char *found)
{
    const struct upstream_settings *settings = settings_of(reading);
    const char *names[METHOD_COUNT];
    char list[80] = "";
    size_t count = 0;

    for (enum method method = 0; method < METHOD_COUNT; method++) {
        if (!upstream_settings_allow_method(settings, method))
            continue;
        strcat(strcat(list, count > 0 ? ", " : ""), method_name(method));
        names[count++] = method_name(method);
    }
    plan_fail(reading->maker,
              "upstream \"%s\" takes %s from callers, not \"%.40s\" (option allow_methods)",
              settings->name, list, found);
    problem_suggest(reading->maker->problem, found, names, count);
    return false;
}

static bool read_method(void *arg, struct json_span value)
{
    struct reading *reading = arg;
    struct fetch_request *fetch = &reading->maker->plan->fetches[reading->at];
    char *name = plan_string(reading->maker, value);
    bool ok;

    if (name == NULL)
        return false;
    ok = (method_parse(name, strlen(name), &fetch->method) &&
          upstream_settings_allow_method(settings_of(reading), fetch->method)) ||
         method_not_allowed(reading, name);
    free(name);
    return ok;
}

static bool read_header(struct reading *reading, const char *name, struct json_span value)
{
    struct header_list *headers = &reading->maker->plan->entries[reading->at].headers;
    char *text;
    bool ok;

    if (!upstream_settings_forward_header(settings_of(reading), name))
        return plan_fail(reading->maker,
                         "upstream \"%s\" takes no header \"%.100s\" from callers "
                         "(option forward_headers)",
                         settings_of(reading)->name, name);
    text = plan_string(reading->maker, value);
    if (text == NULL)
        return false;
    ok = header_value_is_valid(text, strlen(text)) ||
         plan_fail(reading->maker,
                   "a header's value has no control characters and no space at its ends");
    if (ok)
        header_list_set(headers, name, text);
    free(text);
    return ok;
}

static bool read_headers(void *arg, struct json_span value)
{
    struct reading *reading = arg;
    return each_member(reading, value, read_header);
}

static bool read_body(void *arg, struct json_span value)
{
    struct reading *reading = arg;
    struct fetch_request *fetch = &reading->maker->plan->fetches[reading->at];

    if (!settings_of(reading)->allow_body)
        return not_allowed(reading, "body", "allow_body");
    fetch->body = value.start;
    fetch->body_length = value.length;
    return true;
}

static bool read_timeout(void *arg, struct json_span value)
{
    struct reading *reading = arg;
    return plan_timeout(reading->maker, value,
                        &reading->maker->plan->fetches[reading->at].timeout_us);
}

static const struct plan_member members[] = {
    {"id", read_id},       {"upstream", read_upstream},  {"path", read_path},
    {"query", read_query}, {"method", read_method},      {"headers", read_headers},
    {"body", read_body},   {"timeout_ms", read_timeout},
};

/* The upstream says what the other members may hold, so it is read first, wherever it stands. */
static bool find_upstream(struct plan_maker *maker, struct json_span object, size_t *index)
{
    struct json_walk walk = json_walk_start(object);
    struct json_span key, value;
    size_t level;
    char *name;
    bool ok;

    while (json_next_member(&walk, &key, &value)) {
        if (!json_string_equals(key, "upstream"))
            continue;
        level = plan_pointer_push(maker, "upstream");
        name = plan_string(maker, value);
        ok = name != NULL && plan_find_upstream(maker, name, index);
        plan_pointer_pop(maker, level, ok);
        free(name);
        return ok;
    }
    return plan_fail(maker, "a request needs an \"upstream\"");
}

/* A body that is JSON says so, unless the caller says otherwise. */
static void add_content_type(struct reading *reading)
{
    struct plan *plan = reading->maker->plan;
    struct header_list *headers = &plan->entries[reading->at].headers;
    const struct header_list *fixed = &settings_of(reading)->headers;

    if (plan->fetches[reading->at].body != NULL &&
        header_list_find(headers, "Content-Type") == NULL &&
        header_list_find(fixed, "Content-Type") == NULL)
        header_list_add(headers, "Content-Type", "application/json");
}

static void make_targets(struct reading *reading)
{
    const struct fallback_settings *fallback = &settings_of(reading)->fallback;
    struct plan_entry *entry = &reading->maker->plan->entries[reading->at];

    entry->target = url_target(&settings_of(reading)->url, reading->path, reading->query);
    if (fallback->upstream != NULL)
        entry->fallback_target = url_target(&reading->maker->config->upstreams[fallback->index].url,
                                            reading->path, reading->query);
}

/* What can only be said once every member was read. */
static bool check_whole(struct reading *reading)
{
    struct plan *plan = reading->maker->plan;
    const struct fetch_request *fetch = &plan->fetches[reading->at];
    struct plan_entry *entry = &plan->entries[reading->at];

    if (fetch->body != NULL && !method_may_have_body(fetch->method)) {
        plan_pointer_push(reading->maker, "body");
        return plan_fail(reading->maker, "a %s has no body", method_name(fetch->method));
    }
    if (entry->own_id == NULL && !plan_set_id(plan, reading->at, entry->id))
        return plan_fail(reading->maker,
                         "the id \"%s\" is given twice: a request without an \"id\" has its "
                         "upstream's name",
                         entry->id);
    if (reading->path != NULL || reading->query != NULL)
        make_targets(reading);
    add_content_type(reading);
    return true;
}

bool plan_read_request(struct plan_maker *maker, struct json_span element)
{
    struct reading reading = {.maker = maker};
    size_t index = 0;
    bool ok;

    if (!plan_expect(maker, element, JSON_OBJECT) || !find_upstream(maker, element, &index))
        return false;
    reading.at = plan_add(maker, index);
    ok = plan_read_members(maker, element, members, sizeof members / sizeof members[0], &reading) &&
         check_whole(&reading);
    free(reading.path);
    free(reading.query);
    return ok;
}
