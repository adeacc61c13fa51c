/* One line for each event, written whole. */
#include "service/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LINE_SIZE 2048
#define TIME_SIZE 32

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

bool log_on(enum trace_level level)
{
    return level <= most_verbose;
}

/* Wall-clock time: the one thing here that is for people. The part that changes once a second is
 * made once a second. */
static char *write_time(char *to)
{
    static _Thread_local char text[TIME_SIZE];
    static _Thread_local time_t made_at = -1;
    struct timespec now;
    struct tm utc;
    long ms;

    clock_gettime(CLOCK_REALTIME, &now);
    if (now.tv_sec != made_at) {
        gmtime_r(&now.tv_sec, &utc);
        strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S.", &utc);
        made_at = now.tv_sec;
    }
    to = stpcpy(to, text);
    ms = now.tv_nsec / 1000000;
    *to++ = (char)('0' + ms / 100);
    *to++ = (char)('0' + ms / 10 % 10);
    *to++ = (char)('0' + ms % 10);
    return to;
}

static size_t write_prefix(char line[LINE_SIZE], enum trace_level level, const char *request_id)
{
    char *to = write_time(line);

    to = stpcpy(to, "Z ");
    to = stpcpy(to, level_names[level]);
    *to++ = ' ';
    if (request_id != NULL) {
        to = stpcpy(to, "request=");
        to = mempcpy(to, request_id, strnlen(request_id, LOG_VALUE_SIZE));
        *to++ = ' ';
    }
    return (size_t)(to - line);
}

void log_event(enum trace_level level, const char *request_id, const char *format, ...)
{
    char line[LINE_SIZE];
    size_t length, room;
    va_list args;
    int more;

    if (!log_on(level))
        return;
    length = write_prefix(line, level, request_id);
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
        at = strnlen(text, LOG_VALUE_SIZE - 1);
        memcpy(out, text, at);
        out[at] = '\0';
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
