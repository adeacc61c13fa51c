/* URLs and request targets as texts (RFC 3986). */
#include "fanout/url.h"

#include "fanout/mem.h"

#include <string.h>

char *url_plain(const struct url *url)
{
    return mem_printf("%s://%s%s%s%s", url->tls ? "https" : "http", url->authority, url->path,
                      url->query != NULL ? "?" : "", url->query != NULL ? url->query : "");
}

char *url_target(const struct url *url, const char *path, const char *query)
{
    const char *below = path != NULL ? path : "";
    const char *own_query = url->query != NULL ? url->query : "";
    const char *more_query = query != NULL ? query : "";
    size_t length = strlen(url->path);

    if (below[0] == '/' && url->path[length - 1] == '/')
        length--;
    return mem_printf("%.*s%s%s%s%s%s", (int)length, url->path, below,
                      own_query[0] != '\0' || more_query[0] != '\0' ? "?" : "", own_query,
                      own_query[0] != '\0' && more_query[0] != '\0' ? "&" : "", more_query);
}

static bool is_unreserved(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c != '\0' && strchr("-._~", c) != NULL);
}

static char *append_encoded(char *out, const char *bytes, size_t length)
{
    static const char digits[] = "0123456789ABCDEF";

    for (size_t i = 0; i < length; i++) {
        unsigned char byte = (unsigned char)bytes[i];

        if (is_unreserved(bytes[i])) {
            *out++ = bytes[i];
        } else {
            *out++ = '%';
            *out++ = digits[byte >> 4];
            *out++ = digits[byte & 15];
        }
    }
    return out;
}

char *url_query_add(char *query, const char *name, size_t name_length, const char *value,
                    size_t value_length)
{
    size_t used = query != NULL ? strlen(query) : 0;
    char *end;

    query = mem_realloc(query, used + 3 * (name_length + value_length) + sizeof "&=");
    end = query + used;
    if (used > 0)
        *end++ = '&';
    end = append_encoded(end, name, name_length);
    *end++ = '=';
    end = append_encoded(end, value, value_length);
    *end = '\0';
    return query;
}
