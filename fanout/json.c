/*
 * The strict validator, and UTF-8. One loop, no recursion: a flag for each open
 * bracket says whether it is an object's. Every step takes the place where it
 * begins and returns the place behind what it read, or NULL when it has failed.
 */
#include "fanout/json.h"

#include "fanout/json_scan.h"

#include <assert.h>

struct reader {
    const unsigned char *start;
    const unsigned char *end;
    const unsigned char *wrong_at;
    const char *wrong;
    unsigned depth;
    unsigned max_depth;
    bool *is_object; /* for each open bracket, the outermost first: whether it is a { */
};

__attribute__((cold, noinline)) static const unsigned char *
fail(struct reader *reader, const unsigned char *at, const char *message)
{
    reader->wrong_at = at;
    reader->wrong = message;
    return NULL;
}

static bool is_next(const struct reader *reader, const unsigned char *at, unsigned char c)
{
    return at < reader->end && *at == c;
}

/* Strings. */

static bool is_hex(unsigned char c)
{
    unsigned char lower = c | 0x20;

    return json_is_digit(c) || (lower >= 'a' && lower <= 'f');
}

static const unsigned char *read_hex(struct reader *reader, const unsigned char *at, int digits)
{
    for (; digits > 0; digits--, at++)
        if (at == reader->end || !is_hex(*at))
            return fail(reader, at, "expected a hexadecimal digit");
    return at;
}

/* What must follow \uD800 to \uDBFF. */
static const unsigned char *read_low_surrogate(struct reader *reader, const unsigned char *at)
{
    static const char *const allowed[] = {"\\", "u", "dD", "cdefCDEF"};

    for (size_t i = 0; i < sizeof allowed / sizeof allowed[0]; i++, at++)
        if (at == reader->end || memchr(allowed[i], *at, strlen(allowed[i])) == NULL)
            return fail(reader, at, "expected \\uDC00 to \\uDFFF behind a high surrogate");
    return read_hex(reader, at, 2);
}

/* The second digit of \uDxxx tells a surrogate. */
static const unsigned char *read_after_d(struct reader *reader, const unsigned char *at)
{
    if (at == reader->end || !is_hex(*at) || *at <= '7')
        return read_hex(reader, at, 3);
    if ((*at | 0x20) >= 'c')
        return fail(reader, at, "expected a high surrogate before a low one");
    at = read_hex(reader, at, 3);
    return at != NULL ? read_low_surrogate(reader, at) : NULL;
}

/* Begins behind the backslash. */
static const unsigned char *read_escape(struct reader *reader, const unsigned char *at)
{
    static const char letters[] = {'"', '\\', '/', 'b', 'f', 'n', 'r', 't'};

    if (is_next(reader, at, 'u')) {
        at++;
        if (is_next(reader, at, 'd') || is_next(reader, at, 'D'))
            return read_after_d(reader, at + 1);
        return read_hex(reader, at, 4);
    }
    if (at == reader->end || memchr(letters, *at, sizeof letters) == NULL)
        return fail(reader, at, "expected one of \" \\ / b f n r t u behind a backslash");
    return at + 1;
}

static const unsigned char *read_utf8(struct reader *reader, const unsigned char *at)
{
    switch (json_utf8_run(&at, reader->end).state) {
    case JSON_UTF8_WHOLE:
        return at;
    case JSON_UTF8_CUT:
        return fail(reader, reader->end, "expected the rest of a UTF-8 sequence");
    default:
        return fail(reader, at, "expected valid UTF-8");
    }
}

/* Begins at what is not plain in a string and not its end. */
static const unsigned char *read_special(struct reader *reader, const unsigned char *at)
{
    if (at == reader->end)
        return fail(reader, at, "expected the end of the string");
    if (*at == '\\')
        return read_escape(reader, at + 1);
    if (*at < 0x20)
        return fail(reader, at, "expected no bare control byte in a string");
    return read_utf8(reader, at);
}

