/*
 * Walking a JSON document with an eye on where in it we are: what is wrong is
 * told by its place, and a value is taken only as what it is.
 */
#include "service/plan_internal.h"

#include "fanout/mem.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_TIMEOUT_MS 86400000u
#define MAX_MEMBERS    16

/* ---- where we are, and what is wrong there ---- */

size_t plan_pointer_push(struct plan_maker *maker, const char *name)
{
    size_t level = strlen(maker->pointer);

    problem_pointer_add(maker->pointer, name);
    return level;
}

void plan_pointer_pop(struct plan_maker *maker, size_t level, bool ok)
{
    if (ok) /* a problem keeps its place */
        maker->pointer[level] = '\0';
}

bool plan_fail(struct plan_maker *maker, const char *format, ...)
{
    char detail[PROBLEM_DETAIL_SIZE];
    va_list args;

    va_start(args, format);
    vsnprintf(detail, sizeof detail, format, args);
    va_end(args);
    return problem_set(maker->problem, 400, "%s", detail);
}

/* ---- values ---- */

bool plan_expect(struct plan_maker *maker, struct json_span value, enum json_type type)
{
    return json_type(value) == type ||
           plan_fail(maker, "found %s where %s was expected", json_type_name(json_type(value)),
                     json_type_name(type));
}

char *plan_string(struct plan_maker *maker, struct json_span value)
{
    char *text;
    size_t length;

    if (!plan_expect(maker, value, JSON_STRING))
        return NULL;
    text = mem_alloc(value.length + 1);
    length = json_string_decode(value, text);
    if (strlen(text) == length)
        return text;
    free(text);
    plan_fail(maker, "the string holds a NUL character");
    return NULL;
}

bool plan_timeout(struct plan_maker *maker, struct json_span value, uint64_t *timeout_us)
{
    uint64_t timeout_ms = 0;

    if (json_type(value) != JSON_NUMBER ||
        !json_number_to_uint(value, MAX_TIMEOUT_MS, &timeout_ms) || timeout_ms == 0)
        return plan_fail(maker, "expected a whole number of milliseconds from 1 to %u",
                         MAX_TIMEOUT_MS);
    *timeout_us = timeout_ms * 1000;
    return true;
}

/* ---- members ---- */

static bool unknown_member(struct plan_maker *maker, const char *name,
                           const struct plan_member *members, size_t count)
{
    const char *names[MAX_MEMBERS];

    for (size_t i = 0; i < count; i++)
        names[i] = members[i].name;
    plan_fail(maker, "unknown member \"%.100s\"", name);
    problem_suggest(maker->problem, name, names, count);
    return false;
}

static bool read_member(struct plan_maker *maker, const char *name, struct json_span value,
                        const struct plan_member *members, size_t count, unsigned *seen, void *arg)
{
    size_t i = 0;

    while (i < count && strcmp(members[i].name, name) != 0)
        i++;
    if (i == count)
        return unknown_member(maker, name, members, count);
    if ((*seen >> i & 1u) != 0)
        return plan_fail(maker, "given twice");
    *seen |= 1u << i;
    return members[i].read(arg, value);
}

bool plan_read_members(struct plan_maker *maker, struct json_span object,
                       const struct plan_member *members, size_t count, void *arg)
{
    struct json_walk walk = json_walk_start(object);
    struct json_span key, value;
    unsigned seen = 0;
    bool ok = true;

    assert(count <= MAX_MEMBERS);
    while (ok && json_next_member(&walk, &key, &value)) {
        char *name = plan_string(maker, key);
        size_t level;

        if (name == NULL)
            return false;
        level = plan_pointer_push(maker, name);
        ok = read_member(maker, name, value, members, count, &seen, arg);
        plan_pointer_pop(maker, level, ok);
        free(name);
    }
    return ok;
}
