/*
 * The strict validator, and UTF-8. One loop, no recursion: of each open bracket
 * the one that closes it is kept. Every step takes the place where it begins and
 * returns the place behind what it read, or NULL when it has failed.
 *
 * Most steps are one function when compiled, with the reader in registers; so
 * what stands outside of it is given the text, and never the reader.
 */
#include "fanout/json.h"

#include "fanout/json_scan.h"

#include <assert.h>

#define INLINE static inline __attribute__((always_inline))
#define RARE   __attribute__((cold, noinline)) static

struct text {
    const unsigned char *start;
    const unsigned char *end;
    const unsigned char *wrong_at;
    const char *wrong;
};

struct reader {
    struct text *text;
    const unsigned char *end;    /* the text's */
    bool ends_in_bracket;        /* the text does: see has_byte */
    const unsigned char *window; /* 64 bytes that were looked through at once */
    uint64_t special;            /* for each of them, the first lowest: whether it is not plain */
    unsigned depth;
    unsigned max_depth;
    unsigned char *closing; /* for each open bracket, the outermost at 1; none is a NUL at 0 */
};

RARE void note_failure(struct text *text, const unsigned char *at, const char *message)
{
    text->wrong_at = at;
    text->wrong = message;
}

INLINE const unsigned char *fail(struct text *text, const unsigned char *at, const char *message)
{
    note_failure(text, at, message);
    return NULL;
}

/*
 * Whether there is a byte at `at`; not to be asked behind a closing bracket. Where the text ends in
 * one, but for white space, there always is: everything stops at that bracket, but a string, and
 * one that does not has no end. To look for the end there would be a third of the work.
 */
INLINE bool has_byte(const struct reader *reader, const unsigned char *at)
{
    return reader->ends_in_bracket || at < reader->end;
}

INLINE bool is_next(const struct reader *reader, const unsigned char *at, unsigned char c)
{
    return has_byte(reader, at) && *at == c;
}

INLINE const unsigned char *skip_space(const struct reader *reader, const unsigned char *at)
{
    while (has_byte(reader, at) && json_is_space(*at))
        at++;
    return at;
}

static bool text_has(const struct text *text, const unsigned char *at, unsigned char c)
{
    return at < text->end && *at == c;
}

/* Strings. */

static bool is_hex(unsigned char c)
{
    unsigned char lower = c | 0x20;

    return json_is_digit(c) || (lower >= 'a' && lower <= 'f');
}

static const unsigned char *read_hex(struct text *text, const unsigned char *at, int digits)
{
    for (; digits > 0; digits--, at++)
        if (at == text->end || !is_hex(*at))
            return fail(text, at, "expected a hexadecimal digit");
    return at;
}

/* What must follow \uD800 to \uDBFF. */
static const unsigned char *read_low_surrogate(struct text *text, const unsigned char *at)
{
    static const char *const allowed[] = {"\\", "u", "dD", "cdefCDEF"};

    for (size_t i = 0; i < sizeof allowed / sizeof allowed[0]; i++, at++)
        if (at == text->end || memchr(allowed[i], *at, strlen(allowed[i])) == NULL)
            return fail(text, at, "expected \\uDC00 to \\uDFFF behind a high surrogate");
    return read_hex(text, at, 2);
}

/* The second digit of \uDxxx tells a surrogate. */
static const unsigned char *read_after_d(struct text *text, const unsigned char *at)
{
    if (at == text->end || !is_hex(*at) || *at <= '7')
        return read_hex(text, at, 3);
    if ((*at | 0x20) >= 'c')
        return fail(text, at, "expected a high surrogate before a low one");
    at = read_hex(text, at, 3);
    return at != NULL ? read_low_surrogate(text, at) : NULL;
}

/* Begins behind the backslash of what is not a short escape. */
static const unsigned char *read_long_escape(struct text *text, const unsigned char *at)
{
    if (!text_has(text, at, 'u'))
        return fail(text, at, "expected one of \" \\ / b f n r t u behind a backslash");
    at++;
    if (text_has(text, at, 'd') || text_has(text, at, 'D'))
        return read_after_d(text, at + 1);
    return read_hex(text, at, 4);
}

static const unsigned char *read_utf8(struct text *text, const unsigned char *at)
{
    switch (json_utf8_run(&at, text->end).state) {
    case JSON_UTF8_WHOLE:
        return at;
    case JSON_UTF8_CUT:
        return fail(text, text->end, "expected the rest of a UTF-8 sequence");
    default:
        return fail(text, at, "expected valid UTF-8");
    }
}

