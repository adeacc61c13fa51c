/* One line for each event, written whole. */
#include "service/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LINE_SIZE 2048

static enum trace_level most_verbose = TRACE_INFO;

static const char *const level_names[] = {
    [TRACE_ERROR] = "error",
    [TRACE_WARN] = "warn",
    [TRACE_INFO] = "info",
    [TRACE_DEBUG] = "debug",
};

const char *log_level_name(enum trace_level level)
{
    return level_names[level];
}

static void on_trace(enum trace_level level, const char *line)
{
    log_event(level, NULL, "%s", line);
}

void log_init(enum trace_level most)
{
    most_verbose = most;
    trace_set(on_trace, most);
}

/* Wall-clock time: the one thing here that is for people. */
static size_t write_prefix(char *line, size_t size, enum trace_level level, const char *request_id)
{
    struct timespec now;
    struct tm utc;
    size_t length;

    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    length = strftime(line, size, "%Y-%m-%dT%H:%M:%S", &utc);
    length += (size_t)snprintf(line + length, size - length, ".%03ldZ %s ", now.tv_nsec / 1000000,
                               level_names[level]);
    if (request_id != NULL)
        length += (size_t)snprintf(line + length, size - length, "request=%s ", request_id);
    return length;
}

void log_event(enum trace_level level, const char *request_id, const char *format, ...)
{
    char line[LINE_SIZE];
    size_t length, room;
    va_list args;
    int more;

    if (level > most_verbose)
        return;
    length = write_prefix(line, sizeof line, level, request_id);
    room = sizeof line - length - 1; /* one for the new line */
    va_start(args, format);
    more = vsnprintf(line + length, room, format, args);
    va_end(args);
    if (more > 0)
        length += (size_t)more < room ? (size_t)more : room - 1;
    line[length++] = '\n';
    if (write(STDERR_FILENO, line, length) < 0)
        return; /* nowhere to complain to */
}

static int needs_quotes(const char *text)
{
    if (text[0] == '\0')
        return 1;
    for (; *text != '\0'; text++)
        if (*text <= ' ' || *text == '"' || *text == '\\' || *text == '=' || *text == 0x7f)
            return 1;
    return 0;
}

const char *log_value(const char *text, char out[LOG_VALUE_SIZE])
{
    size_t at = 0;

    if (!needs_quotes(text)) {
        snprintf(out, LOG_VALUE_SIZE, "%s", text);
        return out;
    }
    out[at++] = '"';
    for (; *text != '\0' && at < LOG_VALUE_SIZE - 6; text++) {
        unsigned char c = (unsigned char)*text;

        if (c == '"' || c == '\\')
            out[at++] = '\\';
        if (c < 0x20 || c == 0x7f)
            at += (size_t)snprintf(out + at, 5, "\\x%02x", c);
        else
            out[at++] = (char)c;
    }
    out[at++] = '"';
    out[at] = '\0';
    return out;
}
