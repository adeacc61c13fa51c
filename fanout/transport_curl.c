/*
 * The way by libcurl alone: it keeps the connections, sends the request and
 * finds the end of the answer. What it passes on, undecoded, is read by our own
 * parser as well, which is stricter.
 *
 * An exchange has an easy handle that is kept and used again, last in first
 * out; it stays with one multi for life, so it finds the connection that it
 * left there. A method that is not idempotent never rides on a kept connection:
 * libcurl would silently send it again.
 */
#include "fanout/clock.h"
#include "fanout/heap.h"
#include "fanout/http_request.h"
#include "fanout/http_response.h"
#include "fanout/mem.h"
#include "fanout/transport_fields.h"
#include "fanout/transport_origin.h"
#include "fanout/transport_way.h"
#include "fanout/upstream.h"

#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>

#define MOST_IDLE_EXCHANGES 256

/*
 * libcurl 7.88 allocates a buffer to receive into for each transfer. Of the smallest size that it
 * takes the C library keeps freed ones at hand, and thousands under way at once need little memory.
 */
#define SMALL_BUFFER 1024L
#define LARGE_BUFFER ((long)CURL_MAX_WRITE_SIZE)

struct curl_peer {
    struct transport_peer face;
    struct transport *transport;
    struct origin origin;
    struct fields fields;
    char *target;     /* that the URL says */
    long buffer_size; /* small until an answer was larger */
    LIST_HEAD(curl_exchanges, curl_exchange) idle;
    size_t idle_count;
};

struct curl_exchange {
    struct exchange face;
    LIST_ENTRY(curl_exchange) link;
    struct curl_peer *peer;
    struct handle handle;
    long buffer_size;
    struct curl_slist *fields;
    struct curl_slist *time_left; /* stands before them; NULL: it is not told */
    uint64_t deadline_us;         /* nothing is sent from then on */
    bool is_altered;              /* more was set for this request than fields */
    bool is_stale; /* something came on the connection before the request, which was not sent */
    bool is_late;  /* nor was it, as there was no time left; it is about to be cancelled */
    struct http_response answer;
    size_t received; /* bytes of it */
    struct exchange_response response;
    exchange_done *on_done;
    void *arg;
};

/* ---- peers ---- */

static void exchange_free(struct curl_exchange *exchange)
{
    handle_release(&exchange->handle);
    free(exchange->time_left);
    free(exchange);
}

static void curl_peer_free(struct transport_peer *face)
{
    struct curl_peer *peer = (struct curl_peer *)face;
    struct curl_exchange *exchange;

    while ((exchange = LIST_FIRST(&peer->idle)) != NULL) {
        LIST_REMOVE(exchange, link);
        exchange_free(exchange);
    }
    fields_release(&peer->fields);
    free(peer->target);
    origin_release(&peer->origin);
    free(peer);
}

static struct transport_peer *curl_peer_new(struct transport *transport,
                                            const struct upstream_settings *settings)
{
    struct curl_peer *peer = mem_zalloc(sizeof *peer);

    peer->face.way = &transport_curl;
    peer->transport = transport;
    LIST_INIT(&peer->idle);
    if (!origin_init(&peer->origin, &transport->loop, settings)) {
        curl_peer_free(&peer->face);
        return NULL;
    }
    fields_init(&peer->fields, settings);
    peer->target = url_target(&settings->url, NULL, NULL);
    peer->buffer_size = settings->http2 ? LARGE_BUFFER : SMALL_BUFFER;
    return &peer->face;
}

/* ---- what comes ---- */

/* Anything but count stops the transfer. */
static size_t take(struct curl_exchange *exchange, const char *bytes, size_t count)
{
    exchange->received += count;
    if (!http_response_is_over(&exchange->answer))
        http_response_take(&exchange->answer, bytes, count);
    return exchange->answer.phase == HTTP_RESPONSE_FAILED ? count + 1 : count;
}

static size_t on_body(char *bytes, size_t one, size_t count, void *arg)
{
    (void)one;
    return take(arg, bytes, count);
}

/* libcurl writes the head of an HTTP/2 answer as if it were one of HTTP/1.1, but for this. */
static size_t take_status_line(struct curl_exchange *exchange, const char *line, size_t count)
{
    static const char http_2[] = "HTTP/2 ", http_1_1[] = "HTTP/1.1 ";
    size_t length = sizeof http_2 - 1;

    if (take(exchange, http_1_1, sizeof http_1_1 - 1) != sizeof http_1_1 - 1)
        return 0;
    return take(exchange, line + length, count - length) == count - length ? count : 0;
}

/* A line of a head. Trailers come here too, but with the chunks as well. */
static size_t on_header(char *line, size_t one, size_t count, void *arg)
{
    struct curl_exchange *exchange = arg;

    (void)one;
    if (exchange->answer.phase == HTTP_RESPONSE_BODY)
        return count;
    if (exchange->peer->origin.settings->http2 && count > 7 && memcmp(line, "HTTP/2 ", 7) == 0)
        return take_status_line(exchange, line, count);
    return take(exchange, line, count);
}

