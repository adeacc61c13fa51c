/*
 * The validator at its edges: texts cut short, every byte at every place,
 * every shape of UTF-8, nesting at the limit.
 */
#include "tests/unit/json_check.h"

/* Everything the grammar has, so that a cut can fall inside of each. */
static const char whole[] =
    "{\"\":[] , \"a\\\"b\":{\"c\":[{},[null,true,false],{\"d\":-0.5E+10}]},\r\n\t"
    "\"\\u00e9\\ud83d\\ude00\\/\" : \"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\","
    "\"n\":[0,-1,12.25,1e5,2E-3,10],\"long\":\"sixteen and more plain bytes here\"}";

static void a_text_cut_short_is_wrong_where_it_ends(void **state)
{
    (void)state;
    expect_valid(TEXT(whole), DEPTH);
    for (size_t length = 0; length < sizeof whole - 1; length++)
        expect_wrong_at(length, whole, length, DEPTH);
}

static void a_number_cut_short_is_wrong_only_where_a_digit_must_follow(void **state)
{
    static const char number[] = "-12.50e-06";
    static const char needs_more[] = "-.e";

    (void)state;
    for (size_t length = 1; length < sizeof number; length++) {
        bool open = strchr(needs_more, number[length - 1]) != NULL;

        if (open)
            expect_wrong_at(length, number, length, DEPTH);
        else
            expect_valid(number, length, DEPTH);
    }
}

static void a_zero_byte_is_never_the_end(void **state)
{
    char text[sizeof whole];

    (void)state;
    for (size_t at = 0; at < sizeof whole - 1; at++) {
        memcpy(text, whole, sizeof whole);
        text[at] = '\0';
        if (((unsigned char)whole[at] & 0xc0) == 0x80)
            continue;
        expect_wrong_at(at, text, sizeof whole - 1, DEPTH);
    }
}

/* Where a string that has one byte replaced goes wrong; SIZE_MAX when it does not. */
static size_t wrong_with(unsigned char byte, size_t at, size_t length)
{
    if (byte < 0x20 || byte >= 0x80)
        return at;
    if (byte == '"')
        return at == length - 2 ? length - 1 : at + 1;
    if (byte == '\\')
        return at == length - 2 ? length : at + 1;
    return SIZE_MAX;
}

static void every_byte_is_seen_wherever_it_stands_in_a_string(void **state)
{
    static const char plain[] = "\"aaaaaaaaaaaaaaaaaaaaaaa\"";
    const size_t length = sizeof plain - 1;
    char text[sizeof plain];

    (void)state;
    for (size_t at = 1; at < length - 1; at++)
        for (unsigned byte = 0; byte < 256; byte++) {
            size_t wrong = wrong_with((unsigned char)byte, at, length);

            memcpy(text, plain, sizeof plain);
            text[at] = (char)byte;
            if (wrong == SIZE_MAX)
                expect_valid(text, length, DEPTH);
            else
                expect_wrong_at(wrong, text, length, DEPTH);
        }
}

/* Brackets open to `depth` and closed again, objects and arrays in a pattern without a period. */
static size_t nest(char *text, size_t depth)
{
    char closing[JSON_DEPTH_LIMIT + 1];
    size_t length = 0;

    for (size_t i = 0; i < depth; i++) {
        bool object = (i * i / 3 + i) % 5 < 2;

        closing[i] = object ? '}' : ']';
        text[length++] = object ? '{' : '[';
        if (object && i + 1 < depth) {
            memcpy(text + length, "\"\":", 3);
            length += 3;
        }
    }
    while (depth > 0)
        text[length++] = closing[--depth];
    return length;
}

static void nesting_may_reach_the_limit_and_not_pass_it(void **state)
{
    static const unsigned limits[] = {1, 2, 63, 64, 65, 512, JSON_DEPTH_LIMIT};
    char text[(JSON_DEPTH_LIMIT + 1) * 5];

    (void)state;
    for (size_t i = 0; i < COUNT(limits); i++) {
        struct json_error error;
        size_t length = nest(text, limits[i]);

        expect_valid(text, length, limits[i]);
        length = nest(text, limits[i] + 1);
        assert_false(validate(text, length, limits[i], &error));
        assert_string_equal(error.message, "nested deeper than allowed");
        assert_int_equal(error.offset, length - limits[i] - 2);
    }
}

static void nesting_is_counted_by_depth_not_by_brackets(void **state)
{
    (void)state;
    expect_valid(TEXT("[[],{},[1],{\"a\":2},[]]"), 2);
    expect_wrong_at(12, TEXT("[[],{},{\"a\":[]}]"), 2);
    expect_wrong_at(2, TEXT("[{[}"), 2);
    expect_wrong_at(1, TEXT("[[[["), 1);
    expect_valid(TEXT("7"), 1);
}

static void a_bracket_is_closed_only_by_its_own_kind(void **state)
{
    char text[JSON_DEPTH_LIMIT * 5];
    size_t length = nest(text, JSON_DEPTH_LIMIT);

    (void)state;
    for (size_t at = length - JSON_DEPTH_LIMIT; at < length; at++) {
        text[at] ^= ']' ^ '}';
        expect_wrong_at(at, text, length, JSON_DEPTH_LIMIT);
        text[at] ^= ']' ^ '}';
    }
}

