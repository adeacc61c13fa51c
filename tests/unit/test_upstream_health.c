/* What is learned of an upstream from how its calls end, and who learns what. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fanout/clock.h"
#include "fanout/limiter.h"
#include "fanout/quantile.h"
#include "fanout/upstream.h"
#include "fanout/upstream_health.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define MS           1000u
#define SECOND       1000000u
#define START_US     (1000 * (uint64_t)SECOND)
#define MAX          64u

/* One upstream, with as much health care as the settings ask for. */
struct patient {
    struct upstream_settings settings;
    struct limiter *limiter;
    struct limiter_lane *lane;
    struct upstream_health *health;
    uint64_t now_us;
};

static struct patient patient;

static struct upstream_settings plain(void)
{
    return (struct upstream_settings){
        .name = "users",
        .max_in_flight = MAX,
        .retry = {.budget_percent = 50},
        .hedge = {.delay_us = CLOCK_NEVER},
        .breaker = {.failure_percent = 50,
                    .min_calls = 4,
                    .window_us = 10 * SECOND,
                    .open_us = SECOND,
                    .max_open_us = SECOND,
                    .max_probes = 1,
                    .close_after = 1},
    };
}

static void admit_patient(struct upstream_settings settings)
{
    struct limiter_settings limits = {
        .max_in_flight = MAX, .shed_target_us = CLOCK_NEVER, .shed_interval_us = SECOND};

    patient.settings = settings;
    patient.now_us = START_US;
    patient.limiter = limiter_new(&limits, START_US);
    patient.lane = limiter_lane_new(patient.limiter, MAX);
    patient.health = upstream_health_new(&patient.settings, patient.lane, START_US);
}

static int discharge(void **state)
{
    (void)state;
    upstream_health_free(patient.health);
    limiter_lane_free(patient.lane);
    limiter_free(patient.limiter);
    return 0;
}

static void report(enum upstream_verdict verdict, uint64_t took_us)
{
    struct upstream_call call = {
        .pass = upstream_health_admit(patient.health, patient.now_us),
        .started_us = patient.now_us,
        .in_flight = 1,
        .verdict = verdict,
    };

    patient.now_us += took_us;
    upstream_health_report(patient.health, &call, patient.now_us);
}

static struct upstream_health_view look(void)
{
    struct upstream_health_view view;

    upstream_health_look(patient.health, patient.now_us, &view);
    return view;
}

/* ---- verdicts ---- */

static void each_end_has_its_verdict(void **state)
{
    static const struct {
        enum outcome outcome;
        unsigned status;
        enum upstream_verdict verdict;
    } rows[] = {
        {OUTCOME_OK, 200, UPSTREAM_GOOD},
        {OUTCOME_OK, 503, UPSTREAM_GOOD}, /* where the settings call it a success */
        {OUTCOME_OK, 429, UPSTREAM_GOOD},
        {OUTCOME_HTTP_STATUS, 301, UPSTREAM_GOOD},
        {OUTCOME_HTTP_STATUS, 404, UPSTREAM_GOOD},
        {OUTCOME_HTTP_STATUS, 499, UPSTREAM_GOOD},
        {OUTCOME_HTTP_STATUS, 429, UPSTREAM_BUSY},
        {OUTCOME_HTTP_STATUS, 503, UPSTREAM_BUSY},
        {OUTCOME_TIMEOUT, 0, UPSTREAM_BUSY},
        {OUTCOME_HTTP_STATUS, 500, UPSTREAM_BAD},
        {OUTCOME_HTTP_STATUS, 502, UPSTREAM_BAD},
        {OUTCOME_RESET, 0, UPSTREAM_BAD},
        {OUTCOME_RESET, 200, UPSTREAM_BAD}, /* in the middle of its body */
        {OUTCOME_PROTOCOL_ERROR, 0, UPSTREAM_BAD},
        {OUTCOME_INVALID_JSON, 200, UPSTREAM_BAD},
        {OUTCOME_DNS_FAILURE, 0, UPSTREAM_BAD},
        {OUTCOME_CONNECT_REFUSED, 0, UPSTREAM_BAD},
        {OUTCOME_CONNECT_TIMEOUT, 0, UPSTREAM_BAD},
        {OUTCOME_CONNECT_FAILED, 0, UPSTREAM_BAD},
        {OUTCOME_TLS_ERROR, 0, UPSTREAM_BAD},
        {OUTCOME_QUEUE_FULL, 0, UPSTREAM_UNJUDGED},
        {OUTCOME_QUEUE_TIMEOUT, 0, UPSTREAM_UNJUDGED},
        {OUTCOME_CIRCUIT_OPEN, 0, UPSTREAM_UNJUDGED},
        {OUTCOME_DEADLINE_EXCEEDED, 0, UPSTREAM_UNJUDGED},
        {OUTCOME_RESPONSE_TOO_LARGE, 200, UPSTREAM_UNJUDGED},
        {OUTCOME_ADDRESS_DENIED, 0, UPSTREAM_UNJUDGED},
        {OUTCOME_ABANDONED, 0, UPSTREAM_UNJUDGED},
        {OUTCOME_CANCELLED, 0, UPSTREAM_UNJUDGED},
        {OUTCOME_INTERNAL, 0, UPSTREAM_UNJUDGED},
    };
    unsigned seen = 0;

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        assert_int_equal(upstream_verdict_of(rows[i].outcome, rows[i].status), rows[i].verdict);
        seen |= 1u << rows[i].outcome;
    }
    assert_int_equal(seen, (1u << OUTCOME_COUNT) - 1);
}

