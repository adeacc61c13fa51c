/* The head of a request to an upstream: what stands in it, and who may replace what. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fanout/clock.h"
#include "fanout/http_request.h"
#include "fanout/upstream.h"

#include <string.h>

#define AGENT   "User-Agent: fanoutd/" FANOUTD_VERSION "\r\n"
#define PLAIN   AGENT "Accept: */*\r\nAccept-Encoding: identity\r\n"
#define LEFT_US 250999 /* when the head is ended */

struct world {
    struct upstream_settings settings;
    struct http_request_template template;
    struct header_list own;
};

static int set_up(void **state)
{
    static struct world world;

    world = (struct world){0};
    world.settings.attempt_timeout_us = CLOCK_NEVER;
    world.settings.hedge.delay_us = CLOCK_NEVER;
    assert_null(url_parse("http://users.internal:8081/v1/me?a=b", &world.settings.url));
    *state = &world;
    return 0;
}

static int tear_down(void **state)
{
    struct world *world = *state;

    url_release(&world->settings.url);
    header_list_release(&world->settings.headers);
    header_list_release(&world->own);
    return 0;
}

static void assert_written(struct world *world, const struct http_request *request,
                           const char *expected)
{
    struct http_request late = *request;
    struct buf out;

    late.left_us = LEFT_US;
    http_request_template_init(&world->template, &world->settings);
    buf_init(&out, BUF_UNLIMITED);
    http_request_write(&world->template, &late, &out);
    buf_append(&out, "", 1);
    assert_string_equal(out.data, expected);
    buf_release(&out);
    http_request_template_release(&world->template);
}

static void a_plain_get_asks_for_the_url(void **state)
{
    assert_written(*state, &(struct http_request){.method = METHOD_GET},
                   "GET /v1/me?a=b HTTP/1.1\r\nHost: users.internal:8081\r\n" PLAIN "\r\n");
}

static void a_target_of_its_own_replaces_that_of_the_url(void **state)
{
    assert_written(*state,
                   &(struct http_request){.method = METHOD_DELETE, .target = "/v1/me/42?c=d"},
                   "DELETE /v1/me/42?c=d HTTP/1.1\r\nHost: users.internal:8081\r\n" PLAIN "\r\n");
}

static void a_length_is_told_where_it_is_wanted(void **state)
{
    assert_written(
        *state,
        &(struct http_request){.method = METHOD_POST, .has_length = true, .body_length = 12},
        "POST /v1/me?a=b HTTP/1.1\r\nHost: users.internal:8081\r\n" PLAIN
        "Content-Length: 12\r\n\r\n");
    assert_written(*state, &(struct http_request){.method = METHOD_PUT, .has_length = true},
                   "PUT /v1/me?a=b HTTP/1.1\r\nHost: users.internal:8081\r\n" PLAIN
                   "Content-Length: 0\r\n\r\n");
}

static void fields_of_the_upstream_and_of_the_request_follow(void **state)
{
    struct world *world = *state;

    header_list_add(&world->settings.headers, "X-Key", "k");
    header_list_add(&world->own, "X-Request-Id", "1");
    assert_written(world, &(struct http_request){.method = METHOD_GET, .headers = &world->own},
                   "GET /v1/me?a=b HTTP/1.1\r\nHost: users.internal:8081\r\n" PLAIN
                   "X-Key: k\r\nX-Request-Id: 1\r\n\r\n");
}

static void the_upstream_replaces_what_is_ours(void **state)
{
    struct world *world = *state;

    header_list_add(&world->settings.headers, "accept", "text/plain");
    header_list_add(&world->settings.headers, "User-Agent", "me");
    assert_written(world, &(struct http_request){.method = METHOD_GET},
                   "GET /v1/me?a=b HTTP/1.1\r\nHost: users.internal:8081\r\n"
                   "Accept-Encoding: identity\r\naccept: text/plain\r\nUser-Agent: me\r\n\r\n");
}

static void the_request_replaces_both(void **state)
{
    struct world *world = *state;

    header_list_add(&world->settings.headers, "X-Key", "k");
    header_list_add(&world->own, "X-KEY", "own");
    header_list_add(&world->own, "User-Agent", "");
    assert_written(world, &(struct http_request){.method = METHOD_GET, .headers = &world->own},
                   "GET /v1/me?a=b HTTP/1.1\r\nHost: users.internal:8081\r\n"
                   "Accept: */*\r\nAccept-Encoding: identity\r\nX-KEY: own\r\nUser-Agent: \r\n"
                   "\r\n");
}

static void the_time_left_is_told_last_where_the_upstream_is_to_know_it(void **state)
{
    struct world *world = *state;

    world->settings.deadline_header = (char *)"X-Left";
    header_list_add(&world->own, "User-Agent", "me");
    assert_written(world, &(struct http_request){.method = METHOD_GET},
                   "GET /v1/me?a=b HTTP/1.1\r\nHost: users.internal:8081\r\n" PLAIN
                   "X-Left: 250\r\n\r\n");
    assert_written(
        world,
        &(struct http_request){
            .method = METHOD_POST, .headers = &world->own, .has_length = true, .body_length = 12},
        "POST /v1/me?a=b HTTP/1.1\r\nHost: users.internal:8081\r\n"
        "Accept: */*\r\nAccept-Encoding: identity\r\nUser-Agent: me\r\n"
        "Content-Length: 12\r\nX-Left: 250\r\n\r\n");
}

static void what_is_left_is_told_in_whole_milliseconds_and_never_as_nothing(void **state)
{
    (void)state;
    assert_int_equal(http_request_left_ms(1), 1);
    assert_int_equal(http_request_left_ms(999), 1);
    assert_int_equal(http_request_left_ms(1000), 1);
    assert_int_equal(http_request_left_ms(1999), 1);
    assert_int_equal(http_request_left_ms(2000), 2);
    assert_int_equal(http_request_left_ms(86400000000), 86400000);
}

static void only_methods_with_a_body_tell_the_length_of_none(void **state)
{
    static const enum method with[] = {METHOD_POST, METHOD_PUT, METHOD_PATCH};
    static const enum method without[] = {METHOD_GET, METHOD_HEAD, METHOD_DELETE, METHOD_OPTIONS};

    (void)state;
    for (size_t i = 0; i < sizeof with / sizeof with[0]; i++)
        assert_true(http_request_has_length(with[i], false));
    for (size_t i = 0; i < sizeof without / sizeof without[0]; i++) {
        assert_false(http_request_has_length(without[i], false));
        assert_true(http_request_has_length(without[i], true));
    }
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(a_plain_get_asks_for_the_url),
        CASE(a_target_of_its_own_replaces_that_of_the_url),
        CASE(a_length_is_told_where_it_is_wanted),
        CASE(fields_of_the_upstream_and_of_the_request_follow),
        CASE(the_upstream_replaces_what_is_ours),
        CASE(the_request_replaces_both),
        CASE(the_time_left_is_told_last_where_the_upstream_is_to_know_it),
        CASE(what_is_left_is_told_in_whole_milliseconds_and_never_as_nothing),
        CASE(only_methods_with_a_body_tell_the_length_of_none),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
