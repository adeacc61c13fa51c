/*
 * URLs taken apart, and paths that callers add (RFC 3986).
 *
 * What a caller adds to a path is judged by its normal form: every percent-encoded byte decoded,
 * again and again until none is left. Decoding never makes a byte vanish, so a dot, a slash or a
 * backslash that any server on the way could come to see stands in the normal form too.
 */
#include "fanout/url.h"

#include "fanout/json.h"
#include "fanout/mem.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define MAX_URL_LENGTH   8192
#define MAX_HOST_LENGTH  253
#define MAX_LABEL_LENGTH 63

#define UNRESERVED "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"
#define SUB_DELIMS "!$&'()*+,;="

static const char path_characters[] = UNRESERVED SUB_DELIMS ":@/";
static const char query_characters[] = UNRESERVED SUB_DELIMS ":@/?";
static const char host_characters[] = "abcdefghijklmnopqrstuvwxyz0123456789-_.";

static bool is_one_of(char c, const char *set)
{
    return c != '\0' && strchr(set, c) != NULL;
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

static bool is_percent_triplet(const char *text)
{
    return text[0] == '%' && hex_value(text[1]) >= 0 && hex_value(text[2]) >= 0;
}

static const char *why_not_allowed(char c)
{
    unsigned char byte = (unsigned char)c;

    if (byte > 0x7e)
        return "non-ASCII bytes must be percent-encoded";
    if (byte < 0x20)
        return "control bytes are not allowed";
    switch (c) {
    case ' ':
        return "spaces must be percent-encoded";
    case '%':
        return "a '%' must be followed by two hexadecimal digits";
    case '\\':
        return "backslashes are not allowed";
    case '?':
        return "a '?' is not allowed in a path";
    case '#':
        return "fragments are not allowed";
    default:
        return "this character must be percent-encoded";
    }
}

/* Only characters of the set and percent-encoded bytes. */
static const char *check_characters(const char *text, size_t length, const char *set)
{
    for (size_t i = 0; i < length; i++) {
        if (length - i > 2 && is_percent_triplet(text + i))
            i += 2;
        else if (!is_one_of(text[i], set))
            return why_not_allowed(text[i]);
    }
    return NULL;
}

/* Decodes once, in place or not; returns the new length. */
static size_t decode_once(const char *text, size_t length, char *out)
{
    size_t count = 0;

    for (size_t i = 0; i < length; i++) {
        if (length - i > 2 && is_percent_triplet(text + i)) {
            out[count++] = (char)(hex_value(text[i + 1]) * 16 + hex_value(text[i + 2]));
            i += 2;
        } else {
            out[count++] = text[i];
        }
    }
    return count;
}

/*
 * Decodes in place until nothing is left to decode, in one pass: a byte just decoded may complete
 * an encoded byte with those before it ("%252e"), so the end of the output is looked at again.
 * (Passes over the whole text would take quadratic time on "%252525…".)
 */
static size_t decode_fully(char *text, size_t length)
{
    size_t count = 0;

    for (size_t i = 0; i < length; i++) {
        text[count++] = text[i];
        while (count > 2 && is_percent_triplet(text + count - 3)) {
            count -= 2;
            text[count - 1] = (char)(hex_value(text[count]) * 16 + hex_value(text[count + 1]));
        }
    }
    return count;
}

/*
 * "." and "..", also with parameters behind ("..;v=1", which some servers cut off before they
 * walk the path) or with spaces around (which some file systems cut off).
 */
static bool is_dot_segment(const char *segment, size_t length)
{
    const char *parameters = memchr(segment, ';', length);

    if (parameters != NULL)
        length = (size_t)(parameters - segment);
    while (length > 0 && segment[length - 1] == ' ')
        length--;
    while (length > 0 && segment[0] == ' ') {
        segment++;
        length--;
    }
    return (length == 1 && segment[0] == '.') ||
           (length == 2 && segment[0] == '.' && segment[1] == '.');
}

/* path: begins with '/', decoded. */
static const char *check_segments(const char *path, size_t length, bool allow_empty)
{
    const char *end = path + length;

    while (path < end) {
        const char *segment = path + 1;
        const char *next = memchr(segment, '/', (size_t)(end - segment));

        if (next == segment && !allow_empty)
            return "empty segments ('//') are not allowed";
        path = next != NULL ? next : end;
        if (is_dot_segment(segment, (size_t)(path - segment)))
            return "dot segments ('.' and '..') are not allowed";
    }
    return NULL;
}

static const char *check_decoded_bytes(const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        unsigned char byte = (unsigned char)text[i];

        if (byte < 0x20 || byte == 0x7f)
            return "percent-encoded control bytes are not allowed";
        if (byte == '\\')
            return "backslashes are not allowed";
    }
    if (json_utf8_prefix(text, length) != length)
        return "percent-encoded bytes must be UTF-8";
    return NULL;
}