/* UTF-8 as a decoder would check it that knows nothing of ranges of bytes; 0 when ill-formed. */
static size_t sequence_length(const unsigned char *bytes)
{
    static const uint32_t first[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t length = bytes[0] < 0x80   ? 1
                    : bytes[0] < 0xc0 ? 0
                    : bytes[0] < 0xe0 ? 2
                    : bytes[0] < 0xf0 ? 3
                    : bytes[0] < 0xf8 ? 4
                                      : 0;
    uint32_t point = length > 1 ? bytes[0] & (0x7fu >> length) : bytes[0];

    for (size_t i = 1; i < length; i++) {
        if ((bytes[i] & 0xc0) != 0x80)
            return 0;
        point = point << 6 | (bytes[i] & 0x3f);
    }
    if (length > 1 && (point < first[length] || point > 0x10ffff))
        return 0;
    return point >= 0xd800 && point < 0xe000 ? 0 : length;
}

static size_t naive_prefix(const unsigned char *bytes, size_t length)
{
    size_t at = 0;

    while (at < length) {
        unsigned char padded[4] = {0};
        size_t sequence;

        memcpy(padded, bytes + at, length - at < 4 ? length - at : 4);
        sequence = sequence_length(padded);
        if (sequence == 0 || sequence > length - at)
            break;
        at += sequence;
    }
    return at;
}

/* Around the range of bytes that continue a sequence. */
static const unsigned char borders[] = {0x41, 0x7f, 0x80, 0xa5, 0xbf, 0xc0, 0xff};

static void check_sequence(const unsigned char sequence[4])
{
    const char text[] = {
        '"', 'a', (char)sequence[0], (char)sequence[1], (char)sequence[2], (char)sequence[3], '"'};
    size_t prefix = naive_prefix(sequence, 4);
    struct json_error error;

    assert_int_equal(json_utf8_prefix(text + 2, 4), prefix);
    if (json_validate(text, sizeof text, 1, &error))
        assert_int_equal(prefix, 4);
    else
        assert_int_equal(error.offset, 2 + prefix);
}

static void utf8_is_checked_to_the_letter(void **state)
{
    const size_t count = COUNT(borders);

    (void)state;
    for (unsigned lead = 0x80; lead < 0x100; lead++)
        for (unsigned second = 0; second < 0x100; second++)
            for (size_t i = 0; i < count * count; i++) {
                unsigned char sequence[] = {(unsigned char)lead, (unsigned char)second,
                                            borders[i / count], borders[i % count]};

                check_sequence(sequence);
            }
}

static size_t encode(uint32_t point, char *out)
{
    size_t length = point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;

    for (size_t i = length; i-- > 1; point >>= 6)
        out[i] = (char)(0x80 | (point & 0x3f));
    out[0] = (char)(0xf00 >> length | point);
    return length;
}

static void every_code_point_but_surrogates_is_valid(void **state)
{
    (void)state;
    for (uint32_t point = 0x80; point < 0x110000; point++) {
        char text[6] = {'"', '"', '"', '"', '"', '"'};
        size_t length = encode(point, text + 1);
        bool surrogate = point >= 0xd800 && point < 0xe000;

        assert_int_equal(json_validate(text, length + 2, 1, NULL), !surrogate);
        assert_int_equal(json_utf8_prefix(text + 1, length), surrogate ? 0 : length);
    }
}

static void the_utf8_prefix_ends_before_a_sequence_that_is_cut_or_broken(void **state)
{
    (void)state;
    assert_int_equal(json_utf8_prefix(NULL, 0), 0);
    assert_int_equal(json_utf8_prefix("plain\0 and more than sixteen", 28), 28);
    assert_int_equal(json_utf8_prefix("12345678\xff", 9), 8);
    assert_int_equal(json_utf8_prefix("123456789012345\x80z", 17), 15);
    assert_int_equal(json_utf8_prefix("a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80z", 11), 11);
    assert_int_equal(json_utf8_prefix("a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80z", 9), 6);
    assert_int_equal(json_utf8_prefix("a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80z", 5), 3);
    assert_int_equal(json_utf8_prefix("a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80z", 2), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_text_cut_short_is_wrong_where_it_ends),
        cmocka_unit_test(a_number_cut_short_is_wrong_only_where_a_digit_must_follow),
        cmocka_unit_test(a_zero_byte_is_never_the_end),
        cmocka_unit_test(every_byte_is_seen_wherever_it_stands_in_a_string),
        cmocka_unit_test(nesting_may_reach_the_limit_and_not_pass_it),
        cmocka_unit_test(nesting_is_counted_by_depth_not_by_brackets),
        cmocka_unit_test(a_bracket_is_closed_only_by_its_own_kind),
        cmocka_unit_test(utf8_is_checked_to_the_letter),
        cmocka_unit_test(every_code_point_but_surrogates_is_valid),
        cmocka_unit_test(the_utf8_prefix_ends_before_a_sequence_that_is_cut_or_broken),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
