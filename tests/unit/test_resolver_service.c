/* The resolver and services: SRV records, the hosts behind them, and the share of each address. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/service_world.h"

/* ---- what there is ---- */

static void a_service_gives_address_port_priority_and_weight_of_each_record(void **state)
{
    struct fixture *fixture = *state;
    struct asker asker = {0};

    offer(fixture, 1, (struct dns_service){5, 0, 8082, "two.test"});
    ask_and_wait(&fixture->world, &asker, "_API._tcp.Users.test");
    assert_int_equal(asker.count, 2);
    assert_target(&asker, 0, "127.0.0.2:8082", 5, 0);
    assert_target(&asker, 1, "127.0.0.1:8081", 10, 3);
    assert_int_equal(ask(&fixture->world, &asker, SERVICE), RESOLVER_READY);
    assert_int_equal(fixture->names[API].srv.queries, 1);
}

static void one_host_may_be_named_twice_with_two_ports(void **state)
{
    struct fixture *fixture = *state;
    struct asker asker = {0};

    offer(fixture, 1, (struct dns_service){10, 1, 8082, "one.test"});
    ask_and_wait(&fixture->world, &asker, SERVICE);
    assert_target(&asker, 0, "127.0.0.1:8081", 10, 3);
    assert_target(&asker, 1, "127.0.0.1:8082", 10, 1);
    assert_int_equal(fixture->names[ONE].a.queries, 1);
}

static void weights_stand_as_they_are_where_all_hosts_have_as_many_addresses(void **state)
{
    struct fixture *fixture = *state;
    struct asker asker = {0};

    fixture->names[ONE].a.addresses[1] = "127.0.0.7";
    fixture->names[TWO].a.addresses[1] = "127.0.0.8";
    offer(fixture, 1, (struct dns_service){10, 1, 8082, "two.test"});
    ask_and_wait(&fixture->world, &asker, SERVICE);
    assert_int_equal(asker.count, 4);
    assert_int_equal(asker.targets[0].weight, 3);
    assert_int_equal(asker.targets[3].weight, 1);
}

static double weights_of_port(const struct asker *asker, unsigned port)
{
    double sum = 0;

    for (size_t i = 0; i < asker->count; i++)
        if (address_port(&asker->targets[i].address) == port)
            sum += asker->targets[i].weight;
    return sum;
}

static void the_addresses_of_a_host_share_the_weight_of_its_record(void **state)
{
    struct fixture *fixture = *state;
    struct asker asker = {0};

    offer(fixture, 1, (struct dns_service){10, 1, 8083, "three.test"});
    offer(fixture, 2, (struct dns_service){20, 7, 8082, "two.test"});
    ask_and_wait(&fixture->world, &asker, SERVICE);
    assert_int_equal(asker.count, 5);
    assert_true(weights_of_port(&asker, 8081) > 2.99 * weights_of_port(&asker, 8083));
    assert_true(weights_of_port(&asker, 8081) < 3.01 * weights_of_port(&asker, 8083));
    assert_int_equal(asker.targets[1].weight, asker.targets[2].weight);
    assert_target(&asker, 4, "127.0.0.2:8082", 20, 7); /* of another priority: not scaled */
}

static void weight_0_stays_the_least_where_weights_are_shared(void **state)
{
    struct fixture *fixture = *state;
    struct asker asker = {0};

    offer(fixture, 0, (struct dns_service){10, 0, 8081, "one.test"});
    offer(fixture, 1, (struct dns_service){10, 9, 8083, "three.test"});
    ask_and_wait(&fixture->world, &asker, SERVICE);
    assert_true(weights_of_port(&asker, 8081) >= 1);
    assert_true(weights_of_port(&asker, 8081) < 0.01 * weights_of_port(&asker, 8083));
    offer(fixture, 1, (struct dns_service){10, 0, 8083, "three.test"});
    pass_s(40);
    ask_and_wait(&fixture->world, &asker, SERVICE);
    assert_int_equal(asker.targets[0].weight / 3, asker.targets[1].weight);
    offer(fixture, 1, (struct dns_service){10, 65535, 8083, "three.test"});
    pass_s(40);
    ask_and_wait(&fixture->world, &asker, SERVICE);
    assert_int_equal(weights_of_port(&asker, 8081), 1);
    assert_int_equal(weights_of_port(&asker, 8083), 3 * 65535);
}

