/* The lines around chunks: sizes, extensions, line ends, and how much of them there may be. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fanout/http_chunks.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

struct line_case {
    const char *line;
    size_t length;
    uint64_t size;
};

#define LINE(line, size)                                                                           \
    {                                                                                              \
        line, sizeof(line) - 1, size                                                               \
    }

static const struct line_case good_lines[] = {
    LINE("2\r\n", 2),
    LINE("2\n", 2),
    LINE("0002\r\n", 2),
    LINE("0000000000000002\r\n", 2),
    LINE("aF\r\n", 0xaf),
    LINE("1000000000000000\r\n", (uint64_t)1 << 60),
    LINE("2;\r\n", 2),
    LINE("2;a\r\n", 2),
    LINE("2;a\n", 2),
    LINE("2;a=b;c=d\r\n", 2),
    LINE("2;a=\"b;\\\"c\" \t\x01\xff\r\n", 2),
    LINE("2 ;a=b\r\n", 2),
    LINE("2 \t ;a=b\r\n", 2),
};

static const struct line_case bad_lines[] = {
    LINE("\r\n", 0),
    LINE("\n", 0),
    LINE(" 2\r\n", 0),
    LINE(";a\r\n", 0),
    LINE("-2\r\n", 0),
    LINE("+2\r\n", 0),
    LINE("0x2\r\n", 0),
    LINE("zz\r\n", 0),
    LINE("\"2\"\r\n", 0),
    LINE("2h\r\n", 0),
    LINE("2G\r\n", 0),
    LINE("2g\r\n", 0),
    LINE("2@\r\n", 0),
    LINE("2`\r\n", 0),
    LINE("2/\r\n", 0),
    LINE("2:\r\n", 0),
    LINE("2 2\r\n", 0),
    LINE("2 \r\n", 0),
    LINE("2\t\n", 0),
    LINE("2 \0;\r\n", 0),
    LINE("2 \r;\r\n", 0),
    LINE("2_\r\n", 0),
    LINE("2.\r\n", 0),
    LINE("2\0\r\n", 0),
    LINE("2\r\r\n", 0),
    LINE("2\r2\r\n", 0),
    LINE("2;a\0b\r\n", 0),
    LINE("2;a\rb\r\n", 0),
    LINE("2;a\r\r\n", 0),
    LINE("1000000000000001\r\n", 0),
    LINE("ffffffffffffffff\r\n", 0),
    LINE("00000000000000002\r\n", 0),
    LINE("10000000000000002\r\n", 0),
};

/* All of it, one by one. */
static void feed(struct http_chunks *chunks, const char *bytes, size_t length)
{
    for (size_t i = 0; i < length; i++)
        assert_in_range(http_chunks_take(chunks, bytes + i, 1), 0, 1);
}

static void feed_text(struct http_chunks *chunks, const char *text)
{
    assert_int_equal(http_chunks_take(chunks, text, strlen(text)), strlen(text));
}

static void good_size_lines_tell_their_size(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(good_lines); i++) {
        const struct line_case *row = &good_lines[i];
        struct http_chunks whole = {0}, bytes = {0};

        if (http_chunks_take(&whole, row->line, row->length) != row->length ||
            whole.awaited != HTTP_CHUNKS_DATA || whole.left != row->size)
            fail_msg("%s: %s", row->line, whole.reason);
        feed(&bytes, row->line, row->length);
        assert_int_equal(bytes.awaited, HTTP_CHUNKS_DATA);
        assert_int_equal(bytes.left, row->size);
    }
}

static void bad_size_lines_are_refused_with_a_reason(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(bad_lines); i++) {
        const struct line_case *row = &bad_lines[i];
        struct http_chunks whole = {0}, bytes = {0};

        http_chunks_take(&whole, row->line, row->length);
        if (whole.awaited != HTTP_CHUNKS_NOTHING || whole.reason == NULL)
            fail_msg("%s passes", row->line);
        feed(&bytes, row->line, row->length);
        assert_ptr_equal(bytes.reason, whole.reason);
    }
}