/* Begins at what in a string is neither plain nor a short escape, nor the string's end. */
__attribute__((noinline)) static const unsigned char *read_special(struct text *text,
                                                                   const unsigned char *at)
{
    if (at == text->end)
        return fail(text, at, "expected the end of the string");
    if (*at == '\\')
        return read_long_escape(text, at + 1);
    if (*at < 0x20)
        return fail(text, at, "expected no bare control byte in a string");
    return read_utf8(text, at);
}

/* Of the window at `at`: what is not plain, and where the text ends. */
__attribute__((noinline)) static uint64_t find_special(const unsigned char *at,
                                                       const unsigned char *end)
{
    unsigned char last[JSON_WINDOW] = {0};

    if (end - at >= JSON_WINDOW)
        return json_special_64(at);
    memcpy(last, at, (size_t)(end - at));
    return json_special_64(last);
}

INLINE void move_window(struct reader *reader, const unsigned char *at)
{
    reader->window = at;
    reader->special = find_special(at, reader->end);
}

/* The first byte that is not plain, or the end. Windows lie where they are needed first, and
 * one behind the other where a string is long. */
INLINE const unsigned char *plain_end(struct reader *reader, const unsigned char *at)
{
    uint64_t special;

    if (at - reader->window >= JSON_WINDOW)
        move_window(reader, at);
    special = reader->special >> (at - reader->window);
    while (special == 0) {
        at = reader->window + JSON_WINDOW;
        move_window(reader, at);
        special = reader->special;
    }
    return at + __builtin_ctzll(special);
}

INLINE bool is_short_escape(const struct reader *reader, const unsigned char *at)
{
    static const bool is_letter[256] = {['"'] = true, ['\\'] = true, ['/'] = true, ['b'] = true,
                                        ['f'] = true, ['n'] = true,  ['r'] = true, ['t'] = true};

    return reader->end - at >= 2 && at[0] == '\\' && is_letter[at[1]];
}

/* Begins behind the quote. */
INLINE const unsigned char *read_string(struct reader *reader, const unsigned char *at)
{
    for (at = plain_end(reader, at); at == reader->end || *at != '"'; at = plain_end(reader, at)) {
        at = is_short_escape(reader, at) ? at + 2 : read_special(reader->text, at);
        if (at == NULL)
            return NULL;
    }
    return at + 1;
}

/* Numbers and words. */

INLINE const unsigned char *read_digits(struct reader *reader, const unsigned char *at)
{
    if (!has_byte(reader, at) || !json_is_digit(*at))
        return fail(reader->text, at, "expected a digit");
    do
        at++;
    while (has_byte(reader, at) && json_is_digit(*at));
    return at;
}

INLINE const unsigned char *read_exponent(struct reader *reader, const unsigned char *at)
{
    if (is_next(reader, at, '+') || is_next(reader, at, '-'))
        at++;
    return read_digits(reader, at);
}

/* Begins behind the sign. */
INLINE const unsigned char *read_number(struct reader *reader, const unsigned char *at)
{
    const unsigned char *first = at;

    at = read_digits(reader, at);
    if (at != NULL && *first == '0' && at > first + 1)
        return fail(reader->text, first + 1, "expected no digit behind a leading 0");
    if (at != NULL && is_next(reader, at, '.'))
        at = read_digits(reader, at + 1);
    if (at != NULL && (is_next(reader, at, 'e') || is_next(reader, at, 'E')))
        at = read_exponent(reader, at + 1);
    return at;
}

RARE const unsigned char *no_word(struct text *text, const unsigned char *at, const char *word)
{
    while (text_has(text, at, (unsigned char)*word))
        at++, word++;
    return fail(text, at, "expected true, false or null");
}

INLINE const unsigned char *read_word(struct reader *reader, const unsigned char *at,
                                      const char *word, size_t length)
{
    if ((size_t)(reader->end - at) >= length && memcmp(at, word, length) == 0)
        return at + length;
    return no_word(reader->text, at, word);
}

static bool is_behind(const struct text *text, const unsigned char *at, unsigned char bracket)
{
    while (at > text->start && json_is_space(at[-1]))
        at--;
    return at > text->start && at[-1] == bracket;
}

RARE const unsigned char *no_value(struct text *text, const unsigned char *at)
{
    if (at == text->start && text->end - at >= 3 && memcmp(at, "\xef\xbb\xbf", 3) == 0)
        return fail(text, at, "expected a value, not a byte order mark");
    return fail(text, at,
                is_behind(text, at, '[') ? "expected a value or ']'" : "expected a value");
}

