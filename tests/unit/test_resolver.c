/* The resolver against a scripted DNS server: names, the cache at work, askers that come and go. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fanout/resolver_cache.h"
#include "tests/unit/resolver_world.h"

enum { SINGLE, MANY, BOTH, OTHER, ALIASED, SHORT_IN_SEARCH, LARGE, NAME_COUNT };

static const struct dns_name table[NAME_COUNT + 1] = {
    [SINGLE] = {"single.test", .a = {{"127.0.0.1"}, .ttl = 40}},
    [MANY] = {"many.test", .a = {{"127.0.0.1", "127.0.0.2", "127.0.0.3"}, .ttl = 40}},
    [BOTH] = {"both.test", .a = {{"127.0.0.1"}, .ttl = 100}, .aaaa = {{"::1"}, .ttl = 40}},
    [OTHER] = {"other.test", .a = {{"127.0.0.9"}, .ttl = 40}},
    [ALIASED] = {"aliased.test", "single.test", 20, .a = {{"127.0.0.5"}, .ttl = 100}},
    [SHORT_IN_SEARCH] = {"short.search.test", .a = {{"127.0.0.7"}, .ttl = 40}},
    [LARGE] = {"large.test", .a = {{"127.0.0.8"}, .ttl = 40, .truncate = true},
               .aaaa = {{"::1"}, .ttl = 40, .truncate = true}},
};

static int setup(void **state)
{
    return set_up_names(state, table, sizeof table);
}

/* ---- names ---- */

static void a_name_gives_its_ipv4_and_ipv6_addresses_without_a_port(void **state)
{
    struct fixture *fixture = *state;
    struct asker asker = {0};

    ask_and_wait(&fixture->world, &asker, "both.test");
    assert_int_equal(asker.count, 2);
    assert_true(strcmp(asker.ip, "127.0.0.1") == 0 || strcmp(asker.last_ip, "127.0.0.1") == 0);
    assert_true(strcmp(asker.ip, "::1") == 0 || strcmp(asker.last_ip, "::1") == 0);
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(address_port(&asker.targets[i].address), 0);
}

static void the_family_of_the_first_address_has_priority_over_the_other(void **state)
{
    struct fixture *fixture = *state;
    struct asker asker = {0};

    fixture->names[BOTH].a.addresses[1] = "127.0.0.2";
    fixture->names[BOTH].aaaa.addresses[1] = "::2";
    ask_and_wait(&fixture->world, &asker, "both.test");
    assert_int_equal(asker.count, 4);
    for (size_t i = 0; i < 4; i++) {
        bool is_preferred =
            asker.targets[i].address.any.sa_family == asker.targets[0].address.any.sa_family;

        assert_int_equal(asker.targets[i].priority, is_preferred ? 0 : 1);
        assert_int_equal(asker.targets[i].weight, 1);
    }
}

static void a_name_in_the_hosts_file_is_known_at_once_and_not_asked_for(void **state)
{
    struct fixture *fixture = *state;
    struct asker asker = {0};

    assert_int_equal(ask(&fixture->world, &asker, "LocalHost"), RESOLVER_READY);
    assert_true(strcmp(asker.ip, "127.0.0.1") == 0 || strcmp(asker.ip, "::1") == 0);
    assert_int_equal(lines_with("event=dns_answer name=localhost"), 1);
}

static void
a_hosts_file_name_is_read_again_after_the_shortest_ttl_and_still_known_at_once(void **state)
{
    struct fixture *fixture = *state;
    struct asker asker = {0};

    ask(&fixture->world, &asker, "localhost");
    assert_int_equal(ask(&fixture->world, &asker, "localhost"), RESOLVER_READY);
    assert_int_equal(lines_with("event=dns_answer"), 1);
    pass_s(1.5);
    assert_int_equal(ask(&fixture->world, &asker, "localhost"), RESOLVER_READY);
    assert_int_equal(lines_with("event=dns_answer"), 2);
}

