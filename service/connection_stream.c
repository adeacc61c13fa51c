/*
 * The socket of a client connection. evhttp is given a bufferevent without a
 * descriptor: two buffers and their callbacks. The socket itself is read and
 * written here, with one system call each and without a change of what epoll
 * watches, as long as the caller keeps up. Reading goes on while a call is
 * being worked on, so that a caller who leaves is noticed; what arrives then
 * stays in the input buffer until the answer is out and evhttp reads on.
 */
#include "service/connection_internal.h"

#include "fanout/buf.h"
#include "fanout/mem.h"
#include "service/pieces.h"

#include <assert.h>
#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/uio.h>

#define READ_SIZE    (16 * 1024)
#define MOST_AT_ONCE 64 /* pieces */

/* ---- reading ---- */

static size_t max_input(const struct connection *connection)
{
    const struct guard_limits *limits = &connection->set->settings.limits;

    return limits->max_target_bytes + limits->max_header_bytes + limits->max_body_bytes + 4096;
}

/* Nothing more will come of it, or go to it. */
static void lose(struct connection *connection, short what)
{
    if (connection->state == CONNECTION_REFUSING || connection->state == CONNECTION_LINGERING)
        connection_close(connection);
    else
        bufferevent_trigger_event(connection->stream, what, 0); /* evhttp closes it */
}

/* evhttp ends the process when it is to read while it waits for an answer. */
static void let_evhttp_read(struct connection *connection)
{
    if (connection->call == NULL &&
        evbuffer_get_length(bufferevent_get_input(connection->stream)) > 0)
        bufferevent_trigger(connection->stream, EV_READ, 0);
}

/* A caller may send more requests before it reads the answer, but not for ever. */
static bool has_sent_too_much(const struct connection *connection)
{
    return connection->call != NULL &&
           evbuffer_get_length(bufferevent_get_input(connection->stream)) > max_input(connection);
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    struct connection *connection = arg;
    char bytes[READ_SIZE];
    ssize_t count;

    (void)what;
    if (has_sent_too_much(connection)) {
        event_del(&connection->readable); /* until the answer is out */
        return;
    }
    count = recv(fd, bytes, sizeof bytes, 0);
    if (count > 0) {
        connection_take_bytes(connection, bytes, (size_t)count);
        let_evhttp_read(connection);
    } else if (count == 0) {
        lose(connection, BEV_EVENT_READING | BEV_EVENT_EOF);
    } else if (errno != EAGAIN && errno != EINTR) {
        lose(connection, BEV_EVENT_READING | BEV_EVENT_ERROR);
    }
}

/* ---- writing ---- */

static void on_all_written(struct connection *connection)
{
    event_del(&connection->writable);
    if (connection->state == CONNECTION_REFUSING)
        connection_on_refusal_written(connection);
    else
        bufferevent_trigger(connection->stream, EV_WRITE, 0);
}

void connection_stream_write(struct connection *connection)
{
    struct evbuffer *output = bufferevent_get_output(connection->stream);

    if (evbuffer_get_length(output) == 0)
        return;
    if (evbuffer_write(output, connection->fd) < 0 && errno != EAGAIN && errno != EINTR)
        lose(connection, BEV_EVENT_WRITING | BEV_EVENT_ERROR);
    else if (evbuffer_get_length(output) == 0)
        on_all_written(connection);
    else
        event_add(&connection->writable, NULL);
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    connection_stream_write(arg);
}

/* Whoever writes does not say so. */
static void on_output(struct evbuffer *output, const struct evbuffer_cb_info *info, void *arg)
{
    struct connection *connection = arg;

    (void)output;
    if (info->n_added > 0)
        event_active(&connection->step, EV_TIMEOUT, 0);
}

/* ---- answers ---- */

static void on_piece_sent(const void *data, size_t length, void *arg)
{
    (void)data, (void)length;
    if (arg != NULL)
        buf_release(arg);
}

/* With the last piece: all others have gone before. */
static void on_answer_sent(const void *data, size_t length, void *arg)
{
    (void)data, (void)length;
    pieces_release(arg);
    free(arg);
}

/* What is left of it when the first *skip bytes are not wanted, which become fewer. */
static struct iovec rest_of(struct iovec piece, size_t *skip)
{
    size_t skipped = *skip < piece.iov_len ? *skip : piece.iov_len;

