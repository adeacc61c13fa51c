/* Good configuration files: what is read, what the defaults are, and what -t prints. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/config_file.h"

#include "fanout/clock.h"

#include <ctype.h>
#include <sched.h>

#define SECOND   UINT64_C(1000000)
#define SMALLEST "upstream a { url = http://h/ }\n"

static char *shipped; /* upstreams.conf, read before the tests leave its directory */

static int setup(void **state)
{
    shipped = config_file_read("upstreams.conf");
    return shipped == NULL || config_file_setup(state) != 0;
}

static int teardown(void **state)
{
    free(shipped);
    return config_file_teardown(state);
}

static void assert_address(const struct address *address, const char *expected)
{
    char text[ADDRESS_TEXT_SIZE];

    assert_string_equal(address_print(address, text), expected);
}

static void the_smallest_file_has_all_defaults_at_the_top(void **state)
{
    struct config *config = config_text_good(SMALLEST);
    cpu_set_t cores;

    (void)state;
    assert_string_equal(config->file, CONFIG_FILE);
    assert_int_equal(config->listen_count, 1);
    assert_address(&config->listen[0], "0.0.0.0:8080");
    assert_false(config->has_demo_listen);
    assert_int_equal(sched_getaffinity(0, sizeof cores, &cores), 0);
    assert_int_equal(config->workers, CPU_COUNT(&cores) < 256 ? CPU_COUNT(&cores) : 256);
    assert_int_equal(config->max_in_flight, 256);
    assert_int_equal(config->max_queue, 4096);
    assert_int_equal(config->deadline_us, 2 * SECOND);
    assert_int_equal(config->drain_timeout_us, 8 * SECOND);
    assert_int_equal(config->max_request_bytes, 1024 * 1024);
    assert_int_equal(config->max_requests, 1000);
    assert_int_equal(config->log_level, TRACE_INFO);
    assert_int_equal(config->denied.count, 3);
    assert_null(config->resolver.servers);
    assert_int_equal(config->resolver.timeout_us, SECOND);
    assert_int_equal(config->resolver.tries, 2);
    assert_int_equal(config->resolver.min_ttl_us, SECOND);
    assert_int_equal(config->resolver.max_ttl_us, 300 * SECOND);
    assert_int_equal(config->resolver.stale_us, 3600 * SECOND);
    assert_int_equal(config->resolver.failure_ttl_us, SECOND);
    config_free(config);
}

static void the_smallest_upstream_has_all_defaults(void **state)
{
    struct config *config = config_text_good(SMALLEST);
    const struct upstream_settings *upstream = config_upstream(config, "a");

    (void)state;
    assert_int_equal(config->upstream_count, 1);
    assert_ptr_equal(upstream, &config->upstreams[0]);
    assert_string_equal(upstream->url_text, "http://h/");
    assert_string_equal(upstream->url.host, "h");
    assert_int_equal(upstream->timeout_us, SECOND);
    assert_int_equal(upstream->connect_timeout_us, SECOND / 2);
    assert_true(upstream->queue_timeout_us == CLOCK_NEVER);
    assert_int_equal(upstream->idle_timeout_us, 30 * SECOND);
    assert_int_equal(upstream->max_in_flight, 64);
    assert_int_equal(upstream->max_response_bytes, 8 * 1024 * 1024);
    assert_int_equal(upstream->max_json_depth, 64);
    assert_int_equal(upstream->headers.count, 0);
    assert_int_equal(upstream->success_count, 1);
    assert_true(upstream_settings_is_success(upstream, 200));
    assert_true(upstream_settings_is_success(upstream, 299));
    assert_false(upstream_settings_is_success(upstream, 300));
    assert_false(upstream->allow_path || upstream->allow_query || upstream->allow_body);
    assert_int_equal(upstream->allow_methods, 1u << METHOD_GET);
    assert_int_equal(upstream->forward_headers.count, 0);
    assert_true(upstream->ca == NULL && upstream->cert == NULL && upstream->key == NULL);
    assert_true(upstream->tls_verify);
    assert_ptr_equal(upstream->denied, &config->denied);
    config_free(config);
}

