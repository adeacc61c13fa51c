/*
 * What arrives on a client connection. The guard reads it before evhttp does;
 * what must not pass is left out. A request that is refused stays incomplete
 * for evhttp, and once all earlier ones are answered, the refusal is written
 * past evhttp and the connection closed.
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
#include <sys/socket.h>

/* ---- refusing ---- */

/* To close at once would reset the connection under what is still being sent, and the caller would
 * never read what is wrong (RFC 9112, section 9.6). */
void connection_on_refusal_written(struct connection *connection)
{
    connection->state = CONNECTION_LINGERING;
    shutdown(connection->fd, SHUT_WR);
    connection_follow(connection);
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
    const struct guard *guard = &connection->guard;
    char id[REQUEST_ID_SIZE], reason[LOG_VALUE_SIZE];

    request_id_take(id, NULL);
    log_event(TRACE_WARN, id, "event=refused status=%u reason=%s", guard->status,
              log_value(guard->reason, reason));
    connection->state = CONNECTION_REFUSING;
    bufferevent_setcb(connection->stream, NULL, NULL, NULL, NULL); /* evhttp hears no more of it */
    write_refusal(connection, id);
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

/* False: refused. */
static bool feed(struct connection *connection, const char *bytes, size_t length)
{
    struct evbuffer *input = bufferevent_get_input(connection->stream);
    size_t taken;

    for (; length > 0; bytes += taken, length -= taken) {
        enum guard_verdict verdict = guard_feed(&connection->guard, bytes, length, &taken);

        if (verdict == GUARD_REFUSE)
            return false;
        if (verdict == GUARD_PASS && evbuffer_add(input, bytes, taken) != 0)
            mem_abort();
    }
    return true;
}

/* How many requests of a caller may wait for their answers. */
static bool has_too_many_waiting(const struct connection *connection)
{
    return connection->guard.requests_done - connection->answered >
           connection->set->settings.max_pipelined;
}

void connection_take_bytes(struct connection *connection, const char *bytes, size_t length)
{
    const struct guard *guard = &connection->guard;

    if (connection->state != CONNECTION_OPEN)
        return;
    if (!feed(connection, bytes, length))
        connection_refuse(connection, guard->status, guard->reason);
    else if (has_too_many_waiting(connection))
        connection_refuse(connection, 400, "too many requests wait for their answers");
    connection_follow(connection);
}
