/*
 * How long to wait before a retry: exponential backoff with full jitter (Marc
 * Brooker, "Exponential Backoff and Jitter", AWS Architecture Blog, 2015): a
 * random time between nothing and a ceiling that doubles with each retry. And
 * how long an upstream asks us to wait: Retry-After (RFC 9110, section 10.2.3).
 * No state; any thread.
 */
#ifndef FANOUT_BACKOFF_H
#define FANOUT_BACKOFF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct dice;

/* The ceiling of the delay: base_us before the first retry (retry 1), doubled for each further
 * one, never above max_us. Retry 0 is the first attempt and waits for nothing. */
uint64_t backoff_ceiling_us(uint64_t base_us, uint64_t max_us, unsigned retry);

/* A delay from 0 to that ceiling, both included, each as likely. */
uint64_t backoff_delay_us(uint64_t base_us, uint64_t max_us, unsigned retry, struct dice *dice);

/*
 * The value of a Retry-After field, without spaces around it: delay-seconds, or an IMF-fixdate
 * (RFC 9110, section 5.6.7) whose day of the week is right; a date that has passed is 0. The
 * delay is cut to max_us: a max_us beyond every deadline keeps a cut one from being waited for.
 * wall_now_us is the time since 1970, in UTC. False, and *delay_us as it was: neither of these
 * two; the obsolete forms of dates are among that.
 */
bool backoff_retry_after_us(const char *value, size_t length, uint64_t wall_now_us, uint64_t max_us,
                            uint64_t *delay_us);

#endif
