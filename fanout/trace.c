/* Passes the engine's lines on to whoever listens. */
#include "fanout/trace.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#define LINE_SIZE 1024

int trace_most = -1;
static trace_sink *current_sink;

void trace_set(trace_sink *sink, enum trace_level most)
{
    current_sink = sink;
    trace_most = sink != NULL ? (int)most : -1;
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
