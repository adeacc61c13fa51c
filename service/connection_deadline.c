/*
 * How long a caller may take. Every limit is absolute, from the first byte of
 * what is waited for to its last: a byte a second gets nowhere. Only the
 * reader of an answer is asked for progress instead, as an answer may be large
 * and an honest line slow.
 */
#include "service/connection_internal.h"

#include "fanout/clock.h"
#include "service/call.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>

#define LINGER_US      (UINT64_C(2) * 1000000) /* for a refused caller to read what is wrong */
#define LEAST_PROGRESS 1024                    /* bytes in each write_timeout */

static enum connection_wait what_is_awaited(const struct connection *connection)
{
    if (connection->state == CONNECTION_LINGERING || connection->state == CONNECTION_REFUSING)
        return WAIT_LINGER;
    if (connection->call != NULL && connection->call->is_answered)
        return WAIT_READ;
    if (connection->call != NULL || connection_owes_answers(connection) ||
        connection->state == CONNECTION_REFUSED)
        return WAIT_NONE;
    switch (connection->guard.phase) {
    case GUARD_HEAD:
        return WAIT_HEAD;
    case GUARD_BODY:
        return WAIT_BODY;
    case GUARD_IDLE:
    case GUARD_OVER:
        break;
    }
    return WAIT_IDLE;
}

static uint64_t time_for(const struct connection *connection)
{
    const struct connection_settings *settings = &connection->set->settings;

    switch (connection->wait) {
    case WAIT_NONE:
        break;
    case WAIT_IDLE:
        return settings->idle_timeout_us;
    case WAIT_HEAD:
        return settings->head_timeout_us;
    case WAIT_BODY:
        return settings->body_timeout_us;
    case WAIT_READ:
        return settings->write_timeout_us;
    case WAIT_LINGER:
        return LINGER_US;
    }
    return CLOCK_NEVER;
}

/* Bytes of answers that the caller has not acknowledged. */
static size_t count_unread(const struct connection *connection)
{
    int in_kernel = 0;

    ioctl(connection->fd, SIOCOUTQ, &in_kernel);
    return evbuffer_get_length(bufferevent_get_output(connection->stream)) + (size_t)in_kernel;
}

static void start(struct connection *connection)
{
    struct timers *timers = connection->set->timers;
    uint64_t time_us = time_for(connection);

    if (time_us == CLOCK_NEVER)
        timer_stop(timers, &connection->deadline);
    else
        timer_start(timers, &connection->deadline, clock_now_us() + time_us);
}

void connection_follow(struct connection *connection)
{
    enum connection_wait wait = what_is_awaited(connection);
    uint64_t request = connection->guard.requests_begun + connection->answered;

    if (wait == connection->wait && request == connection->wait_request)
        return;
    connection->wait = wait;
    connection->wait_request = request;
    connection->unread_bytes = SIZE_MAX;
    start(connection);
}

static void check_reader(struct connection *connection)
{
    size_t unread = count_unread(connection);

    if (connection->unread_bytes - unread < LEAST_PROGRESS) {
        connection_close(connection);
        return;
    }
    connection->unread_bytes = unread;
    start(connection);
}

void connection_on_deadline(void *arg)
{
    struct connection *connection = arg;

    switch (connection->wait) {
    case WAIT_HEAD:
        connection_refuse(connection, 408, "the header section took too long");
        break;
    case WAIT_BODY:
        connection_refuse(connection, 408, "the body took too long");
        break;
    case WAIT_READ:
        check_reader(connection);
        break;
    case WAIT_NONE:
        break;
    case WAIT_IDLE:
    case WAIT_LINGER:
        connection_close(connection);
    }
}
