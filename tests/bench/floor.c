/*
 * The floor: what one thread must spend on this work if it does nothing else.
 *
 *     floor PORT NAME=http://127.0.0.1:PORT/PATH ...
 *
 * It answers GET /fetch-multiple like fanoutd: every upstream asked at once over kept connections,
 * one document, in order. Each socket is registered once, edge triggered; one recv for what is
 * readable, one send for a request, one for an answer; buffers and connections are kept.
 *
 * It is no service. It leaves out: any check of a body, chunks, codings, TLS, names, proxies,
 * HTTP/2, limits, timeouts, deadlines, retries, ending the fetches of a caller that left,
 * pipelining, POST, other paths, request ids, logs, metrics, Date, more than one core. Heads are
 * looked through for the status and Content-Length alone. A fetch that fails is "ok":false, without
 * a word why, and makes the answer a 502.
 */
#include "floor.h"

#include <errno.h>
#include <malloc.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

struct upstream floor_upstreams[MOST_UPSTREAMS];
size_t floor_upstream_count;
int64_t floor_now_ns;

static struct pool *pools;
static void **graves; // an event of this turn may still name them
static size_t grave_count, grave_size;
static char *chunk; // what is read into
static int epoll;

void floor_fail(const char *what)
{
    perror(what);
    exit(1);
}

void *floor_must(void *memory)
{
    if (memory == NULL)
        floor_fail("memory");
    return memory;
}

static void read_clock(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    floor_now_ns = now.tv_sec * 1000000000LL + now.tv_nsec;
}

// Once for the life of the socket.
static void watch(int fd, void *what)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
                                .data.ptr = what};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) != 0)
        floor_fail("epoll_ctl");
}

static void set_no_delay(int fd)
{
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
}

// ---- fetches and their connections ----

static void end_fetch(struct aggregation *aggregation, struct slot *slot, int status)
{
    slot->status = status;
    slot->elapsed_ns = floor_now_ns - aggregation->start_ns;
    if (status == 0) {
        slot->length = 0;
        aggregation->has_failed = true;
    }
    if (--aggregation->pending == 0)
        floor_send_answer(aggregation);
}

static void bury(void *dead)
{
    *(enum kind *)dead = GONE;
    if (grave_count == grave_size) {
        grave_size = 2 * grave_size + 64;
        graves = floor_must(realloc(graves, grave_size * sizeof *graves));
    }
    graves[grave_count++] = dead;
}

static void empty_graves(void)
{
    while (grave_count > 0)
        free(graves[--grave_count]);
}

static void connection_free(struct connection *connection)
{
    close(connection->fd);
    free(connection->body);
    bury(connection);
}

static void on_lost(struct connection *connection)
{
    struct aggregation *aggregation = connection->aggregation;
    struct slot *slot = &aggregation->slots[connection->slot];
    connection_free(connection);
    end_fetch(aggregation, slot, 0);
}

static void release_connection(struct connection *connection)
{
    connection->aggregation = NULL;
    connection->next = connection->pool->idle;
    connection->pool->idle = connection;
}

static struct connection *connection_new(struct pool *pool)
{
    struct connection *new = floor_must(calloc(1, sizeof *new));
    new->kind = CONNECTION;
    new->pool = pool;
    new->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (new->fd < 0)
        floor_fail("socket");
    set_no_delay(new->fd);
    if (connect(new->fd, (struct sockaddr *)&pool->address, sizeof pool->address) != 0 &&
        errno != EINPROGRESS)
        floor_fail("connect");
    watch(new->fd, new);
    return new;
}

// An idle one, or NULL.
static struct connection *take_connection(struct pool *pool)
{
    for (struct connection *taken; (taken = pool->idle) != NULL;) {
        pool->idle = taken->next;
        if (!taken->is_dead)
            return taken;
        connection_free(taken);
    }
    return NULL;
}

static bool send_request(const struct connection *connection)
{
    const struct upstream *upstream = &floor_upstreams[connection->slot];
    return send(connection->fd, upstream->request, upstream->request_length, MSG_NOSIGNAL) ==
           (ssize_t)upstream->request_length;
}

static void start_fetch(struct aggregation *aggregation, size_t number)
{
    struct pool *pool = floor_upstreams[number].pool;
    struct connection *connection = take_connection(pool);
    bool is_new = connection == NULL;
    if (is_new)
        connection = connection_new(pool);
    connection->aggregation = aggregation;
    connection->slot = (uint32_t)number;
    connection->is_unsent = is_new;
    if (!is_new && !send_request(connection))
        on_lost(connection);
}

