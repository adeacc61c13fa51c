/* The resolver when DNS says no, says nothing or is not there: what is remembered, what still
 * serves, and how it comes back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/resolver_world.h"

enum { HOST, NAME_COUNT };

static const struct dns_name table[NAME_COUNT + 1] = {
    [HOST] = {"host.test", .a = {{"127.0.0.1"}, .ttl = 40}},
};

static int setup(void **state)
{
    return set_up_names(state, table, sizeof table);
}

static unsigned queries(const struct fixture *fixture)
{
    return fixture->names[HOST].a.queries + fixture->names[HOST].aaaa.queries;
}

/* Learns 127.0.0.1, then the record changes, and time goes on. */
static void know_and_pass_s(struct fixture *fixture, double seconds)
{
    struct asker asker = {0};

    ask_and_wait(&fixture->world, &asker, "host.test");
    assert_string_equal(asker.ip, "127.0.0.1");
    fixture->names[HOST].a.addresses[0] = "127.0.0.2";
    pass_s(seconds);
}

static void ask_until_told(struct fixture *fixture, struct asker *asker)
{
    if (ask(&fixture->world, asker, "host.test") ==
        RESOLVER_WAITING) /* c-ares 1.34 fails at once */
        run_until(&fixture->world, &asker->done, 1);
}

static void assert_ready(struct fixture *fixture, const char *ip)
{
    struct asker asker = {0};

    assert_int_equal(ask(&fixture->world, &asker, "host.test"), RESOLVER_READY);
    assert_string_equal(asker.ip, ip);
}

/* c-ares 1.18 does not tell an error that a server reports from a server that is not there. */
static const char vague[] = "the DNS server failed or can't be reached";

static void assert_reason(const struct asker *asker, const char *expected)
{
    assert_string_equal(asker->ip, "");
    if (strcmp(asker->message, vague) != 0)
        assert_string_equal(asker->message, expected);
}

/* ---- failures ---- */

static void a_failed_look_up_says_why_and_is_remembered_for_a_while(void **state)
{
    static const struct {
        unsigned code;
        bool sure; /* told for what it is by every c-ares */
        const char *message;
    } rows[] = {
        {1, true, "the DNS server did not understand"},
        {DNS_SERVFAIL, false, "the DNS server failed"},
        {DNS_NXDOMAIN, true, "no such name"},
        {4, false, "the DNS server can't answer such queries"},
        {DNS_REFUSED, false, "the DNS server refused"},
        {DNS_OK, true, "the name has no address"},
    };
    struct fixture *fixture = *state;

    fixture->names[HOST].a.addresses[0] = NULL;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct asker asker = {0};
        unsigned asked;

        say(&fixture->names[HOST], rows[i].code);
        ask_and_wait(&fixture->world, &asker, "host.test");
        assert_reason(&asker, rows[i].message);
        assert_false(rows[i].sure && strcmp(asker.message, vague) == 0);
        asked = queries(fixture);
        pass_s(19);
        assert_int_equal(ask(&fixture->world, &asker, "host.test"), RESOLVER_FAILED);
        assert_reason(&asker, rows[i].message);
        assert_int_equal(queries(fixture), asked);
        pass_s(1);
    }
}

static void a_name_that_comes_into_being_is_found_once_the_failure_is_forgotten(void **state)
{
    struct fixture *fixture = *state;
    struct asker asker = {0};

    say(&fixture->names[HOST], DNS_NXDOMAIN);
    ask_and_wait(&fixture->world, &asker, "host.test");
    say(&fixture->names[HOST], DNS_OK);
    pass_s(20);
    ask_and_wait(&fixture->world, &asker, "host.test");
    assert_string_equal(asker.ip, "127.0.0.1");
}

static void a_server_that_says_nothing_is_a_failure(void **state)
{
    struct resolver_settings settings = world_settings;
    struct fixture *fixture = *state;
    struct asker asker = {0};

    settings.timeout_us = 20000;
    settings.tries = 1;
    use_settings(&fixture->world, &settings);
    fixture->names[HOST].a.silent = true;
    fixture->names[HOST].aaaa.silent = true;
    ask_and_wait(&fixture->world, &asker, "host.test");
    assert_string_equal(asker.message, "no answer from the DNS server");
    assert_int_equal(fixture->names[HOST].a.queries, 1);
}

