/*
 * The validator against the walkers: what it accepts can be walked, decoded
 * and written again; what it refuses, it refuses at the same place however
 * much follows, and of a cut text it misses nothing but the rest.
 */
#include "tests/fuzz/fuzz.h"

#include <ctype.h>

#define EVERY_CUT_BELOW 200 /* of longer texts some cuts are tried: each costs a whole pass */
#define SOME_CUTS       16
#define LEVELS_AGAIN    6 /* whose values are validated by themselves */

static bool is_valid(const char *text, size_t length, unsigned max_depth, struct json_error *error)
{
    char *copy = exact_copy(text, length);
    bool valid = json_validate(copy, length, max_depth, error);

    free(copy);
    claim(valid || (error->offset <= length && error->message[0] != '\0'),
          "an error has a place in the text, and a message");
    return valid;
}

/* ---- what is valid ---- */

/* Ends where its block ends, without NUL: every reader has to stop by the length. */
static void check_decoding(struct json_span string)
{
    char *decoded = mem_alloc(string.length), *again = mem_alloc(string.length * 6 + 2);
    size_t length = json_string_decode(string, decoded);
    struct json_span written;
    struct buf out;

    claim(length < string.length && decoded[length] == '\0', "a decoded string has room");
    claim(json_utf8_prefix(decoded, length) == length, "a decoded string is UTF-8");
    if (strlen(decoded) == length)
        claim(json_string_equals(string, decoded), "a string equals what it decodes to");
    buf_init(&out, BUF_UNLIMITED);
    claim(json_write_string(&out, decoded, length), "a string can be written");
    claim_json(&out, "a written string is valid");
    written = json_root(out.data, out.len);
    claim(written.length == out.len && json_string_decode(written, again) == length &&
              memcmp(again, decoded, length) == 0,
          "a written string decodes to the same");
    buf_release(&out);
    free(decoded);
    free(again);
}

static void check_number(struct json_span number)
{
    uint64_t value = 0, other = 0;
    char *digits = mem_strndup(number.start, number.length);
    bool is_plain = strspn(digits, "0123456789") == number.length && number.length < 19;
    bool is_whole = json_number_to_uint(number, UINT64_MAX, &value);

    claim(!is_plain || (is_whole && value == strtoull(digits, NULL, 10)), "digits are a number");
    if (is_whole)
        claim(json_number_to_uint(number, value, &other) && other == value,
              "a number reaches its own bound");
    if (is_whole && value > 0)
        claim(!json_number_to_uint(number, value - 1, &other), "a number stays below a bound");
    free(digits);
}

static unsigned walk_value(struct json_span outside, struct json_span value, unsigned level);

static unsigned walk_object(struct json_span object, unsigned level)
{
    struct json_walk walk = json_walk_start(object);
    struct json_span key, value;
    unsigned deepest = 0;

    while (json_next_member(&walk, &key, &value)) {
        unsigned depth = walk_value(object, value, level);

        claim(json_type(key) == JSON_STRING, "a key is a string");
        walk_value(object, key, level);
        deepest = depth > deepest ? depth : deepest;
    }
    return deepest + 1;
}

static unsigned walk_array(struct json_span array, unsigned level)
{
    struct json_walk walk = json_walk_start(array);
    struct json_span value;
    unsigned deepest = 0;

    while (json_next_element(&walk, &value)) {
        unsigned depth = walk_value(array, value, level);

        deepest = depth > deepest ? depth : deepest;
    }
    return deepest + 1;
}

/* Its depth. */
static unsigned walk_value(struct json_span outside, struct json_span value, unsigned level)
{
    struct json_error error;

    claim(value.length > 0 && value.start >= outside.start &&
              value.start + value.length <= outside.start + outside.length,
          "a value stands within the one around it");
    claim(!isspace((unsigned char)value.start[0]) &&
              !isspace((unsigned char)value.start[value.length - 1]),
          "a value has no space around it");
    if (level < LEVELS_AGAIN)
        claim(is_valid(value.start, value.length, JSON_DEPTH_LIMIT, &error),
              "a value is valid by itself");
    switch (json_type(value)) {
    case JSON_OBJECT:
        return walk_object(value, level + 1);
    case JSON_ARRAY:
        return walk_array(value, level + 1);
    case JSON_STRING:
        check_decoding(value);
        return 0;
    case JSON_NUMBER:
        check_number(value);
        return 0;
    default:
        return 0;
    }
}

static void check_valid(const char *text, size_t length)
{
    char *copy = exact_copy(text, length);
    struct json_span whole = {copy, length};
    unsigned depth = walk_value(whole, json_root(copy, length), 0);
    struct json_error error;

    claim(is_valid(text, length, depth > 0 ? depth : 1, &error), "its depth is enough for a text");
    if (depth > 1)
        claim(!is_valid(text, length, depth - 1, &error), "less than its depth is too little");
    free(copy);
}

/* ---- what is cut ---- */

static void check_cut(const char *text, size_t cut, bool whole_is_valid, size_t wrong_at)
{
    struct json_error error;
    bool valid = is_valid(text, cut, JSON_DEPTH_LIMIT, &error);

    if (whole_is_valid || cut <= wrong_at)
        claim(valid || error.offset == cut, "a cut text is wrong at its end");
    else if (cut >= wrong_at + 4) /* what is wrong can be told by 4 bytes */
        claim(!valid && error.offset == wrong_at, "what follows does not move an error");
}

static void check_cuts(const char *text, size_t length, bool valid, size_t wrong_at)
{
    size_t step = length < EVERY_CUT_BELOW ? 1 : length / SOME_CUTS;

    for (size_t cut = 0; cut < length; cut += step)
        check_cut(text, cut, valid, wrong_at);
}

/* ---- bytes that are to become a string ---- */

static void check_writing(const char *bytes, size_t length)
{
    char *copy = exact_copy(bytes, length);
    struct buf out;

    buf_init(&out, BUF_UNLIMITED);
    claim(json_write_string(&out, copy, length), "any bytes can be written as a string");
    claim_json(&out, "any bytes written as a string are JSON");
    out.len = 0;
    claim(json_write_base64(&out, copy, length), "any bytes can be written as base64");
    claim_json(&out, "base64 is JSON");
    claim(out.len == 2 + (length + 2) / 3 * 4, "base64 has its length");
    buf_release(&out);
    free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    struct json_error error = {0, ""};
    bool valid = is_valid(text, size, JSON_DEPTH_LIMIT, &error);

    if (valid)
        check_valid(text, size);
    check_cuts(text, size, valid, error.offset);
    check_writing(text, size);
    return 0;
}
