/* Addresses that are set aside and come back; and all of it at random. */

#include "tests/unit/endpoints_world.h"

static void the_lowest_priority_value_is_used_while_it_is_usable(void **state)
{
    struct endpoint_target targets[] = {target(1, 20, 100), target(2, 10, 1), target(3, 10, 1),
                                        target(4, 30, 1)};
    unsigned counts[5];

    (void)state;
    endpoints_replace(&endpoints, targets, 4, now_us);
    count_takes(counts, 5);
    assert_int_equal(counts[2] + counts[3], TAKES);
    fail_times(2, 5);
    count_takes(counts, 5);
    assert_int_equal(counts[3], TAKES);
    fail_times(3, 5);
    count_takes(counts, 5);
    assert_int_equal(counts[1], TAKES);
    now_us += SECOND;
    assert_in_range(take_and_give(ENDPOINT_SUCCESS), 2, 3);
}

static void a_lower_group_is_not_probed_while_a_higher_is_usable(void **state)
{
    struct endpoint_target targets[] = {target(1, 0, 1), target(2, 0, 1), target(3, 1, 1),
                                        target(4, 1, 1)};

    (void)state;
    endpoints_replace(&endpoints, targets, 4, now_us);
    fail_times(1, 5);
    targets[1].priority = 2;
    endpoints_replace(&endpoints, targets, 4, now_us);
    fail_times(3, 5);
    targets[1].priority = 0;
    endpoints_replace(&endpoints, targets, 4, now_us);
    now_us += SECOND;
    assert_int_equal(take_and_give(ENDPOINT_SUCCESS), 1);
    for (unsigned i = 0; i < 100; i++)
        assert_in_range(take_and_give(ENDPOINT_SUCCESS), 1, 2);
    assert_true(listed(3)->is_aside);
}

static void repeated_failures_set_an_address_aside(void **state)
{
    unsigned counts[4];

    (void)state;
    list(1, 3);
    fail_times(2, 4);
    assert_false(listed(2)->is_aside);
    give(take_number(2), ENDPOINT_SUCCESS);
    fail_times(2, 4);
    give(take_number(2), ENDPOINT_IGNORED);
    assert_false(listed(2)->is_aside);
    fail_times(2, 1);
    assert_true(listed(2)->is_aside);
    count_takes(counts, 4);
    assert_int_equal(counts[2], 0);
}

static void never_more_than_half_are_aside(void **state)
{
    (void)state;
    for (unsigned addresses = 1; addresses <= 7; addresses++) {
        list(1, addresses);
        for (unsigned i = 0; i < 200; i++) {
            take_and_give(ENDPOINT_FAILURE);
            assert_in_range(aside(), 0, addresses / 2);
        }
        assert_int_equal(aside(), addresses / 2);
        list(1, 0);
    }
}

static void with_the_rule_off_none_is_set_aside(void **state)
{
    (void)state;
    endpoints.settings.max_failures = 0;
    list(1, 4);
    for (unsigned i = 0; i < 1000; i++)
        take_and_give(ENDPOINT_FAILURE);
    assert_int_equal(aside(), 0);
}

static void an_address_that_went_is_not_set_aside(void **state)
{
    struct endpoint *old[6];

    (void)state;
    list(1, 1);
    for (size_t i = 0; i < 6; i++)
        old[i] = take();
    list(2, 3);
    for (size_t i = 0; i < 5; i++)
        give(old[i], ENDPOINT_FAILURE);
    list(1, 3);
    assert_false(listed(1)->is_aside);
    give(old[5], ENDPOINT_FAILURE);
    assert_true(listed(1)->is_aside);
}

static void one_call_probes_and_a_success_brings_it_back(void **state)
{
    unsigned counts[3];
    struct endpoint *probe;

    (void)state;
    list(1, 2);
    fail_times(1, 5);
    now_us += SECOND - 1;
    assert_int_equal(take_and_give(ENDPOINT_SUCCESS), 2);
    now_us += 1;
    probe = take();
    assert_int_equal(number_of(probe), 1);
    count_takes(counts, 3);
    assert_int_equal(counts[2], TAKES);
    give(probe, ENDPOINT_IGNORED);
    probe = take();
    assert_int_equal(number_of(probe), 1);
    give(probe, ENDPOINT_SUCCESS);
    count_takes(counts, 3);
    assert_in_range(counts[1], TAKES / 2 - 500, TAKES / 2 + 500);
}

