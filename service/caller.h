/*
 * Who asks: the key by which turns are taken between callers (option fair_by),
 * and the time that a caller says it has left.
 */
#ifndef SERVICE_CALLER_H
#define SERVICE_CALLER_H

#include "service/problem.h"

#include <stdbool.h>
#include <stdint.h>

struct call;
struct config;
struct limiter;
struct limiter_caller;

/* To be released with limiter_caller_release. NULL: every request is for itself. */
struct limiter_caller *caller_take(struct limiter *limiter, const struct config *config,
                                   const struct call *call);

/*
 * Lowers *deadline_us to what X-Request-Deadline-Ms or x-envoy-expected-rq-timeout-ms (Envoy's
 * router) say is left, in whole milliseconds from now; 0 if nothing is. False: one of them is not
 * a number, and the problem says which.
 */
bool caller_lower_deadline(const struct call *call, uint64_t *deadline_us, struct problem *problem);

#endif