static void without_an_endpoint_fetch_multiple_asks_every_upstream_in_order(void **state)
{
    struct config *config = config_text_good("upstream b { url = http://h/ }\n"
                                             "upstream a { url = http://h/ }\ndeadline = 3s");
    const struct config_endpoint *endpoint = config_endpoint(config, "/fetch-multiple");

    (void)state;
    assert_int_equal(config->endpoint_count, 1);
    assert_ptr_equal(endpoint, &config->endpoints[0]);
    assert_int_equal(endpoint->upstream_count, 2);
    assert_int_equal(endpoint->upstreams[0], 0);
    assert_int_equal(endpoint->upstreams[1], 1);
    assert_string_equal(config->upstreams[0].name, "b");
    assert_int_equal(endpoint->require.kind, REQUIRE_ANY);
    assert_int_equal(endpoint->shape, SHAPE_LIST);
    assert_int_equal(endpoint->deadline_us, 3 * SECOND);
    assert_null(config_endpoint(config, "/other"));
    assert_null(config_upstream(config, "c"));
    config_free(config);
}

static void every_option_at_the_top_is_read(void **state)
{
    struct config *config = config_text_good(
        SMALLEST "listen = { \"127.0.0.1:0\", '[::]:8080' } workers = 7 max_in_flight = 1000000\n"
                 "max_queue = 0 deadline = 250us drain_timeout = 0s max_request_body = 64k\n"
                 "max_requests = 1 log_level = debug demo_listen = \"[::1]:8081\"\n"
                 "resolver { servers = { 127.0.0.53, \"[::1]:5353\", \"::2\" } timeout = 1ms\n"
                 "tries = 10 min_ttl = 0s max_ttl = 168h stale = 0ms failure_ttl = 2m }");

    (void)state;
    assert_int_equal(config->listen_count, 2);
    assert_address(&config->listen[0], "127.0.0.1:0");
    assert_address(&config->listen[1], "[::]:8080");
    assert_int_equal(config->workers, 7);
    assert_int_equal(config->max_in_flight, 1000000);
    assert_int_equal(config->max_queue, 0);
    assert_int_equal(config->deadline_us, 250);
    assert_int_equal(config->drain_timeout_us, 0);
    assert_int_equal(config->max_request_bytes, 65536);
    assert_int_equal(config->max_requests, 1);
    assert_int_equal(config->log_level, TRACE_DEBUG);
    assert_true(config->has_demo_listen);
    assert_address(&config->demo_listen, "[::1]:8081");
    assert_string_equal(config->resolver.servers, "127.0.0.53:53,[::1]:5353,[::2]:53");
    assert_int_equal(config->resolver.timeout_us, 1000);
    assert_int_equal(config->resolver.tries, 10);
    assert_int_equal(config->resolver.min_ttl_us, 0);
    assert_int_equal(config->resolver.max_ttl_us, 168 * 3600 * SECOND);
    assert_int_equal(config->resolver.stale_us, 0);
    assert_int_equal(config->resolver.failure_ttl_us, 120 * SECOND);
    config_free(config);
}

