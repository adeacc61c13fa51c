/*
 * An upstream's answer through the whole engine: a server on the same loop
 * answers one fetch with the input. However broken it is, there is one result
 * with an outcome that fits it, in time, and nothing is left behind.
 *
 * The first byte says how the rest is sent: see how_sent.
 */
#include "fanout/fanout.h"
#include "fanout/gather.h"
#include "tests/fuzz/fuzz.h"

#include <arpa/inet.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <signal.h>
#include <sys/socket.h>

#define DEADLINE_US     50000
#define MOST_BYTES      2048
#define MAX_CONNECTIONS 8

static struct {
    struct config *config;
    struct fanout *fanout;
    int listener;
    /* of this run */
    struct event_base *base;
    const uint8_t *bytes;
    size_t length;
    size_t first_length; /* of the piece that is sent at once */
    bool stays_open;
    struct bufferevent *connections[MAX_CONNECTIONS];
    size_t connection_count;
    unsigned results;
    bool is_done;
} world;

static void set_up(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    char *text;

    signal(SIGPIPE, SIG_IGN);
    world.listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    claim(bind(world.listener, (struct sockaddr *)&address, length) == 0 &&
              listen(world.listener, 16) == 0 &&
              getsockname(world.listener, (struct sockaddr *)&address, &length) == 0,
          "there is a server");
    text = mem_printf("upstream one { url = \"http://127.0.0.1:%d/\" max_response = %d\n"
                      "               allow_methods = { GET, HEAD } }\n",
                      ntohs(address.sin_port), MOST_BYTES);
    world.config = config_of(text);
    free(text);
    claim(fanout_global_init(), "the libraries are there");
    world.fanout = fanout_new(&(struct fanout_settings){
        .max_in_flight = 1,
        .max_queue = 1,
        .max_memory_bytes = world.config->max_memory_bytes,
        .upstreams = world.config->upstreams,
        .upstream_count = world.config->upstream_count,
        .resolver = &world.config->resolver,
    });
}

/* ---- the server ---- */

static void on_written(struct bufferevent *connection, void *arg)
{
    (void)arg;
    if (!world.stays_open)
        shutdown(bufferevent_getfd(connection), SHUT_WR);
}

static void on_pause_over(evutil_socket_t fd, short what, void *arg)
{
    struct bufferevent *connection = arg;

    (void)fd, (void)what;
    bufferevent_setcb(connection, NULL, on_written, NULL, NULL);
    bufferevent_write(connection, world.bytes + world.first_length,
                      world.length - world.first_length);
    if (world.first_length == world.length)
        on_written(connection, NULL);
}

static void on_request(struct bufferevent *connection, void *arg)
{
    struct evbuffer *input = bufferevent_get_input(connection);
    const struct timeval pause = {.tv_usec = world.first_length < world.length ? 500 : 0};

    (void)arg;
    if (evbuffer_search(input, "\r\n\r\n", 4, NULL).pos < 0)
        return;
    evbuffer_drain(input, evbuffer_get_length(input));
    bufferevent_write(connection, world.bytes, world.first_length);
    event_base_once(world.base, -1, EV_TIMEOUT, on_pause_over, connection, &pause);
}

static void on_connection(struct evconnlistener *listener, evutil_socket_t fd,
                          struct sockaddr *peer, int length, void *arg)
{
    struct bufferevent *connection = bufferevent_socket_new(world.base, fd, BEV_OPT_CLOSE_ON_FREE);

    (void)listener, (void)peer, (void)length, (void)arg;
    claim(world.connection_count < MAX_CONNECTIONS, "few connections are made for a fetch");
    world.connections[world.connection_count++] = connection;
    bufferevent_setcb(connection, on_request, NULL, NULL, NULL);
    bufferevent_enable(connection, EV_READ | EV_WRITE);
}

/* ---- the result ---- */

