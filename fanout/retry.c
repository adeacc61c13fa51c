/* Which failures are worth another attempt. */
#include "fanout/retry.h"

#include "fanout/backoff.h"
#include "fanout/clock.h"
#include "fanout/upstream.h"

#include <string.h>

/* Longer than any deadline. */
#define LONGEST_DELAY_US (UINT64_C(1) << 50)

bool retry_is_safe(const struct upstream_settings *settings, enum method method)
{
    return settings->retry.unsafe || method_is_idempotent(method);
}

static bool was_never_sent(enum outcome outcome)
{
    return outcome == OUTCOME_DNS_FAILURE || outcome == OUTCOME_CONNECT_REFUSED ||
           outcome == OUTCOME_CONNECT_TIMEOUT || outcome == OUTCOME_CONNECT_FAILED;
}

bool retry_is_wanted(const struct upstream_settings *settings, enum method method,
                     const struct fetch_result *result)
{
    return (retry_is_safe(settings, method) || was_never_sent(result->outcome)) &&
           upstream_settings_retry_on(settings, result->outcome, result->status);
}

uint64_t retry_delay_us(const struct upstream_settings *settings, unsigned retry,
                        const struct fetch_result *result, struct dice *dice)
{
    uint64_t asked_us = 0;
    uint64_t delay_us =
        backoff_delay_us(settings->retry.backoff_us, settings->retry.max_backoff_us, retry, dice);

    if (result->retry_after != NULL)
        backoff_retry_after_us(result->retry_after, strlen(result->retry_after), clock_wall_us(),
                               LONGEST_DELAY_US, &asked_us);
    return asked_us > delay_us ? asked_us : delay_us;
}
