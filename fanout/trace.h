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
bool trace_on(enum trace_level level);
void trace(enum trace_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
