/*
 * The framing of a body in chunks (RFC 9112, section 7.1): sizes, extensions
 * and line ends. What is in the chunks, and the trailer behind the last, are the
 * caller's.
 */
#ifndef FANOUT_HTTP_CHUNKS_H
#define FANOUT_HTTP_CHUNKS_H

#include <stddef.h>
#include <stdint.h>

/* Bytes of extensions, with the blanks before them: nobody reads them, so they are bounded. */
#define HTTP_CHUNKS_MAX_EXTENSION     (16 * 1024) /* of one chunk */
#define HTTP_CHUNKS_MAX_ALL_EXTENSION (64 * 1024) /* of one body */

enum http_chunks_awaited {
    HTTP_CHUNKS_SIZE,
    HTTP_CHUNKS_SEMICOLON, /* or another blank before it */
    HTTP_CHUNKS_EXTENSION, /* the rest of it, or the line end */
    HTTP_CHUNKS_SIZE_LF,   /* behind the CR of a size line */
    HTTP_CHUNKS_DATA,      /* `left` bytes of it; they are not http_chunks_take's */
    HTTP_CHUNKS_CR,        /* behind the data; LF alone will do */
    HTTP_CHUNKS_LF,
    HTTP_CHUNKS_TRAILER, /* the last chunk's line was the end of the chunks */
    HTTP_CHUNKS_NOTHING, /* they are malformed */
};

/* Zeroed at first. */
struct http_chunks {
    enum http_chunks_awaited awaited;
    unsigned digits; /* of the present size */
    unsigned extension_bytes;
    unsigned all_extension_bytes;
    uint64_t left;      /* bytes of the present chunk that have not come */
    const char *reason; /* what is wrong, static; NULL: nothing */
};

/* Takes what is framing and stops at data, at the trailer, and at what is malformed. Returns how
 * many bytes it took. */
size_t http_chunks_take(struct http_chunks *chunks, const char *bytes, size_t count);

/* Bytes of data have come, `left` at most. */
void http_chunks_took_data(struct http_chunks *chunks, size_t count);

#endif