static void a_server_that_is_not_there_is_a_failure(void **state)
{
    struct fixture *fixture = *state;
    struct asker asker = {0};

    scripted_dns_stop(&fixture->world.dns);
    ask_until_told(fixture, &asker);
    assert_string_equal(asker.message, vague);
}

static void the_second_server_answers_where_the_first_is_not_there(void **state)
{
    struct resolver_settings settings = world_settings;
    struct fixture *fixture = *state;
    struct scripted_dns gone;
    struct asker asker = {0};
    char servers[64];

    scripted_dns_start(&gone, fixture->world.base, fixture->names);
    scripted_dns_stop(&gone);
    snprintf(servers, sizeof servers, "127.0.0.1:%u,127.0.0.1:%u", (unsigned)gone.port,
             (unsigned)fixture->world.dns.port);
    settings.servers = servers;
    settings.timeout_us = 100000; /* c-ares 1.18 may not see that the first is not there */
    use_settings(&fixture->world, &settings);
    ask_and_wait(&fixture->world, &asker, "host.test");
    assert_string_equal(asker.ip, "127.0.0.1");
}

/* ---- serving on ---- */

static void
when_dns_fails_the_expired_answer_is_given_to_those_who_waited_and_then_at_once(void **state)
{
    struct fixture *fixture = *state;
    struct asker askers[2] = {0};
    unsigned asked;

    know_and_pass_s(fixture, 41);
    say(&fixture->names[HOST], DNS_SERVFAIL);
    assert_int_equal(ask(&fixture->world, &askers[0], "host.test"), RESOLVER_WAITING);
    assert_int_equal(ask(&fixture->world, &askers[1], "host.test"), RESOLVER_WAITING);
    run_until(&fixture->world, &askers[1].done, 1);
    assert_string_equal(askers[0].ip, "127.0.0.1");
    assert_string_equal(askers[1].ip, "127.0.0.1");
    asked = queries(fixture);
    pass_s(19);
    assert_ready(fixture, "127.0.0.1");
    assert_ready(fixture, "127.0.0.1");
    assert_int_equal(queries(fixture), asked);
}

static void dns_is_tried_again_in_the_background_and_its_return_is_noticed(void **state)
{
    struct fixture *fixture = *state;
    struct asker asker = {0};

    know_and_pass_s(fixture, 41);
    say(&fixture->names[HOST], DNS_SERVFAIL);
    ask_and_wait(&fixture->world, &asker, "host.test");
    pass_s(21);
    assert_ready(fixture, "127.0.0.1"); /* starts a query, which fails */
    run_until_line(&fixture->world, "event=dns_failure", 2);
    say(&fixture->names[HOST], DNS_OK);
    assert_ready(fixture, "127.0.0.1");
    pass_s(21);
    assert_ready(fixture, "127.0.0.1"); /* starts another, which does not */
    run_until_line(&fixture->world, "event=dns_answer", 2);
    assert_ready(fixture, "127.0.0.2");
}

static void going_stale_is_a_warning_and_coming_back_is_told_each_once(void **state)
{
    struct fixture *fixture = *state;
    struct asker asker = {0};

    know_and_pass_s(fixture, 41);
    say(&fixture->names[HOST], DNS_REFUSED);
    ask_and_wait(&fixture->world, &asker, "host.test");
    assert_ready(fixture, "127.0.0.1");
    assert_int_equal(lines_with("1 event=dns_stale name=host.test reason=\"the DNS server "), 1);
    assert_int_equal(lines_with("event=dns_stale"), 1);
    assert_int_equal(lines_with("event=dns_back"), 0);
    say(&fixture->names[HOST], DNS_OK);
    pass_s(21);
    assert_ready(fixture, "127.0.0.1");
    run_until_line(&fixture->world, "event=dns_answer", 2);
    assert_int_equal(lines_with("2 event=dns_back name=host.test\n"), 1);
    assert_int_equal(lines_with("3 event=dns_answer name=host.test addresses=1 first=127.0.0.2 "
                                "ttl_s=40\n"),
                     1);
    pass_s(41);
    say(&fixture->names[HOST], DNS_SERVFAIL);
    ask_and_wait(&fixture->world, &asker, "host.test");
    assert_int_equal(lines_with("event=dns_stale"), 2);
    assert_int_equal(lines_with("event=dns_back"), 1);
}