INLINE const unsigned char *read_scalar(struct reader *reader, const unsigned char *at)
{
    if (has_byte(reader, at) && json_is_digit(*at))
        return read_number(reader, at);
    switch (has_byte(reader, at) ? *at : '\0') {
    case '"':
        return read_string(reader, at + 1);
    case '-':
        return read_number(reader, at + 1);
    case 't':
        return read_word(reader, at, "true", 4);
    case 'f':
        return read_word(reader, at, "false", 5);
    case 'n':
        return read_word(reader, at, "null", 4);
    default:
        return no_value(reader->text, at);
    }
}

/* Brackets. */

RARE const unsigned char *no_key(struct text *text, const unsigned char *at)
{
    return fail(text, at,
                is_behind(text, at, '{') ? "expected a key in quotes or '}'"
                                         : "expected a key in quotes");
}

/* Reads "key": up to where its value begins. */
INLINE const unsigned char *read_key(struct reader *reader, const unsigned char *at)
{
    if (!is_next(reader, at, '"'))
        return no_key(reader->text, at);
    at = read_string(reader, at + 1);
    if (at == NULL)
        return NULL;
    if (!is_next(reader, at, ':')) /* most often it is: no space to look for */
        at = skip_space(reader, at);
    if (!is_next(reader, at, ':'))
        return fail(reader->text, at, "expected ':'");
    return skip_space(reader, at + 1);
}

/* Returns where the first thing inside begins. */
INLINE const unsigned char *open_bracket(struct reader *reader, const unsigned char *at)
{
    if (reader->depth == reader->max_depth)
        return fail(reader->text, at, "nested deeper than allowed");
    reader->closing[++reader->depth] = *at == '{' ? '}' : ']';
    return skip_space(reader, at + 1);
}

RARE const unsigned char *no_comma(struct text *text, const unsigned char *at,
                                   unsigned char closing)
{
    return fail(text, at, closing == '}' ? "expected ',' or '}'" : "expected ',' or ']'");
}

/* Closes brackets up to a comma and returns where what is behind it begins, or closes all. */
INLINE const unsigned char *read_next(struct reader *reader, const unsigned char *at)
{
    while (reader->depth > 0) {
        unsigned char closing = reader->closing[reader->depth];

        at = json_skip_space(at, reader->end);
        if (at < reader->end && *at == ',')
            return skip_space(reader, at + 1);
        if (at == reader->end || *at != closing)
            return no_comma(reader->text, at, closing);
        reader->depth--;
        at++;
    }
    return at;
}

/* Reads a scalar with what is behind it, or opens a bracket; one with nothing inside is left for
 * read_next to close. */
INLINE const unsigned char *read_value(struct reader *reader, const unsigned char *at)
{
    if (is_next(reader, at, '{') || is_next(reader, at, '[')) {
        at = open_bracket(reader, at);
        if (at == NULL || !is_next(reader, at, reader->closing[reader->depth]))
            return at;
    } else {
        at = read_scalar(reader, at);
    }
    return at != NULL ? read_next(reader, at) : NULL;
}

INLINE const unsigned char *read_text(struct reader *reader)
{
    const unsigned char *at = skip_space(reader, reader->text->start);

    do {
        if (reader->closing[reader->depth] == '}')
            at = read_key(reader, at);
        if (at != NULL)
            at = read_value(reader, at);
    } while (at != NULL && reader->depth > 0);
    if (at == NULL)
        return NULL;
    at = json_skip_space(at, reader->end);
    return at == reader->end ? at : fail(reader->text, at, "expected the end of the text");
}

bool json_validate(const char *bytes, size_t length, unsigned max_depth, struct json_error *error)
{
    const unsigned char *start = (const unsigned char *)(length > 0 ? bytes : "");
    struct text text = {.start = start, .end = start + length};
    unsigned char closing[JSON_DEPTH_LIMIT + 1];
    struct reader reader = {
        .text = &text,
        .end = text.end,
        .max_depth = max_depth,
        .closing = closing,
    };
    bool is_valid;

    assert(max_depth >= 1 && max_depth <= JSON_DEPTH_LIMIT);
    closing[0] = '\0';
    move_window(&reader, start);
    if (is_behind(&text, text.end, '}') || is_behind(&text, text.end, ']')) {
        reader.ends_in_bracket = true; /* a constant for what is compiled into here */
        is_valid = read_text(&reader) != NULL;
    } else {
        reader.ends_in_bracket = false;
        is_valid = read_text(&reader) != NULL;
    }
    if (!is_valid && error != NULL)
        *error = (struct json_error){(size_t)(text.wrong_at - start), text.wrong};
    return is_valid;
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
