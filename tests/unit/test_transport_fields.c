/* The lines that libcurl is given for a request: which, in what order, and whose they are. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fanout/transport_fields.h"
#include "fanout/upstream.h"

#include <stdlib.h>
#include <string.h>

#define AGENT    "User-Agent: fanoutd/" FANOUTD_VERSION "\n"
#define PLAIN    AGENT "Accept-Encoding: identity\n"
#define REFUSALS "Expect:\nContent-Type:\n"

struct world {
    struct upstream_settings settings;
    struct fields fields;
    struct header_list own;
};

static int set_up(void **state)
{
    static struct world world;

    world = (struct world){0};
    *state = &world;
    return 0;
}

static int tear_down(void **state)
{
    struct world *world = *state;

    fields_release(&world->fields);
    header_list_release(&world->settings.headers);
    header_list_release(&world->own);
    return 0;
}

static void assert_lines(const struct curl_slist *list, const char *expected)
{
    char lines[1000] = "";

    for (; list != NULL; list = list->next) {
        strcat(lines, list->data);
        strcat(lines, "\n");
    }
    assert_string_equal(lines, expected);
}

static void assert_taken(struct world *world, bool has_body, const char *expected)
{
    struct curl_slist *list;

    if (world->fields.common == NULL)
        fields_init(&world->fields, &world->settings);
    list = fields_take(&world->fields, &world->own, has_body);
    assert_lines(list, expected);
    fields_give_back(&world->fields, list);
}

static void a_request_without_a_body_refuses_nothing(void **state)
{
    assert_taken(*state, false, PLAIN);
}

static void with_a_body_libcurl_neither_waits_nor_names_a_type(void **state)
{
    assert_taken(*state, true, REFUSALS PLAIN);
}

static void own_fields_stand_before_those_that_all_requests_have(void **state)
{
    struct world *world = *state;

    header_list_add(&world->settings.headers, "X-Key", "k");
    header_list_add(&world->own, "X-One", "1");
    header_list_add(&world->own, "X-Two", "2");
    assert_taken(world, false, "X-One: 1\nX-Two: 2\n" PLAIN "X-Key: k\n");
    assert_taken(world, true, "X-One: 1\nX-Two: 2\n" REFUSALS PLAIN "X-Key: k\n");
}

static void an_own_field_takes_the_place_of_one_of_that_name(void **state)
{
    struct world *world = *state;

    header_list_add(&world->settings.headers, "X-Key", "k");
    header_list_add(&world->own, "x-key", "own");
    header_list_add(&world->own, "accept", "text/plain");
    assert_taken(world, false, AGENT "Accept-Encoding: identity\nx-key: own\naccept: text/plain\n");
}

static void what_libcurl_accepts_by_itself_is_left_to_it(void **state)
{
    struct world *world = *state;

    header_list_add(&world->settings.headers, "Accept", "text/plain");
    assert_taken(world, false, AGENT "Accept-Encoding: identity\nAccept: text/plain\n");
    header_list_add(&world->own, "accept", "*/*");
    assert_taken(world, false, PLAIN);
}

static void a_type_that_is_named_is_not_refused(void **state)
{
    struct world *world = *state;

    header_list_add(&world->own, "Content-Type", "text/plain");
    assert_taken(world, true, "Expect:\n" PLAIN "Content-Type: text/plain\n");
    assert_taken(world, false, "Content-Type: text/plain\n" PLAIN);
}

static void a_type_that_the_upstream_is_always_told_is_not_refused(void **state)
{
    struct world *world = *state;

    header_list_add(&world->settings.headers, "Content-Type", "text/plain");
    assert_taken(world, true, "Expect:\n" PLAIN "Content-Type: text/plain\n");
}

static void a_field_without_a_value_is_written_as_libcurl_wants_it(void **state)
{
    struct world *world = *state;

    header_list_add(&world->own, "X-Empty", "");
    assert_taken(world, false, "X-Empty;\n" PLAIN);
}

static void what_is_shared_outlives_each_list(void **state)
{
    struct world *world = *state;

    header_list_add(&world->own, "X-One", "1");
    assert_taken(world, false, "X-One: 1\n" PLAIN);
    assert_taken(world, true, "X-One: 1\n" REFUSALS PLAIN);
    assert_lines(world->fields.common, PLAIN);
    assert_lines(world->fields.with_body, REFUSALS PLAIN);
}

static void the_time_left_is_told_anew_each_time(void **state)
{
    struct world *world = *state;
    char name[] = "X-Left";
    struct curl_slist *line;

    world->settings.deadline_header = name;
    fields_init(&world->fields, &world->settings);
    line = fields_new_time_left(&world->fields);
    fields_tell_time_left(&world->fields, line, UINT64_MAX);
    assert_lines(line, "X-Left: 18446744073709551\n");
    fields_tell_time_left(&world->fields, line, 250999);
    assert_lines(line, "X-Left: 250\n");
    free(line);
}

static void the_time_left_may_be_kept_back(void **state)
{
    struct world *world = *state;

    fields_init(&world->fields, &world->settings);
    assert_null(fields_new_time_left(&world->fields));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_request_without_a_body_refuses_nothing),
        TEST(with_a_body_libcurl_neither_waits_nor_names_a_type),
        TEST(own_fields_stand_before_those_that_all_requests_have),
        TEST(an_own_field_takes_the_place_of_one_of_that_name),
        TEST(what_libcurl_accepts_by_itself_is_left_to_it),
        TEST(a_type_that_is_named_is_not_refused),
        TEST(a_type_that_the_upstream_is_always_told_is_not_refused),
        TEST(a_field_without_a_value_is_written_as_libcurl_wants_it),
        TEST(what_is_shared_outlives_each_list),
        TEST(the_time_left_is_told_anew_each_time),
        TEST(the_time_left_may_be_kept_back),
    };
#undef TEST

    return cmocka_run_group_tests(tests, NULL, NULL);
}
