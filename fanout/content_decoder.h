/*
 * Content codings undone (RFC 9110, section 8.4.1): gzip, deflate and what they
 * are wrapped in each other. Streaming, with a memory that does not depend on
 * what comes; strict about checksums and about where the coding ends.
 */
#ifndef FANOUT_CONTENT_DECODER_H
#define FANOUT_CONTENT_DECODER_H

#include "fanout/buf.h"
#include "fanout/outcome.h"

#include <stddef.h>

#define CONTENT_CODINGS_MAX 5 /* in one answer; each may multiply what comes by a thousand */

enum content_coding {
    CONTENT_IDENTITY,
    CONTENT_GZIP,
    CONTENT_DEFLATE, /* with zlib's wrapping, as it should be, or without */
};

/* Of one answer, in the order in which they were put on; zeroed is empty. */
struct content_codings {
    enum content_coding items[CONTENT_CODINGS_MAX];
    unsigned count;
};

/* Adds those of one Content-Encoding field. NULL: all are known and they are not too many;
 * otherwise what is wrong, static. */
const char *content_codings_add(struct content_codings *codings, const char *value, size_t length);

struct content_decoder;

/* What is decoded is appended to out, which must outlive it. NULL: there is nothing to undo. */
struct content_decoder *content_decoder_new(const struct content_codings *codings, struct buf *out);
void content_decoder_free(struct content_decoder *decoder);

/*
 * Takes bytes as they came. OK, or protocol_error (*reason says what is wrong, static),
 * response_too_large (the cap of out) or queue_full (no memory, or none of the budget); after
 * these, nothing more may be given to it.
 */
enum outcome content_decoder_take(struct content_decoder *decoder, const char *bytes, size_t count,
                                  const char **reason);

/* No more will come. NULL: that is the end of all codings, or there was nothing at all. */
const char *content_decoder_end(const struct content_decoder *decoder);

#endif