static void every_option_of_an_upstream_is_read(void **state)
{
    struct config *config = config_text_good(
        "upstream users.v1_x-2 { url = \"https://users.internal:8443/v1?key=1\"\n"
        "timeout = 800ms connect_timeout = 1m queue_timeout = 0s idle_timeout = 1us\n"
        "max_in_flight = 1 max_response = 1g max_json_depth = 1024\n"
        "header = { \"X-Api-Key: a: b\", \"Accept:\", \"X-Quote:\t\\\"\\\\ \" }\n"
        "success = { 2xx, 404, 500-501 } allow_path = true allow_query = yes allow_body = on\n"
        "allow_methods = { POST, DELETE } forward_headers = { Accept-Language, X-B } }");
    const struct upstream_settings *upstream = config_upstream(config, "users.v1_x-2");

    (void)state;
    assert_non_null(upstream);
    assert_true(upstream->url.tls);
    assert_string_equal(upstream->url.authority, "users.internal:8443");
    assert_string_equal(upstream->url.query, "key=1");
    assert_int_equal(upstream->timeout_us, 800000);
    assert_int_equal(upstream->connect_timeout_us, 60 * SECOND);
    assert_int_equal(upstream->queue_timeout_us, 0);
    assert_int_equal(upstream->idle_timeout_us, 1);
    assert_int_equal(upstream->max_in_flight, 1);
    assert_int_equal(upstream->max_response_bytes, 1024 * 1024 * 1024);
    assert_int_equal(upstream->max_json_depth, 1024);
    assert_int_equal(upstream->headers.count, 3);
    assert_string_equal(header_list_find(&upstream->headers, "x-api-key")->value, "a: b");
    assert_string_equal(header_list_find(&upstream->headers, "accept")->value, "");
    assert_string_equal(header_list_find(&upstream->headers, "x-quote")->value, "\"\\");
    assert_true(upstream_settings_is_success(upstream, 404));
    assert_true(upstream_settings_is_success(upstream, 501));
    assert_false(upstream_settings_is_success(upstream, 502));
    assert_true(upstream->allow_path && upstream->allow_query && upstream->allow_body);
    assert_int_equal(upstream->allow_methods, 1u << METHOD_POST | 1u << METHOD_DELETE);
    assert_true(upstream_settings_forward_header(upstream, "accept-language"));
    assert_true(upstream_settings_forward_header(upstream, "x-b"));
    config_free(config);
}

static void endpoints_name_upstreams_that_stand_anywhere_in_the_file(void **state)
{
    struct config *config = config_text_good(
        "endpoint \"/home\" { upstreams = { c, a } require = all deadline = 500ms }\n"
        "endpoint /map { require = 2 shape = map }\n"
        "endpoint /any { upstreams = {} require = none }\n"
        "upstream a { url = http://h/ }\nupstream b { url = http://h/ }\n"
        "upstream c { url = http://h/ }\n");
    const struct config_endpoint *home = config_endpoint(config, "/home");
    const struct config_endpoint *map = config_endpoint(config, "/map");

    (void)state;
    assert_int_equal(config->endpoint_count, 3);
    assert_null(config_endpoint(config, "/fetch-multiple"));
    assert_int_equal(home->upstream_count, 2);
    assert_int_equal(home->upstreams[0], 2);
    assert_int_equal(home->upstreams[1], 0);
    assert_int_equal(home->require.kind, REQUIRE_ALL);
    assert_int_equal(home->deadline_us, SECOND / 2);
    assert_int_equal(map->upstream_count, 3);
    assert_int_equal(map->require.kind, REQUIRE_COUNT);
    assert_int_equal(map->require.count, 2);
    assert_int_equal(map->shape, SHAPE_MAP);
    assert_int_equal(map->deadline_us, 2 * SECOND);
    assert_int_equal(config_endpoint(config, "/any")->upstream_count, 3);
    assert_int_equal(config_endpoint(config, "/any")->require.kind, REQUIRE_NONE);
    config_free(config);
}

static void comments_lines_and_line_ends_may_be_as_one_likes(void **state)
{
    struct config *config = config_text_good(
        "\xef\xbb\xbf# first\r\nupstream /* here */ a # and here\r\n{\r\n url\r\n=\r\n"
        "http://h//x // there\r\n header = { # one\r\n 'A: #1', /* two */ \"B: //2 /* 3\" }\r\n"
        "header += \"C: 4\"}listen={0.0.0.0:1,// x\n0.0.0.0:2}workers=1#end");
    const struct upstream_settings *upstream = &config->upstreams[0];

    (void)state;
    assert_string_equal(upstream->url.path, "//x");
    assert_string_equal(header_list_find(&upstream->headers, "A")->value, "#1");
    assert_string_equal(header_list_find(&upstream->headers, "B")->value, "//2 /* 3");
    assert_string_equal(header_list_find(&upstream->headers, "C")->value, "4");
    assert_int_equal(config->listen_count, 2);
    assert_int_equal(config->workers, 1);
    config_free(config);
}

