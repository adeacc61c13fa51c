/* The head of an upstream's answer, line by line. */
#include "fanout/transport_head.h"

#include <string.h>
#include <strings.h>

#define MAX_HEAD_BYTES (64 * 1024)

static bool is_field(const char *line, size_t count, const char *name)
{
    size_t length = strlen(name);

    return count > length && line[length] == ':' && strncasecmp(line, name, length) == 0;
}

static bool is_status_line(const char *line, size_t count)
{
    return count > 5 && memcmp(line, "HTTP/", 5) == 0;
}

static bool is_empty(const char *line, size_t count)
{
    return count == 0 || line[0] == '\r' || line[0] == '\n';
}

const char *transport_head_take(struct transport_head *head, const char *line, size_t count)
{
    head->bytes += count;
    if (head->bytes > MAX_HEAD_BYTES)
        return "the header section of the answer is larger than 64 KiB";
    if (is_status_line(line, count)) { /* after an interim answer, a new one begins */
        head->lengths = 0;
        head->is_complete = false;
    }
    if (is_empty(line, count))
        head->is_complete = true;
    if (is_field(line, count, "Content-Length") || is_field(line, count, "Transfer-Encoding"))
        head->lengths++;
    return head->lengths < 2 ? NULL : "the answer tells its length twice";
}
