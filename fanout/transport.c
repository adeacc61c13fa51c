/*
 * HTTP exchanges over libcurl: what is asked of it.
 *
 * An exchange is an easy handle that is kept and used again, last in first
 * out; it stays with one multi for life, so it finds the connection that it
 * left there.
 */
#include "fanout/transport.h"

#include "fanout/mem.h"
#include "fanout/transport_head.h"
#include "fanout/transport_loop.h"
#include "fanout/transport_outcome.h"
#include "fanout/transport_trust.h"
#include "fanout/upstream.h"

#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>

#define MOST_IDLE_HANDLES 256 /* for each peer */
#define CONNECT_TO_SIZE   (ADDRESS_TEXT_SIZE + 2)
#define USEC_PER_MSEC     1000u
#define USEC_PER_SEC      1000000u

struct transport {
    struct transport_loop loop;
    long max_connections; /* the sum over all peers */
};

struct transport_peer {
    struct transport *transport;
    const struct upstream_settings *settings;
    CURLU *url;
    struct curl_slist *headers; /* for an exchange without headers of its own */
    CURLSH *sessions;           /* TLS sessions to resume, shared by its handles; NULL: no TLS */
    LIST_HEAD(exchange_list, exchange) idle;
    size_t idle_count;
};

struct exchange {
    LIST_ENTRY(exchange) link;
    struct transport_peer *peer;
    struct multi *multi;
    CURL *easy;
    struct address address; /* that connect_to says */
    struct curl_slist *connect_to;
    struct curl_slist *headers; /* NULL: the peer's */
    bool is_plain;              /* a GET without body or headers of its own: nothing to undo */
    bool is_stale;        /* the kept connection was not fit to be used; nothing was sent on it */
    enum outcome verdict; /* what our callbacks stopped it for; OUTCOME_OK: they did not */
    const char *reason;   /* static, for OUTCOME_PROTOCOL_ERROR; NULL: libcurl's words will do */
    struct transport_head head;
    struct exchange_response response;
    void (*on_done)(void *arg, struct exchange_response *response);
    void *arg;
    char error[CURL_ERROR_SIZE];
};

bool transport_global_init(void)
{
    transport_trust_init();
    return curl_global_init_mem(CURL_GLOBAL_DEFAULT, mem_library_alloc, free, mem_library_realloc,
                                mem_strdup, mem_library_array) == CURLE_OK;
}

void transport_global_release(void)
{
    curl_global_cleanup();
}

const char *transport_version(void)
{
    return curl_version();
}

static void on_transfer_end(CURL *easy, CURLcode code);

struct transport *transport_new(struct event_base *base, struct timers *timers)
{
    struct transport *transport = mem_zalloc(sizeof *transport);

    if (transport_loop_init(&transport->loop, base, timers, on_transfer_end))
        return transport;
    transport_free(transport);
    return NULL;
}

void transport_free(struct transport *transport)
{
    transport_loop_release(&transport->loop);
    free(transport);
}

/* ---- peers ---- */

static struct curl_slist *append_header(struct curl_slist *list, const struct header *header)
{
    char *line = header->value[0] != '\0' ? mem_printf("%s: %s", header->name, header->value)
                                          : mem_printf("%s;", header->name);

    list = curl_slist_append(list, line);
    free(line);
    return list;
}

/* The upstream's own fields, but those that `own` has too, and then `own`. */
static struct curl_slist *join_headers(const struct transport_peer *peer,
                                       const struct header_list *own)
{
    const struct header_list *fixed = &peer->settings->headers;
    struct curl_slist *list = curl_slist_append(NULL, "Expect:"); /* never wait for 100 */

    for (size_t i = 0; i < fixed->count; i++)
        if (own == NULL || header_list_find(own, fixed->items[i].name) == NULL)
            list = append_header(list, &fixed->items[i]);
    for (size_t i = 0; own != NULL && i < own->count; i++)
        list = append_header(list, &own->items[i]);
    return list;
}

/* libcurl 7.88 keeps 8 sessions in a share, so each upstream has one; one thread needs no lock. */
static bool make_sessions(struct transport_peer *peer)
{
    if (!peer->settings->url.tls)
        return true;
    peer->sessions = curl_share_init();
    return peer->sessions != NULL && curl_share_setopt(peer->sessions, CURLSHOPT_SHARE,
                                                       CURL_LOCK_DATA_SSL_SESSION) == CURLSHE_OK;
}

