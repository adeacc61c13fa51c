/*
 * What stands in front of evhttp: a strict reader of the bytes of one client
 * connection (RFC 9112). Two readers that disagree about where a request ends
 * are how requests are smuggled, and evhttp is lenient; so what passes here has
 * one meaning only, and evhttp reads it with that meaning. It owns no socket,
 * allocates nothing, and its answer does not depend on how the bytes arrive.
 */
#ifndef SERVICE_GUARD_H
#define SERVICE_GUARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GUARD_TEXT_SIZE 256

/*
 * Each is below SIZE_MAX / 4. Exactly so much passes, one more does not. evhttp must not stop
 * earlier: its max_headers_size is at least max_target_bytes + max_header_bytes + 32, its
 * max_body_size at least max_body_bytes.
 */
struct guard_limits {
    size_t max_target_bytes;     /* of the request target, else 414 */
    size_t max_header_bytes;     /* of all field lines, each with its CRLF, else 431 */
    size_t max_header_count;     /* field lines, else 431 */
    size_t max_body_bytes;       /* decoded, else 413; before the body where its length is said */
    size_t max_chunk_line_bytes; /* chunk size and extensions, without the CRLF, else 400 */
    size_t max_trailer_bytes;    /* the field lines behind the last chunk, else 431 */
    size_t max_trailer_count;
};

extern const struct guard_limits guard_default_limits;

enum guard_verdict {
    GUARD_PASS,   /* for evhttp, as it is */
    GUARD_DROP,   /* legal, but evhttp would misread it and means the same without: leave it out */
    GUARD_REFUSE, /* answer with guard.status and close */
};

/* What a deadline has to be kept for. */
enum guard_phase {
    GUARD_IDLE, /* between requests; empty lines before a request belong here */
    GUARD_HEAD, /* from the first byte of a request to the end of its header section */
    GUARD_BODY, /* to the end of the request: body, chunks, trailer */
    GUARD_OVER, /* the last request of this connection is whole: all else is GUARD_DROP */
};

/* Private: what is known of the request that is being read. */
struct guard_message {
    uint64_t content_length; /* UINT64_MAX: that or more */
    uint64_t body_bytes;     /* of the chunks so far */
    uint64_t chunk_overhead;
    size_t field_count;
    bool takes_body; /* by its method: whether evhttp would read one */
    bool is_options;
    bool is_asterisk; /* its target */
    bool is_http_1_0;
    bool has_host;
    bool has_length;
    bool has_coding;
    bool is_chunked;
    bool has_connection;
    bool says_close;
    bool says_keep_alive;
    bool is_in_trailer;
};

struct guard_field;

struct guard {
    unsigned status;    /* 0: all is well; else 400, 413, 414, 417, 431, 501, 505 */
    const char *reason; /* what is wrong, for people; static */
    enum guard_phase phase;
    /* Request number heads_done is the last, and its answer closes: HTTP/1.0 without keep-alive, or
     * Connection: close. evhttp overlooks some of these: give that answer `Connection: close`. */
    bool wants_close;
    uint64_t requests_begun;
    uint64_t heads_done;    /* header sections that are complete */
    uint64_t requests_done; /* whole requests: evhttp calls back for these and no others */
    uint64_t offset;        /* bytes taken on this connection; a refusal is about the next one */

    /* Private. */
    const struct guard_limits *limits;
    const struct guard_field *field; /* being read; NULL: one whose value is nobody's business */
    void (*on_line)(struct guard *); /* what the line means that ends with the LF to come */
    size_t part_left;                /* bytes that this part may still have */
    uint64_t left;                   /* bytes of the body or chunk to come; size of a chunk */
    size_t count;                    /* bytes of the target or version, digits of a chunk size */
    size_t text_length;
    unsigned char state;       /* enum guard_state */
    unsigned char part;        /* enum guard_part */
    unsigned char extension;   /* enum extension */
    unsigned char escape;      /* inside a percent-encoding: hex digits to come */
    unsigned char escape_high; /* the first of them */
    unsigned char empty_lines;
    bool is_dropping;           /* the next byte is not for evhttp */
    char version[3];            /* "1.1" */
    char text[GUARD_TEXT_SIZE]; /* the method, a field's name in lower case, its value */
    struct guard_message message;
};

/* Works in place; the limits must outlive it. */
void guard_init(struct guard *guard, const struct guard_limits *limits);

/*
 * Reads on, up to where the verdict changes: *taken bytes got the one that is returned, so call
 * again with the rest while there is any. The byte that is wrong is never taken; after a refusal
 * every call refuses and takes nothing. evhttp may be given what passed before: the request that
 * is wrong stays incomplete, so evhttp says nothing about it, and requests_done answers are owed
 * before the refusal.
 *
 * Dropped are: empty lines before a request (four at most; RFC 9112, 2.2), tabs before a field
 * value (5), chunk extensions and trailer fields (7.1.1, 7.1.2), and all that follows a request
 * that closes (9.6).
 *
 * Refused though RFC 9112 allows it: the absolute-form of a target (3.2.2), HTTP/1.2 and above, a
 * value of over GUARD_TEXT_SIZE bytes in a field that frames or routes, and a body with HEAD or
 * TRACE, which evhttp would take for the next request.
 */
enum guard_verdict guard_feed(struct guard *guard, const void *bytes, size_t length, size_t *taken);

#endif