static void a_refresh_that_fails_before_expiry_spares_later_askers_the_wait(void **state)
{
    struct fixture *fixture = *state;

    know_and_pass_s(fixture, 31);
    say(&fixture->names[HOST], DNS_SERVFAIL);
    assert_ready(fixture, "127.0.0.1");
    run_until_line(&fixture->world, "event=dns_failure", 1);
    assert_int_equal(lines_with("event=dns_stale"), 0);
    pass_s(10);
    assert_ready(fixture, "127.0.0.1");
    assert_int_equal(lines_with("event=dns_stale"), 1);
}

static void an_answer_that_is_late_is_not_waited_for_where_an_expired_one_can_serve(void **state)
{
    struct fixture *fixture = *state;
    struct asker asker = {0};

    know_and_pass_s(fixture, 41);
    hold(&fixture->names[HOST], true);
    ask_and_wait(&fixture->world, &asker, "host.test");
    assert_string_equal(asker.ip, "127.0.0.1");
    assert_ready(fixture, "127.0.0.1");
    assert_int_equal(queries(fixture), 4);
    hold(&fixture->names[HOST], false);
    scripted_dns_release(&fixture->world.dns);
    run_until_line(&fixture->world, "event=dns_answer", 2);
    assert_ready(fixture, "127.0.0.2");
    assert_int_equal(asker.done, 1);
}

static void a_server_that_is_gone_leaves_the_expired_answer_serving(void **state)
{
    struct fixture *fixture = *state;
    struct asker asker = {0};

    know_and_pass_s(fixture, 41);
    scripted_dns_stop(&fixture->world.dns);
    ask_until_told(fixture, &asker);
    assert_string_equal(asker.ip, "127.0.0.1");
    run_until_line(&fixture->world, "event=dns_failure", 1);
    assert_ready(fixture, "127.0.0.1");
}

static void an_expired_answer_serves_no_longer_than_it_may(void **state)
{
    struct fixture *fixture = *state;
    struct asker asker = {0};

    know_and_pass_s(fixture, 3600);
    say(&fixture->names[HOST], DNS_SERVFAIL);
    ask_and_wait(&fixture->world, &asker, "host.test");
    assert_string_equal(asker.ip, "127.0.0.1");
    pass_s(41);
    ask_and_wait(&fixture->world, &asker, "host.test");
    assert_reason(&asker, "the DNS server failed");
    assert_int_equal(ask(&fixture->world, &asker, "host.test"), RESOLVER_FAILED);
}

/* ---- what is no outage ---- */

static void a_name_that_is_no_more_stops_serving(void **state)
{
    struct fixture *fixture = *state;
    struct asker asker = {0};

    know_and_pass_s(fixture, 41);
    say(&fixture->names[HOST], DNS_NXDOMAIN);
    ask_and_wait(&fixture->world, &asker, "host.test");
    assert_string_equal(asker.message, "no such name");
    assert_int_equal(ask(&fixture->world, &asker, "host.test"), RESOLVER_FAILED);
}

static void a_name_without_addresses_any_more_stops_serving(void **state)
{
    struct fixture *fixture = *state;
    struct asker asker = {0};

    know_and_pass_s(fixture, 41);
    fixture->names[HOST].a.addresses[0] = NULL;
    ask_and_wait(&fixture->world, &asker, "host.test");
    assert_string_equal(asker.message, "the name has no address");
}

/* c-ares tells the later answer only, here that there is no address of the one type. */
static void fail_one_and_deny_the_other(struct fixture *fixture, struct dns_records *failing,
                                        struct dns_records *empty)
{
    struct asker asker = {0};