static void a_failed_probe_sets_it_aside_for_longer(void **state)
{
    (void)state;
    list(1, 2);
    fail_times(1, 5);
    for (unsigned times = 1; times < 40; times++) {
        uint64_t for_us = (times < 30 ? times : 30) * SECOND;

        assert_int_equal(listed(1)->aside_until_us, now_us + for_us);
        now_us += for_us - 1;
        assert_int_equal(take_and_give(ENDPOINT_IGNORED), 2);
        now_us += 1;
        assert_int_equal(take_and_give(ENDPOINT_FAILURE), 1);
    }
}

static void failing_soon_again_counts_as_the_next_time(void **state)
{
    (void)state;
    list(1, 2);
    fail_times(1, 5);
    now_us += SECOND;
    assert_int_equal(take_and_give(ENDPOINT_SUCCESS), 1);
    now_us += 30 * SECOND - 1;
    fail_times(1, 5);
    assert_int_equal(listed(1)->aside_until_us, now_us + 2 * SECOND);
    now_us += 2 * SECOND;
    assert_int_equal(take_and_give(ENDPOINT_SUCCESS), 1);
    now_us += 30 * SECOND;
    fail_times(1, 5);
    assert_int_equal(listed(1)->aside_until_us, now_us + SECOND);
}

static void calls_from_before_do_not_prolong_the_time_aside(void **state)
{
    struct endpoint *old[3];

    (void)state;
    list(1, 2);
    for (size_t i = 0; i < 3; i++)
        old[i] = take_number(1);
    fail_times(1, 5);
    now_us += SECOND / 2;
    give(old[0], ENDPOINT_FAILURE);
    assert_int_equal(listed(1)->aside_until_us, START_US + SECOND);
    now_us += SECOND;
    /* While they are out it is not probed: they tell as much. */
    assert_int_equal(take_and_give(ENDPOINT_SUCCESS), 2);
    give(old[1], ENDPOINT_IGNORED);
    give(old[2], ENDPOINT_SUCCESS);
    assert_false(listed(1)->is_aside);
}

static void one_that_is_aside_is_the_last_resort(void **state)
{
    struct endpoint *endpoint;

    (void)state;
    list(1, 4);
    fail_times(3, 5);
    now_us += SECOND / 10;
    fail_times(2, 5);
    assert_int_equal(aside(), 2);
    for (unsigned round = 0; round < 50; round++) {
        struct address tried[2] = {listed(1)->target.address, listed(4)->target.address};

        endpoint = endpoints_take(&endpoints, tried, 1, &dice, now_us);
        assert_int_equal(number_of(endpoint), 4);
        give(endpoint, ENDPOINT_IGNORED);
        endpoint = endpoints_take(&endpoints, tried, 2, &dice, now_us);
        assert_int_equal(number_of(endpoint), 3); /* it comes back first */
        give(endpoint, ENDPOINT_FAILURE);
    }
    endpoint = take();
    assert_true(number_of(endpoint) == 1 || number_of(endpoint) == 4);
    give(endpoint, ENDPOINT_SUCCESS);
}

static void a_probe_out_does_not_keep_the_next_from_being_probed(void **state)
{
    struct endpoint *first, *second;

    (void)state;
    list(1, 4);
    fail_times(1, 5);
    fail_times(2, 5);
    now_us += SECOND;
    first = take();
    second = take();
    assert_true(first != second && first->is_aside && second->is_aside);
    give(first, ENDPOINT_SUCCESS);
    give(second, ENDPOINT_SUCCESS);
    assert_int_equal(aside(), 0);
}

static void when_good_addresses_go_the_first_to_return_comes_back(void **state)
{
    (void)state;
    list(1, 4);
    fail_times(2, 5);
    now_us += SECOND / 10;
    fail_times(1, 5);
    list(1, 3);
    assert_true(listed(1)->is_aside);
    assert_false(listed(2)->is_aside);
    list(1, 1);
    assert_false(listed(1)->is_aside);
}

