/* The last check before a connection: where libcurl really goes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fanout/clock.h"
#include "fanout/deny.h"
#include "fanout/timer.h"
#include "fanout/transport.h"
#include "fanout/upstream.h"

#include <event2/event.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#define LONGEST_S 10 /* only a wait that has gone wrong takes so long */

struct world {
    struct event_base *base;
    struct timers *timers;
    struct transport *transport;
    int listener;
    struct address address; /* of the listener */
    struct deny_list denied;
    enum outcome outcome;
};

static int set_up(void **state)
{
    static struct world world;
    socklen_t length = sizeof world.address;

    memset(&world, 0, sizeof world);
    world.base = event_base_new();
    world.timers = timers_new(world.base);
    world.transport = transport_new(world.base, world.timers, NULL);
    world.listener = socket(AF_INET, SOCK_STREAM, 0);
    address_parse_ip("127.0.0.1", 0, &world.address);
    *state = &world;
    return bind(world.listener, &world.address.any, address_length(&world.address)) != 0 ||
           listen(world.listener, 1) != 0 ||
           getsockname(world.listener, &world.address.any, &length) != 0;
}

static int tear_down(void **state)
{
    struct world *world = *state;

    transport_free(world->transport);
    timers_free(world->timers);
    event_base_free(world->base);
    close(world->listener);
    deny_list_release(&world->denied);
    return 0;
}

static void on_done(void *arg, struct exchange_response *response)
{
    struct world *world = arg;

    world->outcome = response->outcome;
    event_base_loopbreak(world->base);
}

/* The outcome for a URL when the exchange is told to go to the address. */
static enum outcome send_to(struct world *world, char *url_text, const char *ip)
{
    struct upstream_settings settings = {
        .url_text = url_text,
        .connect_timeout_us = 500000,
        .idle_timeout_us = 1000000,
        .max_in_flight = 1,
        .max_response_bytes = 100,
        .denied = &world->denied,
        .attempt_timeout_us = CLOCK_NEVER,
        .hedge.delay_us = CLOCK_NEVER,
    };
    struct address address;
    const struct exchange_request request = {
        .address = &address, .method = METHOD_GET, .deadline_us = CLOCK_NEVER};
    struct transport_peer *peer;

    assert_true(address_parse_ip(ip, address_port(&world->address), &address));
    assert_null(url_parse(url_text, &settings.url));
    peer = transport_peer_new(world->transport, &settings);
    assert_non_null(peer);
    world->outcome = OUTCOME_COUNT;
    assert_non_null(transport_send(peer, &request, on_done, world));
    event_base_loopexit(world->base, &(struct timeval){.tv_sec = LONGEST_S});
    event_base_dispatch(world->base);
    assert_int_not_equal(world->outcome, OUTCOME_COUNT);
    transport_peer_free(peer);
    url_release(&settings.url);
    return world->outcome;
}

static bool was_connected(const struct world *world)
{
    struct pollfd fd = {.fd = world->listener, .events = POLLIN};

    return poll(&fd, 1, 0) == 1;
}

static void deny(struct world *world, const char *text)
{
    struct address_range range;

    assert_null(deny_parse(text, &range));
    deny_list_add(&world->denied, &range);
}

static void a_denied_address_is_never_connected_to(void **state)
{
    struct world *world = *state;

    deny(world, "127.0.0.1");
    assert_int_equal(send_to(world, (char[]){"http://users.test/"}, "127.0.0.1"),
                     OUTCOME_ADDRESS_DENIED);
    assert_int_equal(send_to(world, (char[]){"http://users.test/"}, "::ffff:127.0.0.1"),
                     OUTCOME_ADDRESS_DENIED);
    assert_false(was_connected(world));
}

static void any_other_address_is(void **state)
{
    struct world *world = *state;

    deny(world, "127.0.0.2");
    assert_int_equal(send_to(world, (char[]){"http://users.test/"}, "127.0.0.3"),
                     OUTCOME_CONNECT_REFUSED);
}

static void an_address_in_the_url_may_be_denied_for_names(void **state)
{
    struct world *world = *state;

    deny(world, "127.0.0.0/8");
    assert_int_equal(send_to(world, (char[]){"http://127.0.0.3/"}, "127.0.0.3"),
                     OUTCOME_CONNECT_REFUSED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_denied_address_is_never_connected_to, set_up, tear_down),
        cmocka_unit_test_setup_teardown(any_other_address_is, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_address_in_the_url_may_be_denied_for_names, set_up,
                                        tear_down),
    };
    int failed;

    if (!transport_global_init())
        return 1;
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    transport_global_release();
    return failed;
}
