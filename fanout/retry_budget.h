/*
 * How many extra requests (retries and hedges) an upstream may get: a token
 * bucket in the manner of Finagle's RetryBudget and Envoy's retry_budget, so
 * that retries do not multiply the load on an upstream that already fails.
 * Each first attempt deposits a part of a token, each extra request withdraws
 * a whole one. Deposits not used within the window expire, the oldest first.
 * Besides, a few are allowed each second whatever the deposits, so that an
 * upstream with little traffic can be retried at all.
 *
 * Exact: by any time, the extra requests were no more than
 *     percent/100 of the first attempts + min_per_second for each second begun,
 * and, but for that allowance, none came out of deposits older than the window.
 *
 * Shared by all threads; atomics, no lock: both totals only grow, and what is
 * in the bucket is their difference. Once a second one thread moves the window
 * on, while the others pass by.
 */
#ifndef FANOUT_RETRY_BUDGET_H
#define FANOUT_RETRY_BUDGET_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define RETRY_BUDGET_WINDOW_SECONDS 10u

/* Work in place; no release is needed. Amounts are in hundredths of a token. */
struct retry_budget {
    unsigned percent;
    unsigned min_per_second;
    uint64_t start_us;
    atomic_uint_fast64_t deposited; /* in all; never falls */
    atomic_uint_fast64_t spent;     /* withdrawn or expired; never falls, nor passes deposited */
    atomic_uint_fast64_t allowance; /* the second (high half), those it was used in (low half) */
    atomic_uint_fast64_t second;    /* that the window was moved on to */
    atomic_flag moving;             /* by whom it is being moved on */
    atomic_uint_fast64_t marks[RETRY_BUDGET_WINDOW_SECONDS]; /* deposited at a second's start */
};

/* percent is of first attempts (20: one extra request for five); both may be 0. */
void retry_budget_init(struct retry_budget *budget, unsigned percent, unsigned min_per_second,
                       uint64_t now_us);

/* A first attempt is made. Any thread. */
void retry_budget_deposit(struct retry_budget *budget, uint64_t now_us);

/* To be called right before an extra request is sent. False: it must not be. Any thread. */
bool retry_budget_withdraw(struct retry_budget *budget, uint64_t now_us);

/* Extra requests that could be sent now. Any thread. */
uint64_t retry_budget_available(struct retry_budget *budget, uint64_t now_us);

#endif
