/* The writers: whatever comes in, valid JSON goes out, or nothing. */
#include "tests/unit/json_check.h"

static void assert_written(const struct buf *out, const char *text)
{
    assert_int_equal(out->len, strlen(text));
    assert_memory_equal(out->data, text, out->len);
    expect_valid(out->data, out->len, DEPTH);
}

/* The text stands at the end of its block. */
static void check_string(const char *bytes, size_t length, const char *expected)
{
    char *block = malloc(length + 1);
    struct buf out;

    assert_non_null(block);
    memcpy(block + 1, bytes, length);
    buf_init(&out, 4096);
    assert_true(json_write_string(&out, block + 1, length));
    assert_written(&out, expected);
    buf_release(&out);
    free(block);
}

static const struct {
    const char *bytes;
    size_t length;
    const char *expected;
} written[] = {
    {TEXT(""), "\"\""},
    {TEXT("plain text, longer than sixteen bytes"), "\"plain text, longer than sixteen bytes\""},
    {TEXT("\"\\/"), "\"\\\"\\\\/\""},
    {TEXT("say \"yes\" to C:\\\\"), "\"say \\\"yes\\\" to C:\\\\\\\\\""},
    {TEXT("\b\t\n\f\r"), "\"\\b\\t\\n\\f\\r\""},
    {TEXT("\0\x01\v\x1f\x7f"), "\"\\u0000\\u0001\\u000b\\u001f\x7f\""},
    {TEXT("a\0b"), "\"a\\u0000b\""},
    /* Left as they are: all lengths of UTF-8, line separators, noncharacters */
    {TEXT("\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"), "\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\""},
    {TEXT("\xe2\x80\xa8\xe2\x80\xa9"), "\"\xe2\x80\xa8\xe2\x80\xa9\""},
    {TEXT("\xef\xbf\xbf\xf4\x8f\xbf\xbf"), "\"\xef\xbf\xbf\xf4\x8f\xbf\xbf\""},
    {TEXT("\xef\xbf\xbd"), "\"\xef\xbf\xbd\""},
};

static void a_string_is_escaped_where_it_must_be_and_nowhere_else(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(written); i++)
        check_string(written[i].bytes, written[i].length, written[i].expected);
}

#define BAD  "\xef\xbf\xbd"
#define BAD2 BAD BAD
#define BAD3 BAD BAD BAD

static const struct {
    const char *bytes;
    size_t length;
    const char *expected;
} ill_formed[] = {
    /* The examples of the Unicode standard, tables 3-8 to 3-11 */
    {TEXT("\xc0\xaf\xe0\x80\xbf\xf0\x81\x82\x41"), "\"" BAD3 BAD3 BAD2 "A\""},
    {TEXT("\xed\xa0\x80\xed\xbf\xbf\xed\xaf\x41"), "\"" BAD3 BAD3 BAD2 "A\""},
    {TEXT("\xf4\x91\x92\x93\xff\x41\x80\xbf\x42"), "\"" BAD3 BAD2 "A" BAD2 "B\""},
    {TEXT("\xe1\x80\xe2\xf0\x91\x92\xf1\xbf\x41"), "\"" BAD3 BAD "A\""},
    /* Others */
    {TEXT("\xff"), "\"" BAD "\""},
    {TEXT("\x80"), "\"" BAD "\""},
    {TEXT("\xe9t\xe9"), "\"" BAD "t" BAD "\""},
    {TEXT("\xc3"), "\"" BAD "\""},
    {TEXT("\xe2\x82"), "\"" BAD "\""},
    {TEXT("\xf0\x9f\x98"), "\"" BAD "\""},
    {TEXT("\xf0\x9f\x98\""), "\"" BAD "\\\"\""},
    {TEXT("\xc3\xa9\xc3\n"), "\"\xc3\xa9" BAD "\\n\""},
    {TEXT("\xf8\x88\x80\x80\x80"), "\"" BAD3 BAD2 "\""},
    {TEXT("12345678\xe2\x82\xe2\x82\xac"), "\"12345678" BAD "\xe2\x82\xac\""},
};

static void each_ill_formed_part_becomes_one_replacement_character(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(ill_formed); i++)
        check_string(ill_formed[i].bytes, ill_formed[i].length, ill_formed[i].expected);
}

