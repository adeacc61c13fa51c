/*
 * What libcurl has to know of one upstream.
 *
 * The time to connect is kept by a timer of ours that runs while a connection is being made:
 * libcurl's own would be set and dropped for every transfer, over a kept connection too. (The one
 * of five minutes that it has by default stays behind ours.)
 */
#include "fanout/transport_origin.h"

#include "fanout/clock.h"
#include "fanout/transport_outcome.h"
#include "fanout/transport_trust.h"
#include "fanout/upstream.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONNECT_TO_SIZE (ADDRESS_TEXT_SIZE + 2)
#define USEC_PER_SEC    1000000u

/* ---- origins ---- */

/* libcurl 7.88 keeps 8 sessions in a share, so each upstream has one; one thread needs no lock. */
static bool make_sessions(struct origin *origin)
{
    if (!origin->settings->url.tls)
        return true;
    origin->sessions = curl_share_init();
    return origin->sessions != NULL && curl_share_setopt(origin->sessions, CURLSHOPT_SHARE,
                                                         CURL_LOCK_DATA_SSL_SESSION) == CURLSHE_OK;
}

/*
 * Not as configured: libcurl knows no SRV records; and path and query it would encode and print for
 * each transfer, where a request target is just copied.
 */
static bool set_url(struct origin *origin)
{
    char root[] = "/", *text;
    struct url url = origin->settings->url;
    CURLUcode code;

    url.path = root;
    url.query = NULL;
    text = url_plain(&url);
    code = curl_url_set(origin->url, CURLUPART_URL, text, CURLU_DISALLOW_USER);
    free(text);
    return code == CURLUE_OK;
}

bool origin_init(struct origin *origin, struct transport_loop *loop,
                 const struct upstream_settings *settings)
{
    *origin = (struct origin){.loop = loop, .settings = settings, .url = curl_url()};
    if (settings->url.host_is_ip)
        address_parse_ip(settings->url.host, settings->url.port, &origin->address);
    if (!make_sessions(origin) || !set_url(origin))
        return false;
    transport_loop_expect_connections(loop, (long)settings->max_in_flight);
    return true;
}

void origin_release(struct origin *origin)
{
    curl_share_cleanup(origin->sessions);
    curl_url_cleanup(origin->url);
}

/* ---- handles ---- */

/* What libcurl really connects to is looked at here: it must be the address that it was told,
 * and one that the upstream may have. */
static curl_socket_t on_open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *given)
{
    struct handle *handle = arg;
    struct address address = {.any.sa_family = AF_UNSPEC};

    (void)purpose;
    if (given->addrlen <= sizeof address)
        memcpy(&address, &given->addr, given->addrlen);
    if (!address_equals(&address, &handle->address) ||
        upstream_settings_denies(handle->origin->settings, &address)) {
        handle->is_denied = true;
        return CURL_SOCKET_BAD;
    }
    handle->fd = transport_loop_open_socket(handle->origin->loop, given);
    timer_start(handle->origin->loop->timers, &handle->timer,
                clock_now_us() + handle->origin->settings->connect_timeout_us);
    return handle->fd;
}

static void on_late(void *arg)
{
    struct handle *handle = arg;

    handle->on_end(handle, CURLE_OPERATION_TIMEDOUT);
}

void handle_note_connected(struct handle *handle)
{
    timer_stop(handle->origin->loop->timers, &handle->timer);
}

static void set_up_tls(CURL *easy, const struct origin *origin)
{
    const struct upstream_settings *settings = origin->settings;

    curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    curl_easy_setopt(easy, CURLOPT_SHARE, origin->sessions);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, settings->tls_verify ? 1L : 0L);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, settings->tls_verify ? 2L : 0L);
    transport_trust_set(easy, settings->ca);
    if (settings->cert != NULL) {
        curl_easy_setopt(easy, CURLOPT_SSLCERT, settings->cert);
        curl_easy_setopt(easy, CURLOPT_SSLKEY, settings->key);
        curl_easy_setopt(easy, CURLOPT_KEYPASSWD, ""); /* or OpenSSL asks the terminal */
    }
}

static void set_up(struct handle *handle)
{
    const struct upstream_settings *settings = handle->origin->settings;
    CURL *easy = handle->easy;
    long idle_s = (long)((settings->idle_timeout_us + USEC_PER_SEC - 1) / USEC_PER_SEC);

    curl_easy_setopt(easy, CURLOPT_CURLU, handle->origin->url);
    curl_easy_setopt(easy, CURLOPT_PRIVATE, handle);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, handle->error);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_PROXY, "");
    curl_easy_setopt(easy, CURLOPT_NOPROXY, "*"); /* or each transfer searches the environment */
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION,
                     (long)(settings->http2 ? CURL_HTTP_VERSION_2TLS : CURL_HTTP_VERSION_1_1));
    curl_easy_setopt(easy, CURLOPT_MAXAGE_CONN, idle_s);
    curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, on_open_socket);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, handle);
    if (settings->url.tls)
        set_up_tls(easy, handle->origin);
    else
        transport_trust_nobody(easy);
    transport_loop_adopt(handle->origin->loop, easy);
}

bool handle_init(struct handle *handle, struct origin *origin,
                 void (*on_end)(struct handle *handle, CURLcode code))
{
    *handle = (struct handle){
        .origin = origin,
        .multi = transport_loop_next_multi(origin->loop),
        .easy = curl_easy_init(),
        .fd = CURL_SOCKET_BAD,
        .on_end = on_end,
    };
    timer_init(&handle->timer, on_late, handle);
    if (handle->easy == NULL)
        return false;
    set_up(handle);
    return true;
}

void handle_release(struct handle *handle)
{
    curl_easy_cleanup(handle->easy);
    curl_slist_free_all(handle->connect_to);
}

/*
 * Host and port of the URL stay for the Host field and TLS; the connection goes to the address.
 * Where that is what the URL says it is not said again, as libcurl parses it for each transfer.
 */
static void set_address(struct handle *handle, const struct address *address)
{
    char text[ADDRESS_TEXT_SIZE], line[CONNECT_TO_SIZE];

    if (address_equals(&handle->address, address))
        return;
    handle->address = *address;
    curl_slist_free_all(handle->connect_to);
    handle->connect_to = NULL;
    if (!address_equals(&handle->origin->address, address)) {
        snprintf(line, sizeof line, "::%s", address_print(address, text));
        handle->connect_to = curl_slist_append(NULL, line);
    }
    curl_easy_setopt(handle->easy, CURLOPT_CONNECT_TO, handle->connect_to);
}

bool handle_start(struct handle *handle, const struct address *address)
{
    set_address(handle, address);
    handle->is_denied = false;
    handle->fd = CURL_SOCKET_BAD;
    handle->error[0] = '\0';
    return curl_multi_add_handle(handle->multi->handle, handle->easy) == CURLM_OK;
}

void handle_stop(struct handle *handle)
{
    handle_note_connected(handle);
    curl_multi_remove_handle(handle->multi->handle, handle->easy);
}

enum outcome handle_outcome(const struct handle *handle, CURLcode code)
{
    return handle->is_denied ? OUTCOME_ADDRESS_DENIED
                             : transport_outcome(handle->easy, code, handle->error);
}

const char *handle_detail(const struct handle *handle, CURLcode code, enum outcome outcome)
{
    return transport_detail(handle->easy, code, outcome, handle->error);
}

void handle_on_transfer_end(CURL *easy, CURLcode code)
{
    struct handle *handle = NULL;

    curl_easy_getinfo(easy, CURLINFO_PRIVATE, &handle);
    handle_note_connected(handle);
    handle->on_end(handle, code);
}
