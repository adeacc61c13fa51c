/*
 * What an upstream sends as the head of its answer, looked at line by line
 * where libcurl is lenient: for transport.c alone.
 */
#ifndef FANOUT_TRANSPORT_HEAD_H
#define FANOUT_TRANSPORT_HEAD_H

#include <stdbool.h>
#include <stddef.h>

/* Zeroed at first. */
struct transport_head {
    size_t bytes;     /* of all heads of one exchange, the interim ones and trailers included */
    unsigned lengths; /* fields of the present head that tell how long the body is */
    bool is_complete; /* the present head has ended */
};

/*
 * One line, with its line end. NULL: it is fine; otherwise what is wrong, static: too many bytes, a
 * status line or a length that is none, a coding other than chunked, or a length that is told
 * twice. libcurl would choose a meaning; who sent it may have meant another, and what follows on
 * the connection is then not what it seems (RFC 9112, sections 4, 6.1 and 6.3).
 */
const char *transport_head_take(struct transport_head *head, const char *line, size_t count);

#endif
