/* The head of an upstream's answer, line by line. */
#include "fanout/transport_head.h"

#include <string.h>
#include <strings.h>

#define MAX_HEAD_BYTES    (64 * 1024)
#define MAX_LENGTH_DIGITS 18 /* fits into an off_t */

static bool is_field(const char *line, size_t count, const char *name)
{
    size_t length = strlen(name);

    return count > length && line[length] == ':' && strncasecmp(line, name, length) == 0;
}

static bool is_status_line(const char *line, size_t count)
{
    return count >= 5 && strncasecmp(line, "HTTP/", 5) == 0;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_end(const char *line, size_t at, size_t count)
{
    return at >= count || line[at] == '\r' || line[at] == '\n';
}

/* "HTTP/1.1 200 OK" or "HTTP/1.0 200" (RFC 9112, section 4). libcurl takes much else for a 200. */
static bool is_good_status_line(const char *line, size_t count)
{
    return count >= 12 && memcmp(line, "HTTP/1.", 7) == 0 && (line[7] == '0' || line[7] == '1') &&
           line[8] == ' ' && line[9] >= '1' && line[9] <= '5' && is_digit(line[10]) &&
           is_digit(line[11]) && (is_end(line, 12, count) || line[12] == ' ');
}

/* What stands behind the colon, without blanks and the line end. */
static size_t trim(const char **value, size_t count)
{
    while (count > 0 && (**value == ' ' || **value == '\t')) {
        (*value)++;
        count--;
    }
    while (count > 0 && strchr(" \t\r\n", (*value)[count - 1]) != NULL &&
           (*value)[count - 1] != '\0')
        count--;
    return count;
}

static bool is_length(const char *value, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!is_digit(value[i]))
            return false;
    return count > 0 && count <= MAX_LENGTH_DIGITS;
}

static const char *check_field(struct transport_head *head, const char *line, size_t count)
{
    bool is_content_length = is_field(line, count, "Content-Length");
    const char *value;
    size_t length;

    if (!is_content_length && !is_field(line, count, "Transfer-Encoding"))
        return NULL;
    value = (const char *)memchr(line, ':', count) + 1;
    length = trim(&value, count - (size_t)(value - line));
    if (is_content_length && !is_length(value, length))
        return "the Content-Length of the answer is not a number";
    if (!is_content_length && (length != 7 || strncasecmp(value, "chunked", 7) != 0))
        return "the Transfer-Encoding of the answer is not chunked";
    return ++head->lengths < 2 ? NULL : "the answer tells its length twice";
}

const char *transport_head_take(struct transport_head *head, const char *line, size_t count)
{
    head->bytes += count;
    if (head->bytes > MAX_HEAD_BYTES)
        return "the header section of the answer is larger than 64 KiB";
    if (is_end(line, 0, count)) {
        head->is_complete = true;
        return NULL;
    }
    if (!is_status_line(line, count))
        return check_field(head, line, count);
    head->lengths = 0; /* after an interim answer, a new one begins */
    head->is_complete = false;
    return is_good_status_line(line, count) ? NULL : "the answer has a bad status line";
}