struct transport_peer *transport_peer_new(struct transport *transport,
                                          const struct upstream_settings *settings)
{
    struct transport_peer *peer = mem_zalloc(sizeof *peer);

    peer->transport = transport;
    peer->settings = settings;
    peer->headers = join_headers(peer, NULL);
    LIST_INIT(&peer->idle);
    peer->url = curl_url();
    if (!make_sessions(peer) || curl_url_set(peer->url, CURLUPART_URL, settings->url_text,
                                             CURLU_DISALLOW_USER) != CURLUE_OK) {
        transport_peer_free(peer);
        return NULL;
    }
    transport->max_connections += (long)settings->max_in_flight;
    transport_loop_set_max_connections(&transport->loop, transport->max_connections);
    return peer;
}

static void exchange_free(struct exchange *exchange)
{
    curl_easy_cleanup(exchange->easy);
    curl_slist_free_all(exchange->connect_to);
    free(exchange);
}

void transport_peer_free(struct transport_peer *peer)
{
    struct exchange *exchange;

    while ((exchange = LIST_FIRST(&peer->idle)) != NULL) {
        LIST_REMOVE(exchange, link);
        exchange_free(exchange);
    }
    curl_slist_free_all(peer->headers);
    curl_share_cleanup(peer->sessions);
    curl_url_cleanup(peer->url);
    free(peer);
}

/* ---- exchanges ---- */

static size_t on_body(char *data, size_t one, size_t count, void *arg)
{
    struct exchange *exchange = arg;
    const struct buf *body = &exchange->response.body;

    (void)one;
    if (buf_append(&exchange->response.body, data, count))
        return count;
    exchange->verdict =
        count > body->max_bytes - body->len ? OUTCOME_RESPONSE_TOO_LARGE : OUTCOME_QUEUE_FULL;
    return count + 1; /* anything but count stops the transfer */
}

/* One line of a head, or of a trailer. */
static size_t on_header(char *line, size_t one, size_t count, void *arg)
{
    struct exchange *exchange = arg;
    const char *wrong = transport_head_take(&exchange->head, line, count);

    (void)one;
    if (wrong == NULL)
        return count;
    exchange->verdict = OUTCOME_PROTOCOL_ERROR;
    exchange->reason = wrong;
    return 0;
}

/* What libcurl really connects to is looked at here: it must be the address that it was told,
 * and one that the upstream may have. */
static curl_socket_t on_open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *given)
{
    struct exchange *exchange = arg;
    struct address address = {.any.sa_family = AF_UNSPEC};

    (void)purpose;
    if (given->addrlen <= sizeof address)
        memcpy(&address, &given->addr, given->addrlen);
    if (!address_equals(&address, &exchange->address) ||
        upstream_settings_denies(exchange->peer->settings, &address)) {
        exchange->verdict = OUTCOME_ADDRESS_DENIED;
        return CURL_SOCKET_BAD;
    }
    return transport_loop_open_socket(&exchange->peer->transport->loop, given);
}

static void set_up_tls(CURL *easy, const struct transport_peer *peer)
{
    const struct upstream_settings *settings = peer->settings;

    curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    curl_easy_setopt(easy, CURLOPT_SHARE, peer->sessions);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, settings->tls_verify ? 1L : 0L);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, settings->tls_verify ? 2L : 0L);
    transport_trust_set(easy, settings->ca);
    if (settings->cert != NULL) {
        curl_easy_setopt(easy, CURLOPT_SSLCERT, settings->cert);
        curl_easy_setopt(easy, CURLOPT_SSLKEY, settings->key);
        curl_easy_setopt(easy, CURLOPT_KEYPASSWD, ""); /* or OpenSSL asks the terminal */
    }
}

/*
 * The request is about to be sent on a connection, maybe one that was used before. What has come on
 * that since is no answer to anything, and must not become the answer to this (over TLS it may be
 * a session ticket, and records can't be forged).
 */
static int on_ready(void *arg, char *ip, char *local_ip, int port, int local_port)
{
    struct exchange *exchange = arg;
    curl_socket_t fd = CURL_SOCKET_BAD;
    char byte;

    (void)ip, (void)local_ip, (void)port, (void)local_port;
    if (exchange->peer->settings->url.tls)
        return CURL_PREREQFUNC_OK;
    curl_easy_getinfo(exchange->easy, CURLINFO_ACTIVESOCKET, &fd);
    if (fd == CURL_SOCKET_BAD || recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0)
        return CURL_PREREQFUNC_OK;
    exchange->is_stale = true;
    return CURL_PREREQFUNC_ABORT;
}