__attribute__((noinline)) static const unsigned char *read_rest_of_string(struct reader *reader,
                                                                          const unsigned char *at)
{
    at = json_plain_end(at, reader->end);
    while (!is_next(reader, at, '"')) {
        at = read_special(reader, at);
        if (at == NULL)
            return NULL;
        at = json_plain_end(at, reader->end);
    }
    return at + 1;
}

/* Begins behind the quote. Most strings are short and plain. */
static inline const unsigned char *read_string(struct reader *reader, const unsigned char *at)
{
    if (reader->end - at > JSON_BLOCK) {
        const unsigned char *behind = at + json_plain_count(at);

        if (*behind == '"')
            return behind + 1;
    }
    return read_rest_of_string(reader, at);
}

/* Numbers and words. */

static const unsigned char *read_digits(struct reader *reader, const unsigned char *at)
{
    if (at == reader->end || !json_is_digit(*at))
        return fail(reader, at, "expected a digit");
    while (at < reader->end && json_is_digit(*at))
        at++;
    return at;
}

static const unsigned char *read_exponent(struct reader *reader, const unsigned char *at)
{
    if (is_next(reader, at, '+') || is_next(reader, at, '-'))
        at++;
    return read_digits(reader, at);
}

static const unsigned char *read_whole(struct reader *reader, const unsigned char *at)
{
    if (!is_next(reader, at, '0'))
        return read_digits(reader, at);
    at++;
    if (at < reader->end && json_is_digit(*at))
        return fail(reader, at, "expected no digit behind a leading 0");
    return at;
}

static const unsigned char *read_number(struct reader *reader, const unsigned char *at)
{
    at = read_whole(reader, *at == '-' ? at + 1 : at);
    if (at != NULL && is_next(reader, at, '.'))
        at = read_digits(reader, at + 1);
    if (at != NULL && (is_next(reader, at, 'e') || is_next(reader, at, 'E')))
        at = read_exponent(reader, at + 1);
    return at;
}

static inline const unsigned char *read_word(struct reader *reader, const unsigned char *at,
                                             const char *word, size_t length)
{
    if ((size_t)(reader->end - at) >= length && memcmp(at, word, length) == 0)
        return at + length;
    while (is_next(reader, at, (unsigned char)*word))
        at++, word++;
    return fail(reader, at, "expected true, false or null");
}

static bool is_behind_bracket(const struct reader *reader, const unsigned char *at)
{
    while (at > reader->start && json_is_space(at[-1]))
        at--;
    return at > reader->start && at[-1] == '[';
}

static const unsigned char *no_value(struct reader *reader, const unsigned char *at)
{
    if (at == reader->start && reader->end - at >= 3 && memcmp(at, "\xef\xbb\xbf", 3) == 0)
        return fail(reader, at, "expected a value, not a byte order mark");
    return fail(reader, at,
                is_behind_bracket(reader, at) ? "expected a value or ']'" : "expected a value");
}

static const unsigned char *read_scalar(struct reader *reader, const unsigned char *at)
{
    if (at == reader->end)
        return no_value(reader, at);
    if (*at == '"')
        return read_string(reader, at + 1);
    if (*at == '-' || json_is_digit(*at))
        return read_number(reader, at);
    switch (*at) {
    case 't':
        return read_word(reader, at, "true", 4);
    case 'f':
        return read_word(reader, at, "false", 5);
    case 'n':
        return read_word(reader, at, "null", 4);
    default:
        return no_value(reader, at);
    }
}

/* Brackets. */

/* Reads "key": up to where its value begins. */
static inline const unsigned char *read_key(struct reader *reader, const unsigned char *at,
                                            const char *expected)
{
    if (!is_next(reader, at, '"'))
        return fail(reader, at, expected);
    at = read_string(reader, at + 1);
    if (at == NULL)
        return NULL;
    if (!is_next(reader, at, ':')) /* most often it is: no space to look for */
        at = json_skip_space(at, reader->end);
    if (!is_next(reader, at, ':'))
        return fail(reader, at, "expected ':'");
    return json_skip_space(at + 1, reader->end);
}