static void case_does_not_count(void **state)
{
    struct fixture *fixture = *state;
    struct asker asker = {0};

    ask_and_wait(&fixture->world, &asker, "Single.TEST");
    assert_string_equal(asker.ip, "127.0.0.1");
    assert_int_equal(ask(&fixture->world, &asker, "single.test"), RESOLVER_READY);
    assert_int_equal(fixture->names[SINGLE].a.queries, 1);
}

static void search_domains_are_tried_but_not_for_a_name_with_a_dot_at_the_end(void **state)
{
    struct fixture *fixture = *state;
    struct asker asker = {0};

    use_search_domain(&fixture->world, "search.test");
    ask_and_wait(&fixture->world, &asker, "short");
    assert_string_equal(asker.ip, "127.0.0.7");
    ask_and_wait(&fixture->world, &asker, "short.");
    assert_string_equal(asker.message, "no such name");
    ask_and_wait(&fixture->world, &asker, "single.test.");
    assert_string_equal(asker.ip, "127.0.0.1");
    assert_int_equal(fixture->names[SHORT_IN_SEARCH].a.queries, 1);
}

static void an_answer_too_large_for_udp_is_fetched_by_tcp(void **state)
{
    struct fixture *fixture = *state;
    struct asker asker = {0};

    ask_and_wait(&fixture->world, &asker, "large.test");
    assert_int_equal(asker.count, 2);
    assert_int_equal(fixture->world.dns.by_tcp, 2);
}

static void of_too_many_addresses_the_first_are_taken(void **state)
{
    struct fixture *fixture = *state;
    struct asker asker = {0};
    char texts[DNS_MOST][16];

    for (unsigned i = 0; i < DNS_MOST; i++) {
        snprintf(texts[i], sizeof texts[i], "127.0.1.%u", i);
        fixture->names[LARGE].a.addresses[i] = texts[i];
    }
    ask_and_wait(&fixture->world, &asker, "large.test");
    assert_int_equal(asker.count, ENDPOINTS_MOST);
}

static void a_name_that_is_none_fails_at_once(void **state)
{
    static const char *const rows[] = {"", "a b", "a..b", "under\nstand"};
    struct fixture *fixture = *state;
    struct asker asker = {0};

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_int_equal(ask(&fixture->world, &asker, rows[i]), RESOLVER_FAILED);
        assert_string_equal(asker.message, "not a host name");
    }
}

static void a_bad_list_of_servers_is_refused_with_a_message(void **state)
{
    static const char *const rows[] = {
        "",
        ",",
        "dns.test",
        "127.0.0.1,",
        "127.0.0.1 ",
        "127.0.0.1:x",
        "127.0.0.1:99999",
        "127.0.0.1;127.0.0.2",
        "[::1",
        "::1]:53",
        "127.0.0.1,,127.0.0.2",
    };
    struct fixture *fixture = *state;

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct resolver_settings settings = world_settings;
        const char *message = NULL;

        settings.servers = rows[i];
        assert_null(resolver_new(fixture->world.base, fixture->world.timers, &settings, &message));
        assert_string_equal(message, "not a list of DNS servers like 10.0.0.53,[::1]:5353");
    }
}

static void good_lists_of_servers_are_taken(void **state)
{
    static const char *const rows[] = {
        "127.0.0.1", "::1", "[::1]", "127.0.0.1:5353,[::1]:53", "127.0.0.1,127.0.0.2,::1",
    };
    struct fixture *fixture = *state;

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct resolver_settings settings = world_settings;

        settings.servers = rows[i];
        resolver_free(new_resolver(&fixture->world, settings));
    }
}

/* ---- the cache at work ---- */

