/* The limiter on one thread: cancelling and collecting, also from within callbacks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fanout/limiter.h"
#include "tests/unit/limiter_world.h"

/* Cancelling. */

static void a_cancelled_waiter_is_not_called_and_the_others_keep_their_order(void **state)
{
    const size_t cancelled[] = {0, 3, 7, 1};
    const size_t left[] = {2, 4, 5, 6};
    struct limiter_party party = {0};
    struct call holder, calls[8];
    struct world world;

    (void)state;
    open_busy_world(&world, 1, 8, &holder, &party);
    wait_all(&world, calls, 8, 0, &party);
    for (size_t i = 0; i < 4; i++)
        cancel(&world, &calls[cancelled[i]]);
    assert_int_equal(queued(&world), 4);
    for (size_t i = 0; i < 4; i++)
        assert_ptr_equal(next_after(&world, 0), &calls[left[i]]);
    assert_null(next_after(&world, 0));
    close_world(&world);
}

static void whoever_stands_behind_a_cancelled_first_takes_its_turn(void **state)
{
    struct limiter_party early = {0}, late = {0};
    struct call holder, of_early[3], of_late[3];
    struct world world;

    (void)state;
    open_busy_world(&world, 1, 8, &holder, &early);
    wait_all(&world, of_early, 3, 0, &early);
    wait_all(&world, of_late, 3, 0, &late);
    cancel(&world, &of_early[0]);
    assert_ptr_equal(next_after(&world, 0), &of_early[1]);
    assert_ptr_equal(next_after(&world, 0), &of_late[0]);
    cancel(&world, &of_early[2]);
    assert_ptr_equal(next_after(&world, 0), &of_late[1]);
    assert_ptr_equal(next_after(&world, 0), &of_late[2]);
    give(&world, 0);
    close_world(&world);
}

static void a_cancelled_grant_goes_to_the_next_waiter(void **state)
{
    struct limiter_party party = {0};
    struct call holder, calls[2];
    struct world world;

    (void)state;
    open_busy_world(&world, 1, 8, &holder, &party);
    wait_all(&world, calls, 2, 0, &party);
    give(&world, 0);
    assert_int_equal(queued(&world), 1);
    cancel(&world, &calls[0]);
    assert_int_equal(queued(&world), 0);
    limiter_collect(&world.member);
    assert_int_equal(world.granted_count, 1);
    assert_ptr_equal(world.granted[0], &calls[1]);
    give(&world, 0);
    close_world(&world);
}

static void a_cancelled_grant_that_nobody_waits_for_is_free_again(void **state)
{
    struct limiter_party party = {0};
    struct call holder, call;
    struct world world;

    (void)state;
    open_busy_world(&world, 1, 8, &holder, &party);
    wait_all(&world, &call, 1, 0, &party);
    give(&world, 0);
    cancel(&world, &call);
    limiter_collect(&world.member);
    assert_int_equal(world.granted_count, 0);
    assert_int_equal(take(&world, &holder, 0, &party), LIMITER_TAKEN);
    give(&world, 0);
    close_world(&world);
}

static void cancelling_what_does_not_wait_does_nothing(void **state)
{
    struct limiter_party party = {0};
    struct call fresh = {0}, taken, turned_away, served;
    struct world world;

    (void)state;
    open_world(&world, 1, 1);
    add_lanes(&world, 1, 1);
    cancel(&world, &fresh);
    assert_int_equal(take(&world, &taken, 0, &party), LIMITER_TAKEN);
    wait_all(&world, &served, 1, 0, &party);
    assert_int_equal(take(&world, &turned_away, 0, &party), LIMITER_FULL);
    cancel(&world, &taken);
    cancel(&world, &turned_away);
    assert_int_equal(queued(&world), 1);
    assert_ptr_equal(next_after(&world, 0), &served);
    cancel(&world, &served);
    cancel(&world, &served);
    assert_int_equal(in_flight(world.lanes[0]), 1);
    give(&world, 0);
    close_world(&world);
}

/* Collecting. */

/* Everybody in calls has been granted a slot and none was collected. */
static void grant_batch(struct world *world, struct call *calls, size_t count,
                        struct limiter_party *party)
{
    static struct call holders[MANY];

    take_all(world, holders, count, 0, party);
    wait_all(world, calls, count, 0, party);
    give_all(world, 0, count);
}

/* As many slots as there are calls, and each has been granted one. */
static void open_world_with_batch(struct world *world, struct call *calls, unsigned count,
                                  struct limiter_party *party)
{
    open_world(world, count, 8);
    add_lanes(world, 1, count);
    grant_batch(world, calls, count, party);
}

static void a_member_is_woken_once_for_a_batch(void **state)
{
    struct limiter_party party = {0};
    struct call calls[5];
    struct world world;

    (void)state;
    open_world_with_batch(&world, calls, 5, &party);
    assert_int_equal(world.wakes, 1);
    assert_int_equal(world.granted_count, 0);
    limiter_collect(&world.member);
    assert_int_equal(world.granted_count, 5);
    limiter_collect(&world.member);
    assert_int_equal(world.granted_count, 5);
    give_all(&world, 0, 5);
    grant_batch(&world, calls, 5, &party);
    assert_int_equal(world.wakes, 2);
    limiter_collect(&world.member);
    give_all(&world, 0, 5);
    close_world(&world);
}

