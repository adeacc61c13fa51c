/*
 * A DNS server on loopback and on the test's own loop that says what the test
 * tells it to: answers, errors, nothing, or nothing until it is told. UDP and
 * TCP on one port (RFC 1035). Names that are not in its table do not exist.
 */
#ifndef TESTS_SCRIPTED_DNS_H
#define TESTS_SCRIPTED_DNS_H

#include <arpa/inet.h>
#include <event2/event.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#define DNS_MOST      140 /* records of one type; those of more than a few need truncate */
#define DNS_MOST_HELD 64
#define DNS_PACKET    512
#define DNS_ANSWER    8192

enum { DNS_A = 1, DNS_CNAME = 5, DNS_AAAA = 28, DNS_SRV = 33 };
enum { DNS_OK = 0, DNS_SERVFAIL = 2, DNS_NXDOMAIN = 3, DNS_REFUSED = 5 };

struct dns_service {
    unsigned priority;
    unsigned weight;
    unsigned port;
    const char *host; /* "": the root */
};

/* What it does with a query for one type of one name. */
struct dns_records {
    const char *addresses[DNS_MOST];
    struct dns_service services[DNS_MOST]; /* of type SRV, and no addresses */
    uint32_t ttl;
    unsigned code;
    bool silent;
    bool hold;     /* keeps the query until scripted_dns_release */
    bool truncate; /* over UDP: come again by TCP */
    unsigned queries;
};

struct dns_name {
    const char *name; /* NULL: end of the table */
    const char *alias;
    uint32_t alias_ttl;
    struct dns_records a;
    struct dns_records aaaa;
    struct dns_records srv;
};

struct dns_query {
    struct sockaddr_in from;
    unsigned char bytes[DNS_PACKET];
    size_t length;
};

struct scripted_dns {
    struct event_base *base;
    struct dns_name *names;
    int udp;
    int tcp;
    int connection; /* the one TCP connection that it serves at a time; -1: none */
    struct event *udp_event;
    struct event *tcp_event;
    struct event *connection_event;
    uint16_t port;
    unsigned by_tcp;
    struct dns_query held[DNS_MOST_HELD];
    size_t held_count;
};

/* ---- wire format ---- */

/* Reads the name at the front of the question; returns the length of the whole question. */
static inline size_t dns_read_question(const struct dns_query *query, char *name, unsigned *type)
{
    const unsigned char *at = query->bytes + 12;

    *name = '\0';
    while (*at != 0 && at + *at < query->bytes + query->length) {
        strncat(name, (const char *)at + 1, *at);
        at += *at + 1;
        if (*at != 0)
            strcat(name, ".");
    }
    *type = (unsigned)at[1] << 8 | at[2];
    return (size_t)(at + 5 - (query->bytes + 12));
}

static inline unsigned char *dns_put16(unsigned char *out, unsigned value)
{
    out[0] = (unsigned char)(value >> 8);
    out[1] = (unsigned char)value;
    return out + 2;
}

static inline unsigned char *dns_put_name(unsigned char *out, const char *name)
{
    while (*name != '\0') {
        size_t length = strcspn(name, ".");

        *out++ = (unsigned char)length;
        memcpy(out, name, length);
        out += length;
        name += length + (name[length] == '.');
    }
    *out++ = 0;
    return out;
}

/* A record up to its data, of the name asked for (NULL) or another. */
static inline unsigned char *dns_put_head(unsigned char *out, const char *of, unsigned type,
                                          uint32_t ttl)
{
    out = of == NULL ? dns_put16(out, 0xc00c) : dns_put_name(out, of);
    out = dns_put16(out, type);
    out = dns_put16(out, 1);
    out = dns_put16(out, ttl >> 16);
    return dns_put16(out, ttl & 0xffff);
}

static inline unsigned char *dns_put_alias(unsigned char *out, const struct dns_name *name)
{
    unsigned char *length = dns_put_head(out, NULL, DNS_CNAME, name->alias_ttl);

    out = dns_put_name(length + 2, name->alias);
    dns_put16(length, (unsigned)(out - length) - 2);
    return out;
}