static void every_byte_comes_back_or_is_replaced(void **state)
{
    (void)state;
    for (unsigned byte = 0; byte < 256; byte++) {
        const char in[] = {'a', (char)byte, 'b'};
        char decoded[64];
        struct buf out;
        size_t length;

        buf_init(&out, sizeof decoded);
        assert_true(json_write_string(&out, in, sizeof in));
        expect_valid(out.data, out.len, DEPTH);
        length = json_string_decode(json_root(out.data, out.len), decoded);
        if (byte < 0x80)
            assert_memory_equal(decoded, in, sizeof in);
        else
            assert_memory_equal(decoded, "a" BAD "b", 5);
        assert_int_equal(length, byte < 0x80 ? 3 : 5);
        buf_release(&out);
    }
}

static void writers_append_to_what_is_there(void **state)
{
    struct buf out;

    (void)state;
    buf_init(&out, 64);
    assert_true(buf_append_text(&out, "["));
    assert_true(json_write_string(&out, NULL, 0));
    assert_true(buf_append_text(&out, ","));
    assert_true(json_write_base64(&out, NULL, 0));
    assert_true(buf_append_text(&out, "]"));
    assert_written(&out, "[\"\",\"\"]");
    buf_release(&out);
}

static void a_string_over_the_cap_leaves_the_buffer_as_it_was(void **state)
{
    static const char bytes[] = "ab\"\x01\xff\xc3\xa9z";
    static const char expected[] = "\"ab\\\"\\u0001" BAD "\xc3\xa9z\"";

    (void)state;
    for (size_t cap = 0; cap < sizeof expected + 2; cap++) {
        bool fits = cap >= 1 + sizeof expected - 1;
        struct buf out;

        buf_init(&out, cap);
        assert_int_equal(buf_append_text(&out, "["), cap > 0);
        assert_int_equal(json_write_string(&out, bytes, sizeof bytes - 1), fits);
        assert_int_equal(out.len, fits ? sizeof expected : cap > 0);
        buf_release(&out);
    }
}

static void check_base64(const char *bytes, size_t length, const char *expected)
{
    char *block = malloc(length + 1);
    struct buf out;

    assert_non_null(block);
    memcpy(block + 1, bytes, length);
    buf_init(&out, strlen(expected));
    assert_true(json_write_base64(&out, block + 1, length));
    assert_written(&out, expected);
    buf_release(&out);
    buf_init(&out, strlen(expected) - 1);
    assert_false(json_write_base64(&out, block + 1, length));
    assert_int_equal(out.len, 0);
    buf_release(&out);
    free(block);
}

static void base64_follows_the_vectors_of_rfc_4648(void **state)
{
    (void)state;
    check_base64(TEXT(""), "\"\"");
    check_base64(TEXT("f"), "\"Zg==\"");
    check_base64(TEXT("fo"), "\"Zm8=\"");
    check_base64(TEXT("foo"), "\"Zm9v\"");
    check_base64(TEXT("foob"), "\"Zm9vYg==\"");
    check_base64(TEXT("fooba"), "\"Zm9vYmE=\"");
    check_base64(TEXT("foobar"), "\"Zm9vYmFy\"");
}

static void base64_takes_any_bytes(void **state)
{
    (void)state;
    check_base64(TEXT("\0"), "\"AA==\"");
    check_base64(TEXT("\xff\xff\xff"), "\"////\"");
    check_base64(TEXT("\xfb\xef\xbe"), "\"++++\"");
    check_base64(TEXT("\x14\xfb\x9c\x03\xd9\x7e"), "\"FPucA9l+\"");
    check_base64(TEXT("\x00\x10\x83\x10\x51\x87\x20\x92\x8b\x30\xd3\x8f\x41\x14\x93\x51\x55\x97"
                      "\x61\x96\x9b\x71\xd7\x9f\x82\x18\xa3\x92\x59\xa7\xa2\x9a\xab\xb2\xdb\xaf"
                      "\xc3\x1c\xb3\xd3\x5d\xb7\xe3\x9e\xbb\xf3\xdf\xbf"),
                 "\"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/\"");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_string_is_escaped_where_it_must_be_and_nowhere_else),
        cmocka_unit_test(each_ill_formed_part_becomes_one_replacement_character),
        cmocka_unit_test(every_byte_comes_back_or_is_replaced),
        cmocka_unit_test(writers_append_to_what_is_there),
        cmocka_unit_test(a_string_over_the_cap_leaves_the_buffer_as_it_was),
        cmocka_unit_test(base64_follows_the_vectors_of_rfc_4648),
        cmocka_unit_test(base64_takes_any_bytes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