const char *url_check_path(const char *path, size_t length)
{
    char decoded[MAX_URL_LENGTH];
    const char *wrong;
    size_t count;

    if (length == 0 || path[0] != '/')
        return "it must start with '/'";
    if (length > sizeof decoded)
        return "it is longer than 8192 bytes";
    wrong = check_characters(path, length, path_characters);
    if (wrong != NULL)
        return wrong;
    count = decode_once(path, length, decoded);
    wrong = check_decoded_bytes(decoded, count);
    if (wrong != NULL)
        return wrong;
    count = decode_fully(decoded, count);
    wrong = check_decoded_bytes(decoded, count);
    if (wrong != NULL)
        return wrong;
    return check_segments(decoded, count, false);
}

static const struct {
    const char *text;
    bool tls;
    bool is_srv;
} schemes[] = {
    {"http://", false, false},
    {"https://", true, false},
    {"http+srv://", false, true},
    {"https+srv://", true, true},
};

/* Takes the scheme off the front; NULL: it is none of these. */
static const char *parse_scheme(const char *text, struct url *url)
{
    for (size_t i = 0; i < sizeof schemes / sizeof schemes[0]; i++) {
        size_t length = strlen(schemes[i].text);

        if (strncasecmp(text, schemes[i].text, length) != 0)
            continue;
        url->tls = schemes[i].tls;
        url->is_srv = schemes[i].is_srv;
        return text + length;
    }
    return NULL;
}

static const char *parse_port(const char *text, const char *end, struct url *url)
{
    unsigned long port = 0;

    if (text == end)
        return "the port behind ':' is missing";
    for (; text < end; text++) {
        if (*text < '0' || *text > '9')
            return "the port must be a number";
        port = port * 10 + (unsigned long)(*text - '0');
        if (port > UINT16_MAX)
            return "the port must be at most 65535";
    }
    if (port == 0)
        return "port 0 is not allowed";
    url->port = (uint16_t)port;
    return NULL;
}

/* Owns nothing yet: *url->host is set on success only. */
static const char *parse_ipv6(const char *text, size_t length, struct url *url)
{
    struct in6_addr address;
    char name[INET6_ADDRSTRLEN];

    if (length >= sizeof name)
        return "what stands in brackets is not an IPv6 address";
    memcpy(name, text, length);
    name[length] = '\0';
    if (inet_pton(AF_INET6, name, &address) != 1)
        return "what stands in brackets is not an IPv6 address";
    inet_ntop(AF_INET6, &address, name, sizeof name);
    url->host = mem_strdup(name);
    url->host_is_ip = true;
    return NULL;
}

static const char *check_host_name(const char *host)
{
    size_t label = 0;

    if (host[0] == '\0')
        return "the host is missing";
    if (strlen(host) > MAX_HOST_LENGTH)
        return "the host is longer than 253 bytes";
    for (const char *at = host; *at != '\0'; at++) {
        if (!is_one_of(*at, host_characters))
            return "the host may hold only letters, digits, '-', '_' and '.'";
        if (*at == '.' && label == 0)
            return "the host has an empty label";
        label = *at == '.' ? 0 : label + 1;
        if (label > MAX_LABEL_LENGTH)
            return "the host has a label longer than 63 bytes";
    }
    return NULL;
}

/*
 * Whether the last label is a number, so that some reader would take the host for an IPv4 address
 * ("127.1", "0x7f000001"; URL Standard, "ends in a number"). host: valid.
 */
static bool ends_in_number(const char *host)
{
    size_t end = strlen(host);
    size_t start;

    if (host[end - 1] == '.')
        end--;
    for (start = end; start > 0 && host[start - 1] != '.';)
        start--;
    if (start + 2 <= end && strncmp(host + start, "0x", 2) == 0)
        return start + 2 + strspn(host + start + 2, "0123456789abcdef") >= end;
    return start + strspn(host + start, "0123456789") >= end;
}

static const char *parse_host_name(const char *text, size_t length, struct url *url)
{
    struct in_addr address;
    const char *wrong;

    url->host = mem_strndup(text, length);
    for (char *at = url->host; *at != '\0'; at++)
        if (*at >= 'A' && *at <= 'Z')
            *at = (char)(*at - 'A' + 'a');
    url->host_is_ip = inet_pton(AF_INET, url->host, &address) == 1;
    wrong = check_host_name(url->host);
    if (wrong == NULL && !url->host_is_ip && ends_in_number(url->host))
        wrong = "the host is not a valid IPv4 address (four numbers up to 255)";
    return wrong;
}

