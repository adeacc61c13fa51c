/*
 * Where the validator may look: strings longer than what it looks at at once,
 * and texts that end in a bracket, which it takes for the end of all reading.
 */
#include "tests/unit/json_check.h"

#include <stdio.h>

#define LONGEST 300 /* bytes of a text */
#define ENDLESS "expected the end of the string"
#define NONE    SIZE_MAX

struct row {
    const char *text;
    size_t wrong; /* the first byte that is, or NONE */
};

static void check(const char *text, size_t length, size_t wrong)
{
    if (wrong == NONE)
        expect_valid(text, length, DEPTH);
    else
        expect_wrong_at(wrong, text, length, DEPTH);
}

static void check_rows(const struct row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++)
        check(rows[i].text, strlen(rows[i].text), rows[i].wrong);
}

/* ---- strings of any length, anywhere ---- */

static const struct row pieces[] = {
    {"\\\"", NONE},
    {"\\\\", NONE},
    {"\\n", NONE},
    {"\\u00e9", NONE},
    {"\\ud83d\\ude00", NONE},
    {"\xc3\xa9", NONE},
    {"\xe2\x82\xac", NONE},
    {"\xf0\x9f\x98\x80", NONE},
    {"\xc3\xa9\xd0\xb9\xe2\x82\xac\xe4\xb8\xad\xf0\x9f\x98\x80", NONE},
    {"\n", 0},
    {"\x1f", 0},
    {"\\x", 1},
    {"\\u12g4", 4},
    {"\xc3", 0},
    {"\xed\xa0\x80", 0},
    {"\x80", 0},
    {"\xff", 0},
    {"\xc3\xa9\xc3z", 2},
};

/* ["aaa…piece…aaa"] with some space before it. */
static size_t write_string(char *text, size_t spaces, size_t before, const char *piece,
                           size_t behind)
{
    return (size_t)snprintf(text, LONGEST, "%*s[\"%0*d%s%0*d\"]", (int)spaces, "", (int)before + 1,
                            0, piece, (int)behind + 1, 0);
}

static void check_piece(const struct row *piece, size_t spaces, size_t before, size_t behind)
{
    char text[LONGEST];
    size_t length = write_string(text, spaces, before, piece->text, behind);
    size_t start = spaces + 2 + before + 1;

    check(text, length, piece->wrong == NONE ? NONE : start + piece->wrong);
}

static void what_is_special_is_seen_wherever_it_stands_in_a_long_string(void **state)
{
    (void)state;
    for (size_t piece = 0; piece < COUNT(pieces); piece++)
        for (size_t before = 0; before < 140; before++)
            for (size_t behind = 0; behind < 70; behind += 23)
                check_piece(&pieces[piece], before % 5, before, behind);
}

static void strings_of_any_length_may_follow_each_other(void **state)
{
    (void)state;
    for (size_t first = 0; first < 70; first++)
        for (size_t second = 0; second < 70; second++) {
            char text[LONGEST];
            int length = snprintf(text, sizeof text, "{\"%0*d\" : \"%0*d\",\"\":\"%0*d\"}",
                                  (int)first + 1, 0, (int)second + 1, 0, (int)first + 1, 0);

            expect_valid(text, (size_t)length, DEPTH);
            text[length - 2] = ' ';
            expect_wrong_at((size_t)length, text, (size_t)length, DEPTH);
        }
}

static void only_nine_bytes_may_stand_behind_a_backslash(void **state)
{
    (void)state;
    for (unsigned byte = 0; byte < 256; byte++) {
        const char text[] = {'[', '"', '\\', (char)byte, '0', '0', 'e', '9', '"', ']'};

        check(text, sizeof text, memchr("\"\\/bfnrtu", (int)byte, 9) == NULL ? 3 : NONE);
    }
}

/* ---- texts that end in a bracket ---- */

static const char whole[] =
    "{\"\":[] , \"a\\\"b\":{\"c\":[{},[null,true,false],{\"d\":-0.5E+10}]},\r\n\t"
    "\"\\u00e9\\ud83d\\ude00\\/\" : \"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\","
    "\"n\":[0,-1,12.25,1e5,2E-3,10, 0]}";
static const char *const ends[] = {"]",  "}",  "]}", "}]",  ":]",
                                   ",}", "[]", "{}", " ] ", "}\n\t\r\n"};

/* Whether a bracket is the last thing, or something else is: what comes before goes wrong alike. */
static void check_end(const char *text, size_t length)
{
    char longer[LONGEST];
    struct json_error error, other;

    memcpy(longer, text, length);
    longer[length] = 'x';
    assert_false(validate(longer, length + 1, DEPTH, &other));
    if (validate(text, length, DEPTH, &error)) {
        assert_int_equal(other.offset, length);
        assert_string_equal(other.message, "expected the end of the text");
    } else if (strcmp(error.message, ENDLESS) == 0) {
        assert_int_equal(error.offset, length);
        assert_string_equal(other.message, ENDLESS);
    } else {
        assert_int_equal(other.offset, error.offset);
        assert_string_equal(other.message, error.message);
    }
}

static void a_text_is_judged_alike_whether_or_not_a_bracket_ends_it(void **state)
{
    char text[LONGEST];

    (void)state;
    for (size_t cut = 0; cut < sizeof whole; cut++)
        for (size_t i = 0; i < COUNT(ends); i++) {
            memcpy(text, whole, cut);
            strcpy(text + cut, ends[i]);
            check_end(text, cut + strlen(ends[i]));
        }
}

static void a_bracket_within_a_string_ends_nothing(void **state)
{
    static const struct row rows[] = {
        {"[\"]", 3},    {"{\"a}", 4},  {"[\"\\\"]", 5}, {"[\"\\]", 3},
        {"[\"\\u]", 4}, {"[\"a] ", 5}, {"[\"a]\n", 4},  {"\"a]", 3},
    };

    (void)state;
    check_rows(rows, COUNT(rows));
}

static void white_space_may_stand_behind_the_last_bracket_and_nothing_else(void **state)
{
    static const struct row rows[] = {
        {"[] \r\n\t", NONE}, {" { } ", NONE}, {"[] ]", 3},       {"[]}", 2}, {"1]", 1}, {"]", 0},
        {"} ", 0},           {"[[] ", 4},     {"{\"a\":{} ", 8},
    };

    (void)state;
    check_rows(rows, COUNT(rows));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_special_is_seen_wherever_it_stands_in_a_long_string),
        cmocka_unit_test(strings_of_any_length_may_follow_each_other),
        cmocka_unit_test(only_nine_bytes_may_stand_behind_a_backslash),
        cmocka_unit_test(a_text_is_judged_alike_whether_or_not_a_bracket_ends_it),
        cmocka_unit_test(a_bracket_within_a_string_ends_nothing),
        cmocka_unit_test(white_space_may_stand_behind_the_last_bracket_and_nothing_else),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
