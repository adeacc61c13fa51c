/*
 * What libcurl has to know of one upstream: where it is, whom to trust, how
 * long to wait. Both ways of the transport open their connections by handles
 * made here. For transport*.c alone.
 */
#ifndef FANOUT_TRANSPORT_ORIGIN_H
#define FANOUT_TRANSPORT_ORIGIN_H

#include "fanout/address.h"
#include "fanout/outcome.h"
#include "fanout/transport_loop.h"

#include <curl/curl.h>
#include <stdbool.h>

struct upstream_settings;

struct origin {
    struct transport_loop *loop;
    const struct upstream_settings *settings;
    CURLU *url;             /* of its root */
    struct address address; /* that stands in the URL; AF_UNSPEC: a name does */
    CURLSH *sessions;       /* TLS sessions to resume; NULL: no TLS */
};

/* An easy handle for one origin; it stays with one multi for life. */
struct handle {
    struct origin *origin;
    struct multi *multi;
    CURL *easy;
    struct address address;        /* that it connects to; AF_UNSPEC: never started */
    struct curl_slist *connect_to; /* says so; NULL: the URL does */
    curl_socket_t fd;   /* that was opened last since its start; CURL_SOCKET_BAD: none was */
    bool is_denied;     /* it was about to connect to an address that it may not have */
    struct timer timer; /* runs while it connects */
    void (*on_end)(struct handle *handle, CURLcode code); /* may remove and add it again */
    char error[CURL_ERROR_SIZE];
};

/* False: libcurl does not take the URL. Release it in either case; settings must outlive it. */
bool origin_init(struct origin *origin, struct transport_loop *loop,
                 const struct upstream_settings *settings);
void origin_release(struct origin *origin);

/* False: no memory. Release it in either case. */
bool handle_init(struct handle *handle, struct origin *origin,
                 void (*on_end)(struct handle *handle, CURLcode code));
void handle_release(struct handle *handle);

/* Starts a transfer to that address; the multi then calls on_end. False: no memory. */
bool handle_start(struct handle *handle, const struct address *address);
/* The transfer has its connection, TLS included; its end says so as well. */
void handle_note_connected(struct handle *handle);
/* Takes the handle off its multi; a transfer that has not ended is dropped with its connection. */
void handle_stop(struct handle *handle);

enum outcome handle_outcome(const struct handle *handle, CURLcode code);
/* For people; valid until the handle is started again. */
const char *handle_detail(const struct handle *handle, CURLcode code, enum outcome outcome);

/* For struct transport_loop: finds the handle, and calls its on_end. */
void handle_on_transfer_end(CURL *easy, CURLcode code);

#endif
