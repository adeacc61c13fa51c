/* Timers on a real loop and the real clock: what fires, in which order, and in which pass. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fanout/clock.h"
#include "fanout/timer.h"

#include <event2/event.h>
#include <stdlib.h>
#include <unistd.h>

#define HOUR_US      3600000000u
#define MOST         64
#define HANG_GUARD_S 60

struct world {
    struct event_base *base;
    struct timers *timers;
    const struct probe *fired[MOST];
    size_t fired_count;
};

/* A timer that notes that it fired, then does what the test asks for. */
struct probe {
    struct timer timer;
    struct world *world;
    uint64_t due_us;
    void (*then)(struct probe *probe);
    struct probe *other;
};

static void on_probe(void *arg)
{
    struct probe *probe = arg;
    struct world *world = probe->world;

    assert_true(clock_now_us() >= probe->due_us);
    assert_false(timer_running(&probe->timer));
    assert_true(world->fired_count < MOST);
    world->fired[world->fired_count++] = probe;
    if (probe->then != NULL)
        probe->then(probe);
}

static void start(struct probe *probe, uint64_t at_us)
{
    probe->due_us = at_us;
    timer_start(probe->world->timers, &probe->timer, at_us);
}

static void probe_init(struct probe *probe, struct world *world, void (*then)(struct probe *probe),
                       struct probe *other)
{
    *probe = (struct probe){.world = world, .then = then, .other = other};
    timer_init(&probe->timer, on_probe, probe);
}

static int set_up(void **state)
{
    struct world *world = calloc(1, sizeof *world);

    world->base = event_base_new();
    world->timers = timers_new(world->base);
    *state = world;
    alarm(HANG_GUARD_S);
    return world->timers != NULL ? 0 : -1;
}

static int tear_down(void **state)
{
    struct world *world = *state;

    timers_free(world->timers);
    event_base_free(world->base);
    free(world);
    alarm(0);
    return 0;
}

/* Until no timer is left: the loop ends by itself then. */
static void run(struct world *world)
{
    assert_int_not_equal(event_base_dispatch(world->base), -1);
}

static void one_pass(struct world *world)
{
    event_base_loop(world->base, EVLOOP_ONCE);
}

static void a_timer_fires_once_and_not_early(void **state)
{
    struct world *world = *state;
    struct probe probe;

    probe_init(&probe, world, NULL, NULL);
    start(&probe, clock_now_us() + 20000);
    assert_true(timer_running(&probe.timer));
    run(world);
    assert_int_equal(world->fired_count, 1);
}

static void timers_fire_in_the_order_they_are_due(void **state)
{
    const uint64_t delays_us[] = {9000, 1000, 5000, 3000, 7000};
    const size_t order[] = {1, 3, 2, 4, 0};
    struct world *world = *state;
    struct probe probes[5];
    uint64_t now_us = clock_now_us();

    for (size_t i = 0; i < 5; i++) {
        probe_init(&probes[i], world, NULL, NULL);
        start(&probes[i], now_us + delays_us[i]);
    }
    run(world);
    assert_int_equal(world->fired_count, 5);
    for (size_t i = 0; i < 5; i++)
        assert_ptr_equal(world->fired[i], &probes[order[i]]);
}

static void timers_due_together_fire_in_the_order_they_were_started(void **state)
{
    struct world *world = *state;
    struct probe probes[20];
    uint64_t at_us = clock_now_us() + 1000;

    for (size_t i = 0; i < 20; i++) {
        probe_init(&probes[i], world, NULL, NULL);
        start(&probes[i], at_us);
    }
    start(&probes[3], at_us);
    run(world);
    assert_int_equal(world->fired_count, 20);
    for (size_t i = 0; i < 3; i++)
        assert_ptr_equal(world->fired[i], &probes[i]);
    for (size_t i = 3; i < 19; i++)
        assert_ptr_equal(world->fired[i], &probes[i + 1]);
    assert_ptr_equal(world->fired[19], &probes[3]);
}