    if (skipped == 0)
        return piece;
    *skip -= skipped;
    return (struct iovec){(char *)piece.iov_base + skipped, piece.iov_len - skipped};
}

/* Without a copy: its bytes count against their budget until they are sent. */
static void queue_piece(struct evbuffer *output, struct iovec piece,
                        evbuffer_ref_cleanup_cb on_sent, void *arg)
{
    if (piece.iov_len == 0)
        on_sent(NULL, 0, arg);
    else if (evbuffer_add_reference(output, piece.iov_base, piece.iov_len, on_sent, arg) != 0)
        mem_abort();
}

static void queue_body(struct evbuffer *output, struct pieces *body, size_t skip)
{
    struct pieces *kept = mem_alloc(sizeof *kept);
    size_t last;

    *kept = *body;
    last = pieces_count(kept) - 1;
    assert(last == 0 || pieces_at(kept, last).iov_len > 0);
    for (size_t i = 0; i < last; i++)
        queue_piece(output, rest_of(pieces_at(kept, i), &skip), on_piece_sent,
                    pieces_body_at(kept, i));
    queue_piece(output, rest_of(pieces_at(kept, last), &skip), on_answer_sent, kept);
}

static void queue(struct connection *connection, const struct iovec head[2], struct pieces *body,
                  size_t written)
{
    struct evbuffer *output = bufferevent_get_output(connection->stream);

    for (size_t i = 0; i < 2; i++) {
        struct iovec rest = rest_of(head[i], &written);

        if (evbuffer_add(output, rest.iov_base, rest.iov_len) != 0)
            mem_abort();
    }
    queue_body(output, body, written);
}

/* A socket that fails does so again, from the loop. */
static size_t write_at_once(const struct connection *connection, const struct iovec head[2],
                            const struct pieces *body)
{
    struct iovec pieces[MOST_AT_ONCE];
    size_t count = pieces_count(body) + 2;
    ssize_t written;

    /* What writing brings about must not happen below evhttp, nor pass what waits. */
    if (connection->is_taking ||
        evbuffer_get_length(bufferevent_get_output(connection->stream)) > 0)
        return 0;
    if (count > MOST_AT_ONCE)
        count = MOST_AT_ONCE;
    for (size_t i = 0; i < count; i++)
        pieces[i] = i < 2 ? head[i] : pieces_at(body, i - 2);
    written = writev(connection->fd, pieces, (int)count);
    return written > 0 ? (size_t)written : 0;
}

bool connection_stream_send(struct connection *connection, const struct iovec head[2],
                            struct pieces *body)
{
    size_t length = head[0].iov_len + head[1].iov_len + pieces_length(body);
    size_t written = write_at_once(connection, head, body);

    if (written < length) {
        queue(connection, head, body, written);
        return false;
    }
    pieces_release(body);
    return true;
}

/* ---- the stream ---- */

struct bufferevent *connection_stream_new(struct connection *connection)
{
    struct event_base *base = connection->set->base;
    struct bufferevent *stream = bufferevent_socket_new(base, -1, 0);

    if (stream != NULL)
        evbuffer_add_cb(bufferevent_get_output(stream), on_output, connection);
    return stream;
}

void connection_stream_start(struct connection *connection)
{
    struct event_base *base = connection->set->base;

    connection->fd = bufferevent_getfd(connection->stream);
    bufferevent_setfd(connection->stream, -1);
    bufferevent_set_timeouts(connection->stream, NULL, NULL);
    event_assign(&connection->readable, base, connection->fd, EV_READ | EV_PERSIST, on_readable,
                 connection);
    event_assign(&connection->writable, base, connection->fd, EV_WRITE | EV_PERSIST, on_writable,
                 connection);
    connection_stream_read_on(connection);
}

void connection_stream_read_on(struct connection *connection)
{
    if (!event_pending(&connection->readable, EV_READ, NULL))
        event_add(&connection->readable, NULL);
}

void connection_stream_stop(struct connection *connection)
{
    event_del(&connection->readable);
    event_del(&connection->writable);
    bufferevent_disable(connection->stream, EV_READ | EV_WRITE);
    bufferevent_setfd(connection->stream, connection->fd); /* for evhttp to close */
}
