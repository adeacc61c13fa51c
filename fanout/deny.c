/*
 * Ranges of addresses that are never connected to.
 *
 * All are compared as the 16 bytes of an IPv6 address, IPv4 ones mapped, so
 * that there is no second spelling to get past a range.
 */
#include "fanout/deny.h"

#include "fanout/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define V6_BITS     128u
#define MAPPED_BITS 96u /* of the prefix ::ffff:0:0/96 (RFC 4291, section 2.5.5.2) */

static bool is_v6(const struct address *address)
{
    return address->any.sa_family == AF_INET6;
}

static struct in6_addr as_v6(const struct address *address)
{
    struct in6_addr bytes = {.s6_addr = {[10] = 0xff, [11] = 0xff}};

    if (is_v6(address))
        return address->v6.sin6_addr;
    memcpy(&bytes.s6_addr[MAPPED_BITS / 8], &address->v4.sin_addr, sizeof address->v4.sin_addr);
    return bytes;
}

static unsigned most_bits(const struct address *address)
{
    return is_v6(address) ? V6_BITS : V6_BITS - MAPPED_BITS;
}

static unsigned bits_as_v6(const struct address_range *range)
{
    return range->bits + V6_BITS - most_bits(&range->base);
}

/* Whether the first bits are the same. */
static bool agree(const struct in6_addr *left, const struct in6_addr *right, unsigned bits)
{
    unsigned whole = bits / 8;
    unsigned mask = 0xff00u >> bits % 8 & 0xffu;

    if (memcmp(left, right, whole) != 0)
        return false;
    return mask == 0 || ((left->s6_addr[whole] ^ right->s6_addr[whole]) & mask) == 0;
}

static bool has_bits_behind(const struct address_range *range)
{
    struct in6_addr bytes = as_v6(&range->base);

    for (unsigned bit = bits_as_v6(range); bit < V6_BITS; bit++)
        if ((bytes.s6_addr[bit / 8] & 0x80u >> bit % 8) != 0)
            return true;
    return false;
}

static bool parse_bits(const char *text, unsigned most, unsigned *bits)
{
    size_t length = strlen(text);

    if (length == 0 || length > 3 || strspn(text, "0123456789") != length)
        return false;
    *bits = (unsigned)strtoul(text, NULL, 10);
    return *bits <= most;
}

const char *deny_parse(const char *text, struct address_range *range)
{
    const char *slash = strchr(text, '/');
    char ip[ADDRESS_TEXT_SIZE];
    size_t length = slash != NULL ? (size_t)(slash - text) : strlen(text);

    if (length >= sizeof ip || memchr(text, '%', length) != NULL)
        return "must be an address or a range, like 169.254.0.0/16 or fe80::/10";
    memcpy(ip, text, length);
    ip[length] = '\0';
    if (!address_parse_ip(ip, 0, &range->base))
        return "must be an address or a range, like 169.254.0.0/16 or fe80::/10";
    range->bits = most_bits(&range->base);
    if (slash != NULL && !parse_bits(slash + 1, range->bits, &range->bits))
        return is_v6(&range->base) ? "what follows '/' must be a number from 0 to 128"
                                   : "what follows '/' must be a number from 0 to 32";
    return has_bits_behind(range) ? "the address has bits set behind those that '/' counts" : NULL;
}

const char *deny_print(const struct address_range *range, char text[DENY_TEXT_SIZE])
{
    char ip[ADDRESS_TEXT_SIZE];

    address_print_ip(&range->base, ip);
    if (range->bits == most_bits(&range->base))
        snprintf(text, DENY_TEXT_SIZE, "%s", ip);
    else
        snprintf(text, DENY_TEXT_SIZE, "%s/%u", ip, range->bits);
    return text;
}

void deny_list_add(struct deny_list *list, const struct address_range *range)
{
    list->ranges = mem_realloc(list->ranges, (list->count + 1) * sizeof list->ranges[0]);
    list->ranges[list->count++] = *range;
}

void deny_list_release(struct deny_list *list)
{
    free(list->ranges);
    *list = (struct deny_list){0};
}

/* A short IPv6 prefix such as ::/0 holds the mapped addresses too, but who writes it does not
 * mean plain IPv4. */
static bool range_has(const struct address_range *range, const struct address *address)
{
    struct in6_addr base = as_v6(&range->base), bytes = as_v6(address);
    unsigned bits = bits_as_v6(range);

    return (is_v6(address) || bits >= MAPPED_BITS) && agree(&base, &bytes, bits);
}

bool deny_list_has(const struct deny_list *list, const struct address *address)
{
    for (size_t i = 0; i < list->count; i++)
        if (range_has(&list->ranges[i], address))
            return true;
    return false;
}
