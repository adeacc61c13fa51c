/* Suggestions: near names are found, far ones are not offered. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "service/nearest.h"

#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const char *const names[] = {"url",  "timeout", "connect_timeout", "header",
                                    "warn", "users",   "orders",          "max_in_flight"};

static const char *nearest(const char *wrong)
{
    return nearest_name(wrong, names, COUNT(names));
}

static void a_slip_of_the_finger_is_put_right(void **state)
{
    static const char *const pairs[][2] = {
        {"timout", "timeout"},   /* one left out */
        {"timeoutt", "timeout"}, /* one too many */
        {"timeuot", "timeout"},  /* neighbours swapped */
        {"tymeout", "timeout"},  /* another one */
        {"conect_timout", "connect_timeout"},
        {"maxinflight", "max_in_flight"},
        {"TIMEOUT", "timeout"},
        {"Usres", "users"},
        {"uri", "url"},
        {"headers", "header"},
        {"warning", NULL},
        {"wran", "warn"},
        {"users", "users"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(pairs); i++) {
        const char *found = nearest(pairs[i][0]);

        if (pairs[i][1] == NULL)
            assert_null(found);
        else if (found == NULL || strcmp(found, pairs[i][1]) != 0)
            fail_msg("'%s' suggests '%s'", pairs[i][0], found != NULL ? found : "(nothing)");
    }
}

static void a_name_that_is_far_from_all_suggests_nothing(void **state)
{
    (void)state;
    assert_null(nearest(""));
    assert_null(nearest("retries"));
    assert_null(nearest("u"));
    assert_null(nearest("xyz"));
    assert_null(nearest("connect"));
    assert_null(nearest_name("users", names, 0));
    assert_null(nearest_name("users", NULL, 0));
}

static void the_limit_is_a_third_of_the_longer_name_and_at_least_one(void **state)
{
    const char *short_name[] = {"ab"};
    const char *six[] = {"abcdef"};
    const char *nine[] = {"abcdefghi"};

    (void)state;
    assert_non_null(nearest_name("xb", short_name, 1));
    assert_null(nearest_name("xy", short_name, 1));
    assert_non_null(nearest_name("xycdef", six, 1));
    assert_null(nearest_name("xyzdef", six, 1));
    assert_non_null(nearest_name("xyzdefghi", nine, 1));
    assert_null(nearest_name("wxyzefghi", nine, 1));
}

static void the_nearest_wins_and_the_first_of_equals(void **state)
{
    const char *some[] = {"abcdxx", "abcdex", "abcdfx"};

    (void)state;
    assert_string_equal(nearest_name("abcdey", some, 3), "abcdex");
    assert_string_equal(nearest_name("abcdgx", some, 3), "abcdxx");
}

static void names_over_64_bytes_are_left_out(void **state)
{
    char longest[65];
    char longer[66];
    const char *one[1] = {longest};

    (void)state;
    memset(longest, 'x', 64);
    longest[64] = '\0';
    memset(longer, 'x', 65);
    longer[65] = '\0';
    assert_ptr_equal(nearest_name(longest, one, 1), longest);
    assert_null(nearest_name(longer, one, 1));
    one[0] = longer;
    assert_null(nearest_name(longest, one, 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_slip_of_the_finger_is_put_right),
        cmocka_unit_test(a_name_that_is_far_from_all_suggests_nothing),
        cmocka_unit_test(the_limit_is_a_third_of_the_longer_name_and_at_least_one),
        cmocka_unit_test(the_nearest_wins_and_the_first_of_equals),
        cmocka_unit_test(names_over_64_bytes_are_left_out),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