/* The socket that the request is about to be sent on. */
static curl_socket_t socket_of(struct curl_exchange *exchange, int local_port)
{
    struct handle *handle = &exchange->handle;
    struct transport_loop *loop = handle->origin->loop;

    if (handle->fd == CURL_SOCKET_BAD)
        return transport_loop_find(loop, &handle->address, local_port);
    transport_loop_note_port(loop, handle->fd, &handle->address, local_port);
    return handle->fd;
}

/*
 * What has come on a connection since it was used before is no answer to anything, and must not
 * become the answer to this request (over TLS it may be a session ticket, and records can't be
 * forged).
 */
static bool is_spoiled(struct curl_exchange *exchange, int local_port)
{
    bool is_new = exchange->handle.fd != CURL_SOCKET_BAD;
    curl_socket_t fd;
    ssize_t count = 0;
    char byte;

    if (exchange->peer->origin.settings->url.tls)
        return false;
    fd = socket_of(exchange, local_port);
    if (fd != CURL_SOCKET_BAD)
        count = recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    return count > 0 || (count == 0 && !is_new); /* libcurl finds out that a new one was closed */
}

static bool tell_time_left(struct curl_exchange *exchange)
{
    uint64_t now_us = clock_now_us();

    if (now_us >= exchange->deadline_us)
        return false;
    if (exchange->time_left != NULL)
        fields_tell_time_left(&exchange->peer->fields, exchange->time_left,
                              exchange->deadline_us - now_us);
    return true;
}

/* The request is about to be made and sent on a connection, maybe one that was used before. */
static int on_ready(void *arg, char *ip, char *local_ip, int port, int local_port)
{
    struct curl_exchange *exchange = arg;

    (void)ip, (void)local_ip, (void)port;
    handle_note_connected(&exchange->handle);
    exchange->is_stale = is_spoiled(exchange, local_port);
    exchange->is_late = !exchange->is_stale && !tell_time_left(exchange);
    return exchange->is_stale || exchange->is_late ? CURL_PREREQFUNC_ABORT : CURL_PREREQFUNC_OK;
}

/* ---- what is asked ---- */

static void on_end(struct handle *handle, CURLcode code);

static void set_up(struct curl_exchange *exchange)
{
    CURL *easy = exchange->handle.easy;

    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, exchange);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, exchange);
    curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, on_ready);
    curl_easy_setopt(easy, CURLOPT_PREREQDATA, exchange);
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(easy, CURLOPT_REQUEST_TARGET, exchange->peer->target);
    curl_easy_setopt(easy, CURLOPT_HTTP_TRANSFER_DECODING, 0L); /* chunks come as they are */
}

static struct curl_exchange *exchange_take(struct curl_peer *peer)
{
    struct curl_exchange *exchange = LIST_FIRST(&peer->idle);

    if (exchange != NULL) {
        LIST_REMOVE(exchange, link);
        peer->idle_count--;
        return exchange;
    }
    exchange = mem_zalloc(sizeof *exchange);
    exchange->face.way = &transport_curl;
    exchange->peer = peer;
    if (!handle_init(&exchange->handle, &peer->origin, on_end)) {
        exchange_free(exchange);
        return NULL;
    }
    set_up(exchange);
    exchange->time_left = fields_new_time_left(&peer->fields);
    return exchange;
}

static void undo(struct curl_exchange *exchange)
{
    CURL *easy = exchange->handle.easy;

    curl_easy_setopt(easy, CURLOPT_POSTFIELDS, NULL);
    curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)-1);
    curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, NULL);
    curl_easy_setopt(easy, CURLOPT_NOBODY, 0L);
    curl_easy_setopt(easy, CURLOPT_HTTPGET, 1L);
    curl_easy_setopt(easy, CURLOPT_REQUEST_TARGET, exchange->peer->target);
    curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, 0L);
}

/* Undoes what one request set, and keeps the handle for the next. */
static void exchange_put_back(struct curl_exchange *exchange)
{
    struct curl_peer *peer = exchange->peer;
    CURL *easy = exchange->handle.easy;

    if (exchange->received > SMALL_BUFFER)
        peer->buffer_size = LARGE_BUFFER;
    http_response_release(&exchange->answer);
    buf_release(&exchange->response.body);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, NULL);
    fields_give_back(&peer->fields, exchange->fields);
    exchange->fields = NULL;
    if (exchange->is_altered)
        undo(exchange);
    exchange->is_altered = false;
    if (peer->idle_count >= MOST_IDLE_EXCHANGES) {
        exchange_free(exchange);
        return;
    }
    LIST_INSERT_HEAD(&peer->idle, exchange, link);
    peer->idle_count++;
}

static void set_method(CURL *easy, const struct exchange_request *request)
{
    enum method method = request->method;

    if (method == METHOD_HEAD) {
        curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
        return;
    }
    if (http_request_has_length(method, request->body != NULL)) {
        curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body_length);
        curl_easy_setopt(easy, CURLOPT_POSTFIELDS, request->body != NULL ? request->body : "");
    }
    if (method != METHOD_GET || request->body != NULL)
        curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, method_name(method));
}

