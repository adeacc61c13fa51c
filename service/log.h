/*
 * The log: one line on standard error for each event,
 *
 *   2026-01-31T12:00:00.123Z info request=4f1c… event=answer status=200 …
 *
 * as key=value, the request's id first where there is one. A line is written
 * whole by one write(2), so lines of several threads never mix.
 */
#ifndef SERVICE_LOG_H
#define SERVICE_LOG_H

#include "fanout/trace.h"

#include <stdbool.h>
#include <stddef.h>

#define LOG_VALUE_SIZE 256

/* Also takes the engine's lines. Before any thread. */
void log_init(enum trace_level most);

/* Whether lines of this level are written, for who would make one with some effort. */
bool log_on(enum trace_level level);

/* format: "event=… key=value …". request_id may be NULL. */
void log_event(enum trace_level level, const char *request_id, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* text as a value: as it is, or in quotes and escaped where it must be; cut to fit. Returns out. */
const char *log_value(const char *text, char out[LOG_VALUE_SIZE]);

/* "error", "warn", "info", "debug". */
const char *log_level_name(enum trace_level level);

#endif
