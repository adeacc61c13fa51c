/*
 * What arrives on a client connection. The guard reads it in a callback of the
 * input buffer, before evhttp sees it. What must not pass is taken out of the
 * buffer; a request that is refused stays incomplete for evhttp, and once all
 * earlier ones are answered, the refusal is written past evhttp and the
 * connection closed.
 */
#include "service/connection_internal.h"

#include "fanout/buf.h"
#include "fanout/mem.h"
#include "service/log.h"
#include "service/problem.h"
#include "service/request_id.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <stdlib.h>
#include <sys/socket.h>

/* ---- refusing ---- */

static void on_lingering_read(struct bufferevent *stream, void *arg)
{
    struct evbuffer *input = bufferevent_get_input(stream);

    (void)arg;
    evbuffer_drain(input, evbuffer_get_length(input));
}

static void on_lingering_event(struct bufferevent *stream, short what, void *arg)
{
    (void)stream, (void)what;
    connection_close(arg);
}

/* All is written. To close at once would reset the connection under what is still being sent, and
 * the caller would never read what is wrong (RFC 9112, section 9.6). */
static void on_refusal_written(struct bufferevent *stream, void *arg)
{
    struct connection *connection = arg;

    if (connection->state != CONNECTION_REFUSING)
        return;
    connection->state = CONNECTION_LINGERING;
    shutdown(bufferevent_getfd(stream), SHUT_WR);
    connection_follow(connection);
    bufferevent_setwatermark(stream, EV_READ, 0, 0);
    on_lingering_read(stream, arg);
}

static void describe_refusal(const struct connection *connection, struct problem *problem)
{
    const struct guard *guard = &connection->guard;

    if (guard->status == 413)
        problem_set(problem, 413, "the body is larger than %zu bytes (option max_request_body)",
                    connection->set->settings.limits.max_body_bytes);
    else
        problem_set(problem, guard->status, "%s (byte %llu of the connection)", guard->reason,
                    (unsigned long long)guard->offset);
}

static void write_refusal(const struct connection *connection, const char *id)
{
    struct evbuffer *output = bufferevent_get_output(connection->stream);
    struct problem problem;
    struct buf body;

    describe_refusal(connection, &problem);
    buf_init(&body, BUF_UNLIMITED);
    problem_write(&problem, id, &body);
    evbuffer_add_printf(output,
                        "HTTP/1.1 %u %s\r\nContent-Type: application/problem+json\r\n"
                        "Content-Length: %zu\r\nX-Request-Id: %s\r\nConnection: close\r\n\r\n",
                        problem.status, http_phrase(problem.status), body.len, id);
    evbuffer_add(output, body.data, body.len);
    buf_release(&body);
}

static void write_and_linger(struct connection *connection)
{
    struct bufferevent *stream = connection->stream;
    const struct guard *guard = &connection->guard;
    char id[REQUEST_ID_SIZE], reason[LOG_VALUE_SIZE];

    request_id_take(id, NULL);
    log_event(TRACE_WARN, id, "event=refused status=%u reason=%s", guard->status,
              log_value(guard->reason, reason));
    connection->state = CONNECTION_REFUSING;
    bufferevent_setcb(stream, on_lingering_read, on_refusal_written, on_lingering_event,
                      connection);
    write_refusal(connection, id);
    bufferevent_enable(stream, EV_READ | EV_WRITE);
    connection_follow(connection);
}

void connection_refuse_now(struct connection *connection)
{
    if (connection->state == CONNECTION_REFUSED && !connection_owes_answers(connection))
        write_and_linger(connection);
}

void connection_refuse(struct connection *connection, unsigned status, const char *reason)
{
    connection->guard.status = status;
    connection->guard.reason = reason;
    connection->state = CONNECTION_REFUSED;
    event_active(&connection->step, EV_TIMEOUT, 0);
}

/* ---- what arrives ---- */

/* Replaces all behind the first `keep` bytes of the input by what passed of it; NULL: nothing. */
static void replace_tail(struct connection *connection, struct evbuffer *input, size_t keep,
                         struct evbuffer *passed)
{
    struct evbuffer *front = evbuffer_new();

    connection->is_editing = true;
    if (front == NULL || evbuffer_remove_buffer(input, front, keep) < 0)
        mem_abort();
    evbuffer_drain(input, evbuffer_get_length(input));
    evbuffer_add_buffer(input, front);
    if (passed != NULL)
        evbuffer_add_buffer(input, passed);
    evbuffer_free(front);
    connection->is_editing = false;
}

/* Feeds one piece; what passed goes to *passed, which is made when first something does not.
 * `*keep` counts what passed until then. False: refused. */
static bool feed(struct connection *connection, const char *bytes, size_t length, size_t *keep,
                 struct evbuffer **passed)
{
    while (length > 0) {
        size_t taken;
        enum guard_verdict verdict = guard_feed(&connection->guard, bytes, length, &taken);

        if (verdict != GUARD_PASS && *passed == NULL && (*passed = evbuffer_new()) == NULL)
            mem_abort();
        if (verdict == GUARD_REFUSE)
            return false;
        if (*passed == NULL)
            *keep += taken;
        else if (verdict == GUARD_PASS)
            evbuffer_add(*passed, bytes, taken);
        bytes += taken;
        length -= taken;
    }
    return true;
}

static bool feed_tail(struct connection *connection, struct evbuffer *input, size_t tail)
{
    size_t keep = evbuffer_get_length(input) - tail;
    struct evbuffer *passed = NULL;
    struct evbuffer_iovec pieces[16];
    bool ok = true;

    while (ok && tail > 0) {
        struct evbuffer_ptr at;
        int count;

        evbuffer_ptr_set(input, &at, evbuffer_get_length(input) - tail, EVBUFFER_PTR_SET);
        count = evbuffer_peek(input, (ev_ssize_t)tail, &at, pieces, 16);
        for (int i = 0; ok && i < count && i < 16 && tail > 0; i++) {
            size_t length = pieces[i].iov_len < tail ? pieces[i].iov_len : tail;

            ok = feed(connection, pieces[i].iov_base, length, &keep, &passed);
            tail -= length;
        }
    }
    if (passed != NULL) {
        replace_tail(connection, input, keep, passed);
        evbuffer_free(passed);
    }
    return ok;
}

/* How many requests of a caller may wait for their answers. */
static bool has_too_many_waiting(const struct connection *connection)
{
    return connection->guard.requests_done - connection->answered >
           connection->set->settings.max_pipelined;
}

void connection_on_input(struct evbuffer *input, const struct evbuffer_cb_info *info, void *arg)
{
    struct connection *connection = arg;
    const struct guard *guard = &connection->guard;

    if (connection->is_editing || info->n_added == 0)
        return;
    if (connection->state == CONNECTION_REFUSED)
        replace_tail(connection, input, evbuffer_get_length(input) - info->n_added, NULL);
    if (connection->state != CONNECTION_OPEN)
        return;
    if (!feed_tail(connection, input, info->n_added))
        connection_refuse(connection, guard->status, guard->reason);
    else if (has_too_many_waiting(connection))
        connection_refuse(connection, 400, "too many requests wait for their answers");
    connection_follow(connection);
}