    failing->code = DNS_SERVFAIL;
    empty->hold = true;
    assert_int_equal(ask(&fixture->world, &asker, "host.test"), RESOLVER_WAITING);
    run_until(&fixture->world, &failing->queries, 3); /* it tries twice */
    run_until(&fixture->world, &empty->queries, 2);
    empty->hold = false;
    scripted_dns_release(&fixture->world.dns);
    run_until_line(&fixture->world, "event=dns_failure", 1);
    assert_int_equal(lines_with("reason=\"the DNS server failed"), 2); /* and once as stale */
    assert_int_equal(ask(&fixture->world, &asker, "host.test"), RESOLVER_READY);
}

static void no_ipv6_address_does_not_hide_that_the_query_for_ipv4_failed(void **state)
{
    struct fixture *fixture = *state;

    know_and_pass_s(fixture, 41);
    fail_one_and_deny_the_other(fixture, &fixture->names[HOST].a, &fixture->names[HOST].aaaa);
}

static void no_ipv4_address_does_not_hide_that_the_query_for_ipv6_failed(void **state)
{
    struct fixture *fixture = *state;
    struct asker asker = {0};

    fixture->names[HOST].a = (struct dns_records){0};
    fixture->names[HOST].aaaa = (struct dns_records){.addresses = {"::1"}, .ttl = 40};
    ask_and_wait(&fixture->world, &asker, "host.test");
    pass_s(41);
    fail_one_and_deny_the_other(fixture, &fixture->names[HOST].aaaa, &fixture->names[HOST].a);
}

static void an_address_that_was_missed_at_first_is_found_when_asked_for_alone(void **state)
{
    struct fixture *fixture = *state;
    struct asker asker = {0};

    know_and_pass_s(fixture, 41);
    fixture->names[HOST].a.code = DNS_SERVFAIL;
    fixture->names[HOST].aaaa.hold = true;
    assert_int_equal(ask(&fixture->world, &asker, "host.test"), RESOLVER_WAITING);
    run_until(&fixture->world, &fixture->names[HOST].a.queries, 3);
    run_until(&fixture->world, &fixture->names[HOST].aaaa.queries, 2);
    fixture->names[HOST].a.code = DNS_OK;
    fixture->names[HOST].aaaa.hold = false;
    scripted_dns_release(&fixture->world.dns);
    run_until_line(&fixture->world, "event=dns_answer", 2);
    assert_ready(fixture, "127.0.0.2");
}

static void a_new_name_without_addresses_costs_one_query_of_each_type(void **state)
{
    struct fixture *fixture = *state;
    struct asker asker = {0};

    fixture->names[HOST].a.addresses[0] = NULL;
    ask_and_wait(&fixture->world, &asker, "host.test");
    assert_int_equal(queries(fixture), 2);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_failed_look_up_says_why_and_is_remembered_for_a_while),
        TEST(a_name_that_comes_into_being_is_found_once_the_failure_is_forgotten),
        TEST(a_server_that_says_nothing_is_a_failure),
        TEST(a_server_that_is_not_there_is_a_failure),
        TEST(the_second_server_answers_where_the_first_is_not_there),
        TEST(when_dns_fails_the_expired_answer_is_given_to_those_who_waited_and_then_at_once),
        TEST(dns_is_tried_again_in_the_background_and_its_return_is_noticed),
        TEST(going_stale_is_a_warning_and_coming_back_is_told_each_once),
        TEST(a_refresh_that_fails_before_expiry_spares_later_askers_the_wait),
        TEST(an_answer_that_is_late_is_not_waited_for_where_an_expired_one_can_serve),
        TEST(a_server_that_is_gone_leaves_the_expired_answer_serving),
        TEST(an_expired_answer_serves_no_longer_than_it_may),
        TEST(a_name_that_is_no_more_stops_serving),
        TEST(a_name_without_addresses_any_more_stops_serving),
        TEST(no_ipv6_address_does_not_hide_that_the_query_for_ipv4_failed),
        TEST(no_ipv4_address_does_not_hide_that_the_query_for_ipv6_failed),
        TEST(an_address_that_was_missed_at_first_is_found_when_asked_for_alone),
        TEST(a_new_name_without_addresses_costs_one_query_of_each_type),
    };

    return cmocka_run_group_tests_name("resolver_outage", tests, start_library, end_library);
}
