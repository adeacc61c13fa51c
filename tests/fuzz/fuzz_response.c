/*
 * Upstreams' answers through the whole engine: a server on the same loop
 * answers up to three fetches, one after the other, on one worker. However
 * broken an answer is, there is one result, in time, and it is what the parser
 * alone makes of the bytes of that answer: nothing that another answer left on
 * a kept connection is in it. All of it by each way of the transport.
 *
 * The first byte says how the rest is sent: see how_sent. A mark divides the
 * answers, another stands for many bytes: see marks.
 */
#include "fanout/body.h"
#include "fanout/clock.h"
#include "fanout/fanout.h"
#include "fanout/gather.h"
#include "fanout/http_response.h"
#include "fanout/upstream.h"
#include "tests/fuzz/fuzz.h"

#include <arpa/inet.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <signal.h>
#include <sys/socket.h>

#define MOST_BYTES      (96 * 1024)
#define MANY_BYTES      (80 * 1024)
#define MOST_IN_SEGMENT 60000
#define MOST_MANY       2 /* in one input */
#define MOST_ANSWERS    3
#define MAX_CONNECTIONS 16
#define SOON_US         5000     /* for what never comes */
#define LATE_US         10000000 /* whatever comes has come by then */

enum { LEAN, CURL, WAYS }; /* the upstreams, in the order of the configuration */

static const struct {
    char next[7], many[7];
} marks = {"|NEXT|", "|MANY|"};

/* What an answer must come to, and what it came to. */
struct result {
    bool is_awaited; /* it is not whole, and the connection stays open */
    enum outcome outcome;
    unsigned status;
    enum body_kind kind;
    struct buf body;
};

struct answer {
    struct buf bytes;
    size_t first_length;    /* of the piece that is sent at once */
    bool is_read_otherwise; /* in its head, of which libcurl passes on no line before its end */
    bool comes_late;        /* bytes behind its end come when nobody can tell what they are */
    struct result expected;
    struct result seen[WAYS];
};

/* Between the two pieces of an answer. */
struct pause {
    struct bufferevent *connection;
    const struct answer *answer;
};

static struct {
    struct config *config;
    struct fanout *fanout;
    int listener;
    /* of this run */
    struct answer answers[MOST_ANSWERS];
    size_t answer_count;
    enum method method;
    bool stays_open;
    bool is_in_pieces;
    bool is_at_once; /* a fetch is started by the result of the one before */
    /* of one way */
    size_t way;
    struct event_base *base;
    struct fanout_worker *worker;
    struct bufferevent *connections[MAX_CONNECTIONS];
    size_t connection_count;
    struct pause pauses[MAX_CONNECTIONS];
    size_t pause_count;
    size_t current; /* the answer that is fetched */
    unsigned results;
    bool is_done;
} world;

static void set_up(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    int port;
    char *text;

    signal(SIGPIPE, SIG_IGN);
    world.listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    claim(bind(world.listener, (struct sockaddr *)&address, length) == 0 &&
              listen(world.listener, 16) == 0 &&
              getsockname(world.listener, (struct sockaddr *)&address, &length) == 0,
          "there is a server");
    port = ntohs(address.sin_port);
    text = mem_printf(
        "upstream lean { url = \"http://127.0.0.1:%d/\" max_response = %d timeout = 20s\n"
        "                allow_methods = { GET, HEAD } }\n"
        "upstream curl { url = \"http://127.0.0.1:%d/\" max_response = %d timeout = 20s\n"
        "                allow_methods = { GET, HEAD } transport = curl }\n",
        port, MOST_BYTES, port, MOST_BYTES);
    world.config = config_of(text);
    free(text);
    claim(fanout_global_init(), "the libraries are there");
    world.fanout = fanout_new(&(struct fanout_settings){
        .limiter = {.max_in_flight = 1, .max_queue = 1, .shed_target_us = CLOCK_NEVER},
        .max_memory_bytes = world.config->max_memory_bytes,
        .upstreams = world.config->upstreams,
        .upstream_count = world.config->upstream_count,
        .resolver = &world.config->resolver,
    });
}

/* ---- the server ---- */