static void askers_of_one_name_share_one_query(void **state)
{
    struct fixture *fixture = *state;
    struct asker askers[4] = {0};

    for (size_t i = 0; i < 4; i++)
        assert_int_equal(ask(&fixture->world, &askers[i], i % 2 == 0 ? "many.test" : "MANY.test"),
                         RESOLVER_WAITING);
    run_until(&fixture->world, &askers[3].done, 1);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(askers[i].done, 1);
        assert_int_equal(askers[i].count, 3);
    }
    assert_int_equal(ask(&fixture->world, &askers[0], "many.test"), RESOLVER_READY);
    assert_int_equal(fixture->names[MANY].a.queries, 1);
    assert_int_equal(fixture->names[MANY].aaaa.queries, 1);
}

static void an_answer_is_kept_for_the_smallest_ttl_of_its_records(void **state)
{
    struct fixture *fixture = *state;
    struct asker asker = {0};

    ask_and_wait(&fixture->world, &asker, "both.test");    /* 40 s for IPv6, 100 s for IPv4 */
    ask_and_wait(&fixture->world, &asker, "aliased.test"); /* 20 s for the alias */
    assert_string_equal(asker.ip, "127.0.0.5");
    pass_s(14);
    assert_int_equal(ask(&fixture->world, &asker, "aliased.test"), RESOLVER_READY);
    assert_int_equal(fixture->names[ALIASED].a.queries, 1);
    pass_s(6);
    ask_and_wait(&fixture->world, &asker, "aliased.test");
    assert_int_equal(ask(&fixture->world, &asker, "both.test"), RESOLVER_READY);
    assert_int_equal(fixture->names[BOTH].a.queries, 1);
    pass_s(20);
    ask_and_wait(&fixture->world, &asker, "both.test");
}

static void a_changed_record_moves_the_next_asker_once_the_answer_has_expired(void **state)
{
    struct fixture *fixture = *state;
    struct asker asker = {0};

    ask_and_wait(&fixture->world, &asker, "single.test");
    fixture->names[SINGLE].a.addresses[0] = "127.0.0.2";
    pass_s(29);
    assert_int_equal(ask(&fixture->world, &asker, "single.test"), RESOLVER_READY);
    assert_string_equal(asker.ip, "127.0.0.1");
    pass_s(11);
    ask_and_wait(&fixture->world, &asker, "single.test");
    assert_string_equal(asker.ip, "127.0.0.2");
}

static void an_answer_about_to_expire_is_given_at_once_and_refreshed_in_the_background(void **state)
{
    struct fixture *fixture = *state;
    struct asker asker = {0};

    ask_and_wait(&fixture->world, &asker, "single.test");
    fixture->names[SINGLE].a.addresses[0] = "127.0.0.2";
    pass_s(31);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(ask(&fixture->world, &asker, "single.test"), RESOLVER_READY);
        assert_string_equal(asker.ip, "127.0.0.1");
    }
    run_until_line(&fixture->world, "event=dns_answer name=single.test", 2);
    assert_int_equal(fixture->names[SINGLE].a.queries, 2);
    pass_s(20);
    assert_int_equal(ask(&fixture->world, &asker, "single.test"), RESOLVER_READY);
    assert_string_equal(asker.ip, "127.0.0.2");
    assert_int_equal(asker.done, 0);
}

static void an_answer_without_any_ttl_serves_those_who_waited_for_it(void **state)
{
    struct resolver_settings settings = world_settings;
    struct fixture *fixture = *state;
    struct asker asker = {0};

    settings.min_ttl_us = 0;
    fixture->names[SINGLE].a.ttl = 0;
    use_settings(&fixture->world, &settings);
    ask_and_wait(&fixture->world, &asker, "single.test");
    ask_and_wait(&fixture->world, &asker, "single.test");
    assert_string_equal(asker.ip, "127.0.0.1");
    assert_int_equal(fixture->names[SINGLE].a.queries, 2);
    assert_int_equal(ask(&fixture->world, &asker, "localhost"), RESOLVER_READY);
}

