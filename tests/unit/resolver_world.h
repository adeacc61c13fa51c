/*
 * What the resolver's tests share: a loop with a scripted DNS server and a
 * resolver that asks it, askers that note what they are told, the engine's
 * trace lines, and a clock that can be moved on.
 */
#ifndef TESTS_RESOLVER_WORLD_H
#define TESTS_RESOLVER_WORLD_H

#include "fanout/clock.h"
#include "fanout/resolver.h"
#include "fanout/timer.h"
#include "fanout/trace.h"
#include "tests/unit/scripted_dns.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define SECOND        ((uint64_t)1000000)
#define HANG_GUARD_S  60
#define ASKER_TARGETS 8

static uint64_t moved_us;

/* Stands in for the one in clock.c, which the linker then leaves out: real time, moved on. */
uint64_t clock_now_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u + moved_us;
}

static void pass_s(double seconds)
{
    moved_us += (uint64_t)(seconds * 1e6);
}

/* ---- trace lines ---- */

static char lines[64 * 1024];

static void on_line(enum trace_level level, const char *line)
{
    size_t used = strlen(lines);

    snprintf(lines + used, sizeof lines - used, "%d %s\n", (int)level, line);
}

static unsigned lines_with(const char *part)
{
    unsigned count = 0;

    for (const char *at = lines; (at = strstr(at, part)) != NULL; at++)
        count++;
    return count;
}

/* ---- the world ---- */

struct world {
    struct event_base *base;
    struct timers *timers;
    struct scripted_dns dns;
    struct resolver *resolver;
    struct event *hang_guard;
    bool in_lookup;
    bool hung;
};

static const struct resolver_settings world_settings = {
    .timeout_us = 60 * SECOND,
    .tries = 2,
    .min_ttl_us = SECOND,
    .max_ttl_us = 300 * SECOND,
    .stale_us = 3600 * SECOND,
    .failure_ttl_us = 20 * SECOND,
};

static struct resolver *new_resolver(struct world *world, struct resolver_settings settings)
{
    const char *message = NULL;
    struct resolver *resolver;
    char servers[32];

    if (settings.servers == NULL) {
        snprintf(servers, sizeof servers, "127.0.0.1:%u", (unsigned)world->dns.port);
        settings.servers = servers;
    }
    resolver = resolver_new(world->base, world->timers, &settings, &message);
    if (resolver == NULL)
        fail_msg("no resolver: %s", message);
    return resolver;
}

/* Before the first look-up. */
static void use_settings(struct world *world, const struct resolver_settings *settings)
{
    resolver_free(world->resolver);
    world->resolver = new_resolver(world, *settings);
}

static inline void use_search_domain(struct world *world, const char *domain)
{
    setenv("LOCALDOMAIN", domain, 1);
    use_settings(world, &world_settings);
    unsetenv("LOCALDOMAIN");
}

static void on_hang(evutil_socket_t fd, short what, void *arg)
{
    struct world *world = arg;

    (void)fd;
    (void)what;
    world->hung = true;
}

static void world_init(struct world *world, struct dns_name *names)
{
    struct timeval hang_limit = {.tv_sec = HANG_GUARD_S};

    memset(world, 0, sizeof *world);
    moved_us = 0;
    lines[0] = '\0';
    trace_set(on_line, TRACE_DEBUG);
    world->base = event_base_new();
    world->hang_guard = evtimer_new(world->base, on_hang, world);
    event_add(world->hang_guard, &hang_limit);
    world->timers = timers_new(world->base);
    scripted_dns_start(&world->dns, world->base, names);
    world->resolver = new_resolver(world, world_settings);
}

static void world_release(struct world *world)
{
    if (world->resolver != NULL)
        resolver_free(world->resolver);
    scripted_dns_stop(&world->dns);
    timers_free(world->timers);
    event_free(world->hang_guard);
    event_base_free(world->base);
    trace_set(NULL, TRACE_INFO);
}

/* Runs the loop until *counter has come to `count`. */
static void run_until(struct world *world, const unsigned *counter, unsigned count)
{
    while (*counter < count && !world->hung)
        event_base_loop(world->base, EVLOOP_ONCE);
    assert_false(world->hung);
    assert_int_equal(*counter, count);
}

static inline void run_until_line(struct world *world, const char *part, unsigned count)
{
    while (lines_with(part) < count && !world->hung)
        event_base_loop(world->base, EVLOOP_ONCE);
    assert_false(world->hung);
    assert_int_equal(lines_with(part), count);
}

/* ---- a test's own world ---- */