static void a_grant_lands_in_its_own_member(void **state)
{
    struct limiter_party party = {0};
    struct limiter_member other_member;
    struct world world, other_world = {0};
    struct call holder, call, other_call;

    (void)state;
    open_world(&world, 1, 8);
    add_lanes(&world, 1, 1);
    limiter_member_init(&other_member, world.limiter, on_wake, &other_world);
    assert_int_equal(take(&world, &holder, 0, &party), LIMITER_TAKEN);
    prepare(&other_world, &other_call, 0);
    limiter_take(world.lanes[0], &other_member, &party, &other_call.waiter, world.now_us);
    wait_all(&world, &call, 1, 0, &party);
    assert_null(next_after(&world, 0));
    assert_int_equal(world.wakes, 0);
    assert_int_equal(other_world.wakes, 1);
    limiter_collect(&other_member);
    assert_int_equal(other_world.granted_count, 1);
    assert_ptr_equal(next_after(&world, 0), &call);
    give(&world, 0);
    close_world(&world);
}

static void cancel_other(struct call *call)
{
    cancel(call->world, call->other);
    memset(call->other, 0xdd, sizeof *call->other); /* as good as freed */
}

static void what_a_callback_cancels_in_its_batch_is_not_called(void **state)
{
    struct limiter_party party = {0};
    struct call calls[5];
    struct world world;

    (void)state;
    open_world_with_batch(&world, calls, 5, &party);
    calls[0].then = cancel_other;
    calls[0].other = &calls[4];
    calls[1].then = cancel_other;
    calls[1].other = &calls[2];
    limiter_collect(&world.member);
    assert_int_equal(world.granted_count, 3);
    assert_ptr_equal(world.granted[2], &calls[3]);
    assert_int_equal(in_flight(world.lanes[0]), 3);
    give_all(&world, 0, 3);
    close_world(&world);
}

static void what_is_granted_during_a_batch_is_called_in_the_next(void **state)
{
    struct limiter_party party = {0};
    struct call calls[2], late;
    struct world world;

    (void)state;
    open_world_with_batch(&world, calls, 2, &party);
    wait_all(&world, &late, 1, 0, &party);
    calls[0].then = cancel_other;
    calls[0].other = &calls[1];
    limiter_collect(&world.member);
    assert_int_equal(world.granted_count, 1);
    assert_int_equal(world.wakes, 2);
    limiter_collect(&world.member);
    assert_int_equal(world.granted_count, 2);
    assert_ptr_equal(world.granted[1], &late);
    give_all(&world, 0, 2);
    close_world(&world);
}

static void collect_again(struct call *call)
{
    limiter_collect(&call->world->member);
}

static void a_collect_within_a_collect_calls_each_once(void **state)
{
    struct limiter_party party = {0};
    struct call calls[4];
    struct world world;

    (void)state;
    open_world_with_batch(&world, calls, 4, &party);
    calls[1].then = collect_again;
    limiter_collect(&world.member);
    assert_int_equal(world.granted_count, 4);
    for (size_t i = 0; i < 4; i++) {
        assert_ptr_equal(world.granted[i], &calls[i]);
        give(&world, 0);
    }
    close_world(&world);
}

static struct limiter_party party_that_comes_again;

static void give_and_wait_again(struct call *call)
{
    give(call->world, call->lane);
    assert_int_equal(limiter_take(call->world->lanes[call->lane], &call->world->member,
                                  &party_that_comes_again, &call->waiter, call->world->now_us),
                     LIMITER_WAITING);
}

static void a_callback_may_give_its_slot_and_wait_again(void **state)
{
    struct call calls[1], rival;
    struct world world;

    (void)state;
    open_world_with_batch(&world, calls, 1, &party_that_comes_again);
    wait_all(&world, &rival, 1, 0, &party_that_comes_again);
    calls[0].then = give_and_wait_again;
    limiter_collect(&world.member);
    assert_int_equal(world.granted_count, 1);
    limiter_collect(&world.member);
    assert_ptr_equal(world.granted[1], &rival);
    calls[0].then = NULL;
    assert_ptr_equal(next_after(&world, 0), &calls[0]);
    give(&world, 0);
    close_world(&world);
}

static void free_itself(struct call *call)
{
    free(call);
}

static void a_callback_may_free_its_own_waiter(void **state)
{
    struct limiter_party party = {0};
    struct call *call = calloc(1, sizeof *call);
    struct call holder;
    struct world world;

    (void)state;
    open_busy_world(&world, 1, 8, &holder, &party);
    wait_all(&world, call, 1, 0, &party);
    call->then = free_itself;
    give(&world, 0);
    limiter_collect(&world.member);
    assert_int_equal(world.granted_count, 1);
    give(&world, 0);
    close_world(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_cancelled_waiter_is_not_called_and_the_others_keep_their_order),
        cmocka_unit_test(whoever_stands_behind_a_cancelled_first_takes_its_turn),
        cmocka_unit_test(a_cancelled_grant_goes_to_the_next_waiter),
        cmocka_unit_test(a_cancelled_grant_that_nobody_waits_for_is_free_again),
        cmocka_unit_test(cancelling_what_does_not_wait_does_nothing),
        cmocka_unit_test(a_member_is_woken_once_for_a_batch),
        cmocka_unit_test(a_grant_lands_in_its_own_member),
        cmocka_unit_test(what_a_callback_cancels_in_its_batch_is_not_called),
        cmocka_unit_test(what_is_granted_during_a_batch_is_called_in_the_next),
        cmocka_unit_test(a_collect_within_a_collect_calls_each_once),
        cmocka_unit_test(a_callback_may_give_its_slot_and_wait_again),
        cmocka_unit_test(a_callback_may_free_its_own_waiter),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
