/*
 * Addresses that are never connected to, whatever name leads there: ranges in
 * CIDR notation (RFC 4632, RFC 4291 section 2.3). An IPv4 address is the same
 * whether it comes as such or mapped into IPv6 (::ffff:169.254.169.254).
 */
#ifndef FANOUT_DENY_H
#define FANOUT_DENY_H

#include "fanout/address.h"

#include <stdbool.h>
#include <stddef.h>

struct address_range {
    struct address base; /* the port and the scope mean nothing */
    unsigned bits;       /* of the base that count: up to 32 for IPv4, 128 for IPv6 */
};

/* Zeroed is empty. */
struct deny_list {
    struct address_range *ranges;
    size_t count;
};

/* Room for an address, '/' and the bits. */
#define DENY_TEXT_SIZE (ADDRESS_TEXT_SIZE + 4)

/* "169.254.0.0/16", "fe80::/10" or a single address. NULL on success; otherwise what is wrong,
 * static. */
const char *deny_parse(const char *text, struct address_range *range);
/* A range of one address is written without its bits; returns text. */
const char *deny_print(const struct address_range *range, char text[DENY_TEXT_SIZE]);

void deny_list_add(struct deny_list *list, const struct address_range *range);
void deny_list_release(struct deny_list *list);
bool deny_list_has(const struct deny_list *list, const struct address *address);

#endif
