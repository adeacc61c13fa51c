/*
 * The limiter on four threads, each a member with its own eventfd. A count
 * kept apart from the limiter's says how many hold a slot at once. Bounded by
 * steps and by time, so that a slow machine does less rather than fails.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fanout/clock.h"
#include "fanout/limiter.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define THREADS       4
#define CALLS         16 /* of each thread */
#define PARTIES       4  /* of each thread */
#define LANES         3
#define CALLERS       3 /* shared by all threads */
#define CAP           6
#define MAX_QUEUE     48
#define MOST_STEPS    1000000
#define MOST_US       500000
#define LOST_AFTER_MS 20000

static const int lane_caps[LANES] = {2, 3, 6};

static struct limiter *limiter;
static struct limiter_lane *lanes[LANES];
static atomic_int holders;
static atomic_int lane_holders[LANES];
static atomic_int most_holders;
static atomic_int too_many;
static atomic_int lost_waits;
static atomic_int wrong_calls;
static atomic_ulong waits;
static atomic_ulong refusals;

enum mode { IDLE, WAITING, HOLDING };

struct call {
    struct limiter_waiter waiter;
    struct thread *thread;
    enum mode mode;
    size_t lane;
};

struct thread {
    pthread_t id;
    int wake_fd;
    uint64_t random_state;
    struct limiter_member member;
    struct limiter_party parties[PARTIES];
    struct call calls[CALLS];
};

static size_t random_below(struct thread *thread, size_t limit)
{
    thread->random_state ^= thread->random_state << 13;
    thread->random_state ^= thread->random_state >> 7;
    thread->random_state ^= thread->random_state << 17;
    return (size_t)((thread->random_state >> 16) % limit);
}

static void on_wake(void *arg)
{
    const struct thread *thread = arg;

    if (eventfd_write(thread->wake_fd, 1) != 0)
        abort();
}

/* Counted after a slot is had and before it is given: never above the cap. */
static void hold(struct call *call)
{
    int now = atomic_fetch_add(&holders, 1) + 1;
    int in_lane = atomic_fetch_add(&lane_holders[call->lane], 1) + 1;
    int most = atomic_load(&most_holders);

    call->mode = HOLDING;
    if (now > CAP || in_lane > lane_caps[call->lane])
        atomic_fetch_add(&too_many, 1);
    while (now > most && !atomic_compare_exchange_weak(&most_holders, &most, now))
        continue;
}

static void let_go(struct call *call)
{
    atomic_fetch_sub(&lane_holders[call->lane], 1);
    atomic_fetch_sub(&holders, 1);
    call->mode = IDLE;
    limiter_give(lanes[call->lane], clock_now_us());
}

static void take(struct call *call)
{
    struct thread *thread = call->thread;
    struct limiter_party *party = &thread->parties[random_below(thread, PARTIES)];
    uint64_t now_us = clock_now_us();

    call->lane = random_below(thread, LANES);
    call->waiter.priority = (enum limiter_priority)random_below(thread, LIMITER_PRIORITIES);
    call->waiter.deadline_us =
        random_below(thread, 4) == 0 ? now_us + random_below(thread, 200) : CLOCK_NEVER;
    call->waiter.service_us = random_below(thread, 20);
    switch (
        limiter_take(lanes[call->lane], &thread->member, party, &call->waiter, clock_now_us())) {
    case LIMITER_TAKEN:
        hold(call);
        break;
    case LIMITER_WAITING:
        atomic_fetch_add(&waits, 1);
        call->mode = WAITING;
        break;
    case LIMITER_FULL:
    case LIMITER_LATE:
        atomic_fetch_add(&refusals, 1);
        break;
    }
}

static void cancel(struct call *call)
{
    limiter_cancel(&call->waiter, clock_now_us());
    if (call->mode == WAITING)
        call->mode = IDLE;
}

static void on_granted(void *arg)
{
    struct call *call = arg;
    struct call *other = &call->thread->calls[random_below(call->thread, CALLS)];

    if (call->mode != WAITING)
        atomic_fetch_add(&wrong_calls, 1);
    hold(call);
    if (random_below(call->thread, 8) == 0)
        cancel(other);
    else if (other->mode == HOLDING)
        let_go(other);
}

static void on_refused(void *arg, enum limiter_answer answer)
{
    struct call *call = arg;

    if (call->mode != WAITING || (answer != LIMITER_FULL && answer != LIMITER_LATE))
        atomic_fetch_add(&wrong_calls, 1);
    call->mode = IDLE;
    atomic_fetch_add(&refusals, 1);
}

static bool any_in(const struct thread *thread, enum mode mode)
{
    for (size_t i = 0; i < CALLS; i++)
        if (thread->calls[i].mode == mode)
            return true;
    return false;
}

/* False when no grant comes: it was lost, as everybody else gives back what they hold. */
static bool await_grant(struct thread *thread)
{
    struct pollfd awaited = {.fd = thread->wake_fd, .events = POLLIN};
    eventfd_t count;

    if (poll(&awaited, 1, LOST_AFTER_MS) != 1) {
        atomic_fetch_add(&lost_waits, 1);
        return false;
    }
    eventfd_read(thread->wake_fd, &count);
    limiter_collect(&thread->member);
    return true;
}

