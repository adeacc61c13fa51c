/*
 * The adaptive limit with a simulated upstream whose knee is known, in
 * simulated time: does it find the knee, stay there, follow it?
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/upstream_model.h"

#include "tests/unit/adaptive_limit_world.h"

static struct upstream_model model;

/* What a stretch of time came to. */
static struct {
    double average; /* of the limit */
    double near;    /* the part of the time in which it was within 25 % of the knee */
    unsigned lowest, highest;
    unsigned long finished, turned_away;
} seen;

static void use_model(unsigned servers, double service_us, enum model_service service)
{
    model = (struct upstream_model){
        .dice = {servers}, .servers = servers, .service_us = service_us, .service = service};
    start_over(&usual);
}

static void see(uint64_t for_us)
{
    unsigned current = adaptive_limit_get(&limit);
    double off = (double)current / model.servers - 1;

    seen.average += (double)current * (double)for_us;
    seen.near += off >= -0.25 && off <= 0.25 ? (double)for_us : 0;
    seen.lowest = current < seen.lowest ? current : seen.lowest;
    seen.highest = current > seen.highest ? current : seen.highest;
}

static void end_next_call(uint64_t *last_us)
{
    struct model_call call = model_end(&model, model_next(&model));

    see(call.ends_us - *last_us);
    *last_us = call.ends_us;
    seen.finished++;
    adaptive_limit_report(&limit, call.started_us, call.in_flight, ADAPTIVE_FINISHED, call.ends_us);
}

static uint64_t next_end_us(void)
{
    return model.busy_count > 0 ? model.busy[model_next(&model)].ends_us : UINT64_MAX;
}

static void see_nothing(void)
{
    seen.average = seen.near = 0;
    seen.lowest = UINT32_MAX;
    seen.highest = 0;
    seen.finished = seen.turned_away = 0;
}

static void finish_seeing(uint64_t from_us, uint64_t last_us)
{
    see(now_us - last_us);
    seen.average /= (double)(now_us - from_us);
    seen.near /= (double)(now_us - from_us);
}

/* Always somebody more who wants a slot. */
static void run_overloaded(unsigned seconds)
{
    uint64_t from_us = now_us, last_us = now_us;

    see_nothing();
    now_us += seconds * SECOND;
    for (;;) {
        while (model_in_flight(&model) < adaptive_limit_get(&limit))
            model_start(&model, last_us);
        if (next_end_us() >= now_us)
            break;
        end_next_call(&last_us);
    }
    finish_seeing(from_us, last_us);
}

/* So many calls in a second, at random; those for which there is no slot are turned away. */
static void run_at(double rate, unsigned seconds)
{
    uint64_t from_us = now_us, last_us = now_us;
    double next_us = (double)now_us;

    see_nothing();
    now_us += seconds * SECOND;
    while (next_us < (double)now_us) {
        while (next_end_us() <= (uint64_t)next_us)
            end_next_call(&last_us);
        if (model_in_flight(&model) < adaptive_limit_get(&limit))
            model_start(&model, (uint64_t)next_us);
        else
            seen.turned_away++;
        next_us += (double)SECOND / rate * model_exponential(&model.dice);
    }
    while (next_end_us() < now_us)
        end_next_call(&last_us);
    finish_seeing(from_us, last_us);
}

static double rate_at_knee(void)
{
    return model.servers * (double)SECOND / model.service_us;
}

/* Of the limit, in percent of the knee. */
static void assert_average(unsigned least, unsigned most)
{
    assert_in_range(seen.average * 100 / model.servers, least, most);
}

/* On average, and not by making up for a collapse. */
static void is_at_the_knee(void)
{
    assert_average(75, 125);
    assert_in_range(seen.lowest * 100 / model.servers, 25, 100);
    assert_in_range(seen.highest * 100 / model.servers, 90, 150);
    assert_in_range(seen.near * 100, 75, 100);
}

