/*
 * The breaker against a naive model that remembers every call, and on all
 * threads at once.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fanout/dice.h"
#include "tests/unit/breaker_world.h"

#define THREADS     4
#define MODEL_CALLS 400
#define IN_FLIGHT   8

static const struct breaker_settings settings = {
    .failure_percent = 60,
    .min_calls = 6,
    .max_consecutive = 5,
    .window_us = 2 * SECOND,
    .open_us = 300 * MS,
    .max_open_us = 2 * SECOND,
    .max_probes = 2,
    .close_after = 2,
};

static struct {
    struct {
        uint64_t at_us;
        bool failed;
    } calls[MODEL_CALLS]; /* of this closed time, the oldest overwritten */
    size_t count;
    enum breaker_state state;
    uint64_t changed_us;
    uint64_t open_for_us;
    unsigned era;
    unsigned probes;
    unsigned successes;
    unsigned run;
} model;

static void model_enter(enum breaker_state state)
{
    model.state = state;
    model.changed_us = now_us;
    model.era++;
    model.successes = 0;
    if (state == BREAKER_CLOSED) {
        model.count = 0;
        model.run = 0;
    }
}

static void model_open(void)
{
    bool repeat = model.open_for_us > 0 &&
                  (model.state != BREAKER_CLOSED || now_us - model.changed_us < settings.window_us);

    model.open_for_us = repeat ? model.open_for_us * 2 : settings.open_us;
    if (model.open_for_us > settings.max_open_us)
        model.open_for_us = settings.max_open_us;
    model_enter(BREAKER_OPEN);
}

static enum breaker_admission model_admit(void)
{
    if (model.state == BREAKER_OPEN && now_us - model.changed_us >= model.open_for_us)
        model_enter(BREAKER_HALF_OPEN);
    if (model.state == BREAKER_CLOSED)
        return BREAKER_ADMITTED;
    if (model.state == BREAKER_OPEN || model.probes == settings.max_probes)
        return BREAKER_REFUSED;
    model.probes++;
    return BREAKER_PROBE;
}

static bool model_fails_too_often(void)
{
    uint64_t part_us = settings.window_us / 10;
    unsigned all = 0, failed = 0;

    for (size_t i = 0; i < model.count && i < MODEL_CALLS; i++) {
        if (model.calls[i].at_us / part_us + 10 <= now_us / part_us)
            continue;
        all++;
        failed += model.calls[i].failed;
    }
    return model.run >= settings.max_consecutive ||
           (all >= settings.min_calls && failed * 100 >= all * settings.failure_percent);
}

static void model_report(struct breaker_pass pass, unsigned era, enum breaker_verdict verdict)
{
    if (pass.admission == BREAKER_PROBE)
        model.probes--;
    if (verdict == BREAKER_IGNORED || era != model.era)
        return;
    if (pass.admission == BREAKER_PROBE) {
        if (verdict == BREAKER_FAILURE)
            model_open();
        else if (++model.successes == settings.close_after)
            model_enter(BREAKER_CLOSED);
        return;
    }
    model.calls[model.count % MODEL_CALLS].at_us = now_us;
    model.calls[model.count % MODEL_CALLS].failed = verdict == BREAKER_FAILURE;
    model.count++;
    model.run = verdict == BREAKER_FAILURE ? model.run + 1 : 0;
    if (verdict == BREAKER_FAILURE && model_fails_too_often())
        model_open();
}

static void it_does_what_the_model_does(void **state)
{
    struct breaker_pass passes[IN_FLIGHT] = {{BREAKER_REFUSED, 0}};
    unsigned eras[IN_FLIGHT] = {0};
    unsigned changes[3] = {0};
    struct dice dice = {3};

    (void)state;
    open_world(&settings);
    model.changed_us = now_us;
    for (unsigned i = 0; i < 300000; i++) {
        size_t slot = dice_below(&dice, IN_FLIGHT);
        uint64_t mood = i / 3000 % 4; /* how well the upstream is */
        enum breaker_verdict verdict = dice_below(&dice, 12) < 2 + 3 * mood ? BREAKER_FAILURE
                                       : dice_below(&dice, 10) == 0         ? BREAKER_IGNORED
                                                                            : BREAKER_SUCCESS;

        now_us += dice_below(&dice, 60) * MS;
        if (passes[slot].admission == BREAKER_REFUSED) {
            passes[slot] = breaker_admit(&breaker, now_us);
            assert_int_equal(passes[slot].admission, model_admit());
            eras[slot] = model.era;
        } else {
            unsigned era = model.era;

            model_report(passes[slot], eras[slot], verdict);
            assert_int_equal(breaker_report(&breaker, passes[slot], verdict, now_us),
                             model.era != era);
            changes[model.state] += model.era != era;
            passes[slot].admission = BREAKER_REFUSED;
        }
        assert_int_equal(look().state, model.state);
        assert_int_equal(look().probes_out, model.probes);
    }
    assert_true(changes[BREAKER_OPEN] > 300 && changes[BREAKER_CLOSED] > 100);
}

static atomic_int probes_at_once;
static atomic_int too_many;
static atomic_uint_fast64_t shared_clock;

static void *call_often(void *arg)
{
    struct dice dice = {(uint64_t)(uintptr_t)arg};

    for (unsigned i = 0; i < 30000; i++) {
        uint64_t at_us = atomic_fetch_add(&shared_clock, 5 * MS);
        struct breaker_pass pass = breaker_admit(&breaker, at_us);
        bool is_probe = pass.admission == BREAKER_PROBE;

        if (is_probe && atomic_fetch_add(&probes_at_once, 1) >= (int)settings.max_probes)
            atomic_fetch_add(&too_many, 1);
        if (is_probe)
            atomic_fetch_sub(&probes_at_once, 1);
        breaker_report(&breaker, pass, (enum breaker_verdict)dice_below(&dice, 3), at_us);
    }
    return NULL;
}

static void on_all_threads_the_probes_stay_within_their_number(void **state)
{
    pthread_t threads[THREADS];

    (void)state;
    open_world(&settings);
    atomic_store(&shared_clock, now_us);
    for (uintptr_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, call_often, (void *)(i + 1)), 0);
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(atomic_load(&too_many), 0);
    assert_int_equal(look().probes_out, 0);
    assert_true(look().times_opened > 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(it_does_what_the_model_does, close_world),
        cmocka_unit_test_teardown(on_all_threads_the_probes_stay_within_their_number, close_world),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