static void names_without_number_may_be_looked_up_one_after_the_other(void **state)
{
    struct fixture *fixture = *state;

    for (unsigned i = 0; i < RESOLVER_MAX_NAMES + 10; i++) {
        struct asker asker = {0};
        char name[32];

        snprintf(name, sizeof name, "n%u.test.", i);
        ask_and_wait(&fixture->world, &asker, name);
        assert_string_equal(asker.message, "no such name");
    }
}

/* ---- askers that come and go ---- */

static void ask_other_again(struct asker *asker)
{
    asker->then = NULL;
    assert_int_equal(ask(asker->world, asker->other, "single.test"), RESOLVER_READY);
    assert_int_equal(ask(asker->world, asker->other, "other.test"), RESOLVER_WAITING);
}

static void a_look_up_may_be_started_while_another_is_told(void **state)
{
    struct fixture *fixture = *state;
    struct asker other = {0};
    struct asker asker = {.then = ask_other_again, .other = &other};

    ask_and_wait(&fixture->world, &asker, "single.test");
    run_until(&fixture->world, &other.done, 1);
    assert_string_equal(other.ip, "127.0.0.9");
}

static void ask_the_same_again(struct asker *asker)
{
    asker->then = NULL;
    assert_int_equal(ask(asker->world, asker, "single.test"), RESOLVER_WAITING);
}

static void a_look_up_started_while_its_own_name_is_told_waits_for_the_next_query(void **state)
{
    struct resolver_settings settings = world_settings;
    struct fixture *fixture = *state;
    struct asker first = {.then = ask_the_same_again};
    struct asker second = {0};

    settings.min_ttl_us = 0;
    fixture->names[SINGLE].a.ttl = 0;
    use_settings(&fixture->world, &settings);
    assert_int_equal(ask(&fixture->world, &first, "single.test"), RESOLVER_WAITING);
    assert_int_equal(ask(&fixture->world, &second, "single.test"), RESOLVER_WAITING);
    run_until(&fixture->world, &second.done, 1);
    assert_int_equal(first.done, 0); /* told once, and asked again since */
    run_until(&fixture->world, &first.done, 1);
    assert_int_equal(second.done, 1);
    assert_int_equal(fixture->names[SINGLE].a.queries, 2);
}

static void cancel_other(struct asker *asker)
{
    resolver_cancel(asker->world->resolver, &asker->other->lookup);
}

static void a_look_up_may_be_cancelled_while_another_is_told(void **state)
{
    struct fixture *fixture = *state;
    struct asker askers[3] = {
        {.then = cancel_other, .other = &askers[1]},
        {.then = NULL},
        {.then = cancel_other, .other = &askers[0]},
    };

    for (size_t i = 0; i < 3; i++)
        assert_int_equal(ask(&fixture->world, &askers[i], "single.test"), RESOLVER_WAITING);
    run_until(&fixture->world, &askers[2].done, 1);
    assert_int_equal(askers[0].done, 1);
    assert_int_equal(askers[1].done, 0);
}

static void a_cancelled_look_up_is_not_told_and_its_query_still_fills_the_cache(void **state)
{
    struct fixture *fixture = *state;
    struct asker first = {0};
    struct asker second = {0};

    ask(&fixture->world, &first, "single.test");
    ask(&fixture->world, &second, "single.test");
    resolver_cancel(fixture->world.resolver, &second.lookup);
    resolver_cancel(fixture->world.resolver, &first.lookup);
    resolver_cancel(fixture->world.resolver, &first.lookup); /* no harm */
    run_until_line(&fixture->world, "event=dns_answer", 1);
    assert_int_equal(first.done + second.done, 0);
    assert_int_equal(ask(&fixture->world, &first, "single.test"), RESOLVER_READY);
}