static void end_sending(struct bufferevent *connection)
{
    if (!world.stays_open)
        shutdown(bufferevent_getfd(connection), SHUT_WR);
}

static void on_written(struct bufferevent *connection, void *arg)
{
    (void)arg;
    bufferevent_setcb(connection, NULL, NULL, NULL, NULL);
    end_sending(connection);
}

static void send_rest(struct bufferevent *connection, const struct answer *answer)
{
    size_t count = answer->bytes.len - answer->first_length;

    if (!world.stays_open)
        bufferevent_setcb(connection, NULL, on_written, NULL, NULL);
    bufferevent_write(connection, answer->bytes.data + answer->first_length, count);
    if (!world.stays_open && evbuffer_get_length(bufferevent_get_output(connection)) == 0)
        end_sending(connection);
}

static void on_pause_over(evutil_socket_t fd, short what, void *arg)
{
    struct pause *pause = arg;

    (void)fd, (void)what;
    send_rest(pause->connection, pause->answer);
}

static void on_request(struct bufferevent *connection, void *arg)
{
    const struct answer *answer = &world.answers[world.current];
    struct evbuffer *input = bufferevent_get_input(connection);
    const struct timeval time = {.tv_usec = 500};
    struct pause *pause;

    (void)arg;
    if (evbuffer_search(input, "\r\n\r\n", 4, NULL).pos < 0)
        return;
    evbuffer_drain(input, evbuffer_get_length(input));
    bufferevent_write(connection, answer->bytes.data, answer->first_length);
    if (answer->first_length == answer->bytes.len) {
        send_rest(connection, answer);
        return;
    }
    claim(world.pause_count < MAX_CONNECTIONS, "few requests are made for a fetch");
    pause = &world.pauses[world.pause_count++];
    *pause = (struct pause){connection, answer};
    event_base_once(world.base, -1, EV_TIMEOUT, on_pause_over, pause, &time);
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

/* ---- what an answer must come to ---- */

static void judge_whole(struct result *expected, struct http_response *response, struct buf *body)
{
    const struct upstream_settings *settings = &world.config->upstreams[0];
    struct body_judgement judgement =
        body_judge(body, response->content_type, settings->max_json_depth);

    expected->outcome =
        upstream_settings_is_success(settings, response->status) ? OUTCOME_OK : OUTCOME_HTTP_STATUS;
    if (judgement.is_broken_json && expected->outcome == OUTCOME_OK) {
        expected->outcome = OUTCOME_INVALID_JSON;
        return;
    }
    expected->kind = judgement.kind;
    buf_move(&expected->body, body);
}

static bool has_head_end(const struct buf *bytes)
{
    return memmem(bytes->data, bytes->len, "\n\n", 2) != NULL ||
           memmem(bytes->data, bytes->len, "\n\r\n", 3) != NULL;
}

/* libcurl leaves out a line that begins with NUL. */
static bool has_line_of_nul(const struct buf *bytes)
{
    return memmem(bytes->data, bytes->len, "\n\0", 2) != NULL;
}

static void expect(struct answer *answer)
{
    struct result *expected = &answer->expected;
    struct http_response response;
    struct buf body;
    size_t used, first_used;

    buf_init(&body, MOST_BYTES);
    http_response_init(&response, world.method, &body);
    first_used = http_response_take(&response, answer->bytes.data, answer->first_length);
    used = first_used + http_response_take(&response, answer->bytes.data + first_used,
                                           answer->bytes.len - first_used);
    answer->comes_late = used < answer->bytes.len && (answer->first_length < answer->bytes.len ||
                                                      answer->bytes.len > MOST_IN_SEGMENT);
    answer->is_read_otherwise = !has_head_end(&answer->bytes) || has_line_of_nul(&answer->bytes);
    if (!world.stays_open)
        http_response_end(&response);
    expected->status = response.status;
    if (response.phase == HTTP_RESPONSE_FAILED)
        expected->outcome = response.outcome;
    else if (response.phase == HTTP_RESPONSE_DONE)
        judge_whole(expected, &response, &body);
    else
        expected->is_awaited = true;
    if (expected->is_awaited)
        expected->outcome = OUTCOME_DEADLINE_EXCEEDED;
    http_response_release(&response);
    buf_release(&body);
}

/* ---- the result ---- */

static void claim_sense(const struct fetch_result *result)
{
    const struct buf *body = &result->body;
    bool is_success = result->status >= 200 && result->status <= 299;

    claim(result->status == 0 || (result->status >= 200 && result->status <= 599),
          "a status is a final one");
    claim(result->outcome != OUTCOME_OK || is_success, "only 2xx is a success");
    claim(result->outcome != OUTCOME_HTTP_STATUS || (!is_success && result->status != 0),
          "an error by status has one, and not 2xx");
    claim((result->outcome == OUTCOME_OK) == (result->message[0] == '\0'), "a failure says why");
    claim(result->attempts >= 1, "it was tried");
    claim(body->len <= MOST_BYTES, "a body is not larger than allowed");
    claim(result->body_kind != BODY_NONE || body->len == 0, "no body is empty");
    if (result->body_kind == BODY_JSON)
        claim_json(body, "what is spliced in as JSON is JSON");
}

static void on_result(void *arg, size_t index, struct fetch_result *result)
{
    struct result *seen = &world.answers[world.current].seen[world.way];

    (void)arg;
    world.results++;
    if (getenv("FUZZ_SHOW") != NULL)
        fprintf(stderr, "%zu/%zu %u %s: %s\n", world.way, world.current, result->status,
                outcome_info(result->outcome)->name, result->message);
    claim(index == 0 && !world.is_done, "the result is that of the fetch");
    claim_sense(result);
    *seen = (struct result){
        .outcome = result->outcome, .status = result->status, .kind = result->body_kind};
    buf_move(&seen->body, &result->body);
}

static bool is_whole(enum outcome outcome)
{
    return outcome == OUTCOME_OK || outcome == OUTCOME_HTTP_STATUS ||
           outcome == OUTCOME_INVALID_JSON;
}

static void claim_same_body(const struct result *a, const struct result *b)
{
    claim(a->outcome == b->outcome && a->status == b->status && a->kind == b->kind,
          "an answer is what its own bytes say");
    claim(a->kind == BODY_NONE ||
              (a->body.len == b->body.len && memcmp(a->body.data, b->body.data, a->body.len) == 0),
          "a body is made of its own bytes");
}

/* libcurl may have another name for what is wrong: it sees some of it first. */
static void claim_expected(const struct answer *answer)
{
    const struct result *expected = &answer->expected;

    claim(answer->seen[LEAN].outcome == expected->outcome, "the parser has judged it");
    for (size_t way = 0; way < WAYS; way++) {
        claim(is_whole(answer->seen[way].outcome) == is_whole(expected->outcome),
              "both ways take the same answers");
        if (is_whole(expected->outcome))
            claim_same_body(&answer->seen[way], expected);
    }
}

static void start_fetch(void);

static void on_done(void *arg)
{
    (void)arg;
    claim(world.results == world.current + 1 && !world.is_done, "there is one result");
    if (++world.current == world.answer_count) {
        world.is_done = true;
        event_base_loopbreak(world.base);
    } else if (world.is_at_once) {
        start_fetch();
    } else {
        event_base_loopbreak(world.base);
    }
}

/* ---- one run ---- */

static void start_fetch(void)
{
    static struct fetch_request request;
    const struct answer *answer = &world.answers[world.current];
    bool may_never_end =
        answer->expected.is_awaited || (world.stays_open && answer->is_read_otherwise);
    const struct gather_plan plan = {.requests = &request,
                                     .count = 1,
                                     .deadline_us = may_never_end ? SOON_US : LATE_US,
                                     .soft_deadline_us = CLOCK_NEVER,
                                     .needed = 1};
    unsigned results = world.results;

    request = (struct fetch_request){.upstream = fanout_upstream(world.fanout, world.way),
                                     .method = world.method,
                                     .timeout_us = CLOCK_NEVER};
    gather_start(world.worker, &plan, (struct gather_sink){on_result, on_done, NULL});
    claim(world.results == results, "a start never calls back");
}

static void fetch_all(void)
{
    struct evconnlistener *listener = evconnlistener_new(
        world.base, on_connection, NULL, LEV_OPT_LEAVE_SOCKETS_BLOCKING, 0, world.listener);
    size_t started;

    world.results = 0;
    world.current = 0;
    world.is_done = false;
    while (!world.is_done) {
        started = world.current;
        start_fetch();
        while (!world.is_done && (world.current == started || world.is_at_once))
            event_base_dispatch(world.base);
    }
    evconnlistener_free(listener);
}

static void run(size_t way)
{
    struct limiter_counts counts;
    const char *message = "";

    world.way = way;
    world.pause_count = 0;
    world.base = event_base_new();
    world.worker = fanout_worker_new(world.fanout, world.base, &message);
    claim(world.worker != NULL, message);
    fanout_worker_adopt(world.worker);
    fetch_all();
    fanout_counts(world.fanout, &counts);
    claim(counts.in_flight == 0 && counts.queued == 0, "the slot was given back");
    fanout_worker_free(world.worker);
    while (world.connection_count > 0)
        bufferevent_free(world.connections[--world.connection_count]);
    event_base_free(world.base);
}

/* ---- the input ---- */

/* 0 to 15: a HEAD or a GET; connections stay open or are closed; in one piece or in two; a fetch
 * is started when the one before is over and done with, or by its very result. */
static void how_sent(uint8_t byte)
{
    world.method = (byte & 1) != 0 ? METHOD_HEAD : METHOD_GET;
    world.stays_open = (byte & 2) != 0;
    world.is_in_pieces = (byte & 4) != 0;
    world.is_at_once = (byte & 8) != 0;
}

static const char *find(const char *bytes, size_t length, const char *mark)
{
    return memmem(bytes, length, mark, strlen(mark));
}

static void append_many(struct buf *to)
{
    buf_reserve(to, MANY_BYTES);
    memset(to->data + to->len, 'x', MANY_BYTES);
    to->len += MANY_BYTES;
}

static void make_answer(struct answer *answer, const char *bytes, size_t length, unsigned *many)
{
    const char *mark;

    *answer = (struct answer){.expected = {.outcome = OUTCOME_OK}};
    buf_init(&answer->bytes, BUF_UNLIMITED);
    buf_reserve(&answer->bytes, 1); /* so that an empty one is somewhere, too */
    while (*many < MOST_MANY && (mark = find(bytes, length, marks.many)) != NULL) {
        buf_append(&answer->bytes, bytes, (size_t)(mark - bytes));
        append_many(&answer->bytes);
        length -= (size_t)(mark - bytes) + strlen(marks.many);
        bytes = mark + strlen(marks.many);
        ++*many;
    }
    buf_append(&answer->bytes, bytes, length);
    answer->first_length = world.is_in_pieces ? answer->bytes.len / 2 : answer->bytes.len;
    expect(answer);
}

static void make_answers(const char *bytes, size_t length)
{
    const char *mark = NULL;
    unsigned many = 0;

    world.answer_count = 0;
    do {
        if (world.answer_count + 1 < MOST_ANSWERS)
            mark = find(bytes, length, marks.next);
        else
            mark = NULL;
        make_answer(&world.answers[world.answer_count++], bytes,
                    mark != NULL ? (size_t)(mark - bytes) : length, &many);
        if (mark != NULL) {
            length -= (size_t)(mark - bytes) + strlen(marks.next);
            bytes = mark + strlen(marks.next);
        }
    } while (mark != NULL);
}

static void judge(void)
{
    bool is_sure = true;

    for (size_t i = 0; i < world.answer_count; i++) {
        struct answer *answer = &world.answers[i];

        if (is_sure && !answer->is_read_otherwise)
            claim_expected(answer);
        is_sure = is_sure && !answer->comes_late;
        buf_release(&answer->bytes);
        buf_release(&answer->expected.body);
        for (size_t way = 0; way < WAYS; way++)
            buf_release(&answer->seen[way].body);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (world.config == NULL)
        set_up();
    if (size < 1)
        return 0;
    how_sent(data[0]);
    make_answers((const char *)data + 1, size - 1);
    for (size_t way = 0; way < WAYS; way++)
        run(way);
    judge();
    return 0;
}
