/* The circuit breaker; breaker_enter is the only place that changes its state. */
#include "fanout/breaker.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#define STATE_BITS 2u
#define STATE_MASK ((1u << STATE_BITS) - 1)

void breaker_init(struct breaker *breaker, const struct breaker_settings *settings, uint64_t now_us)
{
    assert(settings->window_us >= BREAKER_BUCKETS && settings->min_calls >= 1);
    assert(settings->open_us >= 1 && settings->max_open_us >= settings->open_us);
    assert(settings->max_probes >= 1 && settings->close_after >= 1);
    memset(breaker, 0, sizeof *breaker);
    breaker->settings = *settings;
    atomic_init(&breaker->era_and_state, BREAKER_CLOSED);
    pthread_mutex_init(&breaker->mutex, NULL);
    breaker->changed_us = now_us;
}

void breaker_release(struct breaker *breaker)
{
    pthread_mutex_destroy(&breaker->mutex);
}

static unsigned era_and_state(struct breaker *breaker)
{
    return atomic_load_explicit(&breaker->era_and_state, memory_order_relaxed);
}

/* From here to breaker_admit, the mutex is held. */

static enum breaker_state state_of(struct breaker *breaker)
{
    return (enum breaker_state)(era_and_state(breaker) & STATE_MASK);
}

static unsigned era_of(struct breaker *breaker)
{
    return era_and_state(breaker) >> STATE_BITS;
}

static void breaker_enter(struct breaker *breaker, enum breaker_state state, uint64_t now_us)
{
    unsigned era = era_of(breaker) + 1;

    atomic_store_explicit(&breaker->era_and_state, era << STATE_BITS | state, memory_order_relaxed);
    breaker->changed_us = now_us;
    breaker->successes = 0;
    if (state == BREAKER_CLOSED) {
        memset(breaker->buckets, 0, sizeof breaker->buckets);
        breaker->consecutive = 0;
    }
}

static uint64_t since(uint64_t then_us, uint64_t now_us)
{
    return now_us > then_us ? now_us - then_us : 0;
}

/* open_us, doubled for each repeat. */
static uint64_t open_for_us(const struct breaker *breaker)
{
    uint64_t most_us = breaker->settings.max_open_us;

    if (breaker->repeats >= 64 || breaker->settings.open_us > most_us >> breaker->repeats)
        return most_us;
    return breaker->settings.open_us << breaker->repeats;
}

static void open_now(struct breaker *breaker, uint64_t now_us)
{
    bool was_well = state_of(breaker) == BREAKER_CLOSED &&
                    since(breaker->changed_us, now_us) >= breaker->settings.window_us;

    if (breaker->times_opened == 0 || was_well)
        breaker->repeats = 0;
    else if (breaker->repeats < 64)
        breaker->repeats++;
    breaker->times_opened++;
    breaker->open_until_us = now_us + open_for_us(breaker);
    breaker_enter(breaker, BREAKER_OPEN, now_us);
}

static uint64_t bucket_number(const struct breaker *breaker, uint64_t now_us)
{
    return now_us / (breaker->settings.window_us / BREAKER_BUCKETS);
}

static void count(struct breaker *breaker, bool failed, uint64_t now_us)
{
    uint64_t number = bucket_number(breaker, now_us);
    struct breaker_bucket *bucket = &breaker->buckets[number % BREAKER_BUCKETS];

    if (bucket->number < number)
        *bucket = (struct breaker_bucket){.number = number};
    bucket->calls++;
    bucket->failures += failed;
    breaker->consecutive = failed ? breaker->consecutive + 1 : 0;
}

static struct breaker_bucket window_sum(const struct breaker *breaker, uint64_t now_us)
{
    uint64_t number = bucket_number(breaker, now_us);
    struct breaker_bucket sum = {.number = number};

    for (unsigned i = 0; i < BREAKER_BUCKETS; i++) {
        const struct breaker_bucket *bucket = &breaker->buckets[i];

        if (bucket->number + BREAKER_BUCKETS <= number)
            continue;
        sum.calls += bucket->calls;
        sum.failures += bucket->failures;
    }
    return sum;
}

static bool has_failed_too_often(const struct breaker *breaker, uint64_t now_us)
{
    const struct breaker_settings *settings = &breaker->settings;
    struct breaker_bucket sum;

    if (settings->max_consecutive > 0 && breaker->consecutive >= settings->max_consecutive)
        return true;
    sum = window_sum(breaker, now_us);
    return settings->failure_percent > 0 && sum.calls >= settings->min_calls &&
           (uint64_t)sum.failures * 100 >= (uint64_t)sum.calls * settings->failure_percent;
}