/* ---- the breaker ---- */

static void with_breaker(void)
{
    struct upstream_settings settings = plain();

    settings.has_breaker = true;
    admit_patient(settings);
}

static void without_a_breaker_every_call_may_be_made(void **state)
{
    (void)state;
    admit_patient(plain());
    for (int i = 0; i < 100; i++) {
        report(UPSTREAM_BAD, MS);
        assert_int_equal(upstream_health_admit(patient.health, patient.now_us).admission,
                         BREAKER_ADMITTED);
    }
    assert_false(look().has_breaker);
}

static void failures_of_either_kind_open_the_breaker(void **state)
{
    (void)state;
    with_breaker();
    for (int i = 0; i < 2; i++) {
        report(UPSTREAM_BAD, MS);
        assert_int_equal(look().breaker.state, BREAKER_CLOSED);
        report(UPSTREAM_BUSY, MS);
    }
    assert_int_equal(look().breaker.state, BREAKER_OPEN);
    assert_int_equal(look().breaker.failures, 4);
    assert_int_equal(upstream_health_admit(patient.health, patient.now_us).admission,
                     BREAKER_REFUSED);
}

static void what_says_nothing_is_not_counted(void **state)
{
    (void)state;
    with_breaker();
    for (int i = 0; i < 50; i++) {
        report(UPSTREAM_UNJUDGED, MS);
        report(UPSTREAM_SLOW, MS);
    }
    assert_int_equal(look().breaker.calls, 0);
}

static void a_success_closes_it_again(void **state)
{
    (void)state;
    with_breaker();
    for (int i = 0; i < 4; i++)
        report(UPSTREAM_BAD, MS);
    patient.now_us += SECOND;
    report(UPSTREAM_GOOD, MS);
    assert_int_equal(look().breaker.state, BREAKER_CLOSED);
    assert_int_equal(look().breaker.times_opened, 1);
}

static void a_probe_that_says_nothing_gives_its_place_back(void **state)
{
    (void)state;
    with_breaker();
    for (int i = 0; i < 4; i++)
        report(UPSTREAM_BAD, MS);
    patient.now_us += SECOND;
    report(UPSTREAM_UNJUDGED, MS);
    assert_int_equal(look().breaker.probes_out, 0);
    assert_int_equal(upstream_health_admit(patient.health, patient.now_us).admission,
                     BREAKER_PROBE);
}

static void one_that_had_no_slot_is_told_to_the_breaker_alone(void **state)
{
    struct upstream_settings settings = plain();
    struct upstream_call call = {.pass = {.admission = BREAKER_ADMITTED}, .verdict = UPSTREAM_BAD};

    (void)state;
    settings.has_breaker = true;
    settings.min_in_flight = 1;
    settings.hedge.part = 0.5;
    admit_patient(settings);
    upstream_health_report(patient.health, &call, START_US + 77 * SECOND);
    assert_int_equal(quantile_count(upstream_health_times(patient.health), START_US), 0);
    assert_int_equal(look().baseline_us, 0);
    patient.now_us = START_US + 77 * SECOND;
    assert_int_equal(look().breaker.failures, 1);
}

/* ---- times ---- */

static void with_measured_hedges(void)
{
    struct upstream_settings settings = plain();

    settings.hedge.part = 0.9;
    admit_patient(settings);
}

static void times_are_measured_only_where_somebody_asks(void **state)
{
    (void)state;
    admit_patient(plain());
    report(UPSTREAM_GOOD, MS);
    assert_null(upstream_health_times(patient.health));
    assert_int_equal(look().hedge_delay_us, CLOCK_NEVER);
}

static void answers_and_those_that_were_overtaken_have_a_time(void **state)
{
    (void)state;
    with_measured_hedges();
    for (int i = 0; i < 40; i++)
        report(UPSTREAM_GOOD, 10 * MS);
    for (int i = 0; i < 10; i++)
        report(UPSTREAM_SLOW, 30 * MS);
    assert_int_equal(quantile_count(upstream_health_times(patient.health), patient.now_us), 50);
    assert_in_range(look().hedge_delay_us, 29 * MS, 31 * MS);
}