static void a_timer_due_already_waits_for_the_loop(void **state)
{
    struct world *world = *state;
    struct probe probe;

    probe_init(&probe, world, NULL, NULL);
    start(&probe, 0);
    assert_int_equal(world->fired_count, 0);
    one_pass(world);
    assert_int_equal(world->fired_count, 1);
}

static void a_stopped_timer_does_not_fire_and_does_not_hold_the_loop(void **state)
{
    struct world *world = *state;
    struct probe stopped, never, idle;

    probe_init(&stopped, world, NULL, NULL);
    probe_init(&never, world, NULL, NULL);
    probe_init(&idle, world, NULL, NULL);
    start(&stopped, clock_now_us() + HOUR_US);
    start(&never, clock_now_us() + 2 * HOUR_US);
    timer_stop(world->timers, &stopped.timer);
    timer_start(world->timers, &never.timer, CLOCK_NEVER);
    timer_stop(world->timers, &idle.timer);
    assert_false(timer_running(&stopped.timer));
    assert_false(timer_running(&never.timer));
    run(world);
    assert_int_equal(world->fired_count, 0);
}

static void a_timer_behind_a_stopped_one_still_fires(void **state)
{
    struct world *world = *state;
    struct probe sooner, later;
    uint64_t now_us = clock_now_us();

    probe_init(&sooner, world, NULL, NULL);
    probe_init(&later, world, NULL, NULL);
    start(&sooner, now_us + 1000);
    start(&later, now_us + 15000);
    timer_stop(world->timers, &sooner.timer);
    run(world);
    assert_int_equal(world->fired_count, 1);
    assert_ptr_equal(world->fired[0], &later);
}

static void starting_a_running_timer_moves_it(void **state)
{
    struct world *world = *state;
    struct probe nearer, farther, between;
    uint64_t now_us = clock_now_us();

    probe_init(&nearer, world, NULL, NULL);
    probe_init(&farther, world, NULL, NULL);
    probe_init(&between, world, NULL, NULL);
    start(&nearer, now_us + HOUR_US);
    start(&farther, now_us);
    start(&between, now_us + 10000);
    start(&nearer, now_us + 5000);
    start(&farther, now_us + 15000);
    run(world);
    assert_int_equal(world->fired_count, 3);
    assert_ptr_equal(world->fired[0], &nearer);
    assert_ptr_equal(world->fired[1], &between);
    assert_ptr_equal(world->fired[2], &farther);
}

static void a_timer_as_good_as_never_fires_after_the_others(void **state)
{
    struct world *world = *state;
    struct probe soon, distant;

    probe_init(&soon, world, NULL, NULL);
    probe_init(&distant, world, NULL, NULL);
    start(&distant, CLOCK_NEVER - 1);
    start(&soon, clock_now_us() + 1000);
    while (world->fired_count == 0)
        one_pass(world);
    assert_ptr_equal(world->fired[0], &soon);
    assert_true(timer_running(&distant.timer));
    timer_stop(world->timers, &distant.timer);
}

static void note_bystander(evutil_socket_t fd, short what, void *arg)
{
    bool *came = arg;

    (void)fd;
    (void)what;
    *came = true;
}

static void a_distant_timer_does_not_wake_the_loop_before(void **state)
{
    const struct timeval delay = {.tv_usec = 30000};
    struct world *world = *state;
    struct probe distant;
    bool bystander_came = false;

    probe_init(&distant, world, NULL, NULL);
    start(&distant, clock_now_us() + HOUR_US);
    event_base_once(world->base, -1, EV_TIMEOUT, note_bystander, &bystander_came, &delay);
    one_pass(world);
    assert_true(bystander_came);
    timer_stop(world->timers, &distant.timer);
}

static void start_again_due_already(struct probe *probe)
{
    start(probe, 0);
}

