/*
 * The URL of an upstream, and the request target below it. Pure functions:
 * a URL is taken apart once, when the configuration is read, and what a caller
 * adds is checked here so that it can't leave the upstream's URL.
 */
#ifndef FANOUT_URL_H
#define FANOUT_URL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct url {
    bool tls;        /* https, https+srv */
    bool is_srv;     /* the host is a service, whose SRV records have the ports (RFC 2782) */
    char *srv_name;  /* lower case: "_api._tcp.users.internal"; NULL: none */
    char *host;      /* lower case; without brackets for IPv6; of a service: "users.internal" */
    bool host_is_ip; /* numeric, needs no resolver */
    uint16_t port;   /* 80 and 443 where the URL has none */
    char *authority; /* what stands in the Host field: "users.internal:8081", "[::1]:80" */
    char *path;      /* starts with '/'; as written */
    char *query;     /* without '?'; NULL: none */
};

/*
 * Takes an absolute http, https, http+srv or https+srv URL apart (RFC 3986). NULL on success;
 * otherwise what is wrong, static ("user names in a URL are not allowed"), and *url is empty.
 * Refused: other schemes, user info, fragments, spaces, control and non-ASCII bytes, bad
 * percent-encoding, dot segments, port 0; with +srv, any port, and hosts that are not
 * _service._proto.domain.
 */
const char *url_parse(const char *text, struct url *url);
void url_release(struct url *url);

/* The URL as others read it, with http or https and the host that is spoken to. Owned by the
 * caller. */
char *url_plain(const struct url *url);

/*
 * Whether a caller's path may be appended below an upstream's path. NULL: it may; otherwise
 * what is wrong, static. It must start with '/', hold only characters of RFC 3986 paths, and
 * have no empty segments but a last one, no dot segments and no backslash, however often and
 * in whatever way they are percent-encoded, nor decode to control bytes or invalid UTF-8.
 */
const char *url_check_path(const char *path, size_t length);

/* The target to ask for: path below url's path, url's query and the caller's joined by '&'.
 * path and query may be NULL. Owned by the caller. */
char *url_target(const struct url *url, const char *path, const char *query);

/* Appends one `name=value` of a query to out (a growing C string from mem.h, NULL at first),
 * percent-encoding all but unreserved characters. Returns the string, moved if need be. */
char *url_query_add(char *query, const char *name, size_t name_length, const char *value,
                    size_t value_length);

#endif