static const struct {
    unsigned servers;
    double service_us;
    enum model_service service;
} upstreams[] = {
    {20, 20000, MODEL_CONSTANT}, {20, 20000, MODEL_EXPONENTIAL}, {20, 20000, MODEL_LONG_TAILED},
    {60, 20000, MODEL_CONSTANT}, {60, 20000, MODEL_EXPONENTIAL}, {60, 20000, MODEL_LONG_TAILED},
};

#define UPSTREAMS (sizeof upstreams / sizeof upstreams[0])

static void use_upstream(size_t i)
{
    use_model(upstreams[i].servers, upstreams[i].service_us, upstreams[i].service);
}

static void it_finds_the_knee_and_stays_there_under_constant_overload(void **state)
{
    (void)state;
    for (size_t i = 0; i < UPSTREAMS; i++) {
        use_upstream(i);
        run_overloaded(10);
        for (unsigned minute = 0; minute < 10; minute++) {
            run_overloaded(60);
            is_at_the_knee();
            assert_true((double)seen.finished > 0.8 * 60 * rate_at_knee() ||
                        model.service == MODEL_LONG_TAILED);
        }
    }
}

static void it_comes_down_from_far_above_the_knee(void **state)
{
    struct adaptive_limit_settings settings = usual;

    (void)state;
    for (size_t i = 0; i < UPSTREAMS; i++) {
        use_upstream(i);
        settings.initial = 10 * model.servers;
        start_over(&settings);
        run_overloaded(30);
        run_overloaded(30);
        assert_average(75, 125);
    }
}

static void it_follows_within_seconds_when_the_upstream_doubles(void **state)
{
    (void)state;
    for (size_t i = 0; i < UPSTREAMS; i++) {
        use_upstream(i);
        run_overloaded(30);
        model.servers *= 2;
        run_overloaded(8);
        run_overloaded(10);
        assert_average(75, 125);
    }
}

static void it_follows_at_once_when_calls_take_half_the_time(void **state)
{
    (void)state;
    for (size_t i = 0; i < UPSTREAMS; i++) {
        unsigned long before;

        use_upstream(i);
        run_overloaded(30);
        run_overloaded(10);
        before = seen.finished;
        model.service_us /= 2;
        run_overloaded(10);
        assert_true(seen.finished * 10 > before * 15);
    }
}

static void it_comes_down_when_half_of_the_upstream_is_gone(void **state)
{
    (void)state;
    for (size_t i = 0; i < UPSTREAMS; i++) {
        use_upstream(i);
        run_overloaded(30);
        model.servers /= 2;
        run_overloaded(15);
        run_overloaded(20);
        assert_average(75, 130);
    }
}

/* Slower by itself: to ask it less would not help, and would be less. */
static void it_does_not_choke_an_upstream_that_has_become_slow(void **state)
{
    (void)state;
    for (size_t i = 0; i < UPSTREAMS; i++) {
        use_upstream(i);
        run_overloaded(30);
        model.service_us *= 3;
        run_overloaded(10);
        run_overloaded(40);
        assert_average(75, 125);
    }
}

static void at_low_load_nobody_is_turned_away(void **state)
{
    (void)state;
    for (size_t i = 0; i < UPSTREAMS; i++) {
        use_upstream(i);
        run_overloaded(20);
        run_at(rate_at_knee() / 10, 600);
        assert_in_range(seen.turned_away * 1000 / seen.finished, 0, 4);
        assert_average(50, 200);
    }
}

static void an_upstream_for_one_call_gets_one(void **state)
{
    (void)state;
    use_model(1, 20000, MODEL_CONSTANT);
    run_overloaded(30);
    run_overloaded(60);
    assert_in_range(seen.lowest, 1, 1);
    assert_in_range(seen.highest, 1, 2);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(it_finds_the_knee_and_stays_there_under_constant_overload),
        TEST(it_comes_down_from_far_above_the_knee),
        TEST(it_follows_within_seconds_when_the_upstream_doubles),
        TEST(it_follows_at_once_when_calls_take_half_the_time),
        TEST(it_comes_down_when_half_of_the_upstream_is_gone),
        TEST(it_does_not_choke_an_upstream_that_has_become_slow),
        TEST(at_low_load_nobody_is_turned_away),
        TEST(an_upstream_for_one_call_gets_one),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