static void what_restarts_itself_lets_the_loop_go_on(void **state)
{
    struct world *world = *state;
    struct probe restless, quiet;

    probe_init(&restless, world, start_again_due_already, NULL);
    probe_init(&quiet, world, NULL, NULL);
    start(&restless, 1);
    start(&quiet, 2);
    one_pass(world);
    assert_int_equal(world->fired_count, 2);
    assert_ptr_equal(world->fired[1], &quiet);
    while (world->fired_count < 10)
        one_pass(world);
    assert_ptr_equal(world->fired[9], &restless);
    timer_stop(world->timers, &restless.timer);
}

static void start_other_due_already(struct probe *probe)
{
    start(probe->other, 0);
}

static void what_a_callback_starts_runs_in_the_next_pass(void **state)
{
    struct world *world = *state;
    struct probe starter, fresh, moved;

    probe_init(&starter, world, start_other_due_already, &fresh);
    probe_init(&fresh, world, NULL, NULL);
    probe_init(&moved, world, NULL, NULL);
    start(&starter, 1);
    start(&moved, 2);
    one_pass(world);
    assert_int_equal(world->fired_count, 2);
    run(world);
    assert_int_equal(world->fired_count, 3);
    assert_ptr_equal(world->fired[2], &fresh);
}

static void a_callback_may_put_off_another_due_in_the_same_pass(void **state)
{
    struct world *world = *state;
    struct probe starter, put_off, last;

    probe_init(&starter, world, start_other_due_already, &put_off);
    probe_init(&put_off, world, NULL, NULL);
    probe_init(&last, world, NULL, NULL);
    start(&starter, 1);
    start(&put_off, 2);
    start(&last, 3);
    one_pass(world);
    assert_int_equal(world->fired_count, 2);
    assert_ptr_equal(world->fired[1], &last);
    run(world);
    assert_int_equal(world->fired_count, 3);
    assert_ptr_equal(world->fired[2], &put_off);
}

static void stop_and_free_other(struct probe *probe)
{
    timer_stop(probe->world->timers, &probe->other->timer);
    free(probe->other);
}

static void a_callback_may_free_another_due_in_the_same_pass(void **state)
{
    struct world *world = *state;
    struct probe killer, bystander;
    struct probe *victim = malloc(sizeof *victim);

    probe_init(&killer, world, stop_and_free_other, victim);
    probe_init(victim, world, NULL, NULL);
    probe_init(&bystander, world, NULL, NULL);
    start(&killer, 1);
    start(victim, 2);
    start(&bystander, 3);
    run(world);
    assert_int_equal(world->fired_count, 2);
    assert_ptr_equal(world->fired[1], &bystander);
}

static void free_itself(struct probe *probe)
{
    free(probe);
}

static void a_callback_may_free_its_own_timer(void **state)
{
    struct world *world = *state;
    struct probe *probe = malloc(sizeof *probe);

    probe_init(probe, world, free_itself, NULL);
    start(probe, 1);
    run(world);
    assert_int_equal(world->fired_count, 1);
}

#define TIMER_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TIMER_TEST(a_timer_fires_once_and_not_early),
        TIMER_TEST(timers_fire_in_the_order_they_are_due),
        TIMER_TEST(timers_due_together_fire_in_the_order_they_were_started),
        TIMER_TEST(a_timer_due_already_waits_for_the_loop),
        TIMER_TEST(a_stopped_timer_does_not_fire_and_does_not_hold_the_loop),
        TIMER_TEST(a_timer_behind_a_stopped_one_still_fires),
        TIMER_TEST(starting_a_running_timer_moves_it),
        TIMER_TEST(a_timer_as_good_as_never_fires_after_the_others),
        TIMER_TEST(a_distant_timer_does_not_wake_the_loop_before),
        TIMER_TEST(what_restarts_itself_lets_the_loop_go_on),
        TIMER_TEST(what_a_callback_starts_runs_in_the_next_pass),
        TIMER_TEST(a_callback_may_put_off_another_due_in_the_same_pass),
        TIMER_TEST(a_callback_may_free_another_due_in_the_same_pass),
        TIMER_TEST(a_callback_may_free_its_own_timer),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
