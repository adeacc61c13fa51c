/* Addresses to choose from, dice and a clock of the tests' own. */
#ifndef TESTS_ENDPOINTS_WORLD_H
#define TESTS_ENDPOINTS_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fanout/dice.h"
#include "fanout/endpoints.h"

#include <string.h>

#define SECOND   ((uint64_t)1000000)
#define START_US (5 * SECOND)
#define TAKES    40000

static const struct endpoints_settings usual = {
    .max_failures = 5, .base_us = SECOND, .max_us = 30 * SECOND};

static struct endpoints endpoints;
static struct dice dice;
static uint64_t now_us;

static inline int open_world(void **state)
{
    (void)state;
    endpoints_init(&endpoints, &usual);
    dice = (struct dice){11};
    now_us = START_US;
    return 0;
}

static inline int close_world(void **state)
{
    (void)state;
    endpoints_release(&endpoints);
    return 0;
}

/* 127.0.0.<number>:80 */
static inline struct endpoint_target target(unsigned number, uint16_t priority, uint16_t weight)
{
    struct endpoint_target target = {.priority = priority, .weight = weight};

    memset(&target.address, 0, sizeof target.address);
    target.address.v4.sin_family = AF_INET;
    target.address.v4.sin_addr.s_addr = htonl(0x7f000000u + number);
    target.address.v4.sin_port = htons(80);
    return target;
}

static inline unsigned number_of(const struct endpoint *endpoint)
{
    return ntohl(endpoint->target.address.v4.sin_addr.s_addr) & 0xffffff;
}

/* The numbers from first to last, all alike. */
static inline void list(unsigned first, unsigned last)
{
    struct endpoint_target targets[2 * ENDPOINTS_MOST];
    size_t count = 0;

    for (unsigned number = first; number <= last; number++)
        targets[count++] = target(number, 0, 1);
    endpoints_replace(&endpoints, targets, count, now_us);
}

static inline struct endpoint *take(void)
{
    return endpoints_take(&endpoints, NULL, 0, &dice, now_us);
}

static inline void give(struct endpoint *endpoint, enum endpoint_verdict verdict)
{
    endpoints_give(&endpoints, endpoint, verdict, now_us);
}

static inline unsigned take_and_give(enum endpoint_verdict verdict)
{
    struct endpoint *endpoint = take();
    unsigned number = number_of(endpoint);

    give(endpoint, verdict);
    return number;
}

/* How often each was chosen, with nothing left in flight. */
static inline void count_takes(unsigned *counts, size_t room)
{
    memset(counts, 0, room * sizeof *counts);
    for (unsigned i = 0; i < TAKES; i++)
        counts[take_and_give(ENDPOINT_IGNORED)]++;
}

static inline struct endpoint *listed(unsigned number)
{
    for (size_t i = 0; i < endpoints.listed; i++)
        if (number_of(endpoints.items[i]) == number)
            return endpoints.items[i];
    return NULL;
}

/* Takes until it is this one, and gives the others back. */
static inline struct endpoint *take_number(unsigned number)
{
    struct endpoint *endpoint = take();

    if (number_of(endpoint) == number)
        return endpoint;
    endpoint->in_flight += 1000000; /* so that it is not taken again */
    for (;;) {
        struct endpoint *next = take();

        if (number_of(next) == number) {
            endpoint->in_flight -= 1000000;
            give(endpoint, ENDPOINT_IGNORED);
            return next;
        }
        give(next, ENDPOINT_IGNORED);
    }
}

static inline void fail_times(unsigned number, unsigned times)
{
    while (times-- > 0)
        give(take_number(number), ENDPOINT_FAILURE);
}

static inline unsigned aside(void)
{
    unsigned count = 0;

    for (size_t i = 0; i < endpoints.listed; i++)
        count += endpoints.items[i]->is_aside;
    return count;
}

#endif