static void variables_are_replaced_in_double_quotes_only(void **state)
{
    struct config *config;
    const struct header_list *headers;

    (void)state;
    setenv("TEST_KEY", "s3cret\"}", 1);
    setenv("TEST_EMPTY", "", 1);
    unsetenv("TEST_UNSET");
    config = config_text_good(
        "upstream a { url = \"http://${TEST_UNSET:-h:81}/x\" header = { \"A: ${TEST_KEY}\",\n"
        "\"B: ${TEST_KEY}${TEST_EMPTY}-${TEST_EMPTY:-d}\", 'C: ${TEST_KEY}',\n"
        "\"D: \\${TEST_KEY}\", \"E: $TEST_KEY ${TEST_UNSET:-}.\" } }");
    headers = &config->upstreams[0].headers;
    assert_int_equal(config->upstreams[0].url.port, 81);
    assert_string_equal(header_list_find(headers, "A")->value, "s3cret\"}");
    assert_string_equal(header_list_find(headers, "B")->value, "s3cret\"}-d");
    assert_string_equal(header_list_find(headers, "C")->value, "${TEST_KEY}");
    assert_string_equal(header_list_find(headers, "D")->value, "${TEST_KEY}");
    assert_string_equal(header_list_find(headers, "E")->value, "$TEST_KEY .");
    config_free(config);
}

static void what_is_printed_loads_to_the_same_settings(void **state)
{
    static const char *const texts[] = {
        SMALLEST,
        "listen = { 127.0.0.1:0, 127.0.0.1:0, \"[::1]:0\" } demo_listen = 127.0.0.1:81 log_level = "
        "error\n"
        "deadline = 90s drain_timeout = 0s max_request_body = 1000 max_requests = 5 workers = 2\n"
        "resolver { servers = { 1.2.3.4, \"[::1]:54\" } stale = 1500us max_ttl = 2h }\n" SMALLEST
        "upstream b { url = \"https://h/?a=%20b\" header = { 'A: \"{', \"C: \\\\x\", \"B: "
        "a\tb\\t\\${x} $y\" }\n"
        "success = { 100-199, 2xx, 150-249, 404, 500-502 } allow_methods = { OPTIONS, HEAD }\n"
        "forward_headers = { \"X-'*\", Y } queue_timeout = 5ms max_response = 3k allow_body = on "
        "}\n"
        "endpoint \"/a(%7B\" { }",
    };

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        free(config_round_trip(texts[i]));
}

