/*
 * The floor's answer: text and large bodies in turn, with one send, and the rest of it later.
 */
#include "floor.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

static char *text; // the answer that is being written
static size_t text_size;

static char *put(char *at, const char *piece, size_t length)
{
    memcpy(at, piece, length);
    return at + length;
}

#define PUT(at, literal) put((at), (literal), sizeof(literal) - 1)

static char *put_number(char *at, uint64_t number)
{
    char digits[20];
    size_t first = sizeof digits;
    do
        digits[--first] = (char)('0' + number % 10);
    while ((number /= 10) > 0);
    return put(at, digits + first, sizeof digits - first);
}

static char *put_elapsed(char *at, int64_t elapsed_ns)
{
    uint64_t tenths = (uint64_t)elapsed_ns / 100000;
    at = put_number(at, tenths / 10);
    *at++ = '.';
    *at++ = (char)('0' + tenths % 10);
    return at;
}

static char *put_entry(char *at, const struct upstream *upstream, const struct slot *slot)
{
    at = put(at, upstream->id, upstream->id_length);
    at = slot->status > 0 ? PUT(at, "true,\"status\":") : PUT(at, "false,\"status\":");
    at = slot->status > 0 ? put_number(at, (uint64_t)slot->status) : PUT(at, "null");
    at = PUT(at, ",\"elapsed_ms\":");
    at = put_elapsed(at, slot->elapsed_ns);
    at = PUT(at, ",\"attempts\":1,\"body\":");
    return slot->status > 0 ? at : PUT(at, "null");
}

// The head of the answer, so that it ends where the document begins; gives its beginning.
static char *put_head(char *document, size_t length, bool is_complete)
{
    char head[HEAD_ROOM];
    char *at = is_complete ? PUT(head, "HTTP/1.1 200 OK\r\nX-Fanout-Complete: true\r\n")
                           : PUT(head, "HTTP/1.1 502 Bad\r\nX-Fanout-Complete: false\r\n");
    at = PUT(at, "Content-Type: application/json\r\nContent-Length: ");
    at = put_number(at, length);
    at = PUT(at, "\r\n\r\n");
    size_t head_length = (size_t)(at - head);
    memcpy(document - head_length, head, head_length);
    return document - head_length;
}

static void make_room_for_text(const struct aggregation *aggregation)
{
    size_t needed = HEAD_ROOM + ENTRY_ROOM + aggregation->arena_used;
    for (size_t i = 0; i < floor_upstream_count; i++)
        needed += floor_upstreams[i].id_length + ENTRY_ROOM;
    if (needed <= text_size)
        return;
    free(text);
    text = floor_must(malloc(needed));
    text_size = needed;
}

// Text and large bodies in turn; the text lies in one piece.
static size_t write_answer(const struct aggregation *aggregation, struct iovec *pieces)
{
    make_room_for_text(aggregation);
    size_t count = 0, bodies = 0;
    char *document = text + HEAD_ROOM, *piece = document;
    char *at = aggregation->has_failed ? PUT(document, "{\"status\":\"partial\",\"elapsed_ms\":")
                                       : PUT(document, "{\"status\":\"ok\",\"elapsed_ms\":");
    at = put_elapsed(at, floor_now_ns - aggregation->start_ns);
    at = PUT(at, ",\n\"results\":[");
    for (size_t i = 0; i < floor_upstream_count; i++) {
        const struct slot *slot = &aggregation->slots[i];
        at = put_entry(at, &floor_upstreams[i], slot);
        if (slot->body == NULL && slot->length > 0) {
            at = put(at, aggregation->arena + slot->offset, slot->length);
        } else if (slot->length > 0) {
            pieces[count++] = (struct iovec){piece, (size_t)(at - piece)};
            pieces[count++] = (struct iovec){slot->body + slot->offset, slot->length};
            bodies += slot->length;
            piece = at;
        }
        *at++ = '}';
    }
    at = PUT(at, "],\n\"errors\":[]}\n");
    pieces[count++] = (struct iovec){piece, (size_t)(at - piece)};
    char *head = put_head(document, (size_t)(at - document) + bodies, !aggregation->has_failed);
    pieces[0].iov_base = head;
    pieces[0].iov_len += (size_t)(document - head);
    return count;
}

// How many pieces are gone altogether; what is left of the next stays in it. -1: the caller is
// lost.
static ssize_t send_pieces(int fd, struct iovec *pieces, size_t count)
{
    struct msghdr message = {.msg_iov = pieces, .msg_iovlen = count};
    ssize_t sent = sendmsg(fd, &message, MSG_NOSIGNAL);
    if (sent < 0)
        return errno == EAGAIN ? 0 : -1;
    size_t left = (size_t)sent, gone = 0;
    for (; gone < count && left >= pieces[gone].iov_len; gone++)
        left -= pieces[gone].iov_len;
    if (gone < count) {
        pieces[gone].iov_base = (char *)pieces[gone].iov_base + left;
        pieces[gone].iov_len -= left;
    }
    return (ssize_t)gone;
}

// The text is needed for the next answer, so that the rest gets its own.
static void keep_unsent(struct aggregation *aggregation, const struct iovec *pieces, size_t first,
                        size_t count)
{
    aggregation->unsent = floor_must(malloc(count * sizeof *pieces));
    memcpy(aggregation->unsent, pieces, count * sizeof *pieces);
    aggregation->unsent_first = first;
    aggregation->unsent_count = count;
    aggregation->text = text;
    text = NULL;
    text_size = 0;
}

void floor_send_answer(struct aggregation *aggregation)
{
    static struct iovec pieces[2 * MOST_UPSTREAMS + 1];
    struct caller *caller = aggregation->caller;
    if (caller == NULL) {
        floor_aggregation_free(aggregation);
        return;
    }
    size_t count = write_answer(aggregation, pieces);
    ssize_t gone = send_pieces(caller->fd, pieces, count);
    if (gone < 0) {
        floor_caller_free(caller);
    } else if ((size_t)gone < count) {
        keep_unsent(aggregation, pieces, (size_t)gone, count);
    } else {
        caller->aggregation = NULL;
        floor_aggregation_free(aggregation);
    }
}

void floor_send_rest(struct caller *caller)
{
    struct aggregation *aggregation = caller->aggregation;
    struct iovec *first = aggregation->unsent + aggregation->unsent_first;
    size_t left = aggregation->unsent_count - aggregation->unsent_first;
    ssize_t gone = send_pieces(caller->fd, first, left);
    if (gone < 0) {
        floor_caller_free(caller);
        return;
    }
    aggregation->unsent_first += (size_t)gone;
    if ((size_t)gone == left) {
        caller->aggregation = NULL;
        floor_aggregation_free(aggregation);
    }
}