static void ask(struct thread *thread)
{
    struct limiter_wish wishes[CALLS];
    uint64_t now_us = clock_now_us();

    for (size_t i = 0; i < CALLS; i++)
        wishes[i] = (struct limiter_wish){.lane = lanes[random_below(thread, LANES)]};
    if (limiter_has_waiters(limiter) &&
        limiter_can_meet(limiter, thread->parties[0].caller, LIMITER_NORMAL, wishes, CALLS,
                         now_us + random_below(thread, 1000), now_us) > CALLS)
        atomic_fetch_add(&wrong_calls, 1);
}

/* Below what is in flight, at times. */
static void resize(struct thread *thread)
{
    size_t lane = random_below(thread, LANES);
    unsigned cap = (unsigned)random_below(thread, (size_t)lane_caps[lane]) + 1;

    limiter_lane_resize(lanes[lane], cap, clock_now_us());
}

/* Takes a caller that others may be about to leave, and leaves it at once. */
static void come_and_go(struct thread *thread)
{
    size_t key = random_below(thread, CALLERS * 2);

    limiter_caller_release(limiter_caller_take(limiter, &key, sizeof key));
}

static void look(struct thread *thread)
{
    switch (random_below(thread, 4)) {
    case 0:
        limiter_check(limiter);
        break;
    case 1:
        ask(thread);
        break;
    case 2:
        resize(thread);
        break;
    default:
        come_and_go(thread);
    }
}

static void step(struct thread *thread)
{
    struct call *call = &thread->calls[random_below(thread, CALLS)];
    size_t choice = random_below(thread, 64);

    if (choice == 0)
        look(thread);
    else if (choice < 4)
        cancel(call);
    else if (choice < 10)
        limiter_collect(&thread->member);
    else if (call->mode == IDLE)
        take(call);
    else if (call->mode == HOLDING)
        let_go(call);
}

static void let_go_of_all(struct thread *thread)
{
    for (size_t i = 0; i < CALLS; i++)
        if (thread->calls[i].mode == HOLDING)
            let_go(&thread->calls[i]);
}

static void *run_thread(void *arg)
{
    struct thread *thread = arg;
    uint64_t end_us = clock_now_us() + MOST_US;
    bool lost = false;

    for (unsigned i = 0; i < MOST_STEPS && clock_now_us() < end_us && !lost; i++) {
        step(thread);
        if (random_below(thread, 128) == 0 && any_in(thread, WAITING)) {
            let_go_of_all(thread);
            lost = !await_grant(thread);
        }
    }
    let_go_of_all(thread);
    while (any_in(thread, WAITING) && !lost) {
        lost = !await_grant(thread);
        let_go_of_all(thread);
    }
    for (size_t i = 0; i < PARTIES; i++)
        limiter_caller_release(thread->parties[i].caller);
    return NULL;
}

static void thread_start(struct thread *thread, uint64_t seed)
{
    thread->random_state = seed * 0x9e3779b97f4a7c15u;
    thread->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    assert_true(thread->wake_fd >= 0);
    limiter_member_init(&thread->member, limiter, on_wake, thread);
    for (size_t i = 0; i < CALLS; i++) {
        thread->calls[i].thread = thread;
        thread->calls[i].waiter.on_granted = on_granted;
        thread->calls[i].waiter.on_refused = on_refused;
        thread->calls[i].waiter.arg = &thread->calls[i];
    }
    for (size_t i = 0; i < PARTIES; i++) {
        size_t key = i % CALLERS;

        thread->parties[i].burst = (unsigned)i;
        if (i > 0)
            thread->parties[i].caller = limiter_caller_take(limiter, &key, sizeof key);
    }
    assert_int_equal(pthread_create(&thread->id, NULL, run_thread, thread), 0);
}

static void nothing_is_left(void)
{
    struct limiter_counts counts;

    limiter_check(limiter);
    limiter_counts(limiter, &counts);
    assert_int_equal(counts.in_flight, 0);
    assert_int_equal(counts.queued, 0);
    assert_int_equal(atomic_load(&holders), 0);
    for (size_t i = 0; i < LANES; i++) {
        limiter_lane_counts(lanes[i], &counts);
        assert_int_equal(counts.in_flight, 0);
        assert_int_equal(counts.queued, 0);
        limiter_lane_free(lanes[i]);
    }
    limiter_free(limiter);
}

static void four_threads_never_hold_more_than_the_cap_and_every_wait_ends(void **state)
{
    static struct thread threads[THREADS];
    struct limiter_settings settings = {.max_in_flight = CAP,
                                        .max_queue = MAX_QUEUE,
                                        .shed_target_us = 50,
                                        .shed_interval_us = 200};

    (void)state;
    limiter = limiter_new(&settings, clock_now_us());
    for (size_t i = 0; i < LANES; i++)
        lanes[i] = limiter_lane_new(limiter, (unsigned)lane_caps[i]);
    for (size_t i = 0; i < THREADS; i++)
        thread_start(&threads[i], i + 1);
    for (size_t i = 0; i < THREADS; i++) {
        pthread_join(threads[i].id, NULL);
        close(threads[i].wake_fd);
    }
    assert_int_equal(atomic_load(&too_many), 0);
    assert_int_equal(atomic_load(&lost_waits), 0);
    assert_int_equal(atomic_load(&wrong_calls), 0);
    assert_int_equal(atomic_load(&most_holders), CAP);
    assert_true(atomic_load(&waits) > 0);
    assert_true(atomic_load(&refusals) > 0);
    nothing_is_left();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(four_threads_never_hold_more_than_the_cap_and_every_wait_ends),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
