/* Field lines, and the fields that say where a body ends and what it is. */
#include "fanout/http_fields.h"

#include "fanout/mem.h"

#include <string.h>
#include <strings.h>

#define COUNT(array)      (sizeof(array) / sizeof((array)[0]))
#define MAX_LENGTH_DIGITS 18 /* fits into 63 bits */

/* RFC 9110, section 5.6.2 */
static const bool is_token[256] = {
    ['!'] = true,         ['#'] = true,         ['$'] = true,         ['%'] = true, ['&'] = true,
    ['\''] = true,        ['*'] = true,         ['+'] = true,         ['-'] = true, ['.'] = true,
    ['^'] = true,         ['_'] = true,         ['`'] = true,         ['|'] = true, ['~'] = true,
    ['0' ... '9'] = true, ['A' ... 'Z'] = true, ['a' ... 'z'] = true,
};

void http_fields_release(struct http_fields *fields)
{
    mem_free(fields->long_type);
    fields->long_type = NULL;
    fields->content_type = NULL;
}

/* ---- fields ---- */

static bool equals(const char *value, size_t length, const char *word)
{
    return length == strlen(word) && strncasecmp(value, word, length) == 0;
}

/* Of the fields that tell where the body ends, one may stand in a head, once (RFC 9112, 6.3). */
static bool is_told_already(const struct http_fields *fields)
{
    return fields->has_length || fields->is_chunked;
}

static const char told_twice[] = "the answer tells its length twice";

static const char *take_length(struct http_fields *fields, const char *value, size_t length)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < length && i < MAX_LENGTH_DIGITS; i++) {
        if (value[i] < '0' || value[i] > '9')
            return "the Content-Length of the answer is not a number";
        sum = sum * 10 + (unsigned)(value[i] - '0');
    }
    if (length == 0 || length > MAX_LENGTH_DIGITS)
        return "the Content-Length of the answer is not a number";
    if (is_told_already(fields))
        return told_twice;
    fields->has_length = true;
    fields->length = sum;
    return NULL;
}

static const char *take_transfer_coding(struct http_fields *fields, const char *value,
                                        size_t length)
{
    if (!equals(value, length, "chunked"))
        return "the Transfer-Encoding of the answer is not chunked";
    if (fields->is_http_1_0)
        return "the answer is in chunks, which HTTP/1.0 does not know";
    if (is_told_already(fields))
        return told_twice;
    fields->is_chunked = true;
    return NULL;
}

static void take_option(struct http_fields *fields, const char *option, const char *end)
{
    while (option < end && (*option == ' ' || *option == '\t'))
        option++;
    while (option < end && (end[-1] == ' ' || end[-1] == '\t'))
        end--;
    if (equals(option, (size_t)(end - option), "close"))
        fields->says_close = true;
    else if (equals(option, (size_t)(end - option), "keep-alive"))
        fields->says_keep_alive = true;
}

static const char *take_connection(struct http_fields *fields, const char *value, size_t length)
{
    static const char most_frequent[] = "keep-alive";
    const char *end = value + length, *comma;

    if (length == sizeof most_frequent - 1 && memcmp(value, most_frequent, length) == 0) {
        fields->says_keep_alive = true;
        return NULL;
    }
    while ((comma = memchr(value, ',', (size_t)(end - value))) != NULL) {
        take_option(fields, value, comma);
        value = comma + 1;
    }
    take_option(fields, value, end);
    return NULL;
}

static void keep_type(struct http_fields *fields, const char *value, size_t length)
{
    if (length < sizeof fields->short_type) {
        memcpy(fields->short_type, value, length);
        fields->short_type[length] = '\0';
        fields->content_type = fields->short_type;
    } else {
        fields->content_type = fields->long_type = mem_strndup(value, length);
    }
}

static const char *take_content_type(struct http_fields *fields, const char *value, size_t length)
{
    if (!fields->has_content_type && length > 0)
        keep_type(fields, value, length);
    fields->has_content_type = true;
    return NULL;
}

static const char *take_content_coding(struct http_fields *fields, const char *value, size_t length)
{
    if (fields->wrong_coding == NULL)
        fields->wrong_coding = content_codings_add(&fields->codings, value, length);
    return NULL;
}

static const char *take_retry_after(struct http_fields *fields, const char *value, size_t length)
{
    if (length < sizeof fields->retry_after) {
        memcpy(fields->retry_after, value, length);
        fields->retry_after[length] = '\0';
    }
    return NULL;
}

struct field {
    const char *name;
    size_t length;
    const char *(*take)(struct http_fields *fields, const char *value, size_t length);
};

#define FIELD(name, take)                                                                          \
    {                                                                                              \
        name, sizeof(name) - 1, take                                                               \
    }

static const struct field fields_read[] = {
    FIELD("Content-Type", take_content_type),
    FIELD("Content-Length", take_length),
    FIELD("Connection", take_connection),
    FIELD("Transfer-Encoding", take_transfer_coding),
    FIELD("Content-Encoding", take_content_coding),
    FIELD("Retry-After", take_retry_after),
};

static bool has_name(const struct field *field, const char *line, size_t length)
{
    return length > field->length && line[field->length] == ':' &&
           (memcmp(field->name, line, field->length) == 0 ||
            strncasecmp(field->name, line, field->length) == 0);
}

static const struct field *find_field(const char *line, size_t length)
{
    int first = line[0] | 0x20;

    if (first != 'c' && first != 't' && first != 'r')
        return NULL;
    for (size_t i = 0; i < COUNT(fields_read); i++)
        if (has_name(&fields_read[i], line, length))
            return &fields_read[i];
    return NULL;
}

static const char *read_field(struct http_fields *fields, const struct field *field,
                              const char *line, const char *end)
{
    const char *value = line + field->length + 1;

    fields->fold = HTTP_FIELDS_FOLD_REFUSED;
    while (value < end && (*value == ' ' || *value == '\t'))
        value++;
    while (value < end && (end[-1] == ' ' || end[-1] == '\t'))
        end--;
    return field->take(fields, value, (size_t)(end - value));
}

/* ---- lines ---- */

static const char *take_fold(const struct http_fields *fields)
{
    switch (fields->fold) {
    case HTTP_FIELDS_FOLD_IGNORED:
        return NULL;
    case HTTP_FIELDS_FOLD_REFUSED:
        return "a field of the answer that matters is folded over two lines";
    case HTTP_FIELDS_NO_FOLD:
        break;
    }
    return "the first field of the answer begins with a blank";
}

const char *http_fields_take(struct http_fields *fields, const char *line, size_t length)
{
    const struct field *field = fields->is_ignored ? NULL : find_field(line, length);
    const char *colon = line;

    if (field != NULL)
        return read_field(fields, field, line, line + length);
    if (*line == ' ' || *line == '\t')
        return take_fold(fields);
    fields->fold = HTTP_FIELDS_FOLD_IGNORED;
    while (is_token[(unsigned char)*colon]) /* no line end is, so it stops there at the latest */
        colon++;
    return *colon == ':' && colon > line
               ? NULL
               : "a header line of the answer is not a name, a colon and a value";
}