static void a_resolver_may_be_freed_with_queries_in_flight_and_tells_nobody(void **state)
{
    struct fixture *fixture = *state;
    struct asker cancelled = {0};
    struct asker waiting = {0};

    fixture->names[SINGLE].a.hold = true;
    fixture->names[BOTH].aaaa.hold = true;
    ask(&fixture->world, &cancelled, "single.test");
    ask(&fixture->world, &waiting, "both.test"); /* A is answered, AAAA is not */
    resolver_cancel(fixture->world.resolver, &cancelled.lookup);
    run_until(&fixture->world, &fixture->names[BOTH].aaaa.queries, 1);
    for (unsigned i = 0; i < 10; i++)
        event_base_loop(fixture->world.base, EVLOOP_NONBLOCK);
    resolver_free(fixture->world.resolver);
    fixture->world.resolver = NULL;
    scripted_dns_release(&fixture->world.dns);
    event_base_loop(fixture->world.base, EVLOOP_NONBLOCK);
    assert_int_equal(cancelled.done + waiting.done, 0);
    assert_int_equal(lines_with("event="), 0);
}

/* A name's behaviour, a pass of time, a look-up or a cancel at random: each look-up that waits is
 * told once or, when cancelled, never (and the sanitizers watch). */
static void any_order_of_events_tells_each_asker_exactly_once(void **state)
{
    static const char *const names[] = {"single.test", "many.test", "both.test", "other.test"};
    enum { ASKERS = 16, STEPS = 4000 };
    struct fixture *fixture = *state;
    struct asker askers[ASKERS] = {0};
    unsigned answered = 0;

    srand(7);
    for (unsigned step = 0; step < STEPS; step++) {
        struct dns_records *records = &fixture->names[rand() % ALIASED].a;
        struct asker *asker = &askers[rand() % ASKERS];

        records->code = rand() % 4 == 0 ? (unsigned)rand() % 6 : DNS_OK;
        records->hold = rand() % 3 == 0;
        if (rand() % 8 == 0)
            pass_s(rand() % 30);
        answered += ask_or_cancel(&fixture->world, asker, names, ALIASED);
        if (rand() % 4 == 0)
            scripted_dns_release(&fixture->world.dns);
        event_base_loop(fixture->world.base, EVLOOP_NONBLOCK);
    }
    assert_true(answered > 100);
    assert_each_is_told_once(&fixture->world, askers, ASKERS);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_name_gives_its_ipv4_and_ipv6_addresses_without_a_port),
        TEST(the_family_of_the_first_address_has_priority_over_the_other),
        TEST(a_name_in_the_hosts_file_is_known_at_once_and_not_asked_for),
        TEST(a_hosts_file_name_is_read_again_after_the_shortest_ttl_and_still_known_at_once),
        TEST(case_does_not_count),
        TEST(search_domains_are_tried_but_not_for_a_name_with_a_dot_at_the_end),
        TEST(an_answer_too_large_for_udp_is_fetched_by_tcp),
        TEST(of_too_many_addresses_the_first_are_taken),
        TEST(a_name_that_is_none_fails_at_once),
        TEST(a_bad_list_of_servers_is_refused_with_a_message),
        TEST(good_lists_of_servers_are_taken),
        TEST(askers_of_one_name_share_one_query),
        TEST(an_answer_is_kept_for_the_smallest_ttl_of_its_records),
        TEST(a_changed_record_moves_the_next_asker_once_the_answer_has_expired),
        TEST(an_answer_about_to_expire_is_given_at_once_and_refreshed_in_the_background),
        TEST(an_answer_without_any_ttl_serves_those_who_waited_for_it),
        TEST(names_without_number_may_be_looked_up_one_after_the_other),
        TEST(a_look_up_may_be_started_while_another_is_told),
        TEST(a_look_up_started_while_its_own_name_is_told_waits_for_the_next_query),
        TEST(a_look_up_may_be_cancelled_while_another_is_told),
        TEST(a_cancelled_look_up_is_not_told_and_its_query_still_fills_the_cache),
        TEST(a_resolver_may_be_freed_with_queries_in_flight_and_tells_nobody),
        TEST(any_order_of_events_tells_each_asker_exactly_once),
    };

    return cmocka_run_group_tests_name("resolver", tests, start_library, end_library);
}