/* Returns where the first value inside begins; [] and {} are read whole and not left open. */
static const unsigned char *open_bracket(struct reader *reader, const unsigned char *at)
{
    bool is_object = *at == '{';

    if (reader->depth == reader->max_depth)
        return fail(reader, at, "nested deeper than allowed");
    at = json_skip_space(at + 1, reader->end);
    if (is_next(reader, at, is_object ? '}' : ']'))
        return at + 1;
    reader->is_object[reader->depth++] = is_object;
    return is_object ? read_key(reader, at, "expected a key in quotes or '}'") : at;
}

/* Opens brackets until one value has been read whole: a scalar, [] or {}. */
static const unsigned char *read_first(struct reader *reader, const unsigned char *at)
{
    while (is_next(reader, at, '{') || is_next(reader, at, '[')) {
        unsigned outside = reader->depth;

        at = open_bracket(reader, at);
        if (at == NULL || reader->depth == outside)
            return at;
    }
    return read_scalar(reader, at);
}

/* Closes brackets up to a comma and returns where the value behind it begins, or closes all. */
static const unsigned char *read_next(struct reader *reader, const unsigned char *at)
{
    while (reader->depth > 0) {
        bool object = reader->is_object[reader->depth - 1];

        if (!is_next(reader, at, ','))
            at = json_skip_space(at, reader->end);
        if (is_next(reader, at, ',')) {
            at = json_skip_space(at + 1, reader->end);
            return object ? read_key(reader, at, "expected a key in quotes") : at;
        }
        if (!is_next(reader, at, object ? '}' : ']'))
            return fail(reader, at, object ? "expected ',' or '}'" : "expected ',' or ']'");
        reader->depth--;
        at++;
    }
    return at;
}

static const unsigned char *read_text(struct reader *reader)
{
    const unsigned char *at = json_skip_space(reader->start, reader->end);

    do {
        at = read_first(reader, at);
        if (at != NULL)
            at = read_next(reader, at);
    } while (at != NULL && reader->depth > 0);
    if (at == NULL)
        return NULL;
    at = json_skip_space(at, reader->end);
    return at == reader->end ? at : fail(reader, at, "expected the end of the text");
}

bool json_validate(const char *text, size_t length, unsigned max_depth, struct json_error *error)
{
    const unsigned char *start = (const unsigned char *)(length > 0 ? text : "");
    bool is_object[JSON_DEPTH_LIMIT];
    struct reader reader = {
        .start = start,
        .end = start + length,
        .max_depth = max_depth,
        .is_object = is_object,
    };

    assert(max_depth >= 1 && max_depth <= JSON_DEPTH_LIMIT);
    if (read_text(&reader) != NULL)
        return true;
    if (error != NULL)
        *error = (struct json_error){(size_t)(reader.wrong_at - start), reader.wrong};
    return false;
}

/* The first byte that is not ASCII, or end. */
static const unsigned char *ascii_end(const unsigned char *at, const unsigned char *end)
{
    while (end - at >= JSON_WORD) {
        uint64_t found = json_word(at) & JSON_WORD_OF(0x80);

        if (found != 0)
            return json_word_found(at, found);
        at += JSON_WORD;
    }
    while (at < end && *at < 0x80)
        at++;
    return at;
}

size_t json_utf8_prefix(const char *bytes, size_t length)
{
    const unsigned char *start = (const unsigned char *)(length > 0 ? bytes : "");
    const unsigned char *end = start + length;
    const unsigned char *at = ascii_end(start, end);

    while (at < end && json_utf8_run(&at, end).state == JSON_UTF8_WHOLE)
        at = ascii_end(at, end);
    return (size_t)(at - start);
}
