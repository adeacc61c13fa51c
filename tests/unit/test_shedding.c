/* Shedding: the rules by table, and a queue under load that clears only with them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fanout/clock.h"
#include "fanout/dice.h"
#include "fanout/shedding.h"

#include <string.h>

#define MS       ((uint64_t)1000)
#define SECOND   (1000 * MS)
#define START_US (100 * SECOND)

static const struct shedding_settings usual = {.target_us = 5 * MS, .interval_us = 100 * MS};

static void a_standing_queue_is_overload(void **state)
{
    static const struct {
        uint64_t empty_ago_us, oldest_wait_us;
        bool overloaded;
    } cases[] = {
        {0, 0, false},
        {0, 50 * MS, false},
        {100 * MS - 1, 100 * MS - 1, false}, /* a burst, however long its first waits */
        {100 * MS, 100 * MS, true},
        {100 * MS, 5 * MS, true},
        {100 * MS, 2500, true},
        {100 * MS, 2499, false}, /* busy, but nobody waits for long */
        {10 * SECOND, 2499, false},
        {10 * SECOND, 0, false},
        {10 * SECOND, 10 * SECOND, true},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct shedding_queue queue = {.last_empty_us = START_US - cases[i].empty_ago_us,
                                       .oldest_wait_us = cases[i].oldest_wait_us};

        assert_int_equal(shedding_is_overloaded(&usual, &queue, START_US), cases[i].overloaded);
        assert_int_equal(shedding_newest_first(&usual, &queue, START_US), cases[i].overloaded);
        assert_int_equal(shedding_timeout_us(&usual, &queue, START_US),
                         cases[i].overloaded ? 5 * MS : 100 * MS);
    }
}

static void a_clock_read_a_moment_earlier_is_no_overload(void **state)
{
    struct shedding_queue queue = {.last_empty_us = START_US + 1, .oldest_wait_us = SECOND};

    (void)state;
    assert_false(shedding_is_overloaded(&usual, &queue, START_US));
}

static void with_no_target_at_all_an_empty_queue_is_no_overload(void **state)
{
    struct shedding_settings settings = {.target_us = 0, .interval_us = 0};
    struct shedding_queue queue = {.last_empty_us = START_US, .oldest_wait_us = 0};

    (void)state;
    assert_false(shedding_is_overloaded(&settings, &queue, START_US));
}

