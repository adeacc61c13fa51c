/*
 * From the SRV records of a service to its targets: the hosts that they name
 * are looked up all at once, by the resolver that asks for this.
 */
#ifndef FANOUT_RESOLVER_SERVICE_H
#define FANOUT_RESOLVER_SERVICE_H

#include "fanout/resolver.h"
#include "fanout/resolver_srv.h"

#include <stdbool.h>
#include <stdint.h>

struct resolver_service;

struct resolver_service_result {
    struct resolver_answer *answer; /* the receiver's; NULL: there is none */
    uint64_t expires_us;            /* with the record or the address that expires first */
    const char *message;            /* why there is none, static */
    bool is_denied;                 /* DNS says so, rather than nothing */
};

/* Takes the records over; the list is empty afterwards. failure_ttl_us: how soon to look again for
 * addresses that are missing. */
struct resolver_service *resolver_service_new(struct resolver *resolver,
                                              struct resolver_srv_list *records,
                                              uint64_t failure_ttl_us);
/* Looks up the hosts. True: on_done will be called once, from the loop; false: there is nothing to
 * wait for, and it will not. */
bool resolver_service_start(struct resolver_service *service, void (*on_done)(void *arg),
                            void *arg);
/* What came of it; afterwards there is nothing left to do but to free it. */
struct resolver_service_result resolver_service_result(const struct resolver_service *service);
/* At any time, from on_done too; service may be NULL. */
void resolver_service_free(struct resolver_service *service);

#endif