static void every_option_is_printed_on_a_line_of_its_own(void **state)
{
    static const char expected[] =
        "upstream b {\n"
        "  url                  = \"http://h/b\"\n"
        "  timeout              = 1s\n"
        "  connect_timeout      = 500ms\n"
        "  queue_timeout        = none\n"
        "  attempt_timeout      = none\n"
        "  deadline_header      = \"X-Request-Deadline-Ms\"\n"
        "  idle_timeout         = 30s\n"
        "  max_in_flight        = 64\n"
        "  min_in_flight        = none\n"
        "  transport            = auto\n"
        "  http2                = false\n"
        "  max_response         = 8m\n"
        "  max_json_depth       = 64\n"
        "  header               = { \"A: 1\", \"B: \\\"2\\\"\" }\n"
        "  success              = { 2xx, 404, 150-249 }\n"
        "  allow_path           = true\n"
        "  allow_query          = false\n"
        "  allow_methods        = { GET, PUT }\n"
        "  allow_body           = false\n"
        "  forward_headers      = { \"X-C\" }\n"
        "  coalesce             = false\n"
        "  required             = false\n"
        "  fallback             = none\n"
        "  retries              = 0\n"
        "  retry_on             = { connect_refused, connect_timeout, connect_failed, timeout, "
        "reset, 429, 502, 503, 504 }\n"
        "  retry_unsafe         = false\n"
        "  retry_backoff        = 25ms\n"
        "  retry_max_backoff    = 1s\n"
        "  retry_budget         = 20\n"
        "  retry_budget_floor   = 3\n"
        "  hedge                = none\n"
        "  breaker              = false\n"
        "  breaker_failure_rate = 50\n"
        "  breaker_min_calls    = 20\n"
        "  breaker_window       = 10s\n"
        "  breaker_consecutive  = 0\n"
        "  breaker_open         = 1s\n"
        "  breaker_max_open     = 30s\n"
        "  breaker_probes       = 1\n"
        "  breaker_successes    = 2\n"
        "  eject_failures       = 5\n"
        "  eject_time           = 5s\n"
        "  eject_max_time       = 1m\n"
        "  ca                   = system\n"
        "  cert                 = none\n"
        "  key                  = none\n"
        "  tls_verify           = true\n"
        "}\n";
    char *text = config_round_trip(
        SMALLEST "upstream b { url = http://h/b allow_methods = { PUT, GET }\n"
                 "header = { 'A: 1', 'B: \"2\"' } success = { 2xx, 404, 150-249 }\n"
                 "forward_headers = X-C allow_path = true }");

    (void)state;
    if (strstr(text, expected) == NULL)
        fail_msg("%s--- does not have\n%s", text, expected);
    free(text);
}

static void what_came_by_a_variable_is_printed_as_it_was_written(void **state)
{
    char *text;

    (void)state;
    setenv("TEST_KEY", "s3cret", 1);
    setenv("TEST_METHOD", "PUT", 1);
    text = config_round_trip(
        "upstream a { url = \"http://h/${TEST_KEY}\"\n"
        "header = { \"A: ${TEST_KEY}\", \"B: ${TEST_NONE:-s3cret}\", 'C: ${' }\n"
        "timeout = \"${TEST_NONE:-5}s\" allow_methods = { \"${TEST_METHOD}\", GET } }\n"
        "upstream b { url = http://h/ header = { X: } }");
    assert_non_null(strstr(text, "= \"http://h/${TEST_KEY}\""));
    assert_non_null(strstr(text, "= { \"A: ${TEST_KEY}\", \"B: ${TEST_NONE:-s3cret}\""));
    assert_non_null(strstr(text, "= \"${TEST_NONE:-5}s\""));
    assert_non_null(strstr(text, "= { \"${TEST_METHOD}\", \"GET\" }"));
    assert_non_null(strstr(text, "= { \"X: \" }"));
    assert_null(strstr(text, "A: s3cret"));
    assert_null(strstr(text, "/s3cret"));
    free(text);
}

/* Whether a line of the shipped file is an option or section that is commented out, or the rest
 * of a list. */
static bool is_commented_setting(const char *line)
{
    const char *at = line + 2;
    size_t length = strcspn(at, "#\n");

    if (strncmp(line, "# ", 2) != 0)
        return false;
    if (*at == '}' || strncmp(at, "resolver {", 10) == 0 || strncmp(at, "defaults {", 10) == 0 ||
        (strspn(at, " ") > 20 && memchr(at, '}', length) != NULL) ||
        strncmp(at, "upstream NAME {", 15) == 0 || strncmp(at, "endpoint \"/", 11) == 0)
        return true;
    while (*at == ' ')
        at++;
    while (islower((unsigned char)*at) || isdigit((unsigned char)*at) || *at == '_')
        at++;
    return strspn(at, " ") > 0 && at[strspn(at, " ")] == '=';
}

