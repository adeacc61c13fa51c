/* An answer's body in pieces. */
#include "service/pieces.h"

#include "fanout/mem.h"

#include <stdlib.h>

#define FIRST_ROOM 16 /* bodies */

void pieces_init(struct pieces *pieces, struct budget *budget)
{
    *pieces = (struct pieces){.body_count = 0};
    buf_init_budgeted(&pieces->text, BUF_UNLIMITED, budget);
}

void pieces_init_text(struct pieces *pieces, struct buf *text)
{
    *pieces = (struct pieces){.body_count = 0};
    buf_move(&pieces->text, text);
}

void pieces_release(struct pieces *pieces)
{
    for (size_t i = 0; i < pieces->body_count; i++)
        buf_release(&pieces->bodies[i].bytes);
    free(pieces->bodies);
    buf_release(&pieces->text);
    pieces_init(pieces, pieces->text.budget);
}

void pieces_add_body(struct pieces *pieces, struct buf *body)
{
    struct pieces_body *added;

    if (body->len < PIECES_LEAST_BYTES || pieces->text.has_failed) {
        buf_append(&pieces->text, body->data, body->len);
        return;
    }
    if (pieces->body_count == pieces->body_room) {
        pieces->body_room = pieces->body_room > 0 ? pieces->body_room * 2 : FIRST_ROOM;
        pieces->bodies = mem_realloc(pieces->bodies, pieces->body_room * sizeof *pieces->bodies);
    }
    added = &pieces->bodies[pieces->body_count++];
    added->offset = pieces->text.len;
    buf_move(&added->bytes, body);
    pieces->body_bytes += added->bytes.len;
}

size_t pieces_length(const struct pieces *pieces)
{
    return pieces->text.len + pieces->body_bytes;
}

size_t pieces_count(const struct pieces *pieces)
{
    return 2 * pieces->body_count + 1;
}

struct buf *pieces_body_at(struct pieces *pieces, size_t index)
{
    return index % 2 == 1 ? &pieces->bodies[index / 2].bytes : NULL;
}

struct iovec pieces_at(const struct pieces *pieces, size_t index)
{
    size_t next = index / 2;
    size_t start, end;

    if (index % 2 == 1)
        return (struct iovec){pieces->bodies[next].bytes.data, pieces->bodies[next].bytes.len};
    start = next > 0 ? pieces->bodies[next - 1].offset : 0;
    end = next < pieces->body_count ? pieces->bodies[next].offset : pieces->text.len;
    return (struct iovec){start < end ? pieces->text.data + start : NULL, end - start};
}