static void report_call(struct breaker *breaker, bool failed, uint64_t now_us)
{
    count(breaker, failed, now_us);
    if (!failed || !has_failed_too_often(breaker, now_us))
        return;
    breaker->judged_us = now_us;
    open_now(breaker, now_us);
}

static void report_probe(struct breaker *breaker, bool failed, uint64_t now_us)
{
    if (failed)
        open_now(breaker, now_us);
    else if (++breaker->successes >= breaker->settings.close_after)
        breaker_enter(breaker, BREAKER_CLOSED, now_us);
}

static enum breaker_admission admit(struct breaker *breaker, uint64_t now_us)
{
    if (state_of(breaker) == BREAKER_OPEN && now_us >= breaker->open_until_us)
        breaker_enter(breaker, BREAKER_HALF_OPEN, now_us);
    if (state_of(breaker) == BREAKER_CLOSED)
        return BREAKER_ADMITTED;
    if (state_of(breaker) == BREAKER_OPEN || breaker->probes_out >= breaker->settings.max_probes)
        return BREAKER_REFUSED;
    breaker->probes_out++;
    return BREAKER_PROBE;
}

struct breaker_pass breaker_admit(struct breaker *breaker, uint64_t now_us)
{
    unsigned current = era_and_state(breaker);
    struct breaker_pass pass = {.admission = BREAKER_ADMITTED, .era = current >> STATE_BITS};

    if ((current & STATE_MASK) == BREAKER_CLOSED)
        return pass;
    pthread_mutex_lock(&breaker->mutex);
    pass.admission = admit(breaker, now_us);
    pass.era = era_of(breaker);
    pthread_mutex_unlock(&breaker->mutex);
    return pass;
}

bool breaker_report(struct breaker *breaker, struct breaker_pass pass, enum breaker_verdict verdict,
                    uint64_t now_us)
{
    bool failed = verdict == BREAKER_FAILURE;
    bool has_changed = false;

    if (pass.admission == BREAKER_REFUSED)
        return false;
    pthread_mutex_lock(&breaker->mutex);
    if (pass.admission == BREAKER_PROBE) {
        assert(breaker->probes_out > 0);
        breaker->probes_out--;
    }
    if (verdict != BREAKER_IGNORED && pass.era == era_of(breaker)) {
        if (pass.admission == BREAKER_PROBE)
            report_probe(breaker, failed, now_us);
        else
            report_call(breaker, failed, now_us);
        has_changed = pass.era != era_of(breaker);
    }
    pthread_mutex_unlock(&breaker->mutex);
    return has_changed;
}

void breaker_look(struct breaker *breaker, uint64_t now_us, struct breaker_view *view)
{
    struct breaker_bucket sum;

    pthread_mutex_lock(&breaker->mutex);
    /* What opened it stays to be seen, however long it is ago. */
    sum = window_sum(breaker, state_of(breaker) == BREAKER_CLOSED ? now_us : breaker->judged_us);
    *view = (struct breaker_view){
        .state = state_of(breaker),
        .calls = sum.calls,
        .failures = sum.failures,
        .consecutive = breaker->consecutive,
        .probes_out = breaker->probes_out,
        .successes = breaker->successes,
        .times_opened = breaker->times_opened,
    };
    if (view->state == BREAKER_OPEN)
        view->opens_probes_in_us = since(now_us, breaker->open_until_us);
    pthread_mutex_unlock(&breaker->mutex);
}

const char *breaker_state_name(enum breaker_state state)
{
    static const char *const names[] = {
        [BREAKER_CLOSED] = "closed",
        [BREAKER_OPEN] = "open",
        [BREAKER_HALF_OPEN] = "half-open",
    };

    return names[state];
}

static int print_state(const struct breaker_view *view, char *text, size_t size)
{
    const char *name = breaker_state_name(view->state);

    if (view->state == BREAKER_HALF_OPEN)
        return snprintf(text, size, "%s, %u probes out, %u succeeded", name, view->probes_out,
                        view->successes);
    if (view->state == BREAKER_OPEN && view->opens_probes_in_us == 0)
        return snprintf(text, size, "%s, the next call is a probe", name);
    if (view->state == BREAKER_OPEN)
        return snprintf(text, size, "%s for %.1f s more", name,
                        (double)view->opens_probes_in_us / 1e6);
    return snprintf(text, size, "%s", name);
}

const char *breaker_print(const struct breaker_view *view, char text[BREAKER_TEXT_SIZE])
{
    int length = print_state(view, text, BREAKER_TEXT_SIZE);

    if (view->calls > 0)
        snprintf(text + length, BREAKER_TEXT_SIZE - (size_t)length,
                 ": %u of %u calls failed (%u %%), the last %u in a row", view->failures,
                 view->calls, (unsigned)((uint64_t)view->failures * 100 / view->calls),
                 view->consecutive);
    return text;
}
