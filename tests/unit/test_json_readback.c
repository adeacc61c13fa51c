/*
 * The walker and the string writer on a corpus of damaged documents: yajl must
 * report the values that the walk finds, jansson must read what was written.
 */
#include "tests/unit/json_corpus.h"

#include <yajl/yajl_parse.h>

/* What a document holds, as a list of events: a letter, a length and the bytes. */

static int note(struct buf *events, char kind, const void *bytes, size_t length)
{
    return buf_append(events, &kind, 1) && buf_append(events, &length, sizeof length) &&
           buf_append(events, bytes, length);
}

static int on_null(void *events)
{
    return note(events, 'n', NULL, 0);
}

static int on_boolean(void *events, int value)
{
    return note(events, value ? 't' : 'f', NULL, 0);
}

static int on_number(void *events, const char *text, size_t length)
{
    return note(events, '0', text, length);
}

static int on_string(void *events, const unsigned char *bytes, size_t length)
{
    return note(events, '"', bytes, length);
}

static int on_key(void *events, const unsigned char *bytes, size_t length)
{
    return note(events, ':', bytes, length);
}

static int on_map_start(void *events)
{
    return note(events, '{', NULL, 0);
}

static int on_map_end(void *events)
{
    return note(events, '}', NULL, 0);
}

static int on_array_start(void *events)
{
    return note(events, '[', NULL, 0);
}

static int on_array_end(void *events)
{
    return note(events, ']', NULL, 0);
}

static const yajl_callbacks callbacks = {
    .yajl_null = on_null,
    .yajl_boolean = on_boolean,
    .yajl_number = on_number,
    .yajl_string = on_string,
    .yajl_start_map = on_map_start,
    .yajl_map_key = on_key,
    .yajl_end_map = on_map_end,
    .yajl_start_array = on_array_start,
    .yajl_end_array = on_array_end,
};

static void note_string(struct buf *events, char kind, struct json_span string)
{
    char decoded[MAX_LENGTH];
    size_t length = json_string_decode(string, decoded);

    assert_true(note(events, kind, decoded, length));
    if (memchr(decoded, '\0', length) == NULL)
        assert_true(json_string_equals(string, decoded));
}

static void note_value(struct buf *events, struct json_span value);

static void note_members(struct buf *events, struct json_span object)
{
    struct json_walk walk = json_walk_start(object);
    struct json_span key, value;

    on_map_start(events);
    while (json_next_member(&walk, &key, &value)) {
        note_string(events, ':', key);
        note_value(events, value);
    }
    on_map_end(events);
}

static void note_elements(struct buf *events, struct json_span array)
{
    struct json_walk walk = json_walk_start(array);
    struct json_span value;

    on_array_start(events);
    while (json_next_element(&walk, &value))
        note_value(events, value);
    on_array_end(events);
}

static void note_value(struct buf *events, struct json_span value)
{
    switch (json_type(value)) {
    case JSON_OBJECT:
        note_members(events, value);
        break;
    case JSON_ARRAY:
        note_elements(events, value);
        break;
    case JSON_STRING:
        note_string(events, '"', value);
        break;
    case JSON_NUMBER:
        on_number(events, value.start, value.length);
        break;
    case JSON_NULL:
        on_null(events);
        break;
    default:
        on_boolean(events, json_type(value) == JSON_TRUE);
    }
}

static void check_walk(const struct document *document, const struct json_error *error)
{
    struct buf ours, theirs;
    yajl_handle yajl;

    if (error != NULL)
        return;
    buf_init(&ours, BUF_UNLIMITED);
    buf_init(&theirs, BUF_UNLIMITED);
    yajl = yajl_alloc(&callbacks, NULL, &theirs);
    yajl_parse(yajl, (const unsigned char *)document->text, document->length);
    yajl_complete_parse(yajl);
    yajl_free(yajl);
    note_value(&ours, json_root(document->text, document->length));
    if (ours.len != theirs.len || memcmp(ours.data, theirs.data, ours.len) != 0)
        disagree(document, error, "yajl finds other values in it");
    buf_release(&ours);
    buf_release(&theirs);
}

static void yajl_finds_the_same_values_that_the_walk_finds(void **state)
{
    (void)state;
    check_all(check_walk);
}

/* Any document, valid or not, is bytes that can be written as one string. */
static void check_write(const struct document *document, const struct json_error *error)
{
    bool is_utf8 = json_utf8_prefix(document->text, document->length) == document->length;
    struct json_error wrong;
    struct buf out;
    json_t *string;

    buf_init(&out, BUF_UNLIMITED);
    assert_true(json_write_string(&out, document->text, document->length));
    if (!validate(out.data, out.len, 1, &wrong))
        disagree(document, error, "as a string it is not valid");
    string = json_loadb(out.data, out.len, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    if (string == NULL)
        disagree(document, error, "jansson does not read it as a string");
    if (is_utf8 && (json_string_length(string) != document->length ||
                    memcmp(json_string_value(string), document->text, document->length) != 0))
        disagree(document, error, "it does not come back from a string");
    json_decref(string);
    buf_release(&out);
}

static void jansson_reads_back_the_strings_that_are_written(void **state)
{
    (void)state;
    check_all(check_write);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(yajl_finds_the_same_values_that_the_walk_finds),
        cmocka_unit_test(jansson_reads_back_the_strings_that_are_written),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
