/* The choice of an address: shares and loads, and what DNS adds and takes away. */

#include "tests/unit/endpoints_world.h"

static void without_addresses_there_is_no_choice(void **state)
{
    (void)state;
    assert_null(take());
    list(1, 3);
    list(1, 0);
    assert_null(take());
}

static void equals_get_equal_shares(void **state)
{
    unsigned counts[6];

    (void)state;
    list(1, 5);
    count_takes(counts, 6);
    for (size_t i = 1; i <= 5; i++)
        assert_in_range(counts[i], 7700, 8300);
}

static void shares_follow_weights(void **state)
{
    struct endpoint_target targets[] = {target(1, 0, 10), target(2, 0, 30), target(3, 0, 60)};
    unsigned counts[4];

    (void)state;
    endpoints_replace(&endpoints, targets, 3, now_us);
    count_takes(counts, 4);
    assert_in_range(counts[1], 3700, 4300);
    assert_in_range(counts[2], 11500, 12500);
    assert_in_range(counts[3], 23500, 24500);
}

static void weight_zero_is_rarely_chosen_unless_all_have_it(void **state)
{
    struct endpoint_target targets[] = {target(1, 0, 0), target(2, 0, 1), target(3, 0, 0)};
    unsigned counts[4];

    (void)state;
    endpoints_replace(&endpoints, targets, 3, now_us);
    count_takes(counts, 4);
    assert_in_range(counts[1] + counts[3], 500, 1100);
    targets[1].weight = 0;
    endpoints_replace(&endpoints, targets, 3, now_us);
    count_takes(counts, 4);
    for (size_t i = 1; i <= 3; i++)
        assert_in_range(counts[i], 12800, 13900);
}

static void the_less_loaded_of_two_is_taken(void **state)
{
    (void)state;
    list(1, 2);
    for (unsigned i = 0; i < 1000; i++) {
        take();
        assert_in_range(listed(1)->in_flight, (i + 1) / 2, i / 2 + 1);
    }
    for (unsigned i = 0; i < 500; i++) {
        give(listed(1), ENDPOINT_SUCCESS);
        give(listed(2), ENDPOINT_SUCCESS);
    }
}

static void load_is_counted_by_weight(void **state)
{
    struct endpoint_target targets[] = {target(1, 0, 1), target(2, 0, 4)};

    (void)state;
    endpoints_replace(&endpoints, targets, 2, now_us);
    for (unsigned i = 0; i < 1000; i++)
        take();
    assert_in_range(listed(1)->in_flight, 199, 201);
    listed(1)->in_flight = listed(2)->in_flight = 0;
}

static void many_calls_in_flight_are_spread_better_than_at_random(void **state)
{
    unsigned most = 0, least = UINT32_MAX;

    (void)state;
    list(1, 50);
    for (unsigned i = 0; i < 50 * 100; i++)
        take();
    for (size_t i = 0; i < endpoints.listed; i++) {
        unsigned load = endpoints.items[i]->in_flight;

        most = load > most ? load : most;
        least = load < least ? load : least;
        endpoints.items[i]->in_flight = 0;
    }
    /* At random it would be about 75 to 125. */
    assert_in_range(least, 94, 100);
    assert_in_range(most, 100, 104);
}

static void what_was_tried_is_avoided(void **state)
{
    struct address tried[3];

    (void)state;
    list(1, 3);
    for (unsigned i = 0; i < 200; i++) {
        unsigned seen = 0;

        for (size_t count = 0; count < 3; count++) {
            struct endpoint *endpoint = endpoints_take(&endpoints, tried, count, &dice, now_us);

            assert_int_equal(seen & 1u << number_of(endpoint), 0);
            seen |= 1u << number_of(endpoint);
            tried[count] = endpoint->target.address;
            give(endpoint, ENDPOINT_IGNORED);
        }
        assert_null(endpoints_take(&endpoints, tried, 3, &dice, now_us));
    }
}

