/*
 * How the engine tells what it does. It has no log of its own: the service
 * sets a function that takes the lines. Each is one event in the form
 * key=value, without time or level.
 */
#ifndef FANOUT_TRACE_H
#define FANOUT_TRACE_H

#include <stdbool.h>

enum trace_level { TRACE_ERROR, TRACE_WARN, TRACE_INFO, TRACE_DEBUG };

typedef void trace_sink(enum trace_level level, const char *line);

/* Before any thread starts; sink NULL (as at first): silent. */
void trace_set(trace_sink *sink, enum trace_level most);
/* trace.c's own: no line is louder; below every level where there is no sink. */
extern int trace_most;

static inline bool trace_on(enum trace_level level)
{
    return (int)level <= trace_most;
}

void trace(enum trace_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