static void set_fields(struct curl_exchange *exchange, struct curl_slist *fields)
{
    struct curl_slist *first = exchange->time_left != NULL ? exchange->time_left : fields;

    if (exchange->time_left != NULL)
        exchange->time_left->next = fields;
    exchange->fields = fields;
    curl_easy_setopt(exchange->handle.easy, CURLOPT_HTTPHEADER, first);
}

static void set_buffer_size(struct curl_exchange *exchange)
{
    long size = exchange->peer->buffer_size;

    if (exchange->buffer_size != size &&
        curl_easy_setopt(exchange->handle.easy, CURLOPT_BUFFERSIZE, size) == CURLE_OK)
        exchange->buffer_size = size;
}

static void begin(struct curl_exchange *exchange, const struct exchange_request *request)
{
    CURL *easy = exchange->handle.easy;
    bool has_length = http_request_has_length(request->method, request->body != NULL);

    exchange->is_altered =
        request->method != METHOD_GET || request->target != NULL || request->body != NULL;
    set_method(easy, request);
    if (request->target != NULL)
        curl_easy_setopt(easy, CURLOPT_REQUEST_TARGET, request->target);
    set_fields(exchange, fields_take(&exchange->peer->fields, request->headers, has_length));
    if (!method_is_idempotent(request->method))
        curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, 1L);
    set_buffer_size(exchange);
    exchange->received = 0;
    exchange->deadline_us = request->deadline_us;
    exchange->is_stale = false;
    exchange->is_late = false;
    exchange->response = (struct exchange_response){.outcome = OUTCOME_OK};
    buf_init_budgeted(&exchange->response.body, exchange->peer->origin.settings->max_response_bytes,
                      exchange->peer->transport->budget);
    http_response_init(&exchange->answer, request->method, &exchange->response.body);
}

static struct exchange *curl_send(struct transport_peer *face,
                                  const struct exchange_request *request, exchange_done *on_done,
                                  void *arg)
{
    struct curl_exchange *exchange = exchange_take((struct curl_peer *)face);

    if (exchange == NULL)
        return NULL;
    exchange->on_done = on_done;
    exchange->arg = arg;
    begin(exchange, request);
    if (handle_start(&exchange->handle, request->address))
        return &exchange->face;
    exchange_put_back(exchange);
    return NULL;
}

static void curl_cancel(struct exchange *face)
{
    struct curl_exchange *exchange = (struct curl_exchange *)face;

    handle_stop(&exchange->handle);
    exchange_put_back(exchange);
}

static bool curl_is_connected(const struct exchange *face)
{
    curl_off_t connected_us = 0;

    curl_easy_getinfo(((const struct curl_exchange *)face)->handle.easy,
                      CURLINFO_PRETRANSFER_TIME_T, &connected_us);
    return connected_us > 0;
}

/* ---- how an exchange ended ---- */

/* Nothing was sent yet, so this is no second attempt. False: libcurl failed for want of memory. */
static bool send_afresh(struct curl_exchange *exchange)
{
    exchange->is_stale = false;
    exchange->is_altered = true;
    handle_stop(&exchange->handle);
    curl_easy_setopt(exchange->handle.easy, CURLOPT_FRESH_CONNECT, 1L);
    return handle_start(&exchange->handle, &exchange->handle.address);
}

static void judge(struct curl_exchange *exchange, CURLcode code)
{
    struct http_response *answer = &exchange->answer;
    struct exchange_response *response = &exchange->response;

    if (code == CURLE_OK && !http_response_is_over(&exchange->answer))
        http_response_end(answer);
    if (answer->phase == HTTP_RESPONSE_FAILED) {
        response->outcome = answer->outcome;
        response->detail = answer->reason;
    } else if (exchange->is_stale) {
        response->outcome = OUTCOME_PROTOCOL_ERROR;
        response->detail = TRANSPORT_SPOKE_FIRST;
    } else if (answer->phase != HTTP_RESPONSE_DONE) {
        response->outcome = handle_outcome(&exchange->handle, code);
        response->detail = handle_detail(&exchange->handle, code, response->outcome);
    }
    response->ended_us = clock_now_us();
    response->status = answer->status;
    response->content_type = answer->content_type;
    response->retry_after = answer->fields.retry_after;
}

static void on_end(struct handle *handle, CURLcode code)
{
    struct curl_exchange *exchange = heap_owner(handle, struct curl_exchange, handle);

    if (exchange->is_late)
        return;
    if (exchange->is_stale && handle->fd == CURL_SOCKET_BAD && send_afresh(exchange))
        return;
    judge(exchange, code);
    handle_stop(handle);
    exchange->on_done(exchange->arg, &exchange->response);
    exchange_put_back(exchange);
}

const struct transport_way transport_curl = {
    .name = "curl",
    .peer_new = curl_peer_new,
    .peer_free = curl_peer_free,
    .send = curl_send,
    .cancel = curl_cancel,
    .is_connected = curl_is_connected,
};