struct fixture {
    struct world world;
    struct dns_name names[]; /* as in the test's table, to be changed by the test */
};

/* The size is that of the table, with the row of zeros at its end. */
static inline int set_up_names(void **state, const struct dns_name *table, size_t size)
{
    struct fixture *fixture = malloc(sizeof *fixture + size);

    memcpy(fixture->names, table, size);
    world_init(&fixture->world, fixture->names);
    *state = fixture;
    return 0;
}

static inline int teardown(void **state)
{
    struct fixture *fixture = *state;

    world_release(&fixture->world);
    free(fixture);
    return 0;
}

/* For a whole group of tests. */
static inline int start_library(void **state)
{
    (void)state;
    return resolver_global_init() ? 0 : -1;
}

static inline int end_library(void **state)
{
    (void)state;
    resolver_global_release();
    return 0;
}

/* The code of every answer for the name from now on. */
static inline void say(struct dns_name *name, unsigned code)
{
    name->a.code = name->aaaa.code = name->srv.code = code;
}

/* Whether queries for the name are kept until scripted_dns_release. */
static inline void hold(struct dns_name *name, bool hold)
{
    name->a.hold = name->aaaa.hold = name->srv.hold = hold;
}

/* ---- askers ---- */

struct asker {
    struct resolver_lookup lookup;
    struct world *world;
    unsigned done;
    char ip[ADDRESS_TEXT_SIZE];      /* the first; empty: failed */
    char last_ip[ADDRESS_TEXT_SIZE]; /* the last */
    struct endpoint_target targets[ASKER_TARGETS];
    size_t count;
    const char *message;
    void (*then)(struct asker *asker);
    struct asker *other;
    unsigned expected; /* of done, after ask_or_cancel */
};

static void note(struct asker *asker, struct resolver_answer *answer, const char *message)
{
    asker->ip[0] = '\0';
    asker->message = message;
    if (answer == NULL)
        return;
    asker->count = answer->count;
    for (size_t i = 0; i < answer->count && i < ASKER_TARGETS; i++)
        asker->targets[i] = answer->targets[i];
    address_print_ip(&answer->targets[0].address, asker->ip);
    address_print_ip(&answer->targets[answer->count - 1].address, asker->last_ip);
    resolver_answer_release(answer);
}

static void on_told(void *arg, struct resolver_answer *answer, const char *message)
{
    struct asker *asker = arg;

    assert_false(asker->world->in_lookup);
    assert_null(asker->lookup.entry);
    asker->done++;
    note(asker, answer, message);
    if (asker->then != NULL)
        asker->then(asker);
}

/* What begins with '_' is a service. */
static enum resolver_status ask(struct world *world, struct asker *asker, const char *name)
{
    enum resolver_kind kind = name[0] == '_' ? RESOLVER_SERVICE : RESOLVER_HOST;
    struct resolver_answer *answer = NULL;
    const char *message = NULL;
    enum resolver_status status;

    asker->world = world;
    asker->done = 0;
    asker->lookup.on_done = on_told;
    asker->lookup.arg = asker;
    world->in_lookup = true;
    status = resolver_lookup(world->resolver, name, kind, &asker->lookup, &answer, &message);
    world->in_lookup = false;
    if (status != RESOLVER_WAITING)
        note(asker, answer, message);
    return status;
}

static void ask_and_wait(struct world *world, struct asker *asker, const char *name)
{
    assert_int_equal(ask(world, asker, name), RESOLVER_WAITING);
    run_until(world, &asker->done, 1);
}

/* Who waits for nothing asks for any of the names; who waits may leave. True: it waits since now.
 */
static inline bool ask_or_cancel(struct world *world, struct asker *asker, const char *const *names,
                                 size_t count)
{
    if (asker->lookup.entry == NULL) {
        assert_int_equal(asker->done, asker->expected);
        asker->expected = ask(world, asker, names[(size_t)rand() % count]) == RESOLVER_WAITING;
        return asker->expected > 0;
    }
    if (rand() % 4 == 0) {
        resolver_cancel(world->resolver, &asker->lookup);
        asker->expected = 0;
    }
    return false;
}

/* Once nothing is held any more: each that waits is told, and once. */
static inline void assert_each_is_told_once(struct world *world, struct asker *askers, size_t count)
{
    for (struct dns_name *name = world->dns.names; name->name != NULL; name++)
        hold(name, false);
    scripted_dns_release(&world->dns);
    for (size_t i = 0; i < count; i++)
        run_until(world, &askers[i].done, askers[i].expected);
}

#endif
