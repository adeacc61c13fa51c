/* Who asks, and how long they wait. */
#include "service/caller.h"

#include "fanout/address.h"
#include "fanout/limiter.h"
#include "service/call.h"
#include "service/config.h"
#include "service/connection.h"

#include <stdlib.h>
#include <string.h>

#define MOST_DIGITS        12  /* some thirty years */
#define MOST_KEY_BYTES     255 /* of an identity; what differs behind them is the same caller */
#define IPV6_NETWORK_BYTES 8   /* a /64 (RFC 4291, section 2.5.4) */

/* Keys of different kinds never meet. */
enum key_kind { KEY_NONE, KEY_IPV4, KEY_IPV6, KEY_HEADER };

static struct limiter_caller *take(struct limiter *limiter, enum key_kind kind, const void *bytes,
                                   size_t length)
{
    char key[MOST_KEY_BYTES + 1] = {(char)kind};

    if (length > MOST_KEY_BYTES)
        length = MOST_KEY_BYTES;
    if (length > 0)
        memcpy(key + 1, bytes, length);
    return limiter_caller_take(limiter, key, length + 1);
}

/* Of IPv6 the network: a host has as many addresses in it as it likes. */
static struct limiter_caller *take_by_address(struct limiter *limiter, const struct call *call)
{
    const struct address *address = connection_caller(call);

    switch (address->any.sa_family) {
    case AF_INET:
        return take(limiter, KEY_IPV4, &address->v4.sin_addr, sizeof address->v4.sin_addr);
    case AF_INET6:
        return take(limiter, KEY_IPV6, &address->v6.sin6_addr, IPV6_NETWORK_BYTES);
    default:
        return take(limiter, KEY_NONE, NULL, 0);
    }
}

struct limiter_caller *caller_take(struct limiter *limiter, const struct config *config,
                                   const struct call *call)
{
    const char *value = NULL;

    if (config->fair_by == FAIR_BY_REQUEST)
        return NULL;
    if (config->fair_by == FAIR_BY_HEADER)
        value = call_header(call, config->fair_header);
    return value != NULL ? take(limiter, KEY_HEADER, value, strlen(value))
                         : take_by_address(limiter, call);
}

static bool read_ms(const char *text, uint64_t *time_us)
{
    size_t digits = strspn(text, "0123456789");

    if (digits == 0 || digits > MOST_DIGITS || text[digits] != '\0')
        return false;
    *time_us = strtoull(text, NULL, 10) * 1000;
    return true;
}

bool caller_lower_deadline(const struct call *call, uint64_t *deadline_us, struct problem *problem)
{
    static const char *const names[] = {"X-Request-Deadline-Ms", "x-envoy-expected-rq-timeout-ms"};

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        const char *text = call_header(call, names[i]);
        uint64_t left_us = 0;

        if (text == NULL)
            continue;
        if (!read_ms(text, &left_us))
            return problem_set(problem, 400,
                               "the field %s is \"%.100s\", not a whole number of milliseconds",
                               names[i], text);
        if (left_us < *deadline_us)
            *deadline_us = left_us;
    }
    return true;
}
