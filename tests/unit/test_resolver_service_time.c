/* The resolver and services: how long answers are kept, what serves while DNS fails, askers that
 * come and go. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/service_world.h"

/* ---- how long it is kept ---- */

static void the_answer_expires_with_the_first_of_its_records_and_addresses(void **state)
{
    struct fixture *fixture = *state;
    struct asker asker = {0};

    fixture->names[ONE].a.ttl = 20;
    offer(fixture, 1, (struct dns_service){1, 1, 80, "two.test"});
    learn(fixture);
    pass_s(14);
    assert_int_equal(ask(&fixture->world, &asker, SERVICE), RESOLVER_READY);
    assert_int_equal(fixture->names[API].srv.queries, 1);
    pass_s(6);
    ask_and_wait(&fixture->world, &asker, SERVICE);
    assert_int_equal(fixture->names[API].srv.queries, 2);
    assert_int_equal(fixture->names[ONE].a.queries, 2);
    assert_int_equal(fixture->names[TWO].a.queries, 1);
    fixture->names[API].srv.ttl = 10; /* the host has more to go now */
    fixture->names[ONE].a.ttl = 40;
    pass_s(20);
    ask_and_wait(&fixture->world, &asker, SERVICE);
    pass_s(10);
    ask_and_wait(&fixture->world, &asker, SERVICE);
    assert_int_equal(fixture->names[API].srv.queries, 4);
    assert_int_equal(fixture->names[ONE].a.queries, 3);
}

static void a_host_that_is_missing_is_looked_for_again_soon(void **state)
{
    struct fixture *fixture = *state;
    struct asker asker = {0};

    offer(fixture, 1, (struct dns_service){10, 1, 8082, "two.test"});
    say(&fixture->names[TWO], DNS_SERVFAIL);
    learn(fixture);
    say(&fixture->names[TWO], DNS_OK);
    pass_s(20); /* as long as failures are remembered */
    ask_and_wait(&fixture->world, &asker, SERVICE);
    assert_int_equal(asker.count, 2);
}

static void an_answer_about_to_expire_is_given_at_once_and_refreshed_in_the_background(void **state)
{
    struct fixture *fixture = *state;
    struct asker asker = {0};

    learn(fixture);
    fixture->names[API].srv.services[0].port = 9000;
    pass_s(31);
    assert_int_equal(ask(&fixture->world, &asker, SERVICE), RESOLVER_READY);
    assert_target(&asker, 0, "127.0.0.1:8081", 10, 3);
    run_until_line(&fixture->world, "event=dns_answer name=" SERVICE, 2);
    assert_int_equal(ask(&fixture->world, &asker, SERVICE), RESOLVER_READY);
    assert_target(&asker, 0, "127.0.0.1:9000", 10, 3);
}

static void when_dns_fails_the_last_answer_goes_on_serving(void **state)
{
    struct fixture *fixture = *state;
    struct asker asker = {0};

    learn(fixture);
    for (size_t i = 0; i < NAME_COUNT; i++)
        say(&fixture->names[i], DNS_SERVFAIL);
    pass_s(41);
    ask_and_wait(&fixture->world, &asker, SERVICE);
    assert_target(&asker, 0, "127.0.0.1:8081", 10, 3);
    assert_int_equal(ask(&fixture->world, &asker, SERVICE), RESOLVER_READY);
    assert_int_equal(lines_with("event=dns_stale name=" SERVICE), 1);
}

static void a_host_that_dns_fails_for_keeps_its_last_addresses(void **state)
{
    struct fixture *fixture = *state;
    struct asker asker = {0};

    offer(fixture, 1, (struct dns_service){10, 1, 8082, "two.test"});
    learn(fixture);
    say(&fixture->names[TWO], DNS_SERVFAIL);
    pass_s(41);
    ask_and_wait(&fixture->world, &asker, SERVICE);
    assert_int_equal(asker.count, 2);
    assert_target(&asker, 1, "127.0.0.2:8082", 10, 1);
    assert_int_equal(lines_with("event=dns_stale name=" SERVICE), 0);
    pass_s(10); /* longer than answers without TTL are kept: there is no storm of queries */
    assert_int_equal(ask(&fixture->world, &asker, SERVICE), RESOLVER_READY);
    assert_int_equal(fixture->names[API].srv.queries, 2);
}

static void records_that_are_late_are_not_waited_for_where_an_expired_answer_can_serve(void **state)
{
    struct fixture *fixture = *state;
    struct asker asker = {0};

    learn(fixture);
    hold(&fixture->names[ONE], true);
    pass_s(41);
    ask_and_wait(&fixture->world, &asker, SERVICE);
    assert_target(&asker, 0, "127.0.0.1:8081", 10, 3);
}

