/* The query: ?upstreams=a,b&timeout=800ms&require=all&shape=map */
#include "service/plan_internal.h"

#include "fanout/mem.h"
#include "service/call.h"
#include "service/units.h"

#include <event2/http.h>
#include <stdlib.h>
#include <string.h>

struct query {
    struct plan_maker *maker;
    char *upstreams; /* decoded; NULL: not given */
    unsigned seen;   /* bit of each parameter that was given */
    bool is_get;
};

static bool read_upstreams(struct query *query, const char *value)
{
    if (!query->is_get)
        return problem_set(query->maker->problem, 400,
                           "a POST names its upstreams in the document");
    query->upstreams = mem_strdup(value);
    return true;
}

static bool read_timeout(struct query *query, const char *value)
{
    uint64_t timeout_us = 0;

    if (units_parse(&units_of_time, value, &timeout_us) != UNITS_OK || timeout_us == 0)
        return problem_set(query->maker->problem, 400, "\"%.100s\" is not a duration: %s", value,
                           units_of_time.shape);
    plan_lower_deadline(query->maker->plan, timeout_us);
    return true;
}

static bool read_require(struct query *query, const char *value)
{
    query->maker->required_by = REQUIRED_BY_QUERY;
    return plan_set_require(query->maker, value);
}

static bool read_shape(struct query *query, const char *value)
{
    return plan_set_shape(query->maker, value);
}

static const struct parameter {
    const char *name;
    bool (*read)(struct query *query, const char *value);
} parameters[] = {
    {"upstreams", read_upstreams},
    {"timeout", read_timeout},
    {"require", read_require},
    {"shape", read_shape},
};

#define PARAMETER_COUNT (sizeof parameters / sizeof parameters[0])

static bool unknown_parameter(struct problem *problem, const char *name)
{
    const char *names[PARAMETER_COUNT];

    for (size_t i = 0; i < PARAMETER_COUNT; i++)
        names[i] = parameters[i].name;
    problem_set(problem, 400, "no parameter \"%.100s\"", name);
    problem_suggest(problem, name, names, PARAMETER_COUNT);
    problem_at_parameter(problem, name);
    return false;
}

static bool read_pair(struct query *query, const char *name, const char *value)
{
    struct problem *problem = query->maker->problem;
    size_t i = 0;

    while (i < PARAMETER_COUNT && strcmp(parameters[i].name, name) != 0)
        i++;
    if (i == PARAMETER_COUNT)
        return unknown_parameter(problem, name);
    if ((query->seen >> i & 1u) != 0)
        problem_set(problem, 400, "given twice");
    else if (parameters[i].read(query, value)) {
        query->seen |= 1u << i;
        return true;
    }
    problem_at_parameter(problem, name);
    return false;
}

static char *decode(const char *text, size_t length, struct problem *problem)
{
    char *raw = mem_strndup(text, length);
    size_t decoded_length = 0;
    char *decoded = evhttp_uridecode(raw, 1, &decoded_length);

    free(raw);
    if (decoded != NULL && strlen(decoded) == decoded_length)
        return decoded;
    free(decoded);
    problem_set(problem, 400, "the query holds a NUL byte");
    return NULL;
}

/* One `name=value`, still encoded. */
static bool read_encoded_pair(struct query *query, const char *pair, size_t length)
{
    const char *equals = memchr(pair, '=', length);
    size_t name_length = equals != NULL ? (size_t)(equals - pair) : length;
    size_t value_at = equals != NULL ? name_length + 1 : length;
    char *name = decode(pair, name_length, query->maker->problem);
    char *value = decode(pair + value_at, length - value_at, query->maker->problem);
    bool ok = name != NULL && value != NULL && read_pair(query, name, value);

    free(name);
    free(value);
    return ok;
}

static bool read_pairs(struct query *query, const char *text)
{
    while (text != NULL && *text != '\0') {
        size_t length = strcspn(text, "&");

        if (length > 0 && !read_encoded_pair(query, text, length))
            return false;
        text += length + (text[length] == '&');
    }
    return true;
}

static bool add_named(struct plan_maker *maker, const char *name)
{
    size_t index, at;

    if (!plan_find_upstream(maker, name, &index))
        return false;
    at = plan_add(maker, index);
    return plan_set_id(maker->plan, at, maker->plan->entries[at].id) ||
           problem_set(maker->problem, 400, "upstream \"%.100s\" is given twice", name);
}

/* "a,b": those, in that order. */
static bool add_subset(struct plan_maker *maker, char *names)
{
    size_t most = 1;
    char *name;

    for (const char *at = names; *at != '\0'; at++)
        most += *at == ',';
    if (most > maker->plan->endpoint->upstream_count)
        most = maker->plan->endpoint->upstream_count + 1; /* the last one is doubled or unknown */
    plan_reserve(maker->plan, most);
    while ((name = strsep(&names, ",")) != NULL)
        if (!add_named(maker, name))
            return false;
    return true;
}

/* An endpoint lists each upstream once, so their names are ids. */
static void add_all(struct plan_maker *maker)
{
    const struct config_endpoint *endpoint = maker->plan->endpoint;

    plan_reserve(maker->plan, endpoint->upstream_count);
    for (size_t i = 0; i < endpoint->upstream_count; i++)
        plan_add(maker, endpoint->upstreams[i]);
}

bool plan_read_query(struct plan_maker *maker, bool is_get)
{
    struct query query = {.maker = maker, .is_get = is_get};
    bool ok = read_pairs(&query, maker->call->query);

    if (ok && is_get && query.upstreams == NULL)
        add_all(maker);
    else if (ok && is_get && !add_subset(maker, query.upstreams)) {
        problem_at_parameter(maker->problem, "upstreams");
        ok = false;
    }
    free(query.upstreams);
    return ok;
}