static inline unsigned char *dns_put_address(unsigned char *out, const struct dns_name *name,
                                             unsigned type, uint32_t ttl, const char *address)
{
    unsigned size = type == DNS_A ? 4 : 16;

    out = dns_put16(dns_put_head(out, name->alias, type, ttl), size);
    inet_pton(type == DNS_A ? AF_INET : AF_INET6, address, out);
    return out + size;
}

static inline unsigned char *dns_put_service(unsigned char *out, const struct dns_name *name,
                                             uint32_t ttl, const struct dns_service *service)
{
    unsigned char *length = dns_put_head(out, name->alias, DNS_SRV, ttl);

    out = dns_put16(length + 2, service->priority);
    out = dns_put16(out, service->weight);
    out = dns_put16(out, service->port);
    out = dns_put_name(out, service->host);
    dns_put16(length, (unsigned)(out - length) - 2);
    return out;
}

/* Makes the answer out of the query; returns its length. */
static inline size_t dns_answer(const struct dns_query *query, const struct dns_name *name,
                                const struct dns_records *records, unsigned type, bool truncate,
                                unsigned char *out)
{
    char ignored[DNS_PACKET];
    size_t question = dns_read_question(query, ignored, &type);
    unsigned char *at = out + 12 + question;
    unsigned count = 0;

    memset(out, 0, 12);
    memcpy(out, query->bytes, 2);
    memcpy(out + 12, query->bytes + 12, question);
    dns_put16(out + 2, 0x8580u | (truncate ? 0x200u : 0) |
                           (records != NULL ? records->code : (unsigned)DNS_NXDOMAIN));
    dns_put16(out + 4, 1);
    if (records != NULL && records->code == DNS_OK && !truncate) {
        if (name->alias != NULL) {
            at = dns_put_alias(at, name);
            count++;
        }
        for (size_t i = 0; i < DNS_MOST && records->addresses[i] != NULL; i++, count++)
            at = dns_put_address(at, name, type, records->ttl, records->addresses[i]);
        for (size_t i = 0; i < DNS_MOST && records->services[i].host != NULL; i++, count++)
            at = dns_put_service(at, name, records->ttl, &records->services[i]);
    }
    dns_put16(out + 6, count);
    return (size_t)(at - out);
}

/* ---- what it does ---- */

static inline struct dns_name *dns_find(struct scripted_dns *dns, const char *name)
{
    for (struct dns_name *row = dns->names; row->name != NULL; row++)
        if (strcasecmp(row->name, name) == 0)
            return row;
    return NULL;
}

/* Returns the answer's length; 0: it says nothing now. */
static inline size_t dns_react(struct scripted_dns *dns, const struct dns_query *query, bool again,
                               bool by_tcp, unsigned char *out)
{
    char text[DNS_PACKET];
    unsigned type;
    struct dns_records *records = NULL;
    struct dns_name *name;

    dns_read_question(query, text, &type);
    name = dns_find(dns, text);
    if (name != NULL) {
        records = type == DNS_A ? &name->a : type == DNS_SRV ? &name->srv : &name->aaaa;
        records->queries += again ? 0 : 1;
        if (records->hold && !again)
            dns->held[dns->held_count++ % DNS_MOST_HELD] = *query;
        if (records->silent || (records->hold && !again))
            return 0;
    }
    return dns_answer(query, name, records, type, records != NULL && records->truncate && !by_tcp,
                      out);
}

static inline void dns_reply(struct scripted_dns *dns, const struct dns_query *query, bool again)
{
    unsigned char out[DNS_ANSWER];
    size_t length = dns_react(dns, query, again, false, out);

    if (length > 0)
        sendto(dns->udp, out, length, 0, (const struct sockaddr *)&query->from, sizeof query->from);
}

/* Answers the queries that are held, as the table stands now. */
static inline void scripted_dns_release(struct scripted_dns *dns)
{
    size_t count = dns->held_count;

    dns->held_count = 0;
    for (size_t i = 0; i < count && i < DNS_MOST_HELD; i++)
        dns_reply(dns, &dns->held[i], true);
}

