/*
 * Whether a failure is worth another attempt, and after what time. Pure: what
 * the budget and the deadline say comes besides.
 */
#ifndef FANOUT_RETRY_H
#define FANOUT_RETRY_H

#include "fanout/fetch_result.h"
#include "fanout/method.h"

#include <stdbool.h>
#include <stdint.h>

struct dice;
struct upstream_settings;

/* Whether one more request may be sent while the first may have been acted on: its method is
 * idempotent (RFC 9110, section 9.2.2), or the upstream's settings allow it for all. */
bool retry_is_safe(const struct upstream_settings *settings, enum method method);

/* Whether it ended in a way that the settings name as worth a retry, and one may be made. What
 * was never sent may be sent again in any case. */
bool retry_is_wanted(const struct upstream_settings *settings, enum method method,
                     const struct fetch_result *result);

/* The time until retry number `retry` (from 1): backoff, and no sooner than the upstream's
 * Retry-After asks for. */
uint64_t retry_delay_us(const struct upstream_settings *settings, unsigned retry,
                        const struct fetch_result *result, struct dice *dice);

#endif