static void addresses_that_stay_keep_their_state(void **state)
{
    struct endpoint *one, *two;

    (void)state;
    list(1, 4);
    one = take_number(1);
    fail_times(2, 5);
    two = listed(2);
    list(1, 6);
    assert_ptr_equal(listed(1), one);
    assert_int_equal(one->in_flight, 1);
    assert_ptr_equal(listed(2), two);
    assert_true(two->is_aside);
    assert_int_equal(listed(6)->in_flight, 0);
    give(one, ENDPOINT_SUCCESS);
}

static void priorities_and_weights_are_those_of_the_last_answer(void **state)
{
    struct endpoint_target targets[] = {target(1, 0, 1), target(2, 7, 9)};

    (void)state;
    list(1, 2);
    endpoints_replace(&endpoints, targets, 2, now_us);
    assert_int_equal(listed(2)->target.priority, 7);
    assert_int_equal(listed(2)->target.weight, 9);
    assert_int_equal(take_and_give(ENDPOINT_SUCCESS), 1);
}

static void an_address_that_went_is_kept_until_its_calls_have_ended(void **state)
{
    struct endpoint *first, *second;

    (void)state;
    list(1, 1);
    first = take();
    second = take();
    list(2, 3);
    assert_int_equal(endpoints.listed, 2);
    assert_int_equal(endpoints.count, 3);
    for (unsigned i = 0; i < 100; i++)
        assert_in_range(take_and_give(ENDPOINT_SUCCESS), 2, 3);
    give(first, ENDPOINT_FAILURE);
    assert_int_equal(endpoints.count, 3);
    list(1, 2);
    assert_ptr_equal(listed(1), second);
    assert_int_equal(second->in_flight, 1);
    assert_int_equal(second->failures, 1);
    list(2, 2);
    give(second, ENDPOINT_SUCCESS);
    assert_int_equal(endpoints.count, 1);
}

static void an_address_named_twice_is_one(void **state)
{
    struct endpoint_target targets[] = {target(1, 0, 5), target(1, 1, 1), target(2, 0, 5),
                                        target(2, 0, 5)};

    (void)state;
    endpoints_replace(&endpoints, targets, 4, now_us);
    assert_int_equal(endpoints.listed, 2);
    assert_int_equal(listed(1)->target.priority, 0);
    endpoints_replace(&endpoints, targets, 4, now_us);
    assert_int_equal(endpoints.listed, 2);
    assert_int_equal(endpoints.count, 2);
}

static void too_many_addresses_are_left_out(void **state)
{
    (void)state;
    list(1, ENDPOINTS_MOST + 20);
    assert_int_equal(endpoints.listed, ENDPOINTS_MOST);
    for (unsigned i = 0; i < 1000; i++)
        take_and_give(ENDPOINT_SUCCESS);
    list(30, ENDPOINTS_MOST + 60);
    assert_int_equal(endpoints.listed, ENDPOINTS_MOST);
    assert_int_equal(endpoints.count, ENDPOINTS_MOST);
}

#define ENDPOINTS_TEST(test) cmocka_unit_test_setup_teardown(test, open_world, close_world)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ENDPOINTS_TEST(without_addresses_there_is_no_choice),
        ENDPOINTS_TEST(equals_get_equal_shares),
        ENDPOINTS_TEST(shares_follow_weights),
        ENDPOINTS_TEST(weight_zero_is_rarely_chosen_unless_all_have_it),
        ENDPOINTS_TEST(the_less_loaded_of_two_is_taken),
        ENDPOINTS_TEST(load_is_counted_by_weight),
        ENDPOINTS_TEST(many_calls_in_flight_are_spread_better_than_at_random),
        ENDPOINTS_TEST(what_was_tried_is_avoided),
        ENDPOINTS_TEST(addresses_that_stay_keep_their_state),
        ENDPOINTS_TEST(priorities_and_weights_are_those_of_the_last_answer),
        ENDPOINTS_TEST(an_address_that_went_is_kept_until_its_calls_have_ended),
        ENDPOINTS_TEST(an_address_named_twice_is_one),
        ENDPOINTS_TEST(too_many_addresses_are_left_out),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