static void failures_have_none(void **state)
{
    (void)state;
    with_measured_hedges();
    report(UPSTREAM_BAD, MS);
    report(UPSTREAM_BUSY, MS);
    report(UPSTREAM_UNJUDGED, MS);
    assert_int_equal(quantile_count(upstream_health_times(patient.health), patient.now_us), 0);
}

static void a_few_say_nothing_yet(void **state)
{
    (void)state;
    with_measured_hedges();
    for (int i = 0; i < 49; i++)
        report(UPSTREAM_GOOD, 10 * MS);
    assert_int_equal(look().hedge_delay_us, CLOCK_NEVER);
    report(UPSTREAM_GOOD, 10 * MS);
    assert_in_range(look().hedge_delay_us, 9 * MS, 11 * MS);
}

/* ---- the limit ---- */

static unsigned lane_limit(void)
{
    struct limiter_counts counts;

    limiter_lane_counts(patient.lane, &counts);
    return counts.max_in_flight;
}

static void with_adaptive_limit(void)
{
    struct upstream_settings settings = plain();

    settings.min_in_flight = 4;
    admit_patient(settings);
}

static void a_fixed_limit_stays(void **state)
{
    (void)state;
    admit_patient(plain());
    for (int i = 0; i < 200; i++)
        report(UPSTREAM_BUSY, 50 * MS);
    assert_int_equal(lane_limit(), MAX);
    assert_false(look().is_adaptive);
}

/* As many at once as the lane lets through, again and again. */
static void run_full(enum upstream_verdict verdict, uint64_t took_us, int times)
{
    for (int i = 0; i < times; i++) {
        uint64_t started_us = patient.now_us;

        patient.now_us += took_us;
        for (unsigned in_flight = lane_limit(), j = 0; j < in_flight; j++)
            upstream_health_report(patient.health,
                                   &(struct upstream_call){.started_us = started_us,
                                                           .in_flight = in_flight,
                                                           .verdict = verdict},
                                   patient.now_us);
    }
}

static void an_adaptive_one_moves_the_lane_within_its_bounds(void **state)
{
    unsigned high;

    (void)state;
    with_adaptive_limit();
    assert_int_equal(lane_limit(), 4);
    run_full(UPSTREAM_GOOD, 10 * MS, 400);
    high = lane_limit();
    assert_in_range(high, 5, MAX);
    assert_in_range(look().baseline_us, 9 * MS, 11 * MS);
    run_full(UPSTREAM_BUSY, 10 * MS, 400);
    assert_int_equal(lane_limit(), 4);
}

static void failures_that_are_not_of_load_do_not_move_it(void **state)
{
    unsigned high;

    (void)state;
    with_adaptive_limit();
    run_full(UPSTREAM_GOOD, 10 * MS, 400);
    high = lane_limit();
    run_full(UPSTREAM_BAD, MS, 400);
    run_full(UPSTREAM_SLOW, 500 * MS, 400);
    run_full(UPSTREAM_UNJUDGED, 500 * MS, 400);
    assert_int_equal(lane_limit(), high);
}

/* ---- extra requests ---- */

static void first_attempts_pay_for_extra_ones(void **state)
{
    struct upstream_settings settings = plain();

    (void)state;
    settings.retry.most = 1;
    admit_patient(settings);
    assert_false(upstream_health_take_extra(patient.health, START_US));
    for (int i = 0; i < 4; i++)
        upstream_health_note_first(patient.health, START_US);
    assert_int_equal(look().extra_available, 2);
    assert_true(upstream_health_take_extra(patient.health, START_US));
    assert_true(upstream_health_take_extra(patient.health, START_US));
    assert_false(upstream_health_take_extra(patient.health, START_US));
}

static void they_pay_for_hedges_as_well(void **state)
{
    struct upstream_settings settings = plain();

    (void)state;
    settings.hedge.delay_us = MS;
    admit_patient(settings);
    for (int i = 0; i < 2; i++)
        upstream_health_note_first(patient.health, START_US);
    assert_true(upstream_health_take_extra(patient.health, START_US));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_teardown(name, discharge)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_end_has_its_verdict),
        TEST(without_a_breaker_every_call_may_be_made),
        TEST(failures_of_either_kind_open_the_breaker),
        TEST(what_says_nothing_is_not_counted),
        TEST(a_success_closes_it_again),
        TEST(a_probe_that_says_nothing_gives_its_place_back),
        TEST(one_that_had_no_slot_is_told_to_the_breaker_alone),
        TEST(times_are_measured_only_where_somebody_asks),
        TEST(answers_and_those_that_were_overtaken_have_a_time),
        TEST(failures_have_none),
        TEST(a_few_say_nothing_yet),
        TEST(a_fixed_limit_stays),
        TEST(an_adaptive_one_moves_the_lane_within_its_bounds),
        TEST(failures_that_are_not_of_load_do_not_move_it),
        TEST(first_attempts_pay_for_extra_ones),
        TEST(they_pay_for_hedges_as_well),
    };
#undef TEST

    return cmocka_run_group_tests(tests, NULL, NULL);
}