/* What stays the same for all exchanges of a handle. */
static void set_up(struct exchange *exchange)
{
    const struct upstream_settings *settings = exchange->peer->settings;
    CURL *easy = exchange->easy;
    long connect_ms = (long)((settings->connect_timeout_us + USEC_PER_MSEC - 1) / USEC_PER_MSEC);
    long idle_s = (long)((settings->idle_timeout_us + USEC_PER_SEC - 1) / USEC_PER_SEC);

    curl_easy_setopt(easy, CURLOPT_CURLU, exchange->peer->url);
    curl_easy_setopt(easy, CURLOPT_PRIVATE, exchange);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, exchange->error);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, exchange);
    curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, on_ready);
    curl_easy_setopt(easy, CURLOPT_PREREQDATA, exchange);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, exchange);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_PROXY, "");
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L);
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(easy, CURLOPT_ACCEPT_ENCODING, "identity"); /* decoded if it comes anyway */
    curl_easy_setopt(easy, CURLOPT_USERAGENT, "fanoutd/" FANOUTD_VERSION);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, connect_ms);
    curl_easy_setopt(easy, CURLOPT_MAXAGE_CONN, idle_s);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, exchange->peer->headers);
    curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, on_open_socket);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, exchange);
    if (settings->url.tls)
        set_up_tls(easy, exchange->peer);
    transport_loop_adopt(&exchange->peer->transport->loop, easy);
}

static struct exchange *exchange_take(struct transport_peer *peer)
{
    struct exchange *exchange = LIST_FIRST(&peer->idle);

    if (exchange != NULL) {
        LIST_REMOVE(exchange, link);
        peer->idle_count--;
        return exchange;
    }
    exchange = mem_zalloc(sizeof *exchange);
    exchange->easy = curl_easy_init();
    if (exchange->easy == NULL) {
        free(exchange);
        return NULL;
    }
    exchange->peer = peer;
    exchange->multi = transport_loop_next_multi(&peer->transport->loop);
    set_up(exchange);
    return exchange;
}

/* Undoes what one request set, and keeps the handle for the next. */
static void exchange_put_back(struct exchange *exchange)
{
    struct transport_peer *peer = exchange->peer;

    buf_release(&exchange->response.body);
    if (!exchange->is_plain) {
        curl_easy_setopt(exchange->easy, CURLOPT_POSTFIELDS, NULL);
        curl_easy_setopt(exchange->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)-1);
        curl_easy_setopt(exchange->easy, CURLOPT_HTTPGET, 1L);
        curl_easy_setopt(exchange->easy, CURLOPT_CUSTOMREQUEST, NULL);
        curl_easy_setopt(exchange->easy, CURLOPT_REQUEST_TARGET, NULL);
        curl_easy_setopt(exchange->easy, CURLOPT_FRESH_CONNECT, 0L);
        curl_easy_setopt(exchange->easy, CURLOPT_HTTPHEADER, peer->headers);
        curl_slist_free_all(exchange->headers);
        exchange->headers = NULL;
    }
    if (peer->idle_count >= MOST_IDLE_HANDLES) {
        exchange_free(exchange);
        return;
    }
    LIST_INSERT_HEAD(&peer->idle, exchange, link);
    peer->idle_count++;
}

/* Host and port of the URL stay for the Host field and TLS; the connection goes to the address. */
static void set_address(struct exchange *exchange, const struct address *address)
{
    char text[ADDRESS_TEXT_SIZE], line[CONNECT_TO_SIZE];

    if (exchange->connect_to != NULL && address_equals(&exchange->address, address))
        return;
    exchange->address = *address;
    snprintf(line, sizeof line, "::%s", address_print(address, text));
    curl_slist_free_all(exchange->connect_to);
    exchange->connect_to = curl_slist_append(NULL, line);
    curl_easy_setopt(exchange->easy, CURLOPT_CONNECT_TO, exchange->connect_to);
}

