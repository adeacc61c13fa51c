/* Passes the engine's lines on to whoever listens. */
#include "fanout/trace.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#define LINE_SIZE 1024

static trace_sink *current_sink;
static enum trace_level most_verbose = TRACE_INFO;

void trace_set(trace_sink *sink, enum trace_level most)
{
    current_sink = sink;
    most_verbose = most;
}

bool trace_on(enum trace_level level)
{
    return current_sink != NULL && level <= most_verbose;
}

void trace(enum trace_level level, const char *format, ...)
{
    char line[LINE_SIZE];
    va_list args;

    if (!trace_on(level))
        return;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    current_sink(level, line);
}
