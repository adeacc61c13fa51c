/*
 * An HTTP/1.1 answer as it comes in from an upstream: head, interim answers,
 * body, chunks, trailers (RFC 9112), content codings undone (RFC 9110, section
 * 8.4.1). Strict, incremental and bounded; where a message could be read in two
 * ways it is refused. It knows no socket: bytes are given to it in whatever
 * pieces they come.
 */
#ifndef FANOUT_HTTP_RESPONSE_H
#define FANOUT_HTTP_RESPONSE_H

#include "fanout/buf.h"
#include "fanout/http_chunks.h"
#include "fanout/http_fields.h"
#include "fanout/method.h"
#include "fanout/outcome.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Of all heads of one answer, the interim ones and trailers included. */
#define HTTP_RESPONSE_MAX_HEAD_BYTES (64 * 1024)

enum http_response_phase {
    HTTP_RESPONSE_HEAD,
    HTTP_RESPONSE_BODY,
    HTTP_RESPONSE_DONE,
    HTTP_RESPONSE_FAILED,
};

enum http_response_awaited {
    /* lines: */
    HTTP_RESPONSE_STATUS_LINE, /* of the final answer or of an interim one */
    HTTP_RESPONSE_FIELD,       /* or the empty line behind the last */
    HTTP_RESPONSE_TRAILER,     /* a field of it, or the empty line behind the last */
    /* the body: */
    HTTP_RESPONSE_LENGTH, /* `left` bytes */
    HTTP_RESPONSE_CLOSE,  /* until the connection ends */
    HTTP_RESPONSE_CHUNK,
    HTTP_RESPONSE_NOTHING, /* done or failed */
};

struct http_response {
    enum http_response_phase phase;
    unsigned status; /* of the final answer; 0: its status line has not come, or was refused */
    const char *content_type; /* there until it is released; NULL: none */
    bool is_persistent;   /* once DONE: the connection may carry another request (RFC 9112, 9.3) */
    enum outcome outcome; /* once FAILED: reset, protocol_error, response_too_large, queue_full */
    const char *reason;   /* once FAILED: what is wrong, static */
    /* http_response.c's own */
    enum http_response_awaited awaited;
    bool is_head; /* it answers a HEAD, so that it has no body */
    bool has_begun;
    bool is_interim; /* the head that is being read is not the final one */
    size_t head_bytes;
    uint64_t left;   /* of a body whose length was told */
    struct buf line; /* what has come of a line whose end has not */
    struct buf *body;
    struct content_decoder *decoder; /* NULL: the body comes as it is */
    struct http_chunks chunks;
    struct http_fields fields;
};

/* Allocates nothing. What there is of the body, decoded, is appended to `body`, whose cap and
 * budget bound it; it must be there until the response is released. */
void http_response_init(struct http_response *response, enum method method, struct buf *body);
void http_response_release(struct http_response *response);

/*
 * Takes bytes that have come. Returns how many of them belong to this answer: fewer than count
 * only when it is DONE or FAILED. What is behind the end of an answer answers nothing (RFC 9112,
 * section 6.3): the connection is then not to be used again.
 */
size_t http_response_take(struct http_response *response, const char *bytes, size_t count);

/* The connection has ended: DONE if that ends the body, FAILED (reset) if anything is missing. */
void http_response_end(struct http_response *response);

/* Whether it is DONE or FAILED. */
static inline bool http_response_is_over(const struct http_response *response)
{
    return response->phase == HTTP_RESPONSE_DONE || response->phase == HTTP_RESPONSE_FAILED;
}

/* Whether any byte of an answer has come. */
bool http_response_has_begun(const struct http_response *response);

/*
 * Where the next bytes of the body can be received without a copy, *room of them at most; NULL:
 * nowhere, use http_response_take; or there is no memory for them, and it is FAILED now. What has
 * been received there is told by http_response_took.
 */
char *http_response_room(struct http_response *response, size_t *room);
void http_response_took(struct http_response *response, size_t count);

#endif