static void a_deadline_is_met_when_wait_and_service_fit(void **state)
{
    static const struct {
        uint64_t deadline_us, wait_us, service_us;
        bool met;
    } cases[] = {
        {START_US + 100, 0, 0, true},
        {START_US + 100, 60, 40, true},
        {START_US + 100, 60, 41, false},
        {START_US + 100, 101, 0, false},
        {START_US + 100, 0, 101, false},
        {START_US + 100, UINT64_MAX, 1, false},
        {START_US + 100, 1, UINT64_MAX, false},
        {START_US + 100, UINT64_MAX, UINT64_MAX, false},
        {START_US, 0, 0, true},
        {START_US, 0, 1, false},
        {START_US - 1, 0, 1, false},
        {CLOCK_NEVER, UINT64_MAX, UINT64_MAX, true},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_int_equal(shedding_can_meet(cases[i].deadline_us, START_US, cases[i].wait_us,
                                           cases[i].service_us),
                         cases[i].met);
}

static struct shedding_drain drain;

/* For so long, each millisecond. */
static uint64_t serve(unsigned each_ms, uint64_t from_us, uint64_t for_us)
{
    uint64_t at_us;

    for (at_us = from_us; at_us < from_us + for_us; at_us += MS)
        shedding_drain_note(&drain, each_ms, at_us);
    return at_us;
}

static void the_wait_follows_from_the_rate(void **state)
{
    uint64_t now_us;

    (void)state;
    shedding_drain_init(&drain, START_US);
    now_us = serve(2, START_US, SECOND);
    assert_in_range(shedding_drain_wait_us(&drain, 4000, now_us), 1990 * MS, 2010 * MS);
    now_us = serve(2, now_us, 20 * SECOND + 123 * MS);
    assert_in_range(shedding_drain_wait_us(&drain, 4000, now_us), 1990 * MS, 2010 * MS);
    assert_int_equal(shedding_drain_wait_us(&drain, 0, now_us), 0);
    now_us = serve(10, now_us, 5 * SECOND);
    assert_in_range(shedding_drain_wait_us(&drain, 4000, now_us), 390 * MS, 410 * MS);
}

static void a_queue_that_slows_down_takes_longer(void **state)
{
    uint64_t now_us;

    (void)state;
    shedding_drain_init(&drain, START_US);
    now_us = serve(1, START_US, 5 * SECOND);
    assert_in_range(shedding_drain_wait_us(&drain, 1000, now_us + 2 * SECOND), 1500 * MS,
                    1800 * MS);
    assert_int_equal(shedding_drain_wait_us(&drain, 1000, now_us + 5 * SECOND), CLOCK_NEVER);
    now_us = serve(1, now_us + 1000 * SECOND, SECOND);
    assert_in_range(shedding_drain_wait_us(&drain, 1000, now_us), 4 * SECOND, 6 * SECOND);
}

static void the_time_of_a_pause_does_not_count(void **state)
{
    uint64_t now_us, running_us;

    (void)state;
    shedding_drain_init(&drain, START_US);
    now_us = serve(2, START_US, SECOND);
    for (unsigned i = 0; i < 10; i++) {
        shedding_drain_pause(&drain, now_us);
        shedding_drain_resume(&drain, now_us + 90 * MS);
        now_us = serve(2, now_us + 90 * MS, 10 * MS);
    }
    assert_int_equal(shedding_drain_served(&drain, &running_us, now_us), 2200);
    assert_int_equal(running_us, 1100 * MS);
    assert_int_equal(shedding_drain_wait_us(&drain, 4000, now_us), 2 * SECOND);
    shedding_drain_pause(&drain, now_us);
    assert_int_equal(shedding_drain_wait_us(&drain, 4000, now_us + SECOND), 2 * SECOND);
    assert_int_equal(shedding_drain_served(&drain, &running_us, now_us + 4250 * MS), 100);
    assert_int_equal(running_us, 50 * MS);
    assert_int_equal(shedding_drain_wait_us(&drain, 1, now_us + 10 * SECOND), CLOCK_NEVER);
}

static void a_drain_takes_a_clock_that_goes_back_a_little(void **state)
{
    uint64_t running_us;

    (void)state;
    shedding_drain_init(&drain, START_US);
    shedding_drain_note(&drain, 1, START_US + SECOND);
    shedding_drain_note(&drain, 1, START_US + SECOND - 10);
    shedding_drain_pause(&drain, START_US - 10);
    shedding_drain_resume(&drain, START_US + 2 * SECOND);
    assert_int_equal(shedding_drain_served(&drain, &running_us, START_US + SECOND), 2);
    assert_int_equal(running_us, SECOND);
}

static void retry_after_is_rounded_up_and_bounded(void **state)
{
    static const struct {
        uint64_t waiting;
        unsigned seconds;
    } cases[] = {
        {0, 1},   {1, 1},     {90, 1},    {105, 2},      {190, 2},
        {205, 3}, {2900, 29}, {3100, 30}, {1000000, 30}, {UINT64_MAX, 30},
    };
    uint64_t now_us = START_US;

    (void)state;
    shedding_drain_init(&drain, START_US);
    assert_int_equal(shedding_retry_after_seconds(&drain, 0, 30, START_US), 1);
    assert_int_equal(shedding_retry_after_seconds(&drain, 1, 30, START_US), 30);
    for (unsigned i = 0; i < 1000; i++, now_us += 10 * MS)
        shedding_drain_note(&drain, 1, now_us);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_int_equal(shedding_retry_after_seconds(&drain, cases[i].waiting, 30, now_us),
                         cases[i].seconds);
}

/* ---- a queue with one server of 1 ms and one more arrival in ten than it can serve ---- */

#define QUEUE_MOST 100000

static struct {
    uint64_t arrived_us[QUEUE_MOST];
    uint64_t timeout_us[QUEUE_MOST];
    size_t first, end;
    uint64_t last_empty_us;
} queue;

static struct {
    unsigned served, given_up;
    uint64_t longest_wait_us, waits_us;
} seen;

static struct shedding_queue view(uint64_t now_us)
{
    bool is_empty = queue.first == queue.end;

    if (is_empty)
        queue.last_empty_us = now_us;
    return (struct shedding_queue){.last_empty_us = queue.last_empty_us,
                                   .oldest_wait_us =
                                       is_empty ? 0 : now_us - queue.arrived_us[queue.first]};
}

static void arrive(uint64_t now_us)
{
    struct shedding_queue now = view(now_us);

    queue.arrived_us[queue.end] = now_us;
    queue.timeout_us[queue.end++] = shedding_timeout_us(&usual, &now, now_us);
}

/* Those given up are taken out in any order: their timeouts differ. */
static void give_up(uint64_t now_us)
{
    size_t kept = queue.first;

    for (size_t i = queue.first; i < queue.end; i++) {
        if (now_us - queue.arrived_us[i] >= queue.timeout_us[i]) {
            seen.given_up++;
            continue;
        }
        queue.arrived_us[kept] = queue.arrived_us[i];
        queue.timeout_us[kept++] = queue.timeout_us[i];
    }
    queue.end = kept;
}

static void serve_next(uint64_t now_us)
{
    struct shedding_queue now = view(now_us);
    size_t next = queue.first;

    if (queue.first == queue.end)
        return;
    if (shedding_newest_first(&usual, &now, now_us))
        next = --queue.end;
    else
        queue.first++;
    seen.served++;
    seen.waits_us += now_us - queue.arrived_us[next];
    if (now_us - queue.arrived_us[next] > seen.longest_wait_us)
        seen.longest_wait_us = now_us - queue.arrived_us[next];
}

/* arrivals: in 1000 ms */
static void run_queue(uint64_t from_us, uint64_t for_us, unsigned arrivals)
{
    struct dice dice = {1};

    memset(&seen, 0, sizeof seen);
    for (uint64_t at_us = from_us; at_us < from_us + for_us; at_us += MS / 10) {
        if (dice_below(&dice, 10000) < arrivals)
            arrive(at_us);
        give_up(at_us);
        if (at_us % MS == 0)
            serve_next(at_us);
    }
}

/* Without shedding the wait would be 1 s after 10 s. */
static void under_load_waits_stay_short_and_the_server_busy(void **state)
{
    (void)state;
    memset(&queue, 0, sizeof queue);
    queue.last_empty_us = START_US;
    run_queue(START_US, 2 * SECOND, 1100);
    run_queue(START_US + 2 * SECOND, 10 * SECOND, 1100);
    assert_in_range(seen.served, 9700, 10000);
    assert_in_range(seen.waits_us / seen.served, 0, 10 * MS);
    /* Just above its capacity the queue is empty now and then, and a burst may wait again. */
    assert_in_range(seen.longest_wait_us, 0, 101 * MS);
}

static void under_heavy_load_nobody_waits_longer_than_the_target(void **state)
{
    (void)state;
    memset(&queue, 0, sizeof queue);
    queue.last_empty_us = START_US;
    run_queue(START_US, 2 * SECOND, 4000);
    run_queue(START_US + 2 * SECOND, 10 * SECOND, 4000);
    assert_int_equal(seen.served, 10000);
    assert_in_range(seen.given_up, 29000, 31000);
    assert_in_range(seen.waits_us / seen.served, 0, MS);
    assert_in_range(seen.longest_wait_us, 0, 5 * MS);
}

static void a_burst_is_taken_up_without_loss(void **state)
{
    (void)state;
    memset(&queue, 0, sizeof queue);
    queue.last_empty_us = START_US;
    for (unsigned i = 0; i < 90; i++)
        arrive(START_US);
    run_queue(START_US, SECOND, 0);
    assert_int_equal(seen.served, 90);
    assert_int_equal(seen.given_up, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_standing_queue_is_overload),
        cmocka_unit_test(a_clock_read_a_moment_earlier_is_no_overload),
        cmocka_unit_test(with_no_target_at_all_an_empty_queue_is_no_overload),
        cmocka_unit_test(a_deadline_is_met_when_wait_and_service_fit),
        cmocka_unit_test(the_wait_follows_from_the_rate),
        cmocka_unit_test(a_queue_that_slows_down_takes_longer),
        cmocka_unit_test(the_time_of_a_pause_does_not_count),
        cmocka_unit_test(a_drain_takes_a_clock_that_goes_back_a_little),
        cmocka_unit_test(retry_after_is_rounded_up_and_bounded),
        cmocka_unit_test(under_load_waits_stay_short_and_the_server_busy),
        cmocka_unit_test(under_heavy_load_nobody_waits_longer_than_the_target),
        cmocka_unit_test(a_burst_is_taken_up_without_loss),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
