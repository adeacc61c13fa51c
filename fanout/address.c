/* Numeric socket addresses: parse, print, compare. */
#include "fanout/address.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LONGEST_PORT 5
#define LONGEST_IP   (INET6_ADDRSTRLEN + IF_NAMESIZE)

/* The number or the name behind '%' of a link-local address (RFC 4007, section 11). */
static bool parse_scope(const char *text, uint32_t *scope)
{
    char *end;
    unsigned long number;

    *scope = if_nametoindex(text);
    if (*scope != 0)
        return true;
    if (text[0] < '0' || text[0] > '9')
        return false;
    number = strtoul(text, &end, 10);
    *scope = (uint32_t)number;
    return *end == '\0' && number > 0 && number <= UINT32_MAX;
}

static bool parse_v6(const char *text, struct address *address)
{
    char plain[INET6_ADDRSTRLEN];
    size_t length = strcspn(text, "%");

    if (length >= sizeof plain)
        return false;
    memcpy(plain, text, length);
    plain[length] = '\0';
    address->v6.sin6_family = AF_INET6;
    if (inet_pton(AF_INET6, plain, &address->v6.sin6_addr) != 1)
        return false;
    return text[length] == '\0' || parse_scope(text + length + 1, &address->v6.sin6_scope_id);
}

static bool parse_bracketed(const char *text, struct address *address)
{
    char inside[ADDRESS_TEXT_SIZE];
    size_t length = strlen(text);

    if (length < 2 || length > sizeof inside || text[0] != '[' || text[length - 1] != ']')
        return false;
    memcpy(inside, text + 1, length - 2);
    inside[length - 2] = '\0';
    return parse_v6(inside, address);
}

bool address_parse_ip(const char *text, uint16_t port, struct address *address)
{
    struct address parsed;

    memset(&parsed, 0, sizeof parsed);
    if (inet_pton(AF_INET, text, &parsed.v4.sin_addr) == 1)
        parsed.v4.sin_family = AF_INET;
    else if (!parse_v6(text, &parsed) && !parse_bracketed(text, &parsed))
        return false;
    address_set_port(&parsed, port);
    *address = parsed;
    return true;
}

static bool parse_port(const char *text, uint16_t *port)
{
    size_t length = strlen(text);
    unsigned long number;

    if (length == 0 || length > LONGEST_PORT || strspn(text, "0123456789") != length)
        return false;
    number = strtoul(text, NULL, 10);
    *port = (uint16_t)number;
    return number <= UINT16_MAX;
}

bool address_parse(const char *text, struct address *address)
{
    char ip[ADDRESS_TEXT_SIZE];
    const char *colon = strrchr(text, ':');
    uint16_t port;
    size_t length;

    if (colon == NULL || !parse_port(colon + 1, &port))
        return false;
    length = (size_t)(colon - text);
    if (length >= sizeof ip)
        return false;
    memcpy(ip, text, length);
    ip[length] = '\0';
    /* Without brackets the last group of an IPv6 address would be taken for the port. */
    if (ip[0] != '[' && strchr(ip, ':') != NULL)
        return false;
    return address_parse_ip(ip, port, address);
}

void address_set_port(struct address *address, uint16_t port)
{
    if (address->any.sa_family == AF_INET6)
        address->v6.sin6_port = htons(port);
    else
        address->v4.sin_port = htons(port);
}

uint16_t address_port(const struct address *address)
{
    return ntohs(address->any.sa_family == AF_INET6 ? address->v6.sin6_port : address->v4.sin_port);
}

socklen_t address_length(const struct address *address)
{
    return address->any.sa_family == AF_INET6 ? sizeof address->v6 : sizeof address->v4;
}

bool address_equals(const struct address *left, const struct address *right)
{
    if (left->any.sa_family != right->any.sa_family || address_port(left) != address_port(right))
        return false;
    if (left->any.sa_family == AF_INET6)
        return left->v6.sin6_scope_id == right->v6.sin6_scope_id &&
               memcmp(&left->v6.sin6_addr, &right->v6.sin6_addr, sizeof left->v6.sin6_addr) == 0;
    return left->v4.sin_addr.s_addr == right->v4.sin_addr.s_addr;
}

static void append_scope(uint32_t scope, char text[ADDRESS_TEXT_SIZE])
{
    char name[IF_NAMESIZE];
    size_t length = strlen(text);

    if (if_indextoname(scope, name) != NULL)
        snprintf(text + length, ADDRESS_TEXT_SIZE - length, "%%%s", name);
    else
        snprintf(text + length, ADDRESS_TEXT_SIZE - length, "%%%u", (unsigned)scope);
}

const char *address_print_ip(const struct address *address, char text[ADDRESS_TEXT_SIZE])
{
    if (address->any.sa_family == AF_INET6) {
        inet_ntop(AF_INET6, &address->v6.sin6_addr, text, ADDRESS_TEXT_SIZE);
        if (address->v6.sin6_scope_id != 0)
            append_scope(address->v6.sin6_scope_id, text);
    } else {
        inet_ntop(AF_INET, &address->v4.sin_addr, text, ADDRESS_TEXT_SIZE);
    }
    return text;
}

const char *address_print(const struct address *address, char text[ADDRESS_TEXT_SIZE])
{
    char ip[ADDRESS_TEXT_SIZE];
    bool brackets = address->any.sa_family == AF_INET6;

    address_print_ip(address, ip);
    snprintf(text, ADDRESS_TEXT_SIZE, "%s%.*s%s:%u", brackets ? "[" : "", LONGEST_IP, ip,
             brackets ? "]" : "", (unsigned)address_port(address));
    return text;
}
