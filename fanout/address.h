/*
 * Numeric socket addresses: parse, print, compare. No names are resolved here
 * (that is resolver.h).
 */
#ifndef FANOUT_ADDRESS_H
#define FANOUT_ADDRESS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

/* Room for "[ffff:…%scope]:65535" and the NUL. */
#define ADDRESS_TEXT_SIZE 80

struct address {
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    };
};

/* "127.0.0.1" or "::1" (or "[::1]"), without a port. False: not a numeric address. */
bool address_parse_ip(const char *text, uint16_t port, struct address *address);
/* "127.0.0.1:8080" or "[::1]:8080"; the port is needed. */
bool address_parse(const char *text, struct address *address);
void address_set_port(struct address *address, uint16_t port);
uint16_t address_port(const struct address *address);
socklen_t address_length(const struct address *address);
bool address_equals(const struct address *left, const struct address *right);

/* Writes "127.0.0.1:8080" or "[::1]:8080" (or without the port); returns text. */
const char *address_print(const struct address *address, char text[ADDRESS_TEXT_SIZE]);
const char *address_print_ip(const struct address *address, char text[ADDRESS_TEXT_SIZE]);

#endif
