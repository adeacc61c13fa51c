/*
 * Connections opened by libcurl (CURLOPT_CONNECT_ONLY).
 *
 * libcurl closes such a connection when its handle is taken off the multi.
 * The close goes through our CURLOPT_CLOSESOCKETFUNCTION, and there the socket
 * of a plain connection is kept instead.
 */
#include "fanout/transport_connect.h"

#include "fanout/mem.h"
#include "fanout/transport_origin.h"
#include "fanout/upstream.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MOST_IDLE_CONNECTORS 32
#define LEAST_BUFFER         1024L /* that libcurl takes */

struct connector {
    LIST_ENTRY(connector) link;
    struct connectors *all;
    struct handle handle;
    CURLcode failure; /* of the last send or receive */
    connector_done *on_done;
    void *arg;
};

void connectors_init(struct connectors *connectors, struct origin *origin)
{
    *connectors = (struct connectors){.origin = origin};
    LIST_INIT(&connectors->idle);
}

static void connector_free(struct connector *connector)
{
    handle_release(&connector->handle);
    free(connector);
}

void connectors_release(struct connectors *connectors)
{
    struct connector *connector;

    while ((connector = LIST_FIRST(&connectors->idle)) != NULL) {
        LIST_REMOVE(connector, link);
        connector_free(connector);
    }
}

static void connector_put_back(struct connector *connector)
{
    struct connectors *all = connector->all;

    if (all->idle_count >= MOST_IDLE_CONNECTORS) {
        connector_free(connector);
        return;
    }
    LIST_INSERT_HEAD(&all->idle, connector, link);
    all->idle_count++;
}

/* ---- opening ---- */

static struct channel take_over(struct connector *connector)
{
    struct handle *handle = &connector->handle;
    struct transport_loop *loop = handle->origin->loop;
    struct channel channel = {.fd = handle->fd};

    if (handle->origin->settings->url.tls) {
        transport_loop_unwatch(loop, channel.fd);
        channel.connector = connector;
        return channel;
    }
    transport_loop_keep_open(loop, channel.fd);
    handle_stop(handle);
    return channel;
}

static void on_connected(struct handle *handle, CURLcode code)
{
    struct connector *connector = heap_owner(handle, struct connector, handle);
    enum outcome outcome = handle_outcome(handle, code);
    struct channel channel = {.fd = -1};

    if (outcome == OUTCOME_OK)
        channel = take_over(connector);
    else
        handle_stop(handle);
    connector->on_done(connector->arg, outcome, handle_detail(handle, code, outcome), channel);
    if (channel.connector == NULL)
        connector_put_back(connector);
}

static struct connector *connector_take(struct connectors *connectors)
{
    struct connector *connector = LIST_FIRST(&connectors->idle);

    if (connector != NULL) {
        LIST_REMOVE(connector, link);
        connectors->idle_count--;
        return connector;
    }
    connector = mem_zalloc(sizeof *connector);
    connector->all = connectors;
    if (!handle_init(&connector->handle, connectors->origin, on_connected)) {
        connector_free(connector);
        return NULL;
    }
    curl_easy_setopt(connector->handle.easy, CURLOPT_CONNECT_ONLY, 1L);
    curl_easy_setopt(connector->handle.easy, CURLOPT_FRESH_CONNECT, 1L);
    if (!connectors->origin->settings->url.tls) /* nothing is ever received by it */
        curl_easy_setopt(connector->handle.easy, CURLOPT_BUFFERSIZE, LEAST_BUFFER);
    return connector;
}

struct connector *connector_start(struct connectors *connectors, const struct address *address,
                                  connector_done *on_done, void *arg)
{
    struct connector *connector = connector_take(connectors);

    if (connector == NULL)
        return NULL;
    connector->on_done = on_done;
    connector->arg = arg;
    if (handle_start(&connector->handle, address))
        return connector;
    connector_put_back(connector);
    return NULL;
}

void connector_cancel(struct connector *connector)
{
    handle_stop(&connector->handle);
    connector_put_back(connector);
}

/* ---- channels ---- */

static enum channel_answer answer_to(struct connector *connector, CURLcode code, size_t count)
{
    connector->failure = code;
    if (code == CURLE_OK)
        return count > 0 ? CHANNEL_MOVED : CHANNEL_END;
    return code == CURLE_AGAIN ? CHANNEL_AGAIN : CHANNEL_BROKEN;
}

static enum channel_answer answer_to_errno(void)
{
    return errno == EAGAIN || errno == EINTR ? CHANNEL_AGAIN : CHANNEL_BROKEN;
}

/* Not by send() and recv(): they are cancellation points, which costs atomic operations where there
 * are threads, for each fetch four. */
enum channel_answer channel_send(struct channel *channel, const void *bytes, size_t count,
                                 size_t *sent)
{
    struct connector *connector = channel->connector;
    CURLcode code;
    ssize_t done;

    *sent = 0;
    if (connector != NULL) {
        code = curl_easy_send(connector->handle.easy, bytes, count, sent);
        return answer_to(connector, code, *sent);
    }
    done = syscall(SYS_sendto, channel->fd, bytes, count, MSG_NOSIGNAL | MSG_DONTWAIT, NULL, 0);
    if (done < 0)
        return answer_to_errno();
    *sent = (size_t)done;
    return CHANNEL_MOVED;
}

enum channel_answer channel_receive(struct channel *channel, void *room, size_t size,
                                    size_t *received)
{
    struct connector *connector = channel->connector;
    CURLcode code;
    ssize_t done;

    *received = 0;
    if (connector != NULL) {
        code = curl_easy_recv(connector->handle.easy, room, size, received);
        return answer_to(connector, code, *received);
    }
    done = syscall(SYS_recvfrom, channel->fd, room, size, MSG_DONTWAIT, NULL, NULL);
    if (done < 0)
        return answer_to_errno();
    *received = (size_t)done;
    return done > 0 ? CHANNEL_MOVED : CHANNEL_END;
}

bool channel_has_bytes(const struct channel *channel)
{
    char byte;

    return channel->connector == NULL && recv(channel->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
}

enum outcome channel_failure(const struct channel *channel, const char **detail)
{
    const struct connector *connector = channel->connector;
    enum outcome outcome = OUTCOME_RESET;

    if (connector == NULL) {
        *detail = errno == ECONNRESET ? "the connection was reset" : strerror(errno);
        return outcome;
    }
    outcome = handle_outcome(&connector->handle, connector->failure);
    *detail = handle_detail(&connector->handle, connector->failure, outcome);
    return outcome;
}

void channel_close(struct channel *channel)
{
    struct connector *connector = channel->connector;

    if (connector == NULL) {
        close(channel->fd);
    } else {
        handle_stop(&connector->handle);
        connector_put_back(connector);
    }
    channel->fd = -1;
}
