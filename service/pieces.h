/*
 * The body of an answer: text that was written for it, and between its parts
 * bodies of upstreams, which are sent from where they were received. Only
 * small ones are copied.
 */
#ifndef SERVICE_PIECES_H
#define SERVICE_PIECES_H

#include "fanout/buf.h"

#include <stddef.h>
#include <sys/uio.h>

/* A smaller body is copied: freed one by one, many of them cost the allocator more than that. */
#define PIECES_LEAST_BYTES (32 * 1024)

struct pieces {
    struct buf text; /* to be appended to */
    struct pieces_body {
        size_t offset; /* of the text that stands behind it */
        struct buf bytes;
    } * bodies;
    size_t body_count;
    size_t body_room;
    size_t body_bytes; /* of all bodies */
};

/* Work in place, as those of buf.h. The budget may be NULL. */
void pieces_init(struct pieces *pieces, struct budget *budget);
void pieces_release(struct pieces *pieces);
/* A text alone, which is taken over. */
void pieces_init_text(struct pieces *pieces, struct buf *text);

/*
 * The body stands where the text ends now, and there must be more text behind it in the end. It may
 * be taken over; release it in any case. Whether there was room shows in the text, as with buf.h.
 */
void pieces_add_body(struct pieces *pieces, struct buf *body);

size_t pieces_length(const struct pieces *pieces);

/* All in order: text and bodies by turns, text first and last. */
size_t pieces_count(const struct pieces *pieces);
struct iovec pieces_at(const struct pieces *pieces, size_t index);
/* The body at this index; NULL: text is there. */
struct buf *pieces_body_at(struct pieces *pieces, size_t index);

#endif
