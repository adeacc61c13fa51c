/*
 * The head of an HTTP/1.1 request to an upstream (RFC 9112, section 3). What
 * stays the same for all requests to one upstream is written once.
 */
#ifndef FANOUT_HTTP_REQUEST_H
#define FANOUT_HTTP_REQUEST_H

#include "fanout/buf.h"
#include "fanout/header.h"
#include "fanout/method.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct upstream_settings;

/* What is asked, as in transport.h's exchange_request. */
struct http_request {
    enum method method;
    const char *target;                /* origin form; NULL: the URL's own */
    const struct header_list *headers; /* replace the upstream's of the same name; NULL: none */
    bool has_length;                   /* a Content-Length is told, be it 0 */
    size_t body_length;
    uint64_t left_us; /* told where the upstream is to know it */
};

/* For one upstream. */
struct http_request_template {
    const struct upstream_settings *settings;
    char *target; /* the URL's own */
    size_t target_length;
    char *rest; /* " HTTP/1.1\r\nHost: …" and all fields that no request changes */
    size_t rest_length;
};

/* settings must outlive the template. */
void http_request_template_init(struct http_request_template *template,
                                const struct upstream_settings *settings);
void http_request_template_release(struct http_request_template *template);

/* Appends the head. Headers must be valid and not reserved (header.h). */
void http_request_write(const struct http_request_template *template,
                        const struct http_request *request, struct buf *out);

/* The time left as it is told: whole milliseconds, but at least one, as there is some. */
uint64_t http_request_left_ms(uint64_t left_us);

/* Whether any of these fields takes the place of one that stands in every request. */
bool http_request_replaces(const struct upstream_settings *settings, const struct header_list *own);

/*
 * Calls on_field for each field of a request but Host and Content-Length, in order: ours
 * (User-Agent, Accept, Accept-Encoding), the upstream's, the request's own; where two have the same
 * name, the later one alone. own may be NULL.
 */
void http_request_each_field(const struct upstream_settings *settings,
                             const struct header_list *own,
                             void (*on_field)(void *arg, const char *name, const char *value),
                             void *arg);

/* Whether a Content-Length is told: a body, or a method that has one as a rule (RFC 9110, 8.6). */
bool http_request_has_length(enum method method, bool has_body);

#endif