/* What may come of an answer, whatever it holds. */
static bool is_possible(enum outcome outcome)
{
    switch (outcome) {
    case OUTCOME_OK:
    case OUTCOME_DEADLINE_EXCEEDED:
    case OUTCOME_RESET:
    case OUTCOME_PROTOCOL_ERROR:
    case OUTCOME_HTTP_STATUS:
    case OUTCOME_RESPONSE_TOO_LARGE:
    case OUTCOME_INVALID_JSON:
        return true;
    default:
        return false;
    }
}

/* libcurl takes "HTTP/x 500" for a 200. */
static bool says_success(void)
{
    return memmem(world.bytes, world.length, "HTTP/1.0 2", 10) != NULL ||
           memmem(world.bytes, world.length, "HTTP/1.1 2", 10) != NULL;
}

static void on_result(void *arg, size_t index, struct fetch_result *result)
{
    const struct buf *body = &result->body;
    bool is_success = result->status >= 200 && result->status <= 299;

    (void)arg;
    world.results++;
    if (getenv("FUZZ_SHOW") != NULL)
        fprintf(stderr, "%u %s: %s\n", result->status, outcome_info(result->outcome)->name,
                result->message);
    claim(index == 0 && !world.is_done, "the result is that of the fetch");
    claim(is_possible(result->outcome), "an answer has an outcome that fits it");
    claim(result->status == 0 || (result->status >= 100 && result->status <= 599),
          "a status is one of HTTP's");
    claim(result->outcome != OUTCOME_OK || is_success, "only 2xx is a success");
    claim(result->outcome != OUTCOME_OK || says_success(), "a success is said to be one");
    claim(result->outcome != OUTCOME_HTTP_STATUS || (!is_success && result->status != 0),
          "an error by status has one, and not 2xx");
    claim((result->outcome == OUTCOME_OK) == (result->message[0] == '\0'), "a failure says why");
    claim(result->attempts >= 1, "it was tried");
    claim(body->len <= MOST_BYTES, "a body is not larger than allowed");
    claim(result->body_kind != BODY_NONE || body->len == 0, "no body is empty");
    if (result->body_kind == BODY_JSON)
        claim_json(body, "what is spliced in as JSON is JSON");
}

static void on_done(void *arg)
{
    (void)arg;
    claim(world.results == 1 && !world.is_done, "there is one result");
    world.is_done = true;
    event_base_loopbreak(world.base);
}

/* ---- one run ---- */

static void run(struct fanout_worker *worker, enum method method)
{
    struct fetch_request request = {
        .upstream = fanout_upstream(world.fanout, 0), .method = method, .timeout_us = UINT64_MAX};
    const struct gather_plan plan = {&request, 1, DEADLINE_US};
    struct evconnlistener *listener = evconnlistener_new(
        world.base, on_connection, NULL, LEV_OPT_LEAVE_SOCKETS_BLOCKING, 0, world.listener);

    world.results = 0;
    world.is_done = false;
    gather_start(worker, &plan, (struct gather_sink){on_result, on_done, NULL});
    claim(world.results == 0, "a start never calls back");
    while (!world.is_done)
        event_base_dispatch(world.base);
    evconnlistener_free(listener);
}

/* 0 to 7: a HEAD or a GET, the connection stays open or is closed, in one piece or in two. */
static enum method how_sent(uint8_t byte)
{
    world.stays_open = (byte & 2) != 0;
    world.first_length = (byte & 4) != 0 ? world.length / 2 : world.length;
    return (byte & 1) != 0 ? METHOD_HEAD : METHOD_GET;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fanout_worker *worker;
    struct limiter_counts counts;
    const char *message = "";

    if (world.config == NULL)
        set_up();
    if (size < 1)
        return 0;
    world.bytes = data + 1;
    world.length = size - 1;
    world.base = event_base_new();
    worker = fanout_worker_new(world.fanout, world.base, &message);
    claim(worker != NULL, message);
    fanout_worker_adopt(worker);
    run(worker, how_sent(data[0]));
    fanout_counts(world.fanout, &counts);
    claim(counts.in_flight == 0 && counts.queued == 0, "the slot was given back");
    fanout_worker_free(worker);
    while (world.connection_count > 0)
        bufferevent_free(world.connections[--world.connection_count]);
    event_base_free(world.base);
    return 0;
}