static void only_the_preferred_family_of_a_host_is_used(void **state)
{
    struct fixture *fixture = *state;
    struct asker host = {0}, asker = {0};
    char text[ADDRESS_TEXT_SIZE];

    offer(fixture, 0, (struct dns_service){10, 3, 8081, "both.test"});
    ask_and_wait(&fixture->world, &asker, SERVICE);
    assert_int_equal(ask(&fixture->world, &host, "both.test."), RESOLVER_READY);
    address_set_port(&host.targets[0].address, 8081);
    assert_int_equal(asker.count, 1);
    assert_target(&asker, 0, address_print(&host.targets[0].address, text), 10, 3);
}

static void hosts_without_address_are_left_out(void **state)
{
    struct fixture *fixture = *state;
    struct asker asker = {0};

    offer(fixture, 1, (struct dns_service){10, 9, 8082, "none.test"});
    offer(fixture, 2, (struct dns_service){10, 9, 8082, "a b.test"});
    ask_and_wait(&fixture->world, &asker, SERVICE);
    assert_int_equal(asker.count, 1);
    assert_target(&asker, 0, "127.0.0.1:8081", 10, 3);
}

static void an_alias_of_a_service_is_followed(void **state)
{
    struct fixture *fixture = *state;
    struct asker asker = {0};

    fixture->names[API].alias = "_real._tcp.users.test";
    fixture->names[API].alias_ttl = 20;
    ask_and_wait(&fixture->world, &asker, SERVICE);
    assert_target(&asker, 0, "127.0.0.1:8081", 10, 3);
    pass_s(20);
    ask_and_wait(&fixture->world, &asker, SERVICE);
}

static void search_domains_are_tried_for_the_service_and_not_for_its_hosts(void **state)
{
    struct fixture *fixture = *state;
    struct asker asker = {0};

    use_search_domain(&fixture->world, "search.test");
    ask_and_wait(&fixture->world, &asker, "_api._tcp.short");
    assert_string_equal(asker.ip, "127.0.0.1");
    ask_and_wait(&fixture->world, &asker, "_api._tcp.short.");
    assert_string_equal(asker.message, "no such name");
    fixture->names[IN_SEARCH].srv.services[0].host = "short";
    pass_s(40);
    ask_and_wait(&fixture->world, &asker, "_api._tcp.short");
    assert_string_equal(asker.message, "no target of the service has an address");
}

static void records_too_large_for_udp_are_fetched_by_tcp(void **state)
{
    struct fixture *fixture = *state;
    struct asker asker = {0};

    fixture->names[API].srv.truncate = true;
    ask_and_wait(&fixture->world, &asker, SERVICE);
    assert_target(&asker, 0, "127.0.0.1:8081", 10, 3);
    assert_int_equal(fixture->world.dns.by_tcp, 1);
}

static void of_too_many_targets_those_with_the_lowest_priority_values_are_taken(void **state)
{
    struct fixture *fixture = *state;
    struct asker asker = {0};

    for (unsigned i = 0; i < DNS_MOST; i++)
        offer(fixture, i, (struct dns_service){DNS_MOST - i, 1, 8000 + i, "three.test"});
    fixture->names[API].srv.truncate = true;
    ask_and_wait(&fixture->world, &asker, SERVICE);
    assert_int_equal(asker.count, ENDPOINTS_MOST);
    for (unsigned i = 0; i < ASKER_TARGETS; i++) {
        assert_int_equal(asker.targets[i].priority, 1 + i / 3);
        assert_int_equal(address_port(&asker.targets[i].address), 8000 + DNS_MOST - 1 - i / 3);
    }
}

