/*
 * Names to targets (an address, and how much it is to get), on the loop, by
 * c-ares: of hosts (/etc/hosts, search domains, A and AAAA) and of services
 * (SRV, RFC 2782, then the hosts that it names). Answers are cached by their
 * TTL (clamped), look-ups of one name are made once for all who ask, an entry
 * in use is refreshed in the background shortly before it expires, and when
 * DNS fails the last good answer goes on being served. One resolver for each
 * worker thread.
 */
#ifndef FANOUT_RESOLVER_H
#define FANOUT_RESOLVER_H

#include "fanout/endpoints.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

struct event_base;
struct resolver;
struct timers;

struct resolver_settings {
    const char *servers;     /* "127.0.0.1:5353,[::1]:53"; NULL: /etc/resolv.conf */
    uint64_t timeout_us;     /* for one query to one server, before the next try */
    unsigned tries;          /* rounds over the servers */
    uint64_t min_ttl_us;     /* answers are kept at least this long … */
    uint64_t max_ttl_us;     /* … and at most this long */
    uint64_t stale_us;       /* how long past its TTL an answer may serve while DNS is down */
    uint64_t failure_ttl_us; /* how long a failed look-up is remembered before it is tried again */
};

enum resolver_kind {
    RESOLVER_HOST,    /* the addresses of a host, with port 0 */
    RESOLVER_SERVICE, /* those of all hosts that offer a service, with the ports of its records */
};

/*
 * The targets of one name, immutable, counted; in the order of c-ares (RFC 6724) or by priority.
 *
 * Of a host: weight 1; priority 0 for addresses of the first one's family and 1 for the other
 * family, which this host can't reach or likes less, so that they are used where nothing else is.
 * Of a service: priority and weight of each record, whose weight is shared by the addresses of its
 * host (of the family preferred): where the hosts of a priority have different numbers of
 * addresses, the weights are scaled up so that the shares come out.
 */
struct resolver_answer {
    unsigned references;
    uint64_t expires_us; /* from here on it serves only while DNS fails */
    size_t count;        /* at least 1, at most ENDPOINTS_MOST */
    struct endpoint_target targets[];
};

/* One asker. Set on_done and arg, then resolver_lookup. */
struct resolver_lookup {
    TAILQ_ENTRY(resolver_lookup) link;
    struct resolver_entry *entry; /* awaited; NULL: not in flight */
    bool answered;                /* on_done is about to be called */
    bool is_denied;               /* it failed, because DNS says that there is nothing */
    /*
     * Called once from the loop. answer is NULL on failure, and then message says why (static:
     * "no such name", "the DNS server failed", "no answer from DNS", …). Otherwise the asker
     * owns one reference.
     */
    void (*on_done)(void *arg, struct resolver_answer *answer, const char *message);
    void *arg;
};

enum resolver_status {
    RESOLVER_READY,   /* *answer is set; the asker owns one reference */
    RESOLVER_FAILED,  /* known to fail (a remembered failure); *message is set */
    RESOLVER_WAITING, /* on_done will be called, or resolver_cancel it */
};

/* NULL on failure; *message then says why (static or c-ares' own text). Needs
 * ares_library_init, which resolver_global_init does once before any thread. */
bool resolver_global_init(void);
void resolver_global_release(void);
struct resolver *resolver_new(struct event_base *base, struct timers *timers,
                              const struct resolver_settings *settings, const char **message);
/* Needs every look-up done or cancelled. */
void resolver_free(struct resolver *resolver);

/* name: a DNS name (not numeric), NUL-ended; copied. For a service "_api._tcp.users.internal"
 * (struct url's srv_name). Never calls back before it returns. */
enum resolver_status resolver_lookup(struct resolver *resolver, const char *name,
                                     enum resolver_kind kind, struct resolver_lookup *lookup,
                                     struct resolver_answer **answer, const char **message);
void resolver_cancel(struct resolver *resolver, struct resolver_lookup *lookup);

/* Gives back one reference; the answer's owner is the resolver's thread. */
void resolver_answer_release(struct resolver_answer *answer);

#endif
