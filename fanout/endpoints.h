/*
 * Which of an upstream's addresses the next call goes to.
 *
 * - Of the addresses with the lowest priority value that has a usable one
 *   (RFC 2782), two are drawn at random by weight, and the one with less in
 *   flight for its weight is taken (Mitzenmacher, "The Power of Two Choices in
 *   Randomized Load Balancing", 2001).
 * - An address that fails max_failures times in a row is set aside for base_us,
 *   for twice and three times that when it fails again soon, up to max_us;
 *   never more than half of the addresses, rounded down, so a single one
 *   never is. Then one call at a time probes it (if its priority would be
 *   used); a success brings it back, a failure sets it aside again.
 * - Addresses come and go with DNS: those that stay keep their state; those
 *   that went are kept until their calls have ended.
 *
 * One worker's own; not shared by threads.
 */
#ifndef FANOUT_ENDPOINTS_H
#define FANOUT_ENDPOINTS_H

#include "fanout/address.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct dice;

/* More addresses than this are left out. */
#define ENDPOINTS_MOST 128u

struct endpoints_settings {
    unsigned max_failures; /* in a row; 0: none is ever set aside */
    uint64_t base_us;
    uint64_t max_us;
};

/* What DNS says of one address. Without SRV records: priority 0, weight 1. */
struct endpoint_target {
    struct address address;
    uint16_t priority;
    uint16_t weight; /* 0: a hundredth of weight 1 */
};

/* To be read by all, changed by endpoints.c alone. */
struct endpoint {
    struct endpoint_target target;
    unsigned in_flight;
    unsigned failures;    /* in a row */
    unsigned times_aside; /* in a row, with little time in between */
    bool is_aside;
    bool is_listed;          /* false: DNS no longer has it */
    uint64_t aside_until_us; /* while it is aside */
    uint64_t returned_us;    /* when it was last brought back */
};

struct endpoints {
    struct endpoints_settings settings;
    struct endpoint **items; /* owned; first those listed, in DNS's order */
    size_t listed;
    size_t count; /* with those that went and still have calls in flight */
};

enum endpoint_verdict {
    ENDPOINT_SUCCESS,
    ENDPOINT_FAILURE, /* of this address */
    ENDPOINT_IGNORED, /* says nothing about it, or was cancelled */
};

/* Works in place; the release needs every call given back. */
void endpoints_init(struct endpoints *endpoints, const struct endpoints_settings *settings);
void endpoints_release(struct endpoints *endpoints);

/* These are the addresses now; copied. Of an address that is named twice, the first counts. */
void endpoints_replace(struct endpoints *endpoints, const struct endpoint_target *targets,
                       size_t count, uint64_t now_us);

/*
 * The address for the next call, which counts as in flight until endpoints_give; kept by the
 * set at least until then. None of those to avoid (tried before; may be NULL if avoid_count is
 * 0) is taken; one that is set aside only when nothing else is left. NULL: nothing is left at all.
 */
struct endpoint *endpoints_take(struct endpoints *endpoints, const struct address *avoid,
                                size_t avoid_count, struct dice *dice, uint64_t now_us);

/* How the call ended. The endpoint may be gone afterwards. */
void endpoints_give(struct endpoints *endpoints, struct endpoint *endpoint,
                    enum endpoint_verdict verdict, uint64_t now_us);

#endif
