/* The small modules: buffers, header fields, methods, outcomes, units, log values, request ids. */
#include "fanout/budget.h"
#include "fanout/buf.h"
#include "fanout/header.h"
#include "fanout/method.h"
#include "fanout/outcome.h"
#include "service/cores.h"
#include "service/log.h"
#include "service/request_id.h"
#include "service/units.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void a_buffer_takes_exactly_its_cap(void **state)
{
    struct buf buf;

    (void)state;
    buf_init(&buf, 1000);
    for (int i = 0; i < 100; i++)
        assert_true(buf_append(&buf, "0123456789", 10));
    assert_true(buf_append(&buf, "", 0));
    assert_false(buf_append(&buf, "x", 1));
    assert_false(buf_append(&buf, "", 0)); /* nothing after what is missing */
    assert_int_equal(buf.len, 1000);
    assert_memory_equal(buf.data + 990, "0123456789", 10);
    buf_release(&buf);
    assert_int_equal(buf.len, 0);
}

static void a_failed_append_leaves_the_buffer_as_it_was(void **state)
{
    struct buf buf;

    (void)state;
    buf_init(&buf, 5);
    assert_true(buf_append_text(&buf, "abc"));
    assert_false(buf_append_text(&buf, "def"));
    assert_false(buf_reserve(&buf, SIZE_MAX));
    assert_int_equal(buf.len, 3);
    assert_memory_equal(buf.data, "abc", 3);
    buf_release(&buf);
}

static void moving_a_buffer_leaves_an_empty_one(void **state)
{
    struct buf from, to;

    (void)state;
    buf_init(&from, BUF_UNLIMITED);
    assert_true(buf_printf(&from, "%d-%s", 7, "x"));
    buf_move(&to, &from);
    assert_int_equal(to.len, 3);
    assert_memory_equal(to.data, "7-x", 3);
    assert_null(from.data);
    buf_release(&from);
    buf_release(&to);
}

static void a_budget_bounds_what_buffers_hold_together(void **state)
{
    struct budget budget;
    struct buf one, two, moved;

    (void)state;
    budget_init(&budget, 1024);
    buf_init_budgeted(&one, BUF_UNLIMITED, &budget);
    buf_init_budgeted(&two, BUF_UNLIMITED, &budget);
    assert_true(buf_reserve(&one, 512));
    assert_true(buf_reserve(&two, 512));
    assert_int_equal(budget_used(&budget), 1024);
    assert_false(buf_reserve(&two, 513));
    assert_int_equal(budget_used(&budget), 1024);
    buf_move(&moved, &one);
    buf_release(&one);
    assert_int_equal(budget_used(&budget), 1024);
    buf_release(&moved);
    buf_release(&two);
    assert_int_equal(budget_used(&budget), 0);
    assert_true(buf_reserve(&two, 1024));
    buf_release(&two);
}

static void header_names_are_tokens(void **state)
{
    (void)state;
    assert_true(header_name_is_valid("X-Api-Key", 9));
    assert_true(header_name_is_valid("a!#$%&'*+.^_`|~9", 16));
    assert_false(header_name_is_valid("", 0));
    assert_false(header_name_is_valid("a b", 3));
    assert_false(header_name_is_valid("a:", 2));
    assert_false(header_name_is_valid("a\0b", 3));
    assert_false(header_name_is_valid("\xc3\xa9", 2));
}

static void header_values_hold_no_control_bytes(void **state)
{
    (void)state;
    assert_true(header_value_is_valid("", 0));
    assert_true(header_value_is_valid("a\tb c", 5));
    assert_true(header_value_is_valid("caf\xc3\xa9", 5));
    assert_false(header_value_is_valid("a\r\nb", 4));
    assert_false(header_value_is_valid("a\0b", 3));
    assert_false(header_value_is_valid("a\x7f", 2));
    assert_false(header_value_is_valid(" a", 2));
    assert_false(header_value_is_valid("a\t", 2));
}

static void framing_fields_are_reserved_in_any_case(void **state)
{
    (void)state;
    assert_true(header_is_reserved("host"));
    assert_true(header_is_reserved("CONTENT-LENGTH"));
    assert_true(header_is_reserved("Transfer-encoding"));
    assert_true(header_is_reserved("connection"));
    assert_true(header_is_reserved("TE"));
    assert_false(header_is_reserved("Authorization"));
    assert_false(header_is_reserved("Hostess"));
}

static void setting_a_header_replaces_it(void **state)
{
    struct header_list list = {0};

    (void)state;
    header_list_set(&list, "X-A", "1");
    header_list_set(&list, "x-a", "2");
    header_list_add(&list, "X-B", "3");
    assert_int_equal(list.count, 2);
    assert_string_equal(header_list_find(&list, "X-A")->value, "2");
    assert_null(header_list_find(&list, "X-C"));
    header_list_release(&list);
}

static void methods_are_case_sensitive(void **state)
{
    enum method method;

    (void)state;
    assert_true(method_parse("DELETE", 6, &method));
    assert_int_equal(method, METHOD_DELETE);
    assert_string_equal(method_name(method), "DELETE");
    assert_false(method_parse("get", 3, &method));
    assert_false(method_parse("TRACE", 5, &method));
    assert_false(method_parse("GE", 2, &method));
}

static void every_outcome_has_a_name_of_its_own(void **state)
{
    (void)state;
    for (enum outcome i = 0; i < OUTCOME_COUNT; i++) {
        assert_non_null(outcome_info(i)->name);
        for (enum outcome j = 0; j < i; j++)
            assert_string_not_equal(outcome_info(i)->name, outcome_info(j)->name);
    }
}

