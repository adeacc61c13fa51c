/*
 * A simulated upstream with a known knee: so many servers, one queue in front
 * of them, first come first served; and callers that keep as many calls in
 * flight as a limit lets them. Its time is the test's own.
 */
#ifndef TESTS_UPSTREAM_MODEL_H
#define TESTS_UPSTREAM_MODEL_H

#include "fanout/dice.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MODEL_CALLS 4096

enum model_service { MODEL_CONSTANT, MODEL_EXPONENTIAL, MODEL_LONG_TAILED };

struct model_call {
    uint64_t started_us;
    uint64_t ends_us; /* in service */
    unsigned in_flight;
};

struct upstream_model {
    struct dice dice;
    unsigned servers;
    double service_us; /* on average, about */
    enum model_service service;
    struct model_call busy[MODEL_CALLS];
    size_t busy_count;
    struct model_call queue[MODEL_CALLS]; /* a ring */
    size_t queue_first, queue_count;
};

static inline double model_even(struct dice *dice)
{
    return (double)(dice_next(dice) >> 11) / (double)((uint64_t)1 << 53);
}

/* Mean 1, by von Neumann's comparisons. */
static inline double model_exponential(struct dice *dice)
{
    for (double whole = 0;; whole += 1) {
        double first = model_even(dice), last = first, next;
        bool odd = true;

        while ((next = model_even(dice)) < last) {
            last = next;
            odd = !odd;
        }
        if (odd)
            return whole + first;
    }
}

static inline double model_draw(struct upstream_model *model)
{
    switch (model->service) {
    case MODEL_CONSTANT:
        return model->service_us * (0.98 + 0.04 * model_even(&model->dice));
    case MODEL_EXPONENTIAL:
        return model->service_us * model_exponential(&model->dice);
    default:
        /* One in fifty takes twenty times as long. */
        return model->service_us * (0.5 + model_exponential(&model->dice)) *
               (dice_below(&model->dice, 50) == 0 ? 20 : 1);
    }
}

static inline void model_serve(struct upstream_model *model, uint64_t now_us)
{
    while (model->busy_count < model->servers && model->queue_count > 0) {
        struct model_call call = model->queue[model->queue_first];

        model->queue_first = (model->queue_first + 1) % MODEL_CALLS;
        model->queue_count--;
        call.ends_us = now_us + 1 + (uint64_t)model_draw(model);
        model->busy[model->busy_count++] = call;
    }
}

static inline unsigned model_in_flight(const struct upstream_model *model)
{
    return (unsigned)(model->busy_count + model->queue_count);
}

static inline void model_start(struct upstream_model *model, uint64_t now_us)
{
    size_t place = (model->queue_first + model->queue_count++) % MODEL_CALLS;

    model->queue[place] =
        (struct model_call){.started_us = now_us, .in_flight = model_in_flight(model)};
    model_serve(model, now_us);
}

/* The index in busy of the call that ends next; there is one. */
static inline size_t model_next(const struct upstream_model *model)
{
    size_t next = 0;

    for (size_t i = 1; i < model->busy_count; i++)
        if (model->busy[i].ends_us < model->busy[next].ends_us)
            next = i;
    return next;
}

static inline struct model_call model_end(struct upstream_model *model, size_t place)
{
    struct model_call call = model->busy[place];

    model->busy[place] = model->busy[--model->busy_count];
    model_serve(model, call.ends_us);
    return call;
}

#endif
