/* Spans: walking containers, reading strings and numbers of a validated text. */
#include "tests/unit/json_check.h"

static struct json_span root_of(const char *text)
{
    expect_valid(text, strlen(text), DEPTH);
    return json_root(text, strlen(text));
}

static void assert_span(struct json_span span, const char *text)
{
    assert_int_equal(span.length, strlen(text));
    assert_memory_equal(span.start, text, span.length);
}

static void the_root_is_the_value_without_white_space_around_it(void **state)
{
    (void)state;
    assert_span(root_of(" \t\r\n[1, 2]\n "), "[1, 2]");
    assert_span(root_of("7"), "7");
    assert_span(root_of(" \" x \" "), "\" x \"");
}

static void every_value_has_a_type_with_a_name(void **state)
{
    static const struct {
        const char *text;
        enum json_type type;
        const char *name;
    } cases[] = {
        {"null", JSON_NULL, "null"},           {"false", JSON_FALSE, "false"},
        {"true", JSON_TRUE, "true"},           {"0", JSON_NUMBER, "a number"},
        {"-1.5", JSON_NUMBER, "a number"},     {"9", JSON_NUMBER, "a number"},
        {"\"null\"", JSON_STRING, "a string"}, {"[null]", JSON_ARRAY, "an array"},
        {" {}", JSON_OBJECT, "an object"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        enum json_type type = json_type(root_of(cases[i].text));

        assert_int_equal(type, cases[i].type);
        assert_string_equal(json_type_name(type), cases[i].name);
    }
}

static void walks_the_elements_in_order(void **state)
{
    static const char *const expected[] = {
        "1",   "\"a,]\\\"\"", "[2 , [3]]", "{\"]\":[4]}", "null",  "-5e+3",       "[]",
        "{ }", "\"\\\\\"",    "true",      "\"\"",        "false", "\"\xc3\xa9\""};
    struct json_walk walk = json_walk_start(
        root_of(" [1,\"a,]\\\"\",[2 , [3]] , {\"]\":[4]}\n,null,-5e+3 ,[],{ },\"\\\\\",true ,\"\","
                "false\t,\"\xc3\xa9\" ]"));
    struct json_span value;

    (void)state;
    for (size_t i = 0; i < COUNT(expected); i++) {
        assert_true(json_next_element(&walk, &value));
        assert_span(value, expected[i]);
    }
    assert_false(json_next_element(&walk, &value));
    assert_false(json_next_element(&walk, &value));
}

static void walks_the_members_in_order_the_doubled_ones_too(void **state)
{
    static const char *const expected[][2] = {
        {"\"a\"", "1"},     {"\"\"", "{\"a\":{\"b\":2}}"}, {"\"a\"", "\":\""},
        {"\"\\\"\"", "[]"}, {"\":,}\"", "false"},
    };
    struct json_walk walk = json_walk_start(root_of(
        "{\"a\":1, \"\" : {\"a\":{\"b\":2}} ,\"a\":\":\",\"\\\"\":[]\n,\":,}\"\t: false\r}"));
    struct json_span key, value;

    (void)state;
    for (size_t i = 0; i < COUNT(expected); i++) {
        assert_true(json_next_member(&walk, &key, &value));
        assert_span(key, expected[i][0]);
        assert_span(value, expected[i][1]);
    }
    assert_false(json_next_member(&walk, &key, &value));
}

static void an_empty_container_has_nothing_to_walk(void **state)
{
    static const char *const empty[] = {"[]", "[ \n]", "{}", "{\t }"};
    struct json_span key, value;

    (void)state;
    for (size_t i = 0; i < COUNT(empty); i++) {
        struct json_walk walk = json_walk_start(root_of(empty[i]));

        assert_false(json_next_element(&walk, &value));
        assert_false(json_next_member(&walk, &key, &value));
    }
}

static const struct {
    const char *string;
    const char *text;
    size_t length;
} strings[] = {
    {"\"\"", TEXT("")},
    {"\"plain text\"", TEXT("plain text")},
    {"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", TEXT("\"\\/\b\f\n\r\t")},
    {"\"a\\\\n\"", TEXT("a\\n")},
    {"\"\\u0041\\u006a\\u004A\"", TEXT("AjJ")},
    {"\"\\u007f\\u0080\\u07ff\"", TEXT("\x7f\xc2\x80\xdf\xbf")},
    {"\"\\u0800\\uFFFF\\ud7ff\\ue000\"", TEXT("\xe0\xa0\x80\xef\xbf\xbf\xed\x9f\xbf\xee\x80\x80")},
    {"\"\\ud800\\udc00\"", TEXT("\xf0\x90\x80\x80")},
    {"\"\\uD83D\\uDE00!\"", TEXT("\xf0\x9f\x98\x80!")},
    {"\"\\udbff\\udfff\"", TEXT("\xf4\x8f\xbf\xbf")},
    {"\"<\xe2\x82\xac>\\u20ac\"", TEXT("<\xe2\x82\xac>\xe2\x82\xac")},
    {"\"a\\u0000b\"", TEXT("a\0b")},
    {"\"\\u0000\"", TEXT("\0")},
};

static void a_string_is_decoded_within_the_room_of_its_span(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(strings); i++) {
        struct json_span span = root_of(strings[i].string);
        char *out = malloc(span.length);

        assert_non_null(out);
        assert_int_equal(json_string_decode(span, out), strings[i].length);
        assert_memory_equal(out, strings[i].text, strings[i].length + 1);
        free(out);
    }
}

