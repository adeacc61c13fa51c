/*
 * Spans inside a validated text: finding, naming and reading values. The
 * validator has vouched for the grammar, so nothing here checks it again.
 */
#include "fanout/json.h"

#include "fanout/json_scan.h"

/* Beyond any exponent that the digits of a text in memory could make up for. */
#define EXPONENT_LIMIT (INT64_MAX / 16)

const char *json_type_name(enum json_type type)
{
    static const char *const names[] = {
        [JSON_NULL] = "null",        [JSON_FALSE] = "false",     [JSON_TRUE] = "true",
        [JSON_NUMBER] = "a number",  [JSON_STRING] = "a string", [JSON_ARRAY] = "an array",
        [JSON_OBJECT] = "an object",
    };

    return names[type];
}

enum json_type json_type(struct json_span value)
{
    switch (value.start[0]) {
    case 'n':
        return JSON_NULL;
    case 'f':
        return JSON_FALSE;
    case 't':
        return JSON_TRUE;
    case '"':
        return JSON_STRING;
    case '[':
        return JSON_ARRAY;
    case '{':
        return JSON_OBJECT;
    default:
        return JSON_NUMBER;
    }
}

static const char *skip_space(const char *at, const char *end)
{
    return (const char *)json_skip_space((const unsigned char *)at, (const unsigned char *)end);
}

struct json_span json_root(const char *text, size_t length)
{
    const char *end = text + length;
    const char *at = skip_space(text, end);

    while (end > at && json_is_space((unsigned char)end[-1]))
        end--;
    return (struct json_span){at, (size_t)(end - at)};
}

/* Where values end. */

static const char *string_end(const char *at, const char *end)
{
    const unsigned char *byte = (const unsigned char *)at + 1;
    const unsigned char *last = (const unsigned char *)end;

    for (;;) {
        byte = json_plain_end(byte, last);
        while (*byte >= 0x80)
            byte++;
        if (*byte == '"')
            return (const char *)byte + 1;
        if (*byte == '\\')
            byte += 2;
    }
}

static const char *container_end(const char *at, const char *end)
{
    size_t depth = 0;

    do {
        if (*at == '"') {
            at = string_end(at, end);
            continue;
        }
        if (*at == '{' || *at == '[')
            depth++;
        else if (*at == '}' || *at == ']')
            depth--;
        at++;
    } while (depth > 0);
    return at;
}

static const char *value_end(const char *at, const char *end)
{
    if (*at == '"')
        return string_end(at, end);
    if (*at == '{' || *at == '[')
        return container_end(at, end);
    while (at < end && *at != ',' && !json_is_space((unsigned char)*at))
        at++;
    return at;
}

/* Walking. */

struct json_walk json_walk_start(struct json_span object_or_array)
{
    const char *inside = object_or_array.start + 1;
    const char *end = object_or_array.start + object_or_array.length - 1;

    return (struct json_walk){skip_space(inside, end), end};
}

/* Takes the value that the walk stands at, and the separator behind it. */
static struct json_span take(struct json_walk *walk, char separator)
{
    const char *start = walk->at;
    const char *end = value_end(start, walk->end);

    walk->at = skip_space(end, walk->end);
    if (walk->at < walk->end && *walk->at == separator)
        walk->at = skip_space(walk->at + 1, walk->end);
    return (struct json_span){start, (size_t)(end - start)};
}

bool json_next_member(struct json_walk *walk, struct json_span *key, struct json_span *value)
{
    if (walk->at == walk->end)
        return false;
    *key = take(walk, ':');
    *value = take(walk, ',');
    return true;
}

bool json_next_element(struct json_walk *walk, struct json_span *value)
{
    if (walk->at == walk->end)
        return false;
    *value = take(walk, ',');
    return true;
}

/* Strings. */

static uint32_t hex_value(char c)
{
    return json_is_digit((unsigned char)c) ? (uint32_t)(c - '0')
                                           : (uint32_t)((c | 0x20) - 'a' + 10);
}

static uint32_t hex4(const char *at)
{
    return hex_value(at[0]) << 12 | hex_value(at[1]) << 8 | hex_value(at[2]) << 4 |
           hex_value(at[3]);
}

