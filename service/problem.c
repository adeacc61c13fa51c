/* Problem documents. */
#include "service/problem.h"

#include "fanout/json.h"
#include "service/nearest.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const struct {
    unsigned status;
    const char *phrase;
} phrases[] = {
    {200, "OK"},
    {400, "Bad Request"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {408, "Request Timeout"},
    {413, "Content Too Large"},
    {414, "URI Too Long"},
    {415, "Unsupported Media Type"},
    {417, "Expectation Failed"},
    {431, "Request Header Fields Too Large"},
    {500, "Internal Server Error"},
    {501, "Not Implemented"},
    {502, "Bad Gateway"},
    {503, "Service Unavailable"},
    {504, "Gateway Timeout"},
    {505, "HTTP Version Not Supported"},
};

const char *http_phrase(unsigned status)
{
    for (size_t i = 0; i < sizeof phrases / sizeof phrases[0]; i++)
        if (phrases[i].status == status)
            return phrases[i].phrase;
    return "Unknown";
}

bool problem_set(struct problem *problem, unsigned status, const char *format, ...)
{
    va_list args;

    *problem = (struct problem){.status = status};
    va_start(args, format);
    vsnprintf(problem->detail, sizeof problem->detail, format, args);
    va_end(args);
    return false;
}

void problem_at_parameter(struct problem *problem, const char *name)
{
    snprintf(problem->parameter, sizeof problem->parameter, "%s", name);
}

void problem_at_pointer(struct problem *problem, const char *pointer)
{
    snprintf(problem->pointer, sizeof problem->pointer, "%s", pointer);
}

void problem_pointer_add(char pointer[PROBLEM_PLACE_SIZE], const char *name)
{
    size_t at = strlen(pointer);

    if (at + 1 < PROBLEM_PLACE_SIZE)
        pointer[at++] = '/';
    for (; *name != '\0' && at + 2 < PROBLEM_PLACE_SIZE; name++) {
        if (*name == '~' || *name == '/') {
            pointer[at++] = '~';
            pointer[at++] = *name == '~' ? '0' : '1';
        } else {
            pointer[at++] = *name;
        }
    }
    pointer[at] = '\0';
}

void problem_suggest(struct problem *problem, const char *wrong, const char *const *names,
                     size_t count)
{
    const char *nearest = nearest_name(wrong, names, count);
    size_t length = strlen(problem->detail);

    if (nearest != NULL)
        snprintf(problem->detail + length, sizeof problem->detail - length,
                 " (did you mean \"%s\"?)", nearest);
}

static void write_member(struct buf *out, const char *name, const char *value)
{
    if (value[0] == '\0')
        return;
    buf_printf(out, ",\"%s\":", name);
    json_write_string(out, value, strlen(value));
}

void problem_write(const struct problem *problem, const char *request_id, struct buf *out)
{
    buf_printf(out, "{\"type\":\"about:blank\",\"title\":\"%s\",\"status\":%u",
               http_phrase(problem->status), problem->status);
    write_member(out, "detail", problem->detail);
    write_member(out, "pointer", problem->pointer);
    write_member(out, "parameter", problem->parameter);
    write_member(out, "request_id", request_id);
    buf_append(out, "}\n", 2);
}