static void a_service_that_is_no_more_stops_serving(void **state)
{
    struct fixture *fixture = *state;

    learn(fixture);
    offer(fixture, 0, (struct dns_service){0, 0, 0, ""});
    pass_s(41);
    assert_denied(fixture, "the service is not offered (its target is \".\")");
}

/* ---- askers that come and go ---- */

static void all_who_ask_share_one_query(void **state)
{
    struct fixture *fixture = *state;
    struct asker askers[4] = {0};
    struct asker host = {0};

    for (size_t i = 0; i < 4; i++)
        assert_int_equal(ask(&fixture->world, &askers[i], SERVICE), RESOLVER_WAITING);
    assert_int_equal(ask(&fixture->world, &host, "one.test."), RESOLVER_WAITING);
    run_until(&fixture->world, &askers[3].done, 1);
    for (size_t i = 0; i < 4; i++)
        assert_target(&askers[i], 0, "127.0.0.1:8081", 10, 3);
    assert_int_equal(host.done, 1);
    assert_int_equal(fixture->names[API].srv.queries, 1);
    assert_int_equal(fixture->names[ONE].a.queries, 1);
}

static void a_cancelled_look_up_is_not_told_and_its_query_still_fills_the_cache(void **state)
{
    struct fixture *fixture = *state;
    struct asker asker = {0};

    ask(&fixture->world, &asker, SERVICE);
    resolver_cancel(fixture->world.resolver, &asker.lookup);
    run_until_line(&fixture->world, "event=dns_answer name=" SERVICE, 1);
    assert_int_equal(asker.done, 0);
    assert_int_equal(ask(&fixture->world, &asker, SERVICE), RESOLVER_READY);
}

static void a_resolver_may_be_freed_while_records_or_hosts_are_awaited(void **state)
{
    struct fixture *fixture = *state;
    struct dns_records *held[] = {&fixture->names[API].srv, &fixture->names[ONE].a};

    for (size_t i = 0; i < 2; i++) {
        struct asker asker = {0};

        held[i]->hold = true;
        offer(fixture, 1, (struct dns_service){1, 1, 80, "two.test"});
        ask(&fixture->world, &asker, SERVICE);
        run_until(&fixture->world, &held[i]->queries, 1);
        resolver_cancel(fixture->world.resolver, &asker.lookup);
        held[i]->hold = false;
        use_settings(&fixture->world, &world_settings);
        assert_int_equal(asker.done, 0);
    }
}

#define STEPS  20000
#define ASKERS 8

static void change_something(struct fixture *fixture)
{
    struct dns_name *name = &fixture->names[rand() % BOTH];
    struct dns_records *records = name == &fixture->names[API] ? &name->srv : &name->a;

    records->code = rand() % 4 == 0 ? (unsigned)rand() % 6 : DNS_OK;
    records->hold = rand() % 3 == 0;
    if (rand() % 8 == 0)
        pass_s(rand() % 30);
    if (rand() % 4 == 0)
        scripted_dns_release(&fixture->world.dns);
}

static void any_order_of_events_tells_each_asker_exactly_once(void **state)
{
    static const char *const names[] = {SERVICE, "_api._tcp.short.search.test", "one.test."};
    struct fixture *fixture = *state;
    struct asker askers[ASKERS] = {0};

    offer(fixture, 1, (struct dns_service){10, 1, 8082, "two.test"});
    offer(fixture, 2, (struct dns_service){20, 1, 8083, "three.test"});
    srand(5);
    for (unsigned step = 0; step < STEPS; step++) {
        struct asker *asker = &askers[rand() % ASKERS];

        change_something(fixture);
        ask_or_cancel(&fixture->world, asker, names, 3);
        event_base_loop(fixture->world.base, EVLOOP_NONBLOCK);
    }
    assert_each_is_told_once(&fixture->world, askers, ASKERS);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_answer_expires_with_the_first_of_its_records_and_addresses),
        TEST(a_host_that_is_missing_is_looked_for_again_soon),
        TEST(an_answer_about_to_expire_is_given_at_once_and_refreshed_in_the_background),
        TEST(when_dns_fails_the_last_answer_goes_on_serving),
        TEST(a_host_that_dns_fails_for_keeps_its_last_addresses),
        TEST(records_that_are_late_are_not_waited_for_where_an_expired_answer_can_serve),
        TEST(a_service_that_is_no_more_stops_serving),
        TEST(all_who_ask_share_one_query),
        TEST(a_cancelled_look_up_is_not_told_and_its_query_still_fills_the_cache),
        TEST(a_resolver_may_be_freed_while_records_or_hosts_are_awaited),
        TEST(any_order_of_events_tells_each_asker_exactly_once),
    };

    return cmocka_run_group_tests_name("resolver_service_time", tests, start_library, end_library);
}