/* The text with all that is commented out put into force. */
static char *uncommented(const char *text)
{
    char *copy = strdup(text);

    for (char *line = copy; line != NULL && *line != '\0';) {
        char *next = strchr(line, '\n');

        if (is_commented_setting(line))
            line[0] = ' ';
        line = next != NULL ? next + 1 : NULL;
    }
    return copy;
}

/* Compares the options of two printed sections, from their '{' on, but for the first one. */
static void assert_same_options(const char *printed, const char *left, const char *right)
{
    const char *one = strstr(printed, left);
    const char *other = strstr(printed, right);

    assert_true(one != NULL && other != NULL);
    one = strchr(strchr(one, '\n') + 1, '\n');
    other = strchr(strchr(other, '\n') + 1, '\n');
    for (; *one != '}'; one++, other++)
        assert_int_equal(*one, *other);
    assert_int_equal(*other, '}');
}

static void the_shipped_file_shows_every_option_with_its_true_default(void **state)
{
    struct config *config = config_text_good(shipped);
    char *printed = config_printed(config);
    char *text = uncommented(shipped);
    struct config *all = config_text_good(text);
    char *all_printed = config_printed(all);
    size_t common = (size_t)(strstr(printed, "\nupstream") - printed);

    (void)state;
    assert_memory_equal(printed, all_printed, common);
    assert_int_equal(all->upstream_count, config->upstream_count + 1);
    assert_same_options(all_printed, "upstream weather", "upstream NAME");
    assert_string_equal(all->endpoints[0].path, "/home");
    assert_int_equal(all->endpoints[0].deadline_us, all->deadline_us);
    assert_int_equal(all->endpoints[0].require.kind, REQUIRE_ANY);
    /* And each that is printed stands in the file. */
    for (const char *line = printed; *line != '\0'; line = strchr(line, '\n') + 1) {
        char name[64];

        if (sscanf(line, " %63[a-z0-9_] =", name) == 1 && strchr(line, '=') < strchr(line, '\n')) {
            strcat(name, " ");
            assert_non_null(strstr(text, name));
        }
    }
    free(all_printed);
    config_free(all);
    free(text);
    free(printed);
    config_free(config);
}

static void the_shipped_file_asks_the_demo_upstreams(void **state)
{
    struct config *config = config_text_good(shipped);

    (void)state;
    assert_address(&config->listen[0], "0.0.0.0:8080");
    assert_address(&config->demo_listen, "127.0.0.1:8081");
    assert_int_equal(config->upstream_count, 5);
    assert_string_equal(config_upstream(config, "users")->url_text, "http://127.0.0.1:8081/users");
    assert_string_equal(config_upstream(config, "recommendations")->url.path, "/slow");
    assert_int_equal(config_upstream(config, "recommendations")->timeout_us, 300000);
    assert_string_equal(config_upstream(config, "ads")->url.path, "/failing");
    assert_int_equal(config_endpoint(config, "/fetch-multiple")->upstream_count, 5);
    config_free(config);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_smallest_file_has_all_defaults_at_the_top),
        cmocka_unit_test(the_smallest_upstream_has_all_defaults),
        cmocka_unit_test(without_an_endpoint_fetch_multiple_asks_every_upstream_in_order),
        cmocka_unit_test(every_option_at_the_top_is_read),
        cmocka_unit_test(every_option_of_an_upstream_is_read),
        cmocka_unit_test(endpoints_name_upstreams_that_stand_anywhere_in_the_file),
        cmocka_unit_test(comments_lines_and_line_ends_may_be_as_one_likes),
        cmocka_unit_test(variables_are_replaced_in_double_quotes_only),
        cmocka_unit_test(what_is_printed_loads_to_the_same_settings),
        cmocka_unit_test(every_option_is_printed_on_a_line_of_its_own),
        cmocka_unit_test(what_came_by_a_variable_is_printed_as_it_was_written),
        cmocka_unit_test(the_shipped_file_shows_every_option_with_its_true_default),
        cmocka_unit_test(the_shipped_file_asks_the_demo_upstreams),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