static void a_string_equals_what_it_decodes_to(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(strings); i++) {
        const char *text = strings[i].text;
        bool has_zero = memchr(text, '\0', strings[i].length) != NULL;

        assert_int_equal(json_string_equals(root_of(strings[i].string), text), !has_zero);
    }
}

static void a_string_equals_nothing_shorter_longer_or_other(void **state)
{
    (void)state;
    assert_false(json_string_equals(root_of("\"abc\""), "ab"));
    assert_false(json_string_equals(root_of("\"abc\""), "abcd"));
    assert_false(json_string_equals(root_of("\"abc\""), "abd"));
    assert_false(json_string_equals(root_of("\"abc\""), ""));
    assert_false(json_string_equals(root_of("\"\""), "\""));
    assert_false(json_string_equals(root_of("\"\\u00e9\""), "\xc3"));
    assert_false(json_string_equals(root_of("\"\\u00e9\""), "\\u00e9"));
    assert_false(json_string_equals(root_of("\"a\\u0000\""), "a"));
    assert_false(json_string_equals(root_of("\"\\u0000\\u0000z\""), ""));
    assert_false(json_string_equals(root_of("\"A\""), "a"));
}

static const struct {
    const char *text;
    uint64_t max;
    uint64_t value;
} whole_numbers[] = {
    {"0", 0, 0},
    {"-0", 0, 0},
    {"-0.0e5", 0, 0},
    {"0e99999999999999999999999", 10, 0},
    {"0.00E-99999999999999999999999", 10, 0},
    {"7", 7, 7},
    {"1e3", 1000, 1000},
    {"1E+003", 1000, 1000},
    {"1.0", 1, 1},
    {"1.50e1", 15, 15},
    {"100e-2", 1, 1},
    {"12300.00e-2", 123, 123},
    {"0.000001e6", 1, 1},
    {"0.00123e5", 200, 123},
    {"4294967296", UINT64_MAX, 4294967296},
    {"9007199254740993", UINT64_MAX, 9007199254740993},
    {"18446744073709551615", UINT64_MAX, UINT64_MAX},
    {"1844674407370955161.5e1", UINT64_MAX, UINT64_MAX},
    {"18446744073709551615000e-3", UINT64_MAX, UINT64_MAX},
    {"10000000000000000000", UINT64_MAX, 10000000000000000000u},
    {"1e19", UINT64_MAX, 10000000000000000000u},
    {"0.00000000000000000000000000000000000000000000000001e50", 1, 1},
};

static void a_whole_number_is_read_however_it_is_written(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(whole_numbers); i++) {
        uint64_t value = 77;

        if (!json_number_to_uint(root_of(whole_numbers[i].text), whole_numbers[i].max, &value))
            fail_msg("%s: refused", whole_numbers[i].text);
        assert_int_equal(value, whole_numbers[i].value);
    }
}

static const struct {
    const char *text;
    uint64_t max;
} other_numbers[] = {
    {"-1", UINT64_MAX},
    {"-1e-400", UINT64_MAX},
    {"-0.1", UINT64_MAX},
    {"0.5", UINT64_MAX},
    {"1.5", UINT64_MAX},
    {"1e-1", UINT64_MAX},
    {"15e-1", UINT64_MAX},
    {"1e-400", UINT64_MAX},
    {"1.0000000000000000000000000001", UINT64_MAX},
    {"1e400", UINT64_MAX},
    {"1e20", UINT64_MAX},
    {"1e99999999999999999999999999", UINT64_MAX},
    {"1e-99999999999999999999999999", UINT64_MAX},
    {"18446744073709551616", UINT64_MAX},
    {"18446744073709551620", UINT64_MAX},
    {"28446744073709551615", UINT64_MAX},
    {"100000000000000000000000000000", UINT64_MAX},
    {"1", 0},
    {"8", 7},
    {"10", 9},
    {"10", 7},
    {"1e1", 9},
    {"1001", 1000},
    {"1000.1", 1000},
};

static void what_is_no_whole_number_up_to_the_maximum_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(other_numbers); i++) {
        uint64_t value = 77;

        if (json_number_to_uint(root_of(other_numbers[i].text), other_numbers[i].max, &value))
            fail_msg("%s: accepted", other_numbers[i].text);
        assert_int_equal(value, 77);
    }
}

static void a_very_long_number_is_read_exactly(void **state)
{
    char text[4096] = "0.";
    uint64_t value;

    (void)state;
    memset(text + 2, '0', 3000);
    memcpy(text + 3002, "42e3002", 8);
    assert_true(json_number_to_uint(root_of(text), 100, &value));
    assert_int_equal(value, 42);
    memset(text, '0', 4000);
    text[0] = '9';
    memcpy(text + 4000, "e-3999", 7);
    assert_true(json_number_to_uint(root_of(text), 100, &value));
    assert_int_equal(value, 9);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_root_is_the_value_without_white_space_around_it),
        cmocka_unit_test(every_value_has_a_type_with_a_name),
        cmocka_unit_test(walks_the_elements_in_order),
        cmocka_unit_test(walks_the_members_in_order_the_doubled_ones_too),
        cmocka_unit_test(an_empty_container_has_nothing_to_walk),
        cmocka_unit_test(a_string_is_decoded_within_the_room_of_its_span),
        cmocka_unit_test(a_string_equals_what_it_decodes_to),
        cmocka_unit_test(a_string_equals_nothing_shorter_longer_or_other),
        cmocka_unit_test(a_whole_number_is_read_however_it_is_written),
        cmocka_unit_test(what_is_no_whole_number_up_to_the_maximum_is_refused),
        cmocka_unit_test(a_very_long_number_is_read_exactly),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