static void start_fetches(struct caller *caller)
{
    struct aggregation *aggregation = floor_aggregation_new(caller);
    caller->aggregation = aggregation;
    for (size_t i = 0; i < floor_upstream_count; i++)
        start_fetch(aggregation, i);
}

// SIZE_MAX: it does not say, which the floor cannot read.
static size_t content_length(const char *head, const char *end)
{
    static const char name[] = "Content-Length:";
    for (const char *line = head; line < end; line++) {
        if ((*line | 0x20) == 'c' && strncasecmp(line, name, sizeof name - 1) == 0)
            return strtoul(line + sizeof name - 1, NULL, 10);
        line = memchr(line, '\n', (size_t)(end - line));
        if (line == NULL)
            break;
    }
    return SIZE_MAX;
}

// It may have brought the whole answer, and the connection is free then.
static void take_body(struct connection *connection, char *body, size_t have, int status)
{
    struct aggregation *aggregation = connection->aggregation;
    struct slot *slot = &aggregation->slots[connection->slot];
    slot->status = status;
    if (have < slot->length) {
        slot->body = floor_must(malloc(slot->length));
        slot->offset = 0;
        memcpy(slot->body, body, have);
        connection->have = have;
        return;
    }
    if (slot->length <= SMALL_BODY) {
        floor_keep_small_body(aggregation, slot, body);
    } else {
        slot->body = chunk;
        slot->offset = (size_t)(body - chunk);
        slot->is_chunk = true;
        chunk = floor_take_chunk();
    }
    release_connection(connection);
    end_fetch(aggregation, slot, status);
}

static void keep_partial_head(struct connection *connection, size_t length)
{
    connection->body = floor_must(realloc(connection->body, length));
    memcpy(connection->body, chunk, length);
    connection->have = length;
}

static bool read_rest(struct connection *connection)
{
    struct aggregation *aggregation = connection->aggregation;
    struct slot *slot = &aggregation->slots[connection->slot];
    ssize_t got =
        recv(connection->fd, slot->body + connection->have, slot->length - connection->have, 0);
    if (got <= 0)
        return got < 0 && errno == EAGAIN;
    connection->have += (size_t)got;
    if (connection->have == slot->length) {
        connection->have = 0;
        release_connection(connection);
        end_fetch(aggregation, slot, slot->status);
    }
    return true;
}

static bool read_answer(struct connection *connection)
{
    struct slot *slot = &connection->aggregation->slots[connection->slot];
    if (slot->body != NULL)
        return read_rest(connection);
    size_t have = connection->have; // of a head in pieces
    if (have > 0)
        memcpy(chunk, connection->body, have);
    ssize_t got = recv(connection->fd, chunk + have, CHUNK_BYTES - 1 - have, 0);
    if (got <= 0)
        return got < 0 && errno == EAGAIN;
    have += (size_t)got;
    chunk[have] = '\0';
    char *end = memmem(chunk, have, "\r\n\r\n", 4);
    if (end == NULL) {
        keep_partial_head(connection, have);
        return have < CHUNK_BYTES - 1;
    }
    connection->have = 0;
    slot->length = content_length(chunk, end);
    if (slot->length == SIZE_MAX || have < sizeof "HTTP/1.1 200")
        return false;
    bool is_full = have == CHUNK_BYTES - 1;
    take_body(connection, end + 4, have - (size_t)(end + 4 - chunk), atoi(chunk + 9));
    return connection->aggregation == NULL || !is_full || read_rest(connection);
}

