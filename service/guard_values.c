/*
 * The fields that say where a request goes, where it ends, and what becomes of
 * the connection behind it. A value comes whole, without the space around it.
 */
#include "service/guard_internal.h"

#include <arpa/inet.h>
#include <string.h>
#include <strings.h>

#define MAX_PORT 65535

static bool equals(const char *text, size_t length, const char *name)
{
    return length == strlen(name) && strncasecmp(text, name, length) == 0;
}

static bool is_space(char byte)
{
    return byte == ' ' || byte == '\t';
}

/* ---- lists ---- */

struct element {
    const char *text; /* without the space around it */
    size_t length;
    bool is_last;
};

/* Cuts the element at *next off a list with commas. False: there is none. An empty list has one
 * empty element. */
static bool next_element(const char **next, const char *end, struct element *element)
{
    const char *text = *next, *comma;

    if (text == NULL)
        return false;
    comma = memchr(text, ',', (size_t)(end - text));
    element->is_last = comma == NULL;
    *next = comma != NULL ? comma + 1 : NULL;
    end = comma != NULL ? comma : end;
    while (text < end && is_space(*text))
        text++;
    while (text < end && is_space(end[-1]))
        end--;
    element->text = text;
    element->length = (size_t)(end - text);
    return true;
}

/* ---- Host (RFC 9110, 7.2; RFC 3986, 3.2.2) ---- */

static bool is_port(const char *text, const char *end)
{
    unsigned port = 0;

    for (; text < end; text++) {
        if (!guard_is_digit((uint8_t)*text))
            return false;
        port = port * 10 + (unsigned)(*text - '0');
        if (port > MAX_PORT)
            return false;
    }
    return true;
}

/* Of the kinds of literal, IPv6 is the only one that exists. */
static bool is_ip_literal(const char *text, const char *end)
{
    char address[INET6_ADDRSTRLEN];
    struct in6_addr parsed;
    size_t length = (size_t)(end - text);

    if (length >= sizeof address)
        return false;
    memcpy(address, text, length);
    address[length] = '\0';
    return inet_pton(AF_INET6, address, &parsed) == 1;
}

/* May be empty. %00 is well-formed, but a name with a NUL in it is none. */
static bool is_name(const char *text, const char *end)
{
    while (text < end) {
        if (*text == '%') {
            if (end - text < 3 || guard_hex_value((uint8_t)text[1]) < 0 ||
                guard_hex_value((uint8_t)text[2]) < 0 || memcmp(text, "%00", 3) == 0)
                return false;
            text += 3;
        } else if (guard_is_alphanumeric((uint8_t)*text) ||
                   strchr("-._~!$&'()*+,;=", *text) != NULL) {
            text++;
        } else {
            return false;
        }
    }
    return true;
}

static bool is_host(const char *text, size_t length)
{
    const char *end = text + length, *host_end;

    if (length > 0 && *text == '[') {
        host_end = memchr(text, ']', length);
        if (host_end == NULL || !is_ip_literal(text + 1, host_end))
            return false;
        host_end++;
    } else {
        host_end = memchr(text, ':', length);
        host_end = host_end != NULL ? host_end : end;
        if (!is_name(text, host_end))
            return false;
    }
    return host_end == end || (*host_end == ':' && is_port(host_end + 1, end));
}

bool guard_take_host(struct guard *guard, const char *value, size_t length)
{
    if (guard->message.has_host)
        return guard_refuse(guard, 400, "more than one Host");
    guard->message.has_host = true;
    return is_host(value, length) || guard_refuse(guard, 400, "the Host is not host[:port]");
}

/* ---- Content-Length (RFC 9110, 8.6) ---- */

/* Lists and repetitions are refused even where all say the same. */
bool guard_take_length(struct guard *guard, const char *value, size_t length)
{
    uint64_t sum = 0;

    if (guard->message.has_length)
        return guard_refuse(guard, 400, "more than one Content-Length");
    guard->message.has_length = true;
    if (length == 0)
        return guard_refuse(guard, 400, "the Content-Length is empty");
    for (size_t i = 0; i < length; i++) {
        unsigned digit = (unsigned)(value[i] - '0');

        if (!guard_is_digit((uint8_t)value[i]))
            return guard_refuse(guard, 400, "the Content-Length is not all digits");
        sum = sum > (UINT64_MAX - digit) / 10 ? UINT64_MAX : sum * 10 + digit;
    }
    guard->message.content_length = sum;
    return true;
}

/* ---- Transfer-Encoding (RFC 9112, 6.1 and 7) ---- */

static bool is_coding(const struct element *element)
{
    const char *semicolon = memchr(element->text, ';', element->length);
    size_t length = semicolon != NULL ? (size_t)(semicolon - element->text) : element->length;

    while (length > 0 && is_space(element->text[length - 1]))
        length--;
    for (size_t i = 0; i < length; i++)
        if (!guard_is_token((uint8_t)element->text[i]))
            return false;
    if (equals(element->text, length, "chunked")) /* the last, and without parameters */
        return element->is_last && semicolon == NULL;
    return length > 0;
}

/* A well-formed list of others is remembered, as what else is wrong comes first. */
bool guard_take_coding(struct guard *guard, const char *value, size_t length)
{
    const char *next = value;
    struct element element;

    if (guard->message.has_coding)
        return guard_refuse(guard, 400, "more than one Transfer-Encoding");
    guard->message.has_coding = true;
    guard->message.is_chunked = equals(value, length, "chunked");
    while (next_element(&next, value + length, &element))
        if (!is_coding(&element))
            return guard_refuse(guard, 400, "the Transfer-Encoding is malformed");
    return true;
}

/* ---- Connection (RFC 9112, 9.3 and 9.6) ---- */

/* A keep-alive counts where evhttp looks for it, at the very beginning; a close anywhere. */
bool guard_take_connection(struct guard *guard, const char *value, size_t length)
{
    bool is_first = !guard->message.has_connection;
    const char *next = value;
    struct element element;

    while (next_element(&next, value + length, &element)) {
        if (equals(element.text, element.length, "close"))
            guard->message.says_close = true;
        if (is_first && equals(element.text, element.length, "keep-alive"))
            guard->message.says_keep_alive = true;
        is_first = false;
    }
    guard->message.has_connection = true;
    return true;
}

/* ---- Expect (RFC 9110, 10.1.1) ---- */

bool guard_take_expect(struct guard *guard, const char *value, size_t length)
{
    return guard->message.is_http_1_0 || equals(value, length, "100-continue") ||
           guard_refuse(guard, 417, "an expectation other than 100-continue");
}