static void taking_stops_where_data_begins(void **state)
{
    struct http_chunks chunks = {0};

    (void)state;
    assert_int_equal(http_chunks_take(&chunks, "3\r\n2\r\n", 6), 3);
    assert_int_equal(chunks.left, 3);
    assert_int_equal(http_chunks_take(&chunks, "2\r\n", 3), 0);
    http_chunks_took_data(&chunks, 2);
    assert_int_equal(chunks.awaited, HTTP_CHUNKS_DATA);
    http_chunks_took_data(&chunks, 1);
    assert_int_equal(http_chunks_take(&chunks, "\r\n1\nx", 5), 4);
    assert_int_equal(chunks.left, 1);
}

static void taking_stops_behind_the_last_chunk_line(void **state)
{
    struct http_chunks chunks = {0};

    (void)state;
    assert_int_equal(http_chunks_take(&chunks, "00;x\r\n\r\n", 8), 6);
    assert_int_equal(chunks.awaited, HTTP_CHUNKS_TRAILER);
    assert_int_equal(http_chunks_take(&chunks, "\r\n", 2), 0);
}

static void a_line_end_must_follow_the_data(void **state)
{
    static const char *const wrong[] = {"x", "2\r\n", "\r\r", "\rx", "\0", " \r\n"};

    (void)state;
    for (size_t i = 0; i < COUNT(wrong); i++) {
        struct http_chunks chunks = {0};

        feed_text(&chunks, "1\r\n");
        http_chunks_took_data(&chunks, 1);
        feed(&chunks, wrong[i], strlen(wrong[i]) > 0 ? strlen(wrong[i]) : 1);
        assert_int_equal(chunks.awaited, HTTP_CHUNKS_NOTHING);
        assert_string_equal(chunks.reason, "a chunk of the answer is not as long as its size says");
    }
}

/* ---- extensions ---- */

static void take_chunk(struct http_chunks *chunks, const char *extension)
{
    feed_text(chunks, "1");
    http_chunks_take(chunks, extension, strlen(extension));
    http_chunks_take(chunks, "\r\n", 2);
    if (chunks->awaited != HTTP_CHUNKS_DATA)
        return;
    http_chunks_took_data(chunks, 1);
    feed_text(chunks, "\r\n");
}

static char *extension_of(size_t length, char fill)
{
    char *text = calloc(1, length + 1);

    assert_non_null(text);
    memset(text, fill, length);
    text[fill == ' ' ? length - 1 : 0] = ';';
    return text;
}

static bool passes(size_t length, char fill, unsigned times)
{
    struct http_chunks chunks = {0};
    char *extension = extension_of(length, fill);

    while (times-- > 0 && chunks.reason == NULL)
        take_chunk(&chunks, extension);
    free(extension);
    return chunks.reason == NULL;
}

static void an_extension_is_bounded_with_the_blanks_before_it(void **state)
{
    (void)state;
    assert_true(passes(HTTP_CHUNKS_MAX_EXTENSION, 'x', 1));
    assert_false(passes(HTTP_CHUNKS_MAX_EXTENSION + 1, 'x', 1));
    assert_true(passes(HTTP_CHUNKS_MAX_EXTENSION, ' ', 1));
    assert_false(passes(HTTP_CHUNKS_MAX_EXTENSION + 1, ' ', 1));
}

static void all_extensions_together_are_bounded(void **state)
{
    (void)state;
    assert_true(passes(64, 'x', HTTP_CHUNKS_MAX_ALL_EXTENSION / 64));
    assert_false(passes(64, 'x', HTTP_CHUNKS_MAX_ALL_EXTENSION / 64 + 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_size_lines_tell_their_size),
        cmocka_unit_test(bad_size_lines_are_refused_with_a_reason),
        cmocka_unit_test(taking_stops_where_data_begins),
        cmocka_unit_test(taking_stops_behind_the_last_chunk_line),
        cmocka_unit_test(a_line_end_must_follow_the_data),
        cmocka_unit_test(an_extension_is_bounded_with_the_blanks_before_it),
        cmocka_unit_test(all_extensions_together_are_bounded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