static size_t encode_utf8(uint32_t point, char *out)
{
    size_t length = point < 0x80 ? 1 : point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
    static const unsigned char lead[] = {0, 0, 0xc0, 0xe0, 0xf0};

    for (size_t i = length - 1; i > 0; i--, point >>= 6)
        out[i] = (char)(0x80 | (point & 0x3f));
    out[0] = (char)(lead[length] | point);
    return length;
}

/* Decodes what stands behind \u, one half or a pair of surrogates. */
static size_t decode_unicode(const char **at, char *out)
{
    uint32_t point = hex4(*at);

    *at += 4;
    if (point >= 0xd800 && point < 0xdc00) {
        point = 0x10000 + ((point - 0xd800) << 10) + (hex4(*at + 2) - 0xdc00);
        *at += 6;
    }
    return encode_utf8(point, out);
}

/* Decodes the escape whose backslash is at *at into out[4]; moves *at behind it. */
static size_t decode_escape(const char **at, char *out)
{
    static const char letters[] = "bfnrt";
    static const char meanings[] = "\b\f\n\r\t";
    char letter = (*at)[1];
    const char *found = strchr(letters, letter);

    *at += 2;
    if (letter == 'u')
        return decode_unicode(at, out);
    out[0] = found != NULL ? meanings[found - letters] : letter;
    return 1;
}

bool json_string_equals(struct json_span string, const char *text)
{
    const char *at = string.start + 1;
    const char *end = string.start + string.length - 1;
    size_t left = strlen(text);

    while (at < end) {
        char piece[4] = {*at};
        size_t count = 1;

        if (*at == '\\')
            count = decode_escape(&at, piece);
        else
            at++;
        if (count > left || memcmp(piece, text, count) != 0)
            return false;
        text += count;
        left -= count;
    }
    return left == 0;
}

size_t json_string_decode(struct json_span string, char *out)
{
    const char *at = string.start + 1;
    const char *end = string.start + string.length - 1;
    char *to = out;

    while (at < end) {
        const char *backslash = memchr(at, '\\', (size_t)(end - at));
        size_t run = (size_t)((backslash != NULL ? backslash : end) - at);

        memcpy(to, at, run);
        at += run;
        to += run;
        if (at < end)
            to += decode_escape(&at, to);
    }
    *to = '\0';
    return (size_t)(to - out);
}

/* Numbers, in exact decimal arithmetic: a double would round. */

static int64_t read_exponent(const char *at, const char *end)
{
    bool negative = at < end && *at == '-';
    int64_t exponent = 0;

    if (at < end && (*at == '-' || *at == '+'))
        at++;
    for (; at < end && exponent < EXPONENT_LIMIT; at++)
        exponent = exponent * 10 + (*at - '0');
    return negative ? -exponent : exponent;
}

static bool append_digit(uint64_t *value, unsigned digit, uint64_t max)
{
    if (digit > max || *value > (max - digit) / 10)
        return false;
    *value = *value * 10 + digit;
    return true;
}

/* Appends the digits of the mantissa [at, end), the first of which stands for 10^power. */
static bool add_mantissa(uint64_t *value, const char *at, const char *end, int64_t *power,
                         uint64_t max)
{
    for (; at < end; at++) {
        unsigned digit = (unsigned)(*at - '0');

        if (*at == '.')
            continue;
        if (*power < 0 && digit != 0)
            return false;
        if (*power >= 0 && !append_digit(value, digit, max))
            return false;
        --*power;
    }
    return true;
}

static const char *find_first_of(const char *at, const char *end, const char *characters)
{
    while (at < end && strchr(characters, *at) == NULL)
        at++;
    return at;
}

bool json_number_to_uint(struct json_span number, uint64_t max, uint64_t *out)
{
    const char *end = number.start + number.length;
    const char *digits = number.start + (number.start[0] == '-' ? 1 : 0);
    const char *mantissa_end = find_first_of(digits, end, "eE");
    const char *point = find_first_of(digits, mantissa_end, ".");
    int64_t power = point - digits - 1;
    uint64_t value = 0;

    if (mantissa_end < end)
        power += read_exponent(mantissa_end + 1, end);
    if (!add_mantissa(&value, digits, mantissa_end, &power, max))
        return false;
    for (; power >= 0 && value != 0; power--)
        if (!append_digit(&value, 0, max))
            return false;
    if (value != 0 && digits != number.start)
        return false;
    *out = value;
    return true;
}