static void on_connection(struct connection *connection, uint32_t events)
{
    if (connection->aggregation == NULL) {
        connection->is_dead = (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0;
        return;
    }
    if (connection->is_unsent && (events & EPOLLOUT) != 0) {
        connection->is_unsent = false;
        if (!send_request(connection)) {
            on_lost(connection);
            return;
        }
    }
    if ((events & ~(uint32_t)EPOLLOUT) != 0 && !read_answer(connection))
        on_lost(connection);
}

// ---- callers ----

void floor_caller_free(struct caller *caller)
{
    close(caller->fd);
    if (caller->aggregation != NULL && caller->aggregation->pending > 0)
        caller->aggregation->caller = NULL;
    else if (caller->aggregation != NULL)
        floor_aggregation_free(caller->aggregation);
    free(caller->partial);
    bury(caller);
}

static void on_head(struct caller *caller, const char *head, size_t length)
{
    static const char expected[] = "GET /fetch-multiple ";
    static const char refusal[] = "HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n";
    caller->partial_length = 0;
    if (length > sizeof expected && memcmp(head, expected, sizeof expected - 1) == 0)
        start_fetches(caller);
    else if (send(caller->fd, refusal, sizeof refusal - 1, MSG_NOSIGNAL) < 0)
        floor_caller_free(caller);
}

static void read_request(struct caller *caller)
{
    size_t have = caller->partial_length;
    if (have > 0)
        memcpy(chunk, caller->partial, have);
    ssize_t got = recv(caller->fd, chunk + have, CHUNK_BYTES - have, 0);
    if (got < 0 && errno == EAGAIN)
        return;
    if (got <= 0 || caller->aggregation != NULL || have + (size_t)got == CHUNK_BYTES) {
        floor_caller_free(caller);
        return;
    }
    have += (size_t)got;
    if (have >= 4 && memcmp(chunk + have - 4, "\r\n\r\n", 4) == 0) {
        on_head(caller, chunk, have);
        return;
    }
    caller->partial = floor_must(realloc(caller->partial, have));
    memcpy(caller->partial, chunk, have);
    caller->partial_length = have;
}

static void on_caller(struct caller *caller, uint32_t events)
{
    if ((events & ~(uint32_t)EPOLLOUT) != 0)
        read_request(caller);
    else if (caller->aggregation != NULL && caller->aggregation->unsent != NULL)
        floor_send_rest(caller);
}

static void accept_callers(int listener)
{
    for (int fd; (fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0;) {
        struct caller *new = floor_must(calloc(1, sizeof *new));
        new->kind = CALLER;
        new->fd = fd;
        set_no_delay(fd);
        watch(fd, new);
    }
}

// ---- the start ----

static struct sockaddr_in loopback(const char *port)
{
    return (struct sockaddr_in){.sin_family = AF_INET,
                                .sin_port = htons((uint16_t)atoi(port)),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static struct pool *pool_for(struct sockaddr_in address)
{
    for (struct pool *pool = pools; pool != NULL; pool = pool->next)
        if (pool->address.sin_port == address.sin_port)
            return pool;
    struct pool *new = floor_must(calloc(1, sizeof *new));
    new->address = address;
    new->next = pools;
    pools = new;
    return new;
}

static void add_upstream(const char *argument)
{
    char name[256], port[6], path[1024] = "/";
    if (sscanf(argument, "%255[^=]=http://127.0.0.1:%5[0-9]%1023s", name, port, path) < 2) {
        fprintf(stderr, "not NAME=http://127.0.0.1:PORT/PATH: %s\n", argument);
        exit(2);
    }
    struct upstream *new = &floor_upstreams[floor_upstream_count];
    int request_length = asprintf(
        &new->request, "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%s\r\nAccept: */*\r\n\r\n", path, port);
    int id_length = asprintf(
        &new->id, "%s\n{\"id\":\"%s\",\"ok\":", floor_upstream_count == 0 ? "" : ",", name);
    if (request_length < 0 || id_length < 0)
        floor_fail("memory");
    new->request_length = (size_t)request_length;
    new->id_length = (size_t)id_length;
    new->pool = pool_for(loopback(port));
    floor_upstream_count++;
}

static int listen_on(const char *port)
{
    struct sockaddr_in address = loopback(port);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
    if (bind(listener, (struct sockaddr *)&address, sizeof address) != 0 ||
        listen(listener, 4096) != 0)
        floor_fail(port);
    return listener;
}

static void serve(int listener)
{
    static enum kind listener_kind = LISTENER;
    static struct epoll_event events[EVENTS_AT_ONCE];
    watch(listener, &listener_kind);
    for (;;) {
        int count = epoll_wait(epoll, events, EVENTS_AT_ONCE, -1);
        read_clock();
        for (int i = 0; i < count; i++) {
            const enum kind *kind = events[i].data.ptr;
            if (*kind == LISTENER)
                accept_callers(listener);
            else if (*kind == CALLER)
                on_caller(events[i].data.ptr, events[i].events);
            else if (*kind == CONNECTION)
                on_connection(events[i].data.ptr, events[i].events);
        }
        empty_graves();
    }
}

int main(int count, char **arguments)
{
    mallopt(M_MMAP_THRESHOLD, 32 << 20); // memory that was used once is used again
    mallopt(M_TRIM_THRESHOLD, 512 << 20);
    for (int i = 2; i < count && floor_upstream_count < MOST_UPSTREAMS; i++)
        add_upstream(arguments[i]);
    if (floor_upstream_count == 0) {
        fprintf(stderr, "floor PORT NAME=http://127.0.0.1:PORT/PATH ...\n");
        return 2;
    }
    epoll = epoll_create1(EPOLL_CLOEXEC);
    chunk = floor_take_chunk();
    serve(listen_on(arguments[1]));
}