static void durations_have_units(void **state)
{
    uint64_t us = 0;

    (void)state;
    assert_int_equal(units_parse(&units_of_time, "250us", &us), UNITS_OK);
    assert_int_equal(us, 250);
    assert_int_equal(units_parse(&units_of_time, "800ms", &us), UNITS_OK);
    assert_int_equal(us, 800000);
    assert_int_equal(units_parse(&units_of_time, "2h", &us), UNITS_OK);
    assert_int_equal(us, UINT64_C(7200000000));
    assert_int_equal(units_parse(&units_of_time, "2", &us), UNITS_MISSING);
    assert_int_equal(units_parse(&units_of_time, "2 s", &us), UNITS_WRONG);
    assert_int_equal(units_parse(&units_of_time, "s", &us), UNITS_WRONG);
    assert_int_equal(units_parse(&units_of_time, "-2s", &us), UNITS_WRONG);
    assert_int_equal(units_parse(&units_of_time, "1.5s", &us), UNITS_WRONG);
    assert_int_equal(units_parse(&units_of_time, "18446744073709551616us", &us), UNITS_TOO_LARGE);
    assert_int_equal(units_parse(&units_of_time, "18446744073710s", &us), UNITS_TOO_LARGE);
    assert_int_equal(units_parse(&units_of_time, "18446744073709551614us", &us), UNITS_OK);
}

static void sizes_may_have_units(void **state)
{
    uint64_t bytes = 0;

    (void)state;
    assert_int_equal(units_parse(&units_of_bytes, "17", &bytes), UNITS_OK);
    assert_int_equal(bytes, 17);
    assert_int_equal(units_parse(&units_of_bytes, "64k", &bytes), UNITS_OK);
    assert_int_equal(bytes, 65536);
    assert_int_equal(units_parse(&units_of_bytes, "8m", &bytes), UNITS_OK);
    assert_int_equal(bytes, 8 * 1024 * 1024);
    assert_int_equal(units_parse(&units_of_bytes, "8mb", &bytes), UNITS_WRONG);
    assert_int_equal(units_parse(&units_of_bytes, "", &bytes), UNITS_WRONG);
}

static void numbers_are_written_in_the_largest_unit_that_divides_them(void **state)
{
    char text[UNITS_TEXT_SIZE];

    (void)state;
    assert_string_equal(units_print(&units_of_time, 0, text), "0s");
    assert_string_equal(units_print(&units_of_time, 1500000, text), "1500ms");
    assert_string_equal(units_print(&units_of_time, 120000000, text), "2m");
    assert_string_equal(units_print(&units_of_bytes, 0, text), "0");
    assert_string_equal(units_print(&units_of_bytes, 1025, text), "1025");
    assert_string_equal(units_print(&units_of_bytes, 1 << 20, text), "1m");
}

static void a_quota_is_rounded_up_to_whole_cores(void **state)
{
    (void)state;
    assert_int_equal(cores_of_quota("200000 100000\n"), 2);
    assert_int_equal(cores_of_quota("50000 100000\n"), 1);
    assert_int_equal(cores_of_quota("150000 100000\n"), 2);
    assert_int_equal(cores_of_quota("max 100000\n"), 0);
    assert_int_equal(cores_of_quota(""), 0);
    assert_int_equal(cores_of_quota("5 0"), 0);
    assert_true(cores_usable() >= 1);
}

static void log_values_are_quoted_where_they_must_be(void **state)
{
    char out[LOG_VALUE_SIZE], longest[1000];

    (void)state;
    assert_string_equal(log_value("/fetch", out), "/fetch");
    assert_string_equal(log_value("", out), "\"\"");
    assert_string_equal(log_value("a b", out), "\"a b\"");
    assert_string_equal(log_value("a=\"b\"\\", out), "\"a=\\\"b\\\"\\\\\"");
    assert_string_equal(log_value("a\nevent=fake", out), "\"a\\x0aevent=fake\"");
    memset(longest, '"', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    assert_true(strlen(log_value(longest, out)) < LOG_VALUE_SIZE);
}

static void a_fit_request_id_is_kept_and_any_other_replaced(void **state)
{
    char id[REQUEST_ID_SIZE], other[REQUEST_ID_SIZE], text[200];

    (void)state;
    request_id_take(id, "abc-1._Z");
    assert_string_equal(id, "abc-1._Z");
    request_id_take(id, "a b");
    assert_int_equal(strlen(id), 32);
    request_id_take(other, NULL);
    assert_string_not_equal(id, other);
    memset(text, 'a', sizeof text);
    text[128] = '\0';
    request_id_take(id, text);
    assert_int_equal(strlen(id), 128);
    text[128] = 'a';
    text[129] = '\0';
    request_id_take(id, text);
    assert_int_equal(strlen(id), 32);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_buffer_takes_exactly_its_cap),
        cmocka_unit_test(a_failed_append_leaves_the_buffer_as_it_was),
        cmocka_unit_test(moving_a_buffer_leaves_an_empty_one),
        cmocka_unit_test(a_budget_bounds_what_buffers_hold_together),
        cmocka_unit_test(header_names_are_tokens),
        cmocka_unit_test(header_values_hold_no_control_bytes),
        cmocka_unit_test(framing_fields_are_reserved_in_any_case),
        cmocka_unit_test(setting_a_header_replaces_it),
        cmocka_unit_test(methods_are_case_sensitive),
        cmocka_unit_test(every_outcome_has_a_name_of_its_own),
        cmocka_unit_test(durations_have_units),
        cmocka_unit_test(sizes_may_have_units),
        cmocka_unit_test(numbers_are_written_in_the_largest_unit_that_divides_them),
        cmocka_unit_test(a_quota_is_rounded_up_to_whole_cores),
        cmocka_unit_test(log_values_are_quoted_where_they_must_be),
        cmocka_unit_test(a_fit_request_id_is_kept_and_any_other_replaced),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