/* Behind a label like "_api" and its dot; NULL: there is none. */
static const char *behind_underscored(const char *name)
{
    size_t length = strcspn(name, ".");

    return name[0] == '_' && length > 1 && name[length] == '.' ? name + length + 1 : NULL;
}

/* RFC 2782, "The format of the SRV RR". */
static const char *parse_service(const char *text, size_t length, struct url *url)
{
    const char *protocol, *domain;
    const char *wrong = parse_host_name(text, length, url);

    url->srv_name = url->host;
    url->host = NULL;
    if (wrong != NULL)
        return wrong;
    protocol = behind_underscored(url->srv_name);
    domain = protocol != NULL ? behind_underscored(protocol) : NULL;
    if (domain == NULL || domain[0] == '\0')
        return "with +srv, the host must be _service._proto.domain, like _api._tcp.users.internal";
    url->host = mem_strdup(domain);
    return NULL;
}

/* text[0..length): "host" or "[::1]"; *end is set to what follows. */
static const char *parse_host(const char *text, size_t length, const char **end, struct url *url)
{
    if (length > 0 && text[0] == '[' && !url->is_srv) {
        *end = memchr(text, ']', length);
        if (*end == NULL)
            return "a ']' is missing";
        return parse_ipv6(text + 1, (size_t)((*end)++ - text - 1), url);
    }
    *end = memchr(text, ':', length);
    if (*end == NULL)
        *end = text + length;
    if (url->is_srv)
        return parse_service(text, (size_t)(*end - text), url);
    return parse_host_name(text, (size_t)(*end - text), url);
}

static const char *parse_authority(const char *text, size_t length, struct url *url)
{
    const char *end;
    const char *wrong;
    bool is_ipv6 = length > 0 && text[0] == '[' && !url->is_srv;

    if (memchr(text, '@', length) != NULL)
        return "user names in a URL are not allowed";
    wrong = parse_host(text, length, &end, url);
    if (wrong != NULL)
        return wrong;
    url->authority = mem_printf(is_ipv6 ? "[%s]" : "%s", url->host);
    url->port = url->tls ? 443 : 80;
    if (end == text + length)
        return NULL;
    if (*end != ':')
        return "only ':' and a port may follow the host";
    if (url->is_srv)
        return "with +srv, there must be no port: each SRV record has its own";
    wrong = parse_port(end + 1, text + length, url);
    free(url->authority);
    url->authority = mem_printf(is_ipv6 ? "[%s]:%u" : "%s:%u", url->host, (unsigned)url->port);
    return wrong;
}

static const char *parse_path(const char *text, size_t length, struct url *url)
{
    const char *wrong = check_characters(text, length, path_characters);
    char *decoded;

    if (wrong != NULL)
        return wrong;
    url->path = length > 0 ? mem_strndup(text, length) : mem_strdup("/");
    decoded = mem_strdup(url->path);
    wrong = check_segments(decoded, decode_fully(decoded, strlen(decoded)), true);
    free(decoded);
    return wrong;
}

/* text: behind "?". */
static const char *parse_query(const char *text, struct url *url)
{
    const char *wrong = check_characters(text, strlen(text), query_characters);

    if (wrong == NULL && text[0] != '\0')
        url->query = mem_strdup(text);
    return wrong;
}

static const char *parse(const char *text, struct url *url)
{
    const char *authority = parse_scheme(text, url);
    const char *path;
    const char *wrong;
    size_t length;

    if (authority == NULL)
        return "it must start with http://, https://, http+srv:// or https+srv://";
    if (strlen(text) > MAX_URL_LENGTH)
        return "it is longer than 8192 bytes";
    if (strchr(text, '#') != NULL)
        return "fragments are not allowed";
    path = authority + strcspn(authority, "/?");
    wrong = parse_authority(authority, (size_t)(path - authority), url);
    if (wrong != NULL)
        return wrong;
    length = strcspn(path, "?");
    wrong = parse_path(path, length, url);
    if (wrong == NULL && path[length] == '?')
        wrong = parse_query(path + length + 1, url);
    return wrong;
}

const char *url_parse(const char *text, struct url *url)
{
    const char *wrong;

    *url = (struct url){0};
    wrong = parse(text, url);
    if (wrong != NULL)
        url_release(url);
    return wrong;
}

void url_release(struct url *url)
{
    free(url->srv_name);
    free(url->host);
    free(url->authority);
    free(url->path);
    free(url->query);
    *url = (struct url){0};
}