/* Takes all that is there, so that every query sent by now is counted before an answer is read. */
static inline void dns_on_udp(evutil_socket_t fd, short what, void *arg)
{
    struct dns_query query;
    ssize_t length;

    (void)what;
    do {
        socklen_t size = sizeof query.from;

        length = recvfrom(fd, query.bytes, sizeof query.bytes - 1, 0,
                          (struct sockaddr *)&query.from, &size);
        query.length = length > 0 ? (size_t)length : 0;
        if (query.length >= 17)
            dns_reply(arg, &query, false);
    } while (length >= 0);
}

static inline void dns_hang_up(struct scripted_dns *dns)
{
    if (dns->connection < 0)
        return;
    event_free(dns->connection_event);
    close(dns->connection);
    dns->connection = -1;
}

/* A query comes in one piece here: two bytes of length and the rest. */
static inline void dns_on_connection(evutil_socket_t fd, short what, void *arg)
{
    struct scripted_dns *dns = arg;
    unsigned char bytes[DNS_PACKET];
    unsigned char out[DNS_ANSWER];
    ssize_t received = recv(fd, bytes, sizeof bytes, 0);
    size_t at = 0;

    (void)what;
    if (received <= 0) {
        dns_hang_up(dns);
        return;
    }
    while (at + 2 < (size_t)received) { /* c-ares may send A and AAAA together */
        struct dns_query query = {.length = (size_t)bytes[at] << 8 | bytes[at + 1]};
        size_t length;

        memcpy(query.bytes, bytes + at + 2, query.length);
        at += 2 + query.length;
        dns->by_tcp++;
        length = dns_react(dns, &query, false, true, out + 2);
        dns_put16(out, (unsigned)length);
        send(fd, out, length + 2, MSG_NOSIGNAL);
    }
}

static inline void dns_on_accept(evutil_socket_t fd, short what, void *arg)
{
    struct scripted_dns *dns = arg;

    (void)what;
    dns_hang_up(dns);
    dns->connection = accept(fd, NULL, NULL);
    dns->connection_event =
        event_new(dns->base, dns->connection, EV_READ | EV_PERSIST, dns_on_connection, dns);
    event_add(dns->connection_event, NULL);
}

/* ---- its life ---- */

static inline bool dns_bind(struct scripted_dns *dns)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t size = sizeof address;

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    dns->udp = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    dns->tcp = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (bind(dns->udp, (struct sockaddr *)&address, size) == 0 &&
        getsockname(dns->udp, (struct sockaddr *)&address, &size) == 0 &&
        bind(dns->tcp, (struct sockaddr *)&address, size) == 0 && listen(dns->tcp, 8) == 0) {
        dns->port = ntohs(address.sin_port);
        return true;
    }
    close(dns->udp);
    close(dns->tcp);
    return false;
}

/* names ends with a row of zeros and stays the caller's, who may change it at any time. */
static inline void scripted_dns_start(struct scripted_dns *dns, struct event_base *base,
                                      struct dns_name *names)
{
    *dns = (struct scripted_dns){.base = base, .names = names, .connection = -1};
    for (unsigned tries = 0; !dns_bind(dns); tries++) /* a free UDP port may be taken for TCP */
        if (tries == 100)
            abort();
    dns->udp_event = event_new(base, dns->udp, EV_READ | EV_PERSIST, dns_on_udp, dns);
    dns->tcp_event = event_new(base, dns->tcp, EV_READ | EV_PERSIST, dns_on_accept, dns);
    event_add(dns->udp_event, NULL);
    event_add(dns->tcp_event, NULL);
}

static inline void scripted_dns_stop(struct scripted_dns *dns)
{
    if (dns->udp_event == NULL)
        return;
    dns_hang_up(dns);
    event_free(dns->udp_event);
    event_free(dns->tcp_event);
    close(dns->udp);
    close(dns->tcp);
    dns->udp_event = NULL;
}

#endif