static void set_method(struct exchange *exchange, const struct exchange_request *request)
{
    CURL *easy = exchange->easy;
    enum method method = request->method;
    bool sends_length = method == METHOD_POST || method == METHOD_PUT || method == METHOD_PATCH;

    if (method == METHOD_HEAD) {
        curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
        return;
    }
    if (request->body != NULL || sends_length) {
        curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body_length);
        curl_easy_setopt(easy, CURLOPT_POSTFIELDS, request->body != NULL ? request->body : "");
    }
    if (method != METHOD_GET || request->body != NULL)
        curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, method_name(method));
}

static void set_request(struct exchange *exchange, const struct exchange_request *request)
{
    CURL *easy = exchange->easy;

    set_address(exchange, request->address);
    exchange->is_plain = request->method == METHOD_GET && request->target == NULL &&
                         request->headers == NULL && request->body == NULL;
    if (exchange->is_plain)
        return;
    set_method(exchange, request);
    if (request->target != NULL)
        curl_easy_setopt(easy, CURLOPT_REQUEST_TARGET, request->target);
    if (request->headers != NULL) {
        exchange->headers = join_headers(exchange->peer, request->headers);
        curl_easy_setopt(easy, CURLOPT_HTTPHEADER, exchange->headers);
    }
    if (!method_is_idempotent(request->method))
        curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, 1L);
}

struct exchange *transport_send(struct transport_peer *peer, const struct exchange_request *request,
                                void (*on_done)(void *arg, struct exchange_response *response),
                                void *arg)
{
    struct exchange *exchange = exchange_take(peer);

    if (exchange == NULL)
        return NULL;
    exchange->on_done = on_done;
    exchange->arg = arg;
    exchange->is_stale = false;
    exchange->verdict = OUTCOME_OK;
    exchange->reason = NULL;
    exchange->head = (struct transport_head){0};
    exchange->error[0] = '\0';
    exchange->response = (struct exchange_response){.outcome = OUTCOME_OK};
    buf_init_budgeted(&exchange->response.body, peer->settings->max_response_bytes,
                      request->budget);
    set_request(exchange, request);
    if (curl_multi_add_handle(exchange->multi->handle, exchange->easy) != CURLM_OK) {
        exchange_put_back(exchange);
        return NULL;
    }
    return exchange;
}

void transport_cancel(struct exchange *exchange)
{
    curl_multi_remove_handle(exchange->multi->handle, exchange->easy);
    exchange_put_back(exchange);
}

bool transport_is_connected(const struct exchange *exchange)
{
    curl_off_t connected_us = 0;

    curl_easy_getinfo(exchange->easy, CURLINFO_PRETRANSFER_TIME_T, &connected_us);
    return connected_us > 0;
}

/* ---- how an exchange ended ---- */

static enum outcome outcome_of(const struct exchange *exchange, CURLcode code)
{
    if (exchange->verdict != OUTCOME_OK)
        return exchange->verdict;
    if (code == CURLE_OK && !exchange->head.is_complete)
        return OUTCOME_RESET; /* libcurl takes half a head for a whole one */
    return transport_outcome(exchange->easy, code, exchange->error);
}

/* Nothing was sent yet, so this is no second attempt. False: libcurl failed for want of memory. */
static bool send_afresh(struct exchange *exchange)
{
    exchange->is_stale = false;
    exchange->is_plain = false; /* there is something to undo */
    exchange->error[0] = '\0';
    curl_multi_remove_handle(exchange->multi->handle, exchange->easy);
    curl_easy_setopt(exchange->easy, CURLOPT_FRESH_CONNECT, 1L);
    return curl_multi_add_handle(exchange->multi->handle, exchange->easy) == CURLM_OK;
}

static void on_transfer_end(CURL *easy, CURLcode code)
{
    struct exchange *exchange = NULL;
    struct exchange_response *response;
    char *content_type = NULL;
    long status = 0;

    curl_easy_getinfo(easy, CURLINFO_PRIVATE, &exchange);
    if (exchange->is_stale && send_afresh(exchange))
        return;
    curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(easy, CURLINFO_CONTENT_TYPE, &content_type);
    response = &exchange->response;
    response->outcome = outcome_of(exchange, code);
    response->status = exchange->reason == NULL ? (unsigned)status : 0;
    response->content_type = content_type;
    response->detail = exchange->reason != NULL
                           ? exchange->reason
                           : transport_detail(easy, code, response->outcome, exchange->error);
    curl_multi_remove_handle(exchange->multi->handle, easy);
    exchange->on_done(exchange->arg, response);
    exchange_put_back(exchange);
}
