/*
 * What the tests of services share: a scripted DNS server with one service and
 * a few hosts, and what is claimed of targets and of failures.
 */
#ifndef TESTS_SERVICE_WORLD_H
#define TESTS_SERVICE_WORLD_H

#include "tests/unit/resolver_world.h"

#define SERVICE "_api._tcp.users.test"

enum { API, ONE, TWO, THREE, BOTH, IN_SEARCH, NAME_COUNT };

static const struct dns_name table[NAME_COUNT + 1] = {
    [API] = {SERVICE, .srv = {.services = {{10, 3, 8081, "one.test"}}, .ttl = 40}},
    [ONE] = {"one.test", .a = {{"127.0.0.1"}, .ttl = 40}},
    [TWO] = {"two.test", .a = {{"127.0.0.2"}, .ttl = 40}},
    [THREE] = {"three.test", .a = {{"127.0.0.3", "127.0.0.4", "127.0.0.5"}, .ttl = 40}},
    [BOTH] = {"both.test", .a = {{"127.0.0.6"}, .ttl = 40}, .aaaa = {{"::1"}, .ttl = 40}},
    [IN_SEARCH] = {"_api._tcp.short.search.test",
                   .srv = {.services = {{1, 1, 80, "one.test"}}, .ttl = 40}},
};

static inline int setup(void **state)
{
    return set_up_names(state, table, sizeof table);
}

static inline void offer(struct fixture *fixture, size_t place, struct dns_service service)
{
    fixture->names[API].srv.services[place] = service;
}

static inline void learn(struct fixture *fixture)
{
    struct asker asker = {0};

    ask_and_wait(&fixture->world, &asker, SERVICE);
    assert_string_not_equal(asker.ip, "");
}

static inline void assert_target(const struct asker *asker, size_t place, const char *expected,
                                 unsigned priority, unsigned weight)
{
    char text[ADDRESS_TEXT_SIZE];

    assert_true(place < asker->count);
    assert_string_equal(address_print(&asker->targets[place].address, text), expected);
    assert_int_equal(asker->targets[place].priority, priority);
    assert_int_equal(asker->targets[place].weight, weight);
}

static inline void assert_denied(struct fixture *fixture, const char *expected)
{
    struct asker asker = {0};

    ask_and_wait(&fixture->world, &asker, SERVICE);
    assert_string_equal(asker.ip, "");
    assert_string_equal(asker.message, expected);
    assert_true(asker.lookup.is_denied);
    assert_int_equal(ask(&fixture->world, &asker, SERVICE), RESOLVER_FAILED);
    assert_true(asker.lookup.is_denied);
}

#endif
