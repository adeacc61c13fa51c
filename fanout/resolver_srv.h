/*
 * The SRV records of a DNS answer (RFC 2782; RFC 1035, section 4). Pure: bytes
 * in, records out. Read here and not by c-ares, which leaves out their TTL
 * (1.18) or reads them by other functions (1.28 and later).
 */
#ifndef FANOUT_RESOLVER_SRV_H
#define FANOUT_RESOLVER_SRV_H

#include "fanout/endpoints.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct resolver_srv {
    uint16_t priority;
    uint16_t weight;
    uint16_t port;
    char *host; /* lower case, with a dot at the end; ".": there is no such service here */
};

struct resolver_srv_list {
    uint32_t ttl_s; /* the smallest of all records', aliases included */
    size_t count;
    struct resolver_srv items[ENDPOINTS_MOST]; /* by priority, then as they came */
};

/*
 * Reads the records of a whole DNS message. True: *list is to be released, and may be empty.
 * False: the message is malformed. Of too many records those with the lowest priority values are
 * kept; records with port 0 are left out. What can't be part of a host name becomes '?'.
 */
bool resolver_srv_parse(const unsigned char *message, size_t length,
                        struct resolver_srv_list *list);
void resolver_srv_release(struct resolver_srv_list *list);

#endif