/* ---- what there is not ---- */

static void a_service_that_does_not_exist_says_so(void **state)
{
    struct fixture *fixture = *state;

    fixture->names[API].srv.code = DNS_NXDOMAIN;
    assert_denied(fixture, "no such name");
}

static void a_name_without_srv_records_says_so(void **state)
{
    struct fixture *fixture = *state;

    fixture->names[API].srv.services[0].host = NULL;
    assert_denied(fixture, "the name has no SRV record");
    fixture->names[API].alias = "_real._tcp.users.test";
    pass_s(20);
    assert_denied(fixture, "the name has no SRV record");
}

static void a_dot_alone_means_that_there_is_no_such_service(void **state)
{
    struct fixture *fixture = *state;

    offer(fixture, 0, (struct dns_service){0, 0, 0, ""});
    assert_denied(fixture, "the service is not offered (its target is \".\")");
}

static void a_dot_beside_a_host_does_not_count(void **state)
{
    struct fixture *fixture = *state;
    struct asker asker = {0};

    offer(fixture, 1, (struct dns_service){0, 0, 0, ""});
    ask_and_wait(&fixture->world, &asker, SERVICE);
    assert_int_equal(asker.count, 1);
    assert_target(&asker, 0, "127.0.0.1:8081", 10, 3);
}

static void a_service_whose_hosts_have_no_address_says_so(void **state)
{
    struct fixture *fixture = *state;

    offer(fixture, 0, (struct dns_service){1, 1, 80, "none.test"});
    assert_denied(fixture, "no target of the service has an address");
}

static void a_host_that_dns_fails_for_is_no_denial(void **state)
{
    struct fixture *fixture = *state;
    struct asker asker = {0};

    offer(fixture, 1, (struct dns_service){1, 1, 80, "none.test"});
    say(&fixture->names[ONE], DNS_SERVFAIL);
    ask_and_wait(&fixture->world, &asker, SERVICE);
    assert_string_equal(asker.ip, "");
    assert_false(asker.lookup.is_denied);
    assert_non_null(strstr(asker.message, "the DNS server failed"));
}

static void a_denial_is_forgotten_when_dns_fails_later(void **state)
{
    struct fixture *fixture = *state;
    struct asker asker = {0};

    fixture->names[API].srv.code = DNS_NXDOMAIN;
    ask_and_wait(&fixture->world, &asker, SERVICE);
    assert_true(asker.lookup.is_denied);
    fixture->names[API].srv.code = DNS_SERVFAIL;
    pass_s(20);
    ask_and_wait(&fixture->world, &asker, SERVICE);
    assert_false(asker.lookup.is_denied);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_service_gives_address_port_priority_and_weight_of_each_record),
        TEST(one_host_may_be_named_twice_with_two_ports),
        TEST(weights_stand_as_they_are_where_all_hosts_have_as_many_addresses),
        TEST(the_addresses_of_a_host_share_the_weight_of_its_record),
        TEST(weight_0_stays_the_least_where_weights_are_shared),
        TEST(only_the_preferred_family_of_a_host_is_used),
        TEST(hosts_without_address_are_left_out),
        TEST(an_alias_of_a_service_is_followed),
        TEST(search_domains_are_tried_for_the_service_and_not_for_its_hosts),
        TEST(records_too_large_for_udp_are_fetched_by_tcp),
        TEST(of_too_many_targets_those_with_the_lowest_priority_values_are_taken),
        TEST(a_service_that_does_not_exist_says_so),
        TEST(a_name_without_srv_records_says_so),
        TEST(a_dot_alone_means_that_there_is_no_such_service),
        TEST(a_dot_beside_a_host_does_not_count),
        TEST(a_service_whose_hosts_have_no_address_says_so),
        TEST(a_host_that_dns_fails_for_is_no_denial),
        TEST(a_denial_is_forgotten_when_dns_fails_later),
    };

    return cmocka_run_group_tests_name("resolver_service", tests, start_library, end_library);
}