#define OUT_MOST 60

static struct endpoint *out[OUT_MOST];
static size_t out_count;

static void change_addresses(void)
{
    struct endpoint_target targets[12];
    size_t count = dice_below(&dice, 12);

    for (size_t i = 0; i < count; i++)
        targets[i] = target(1 + (unsigned)dice_below(&dice, 12), (uint16_t)dice_below(&dice, 3),
                            (uint16_t)dice_below(&dice, 4));
    endpoints_replace(&endpoints, targets, count, now_us);
    assert_in_range(aside(), 0, endpoints.listed / 2);
}

static void take_one(void)
{
    struct endpoint *endpoint = take();
    bool any_usable = aside() < endpoints.listed;

    assert_int_equal(endpoint == NULL, endpoints.listed == 0);
    if (endpoint == NULL)
        return;
    assert_true(endpoint->is_listed);
    if (endpoint->is_aside && any_usable)
        assert_true(endpoint->in_flight == 1 && now_us >= endpoint->aside_until_us);
    out[out_count++] = endpoint;
}

/* Odd numbers fail more often. */
static void give_one(size_t place)
{
    struct endpoint *endpoint = out[place];
    bool fails = dice_below(&dice, 10) < (number_of(endpoint) % 2 == 0 ? 1 : 8);

    out[place] = out[--out_count];
    give(endpoint, fails ? ENDPOINT_FAILURE : ENDPOINT_SUCCESS);
}

static void counts_add_up(void)
{
    size_t in_flight = 0;

    for (size_t i = 0; i < endpoints.count; i++) {
        in_flight += endpoints.items[i]->in_flight;
        assert_int_equal(endpoints.items[i]->is_listed, i < endpoints.listed);
        assert_true(i < endpoints.listed || endpoints.items[i]->in_flight > 0);
    }
    assert_int_equal(in_flight, out_count);
}

static void whatever_happens_counts_and_limits_hold(void **state)
{
    unsigned seen_aside = 0, seen_gone = 0;

    (void)state;
    out_count = 0;
    for (unsigned i = 0; i < 100000; i++) {
        now_us += dice_below(&dice, SECOND / 20);
        if (dice_below(&dice, 200) == 0)
            change_addresses();
        else if (out_count == 0 || (out_count < OUT_MOST && dice_below(&dice, 2) == 0))
            take_one();
        else
            give_one(dice_below(&dice, out_count));
        counts_add_up();
        assert_in_range(aside(), 0, endpoints.listed / 2);
        seen_aside += aside() > 0;
        seen_gone += endpoints.count > endpoints.listed;
    }
    assert_true(seen_aside > 1000 && seen_gone > 1000);
    while (out_count > 0)
        give_one(0);
}

#define ENDPOINTS_TEST(test) cmocka_unit_test_setup_teardown(test, open_world, close_world)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ENDPOINTS_TEST(the_lowest_priority_value_is_used_while_it_is_usable),
        ENDPOINTS_TEST(a_lower_group_is_not_probed_while_a_higher_is_usable),
        ENDPOINTS_TEST(repeated_failures_set_an_address_aside),
        ENDPOINTS_TEST(never_more_than_half_are_aside),
        ENDPOINTS_TEST(with_the_rule_off_none_is_set_aside),
        ENDPOINTS_TEST(an_address_that_went_is_not_set_aside),
        ENDPOINTS_TEST(one_call_probes_and_a_success_brings_it_back),
        ENDPOINTS_TEST(a_failed_probe_sets_it_aside_for_longer),
        ENDPOINTS_TEST(failing_soon_again_counts_as_the_next_time),
        ENDPOINTS_TEST(calls_from_before_do_not_prolong_the_time_aside),
        ENDPOINTS_TEST(one_that_is_aside_is_the_last_resort),
        ENDPOINTS_TEST(a_probe_out_does_not_keep_the_next_from_being_probed),
        ENDPOINTS_TEST(when_good_addresses_go_the_first_to_return_comes_back),
        ENDPOINTS_TEST(whatever_happens_counts_and_limits_hold),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
