/*
 * The guard against evhttp: whatever the guard passes, a real evhttp must read
 * as the same requests, with the same fields and bodies, and answer each; and
 * the guard's verdict must not depend on how the bytes were cut. Built with
 *   clang -fsanitize=fuzzer,address -std=c11 -D_GNU_SOURCE -I. tests/fuzz/fuzz_guard.c \
 *       service/guard*.c fanout/buf.c -levent_core -levent_extra
 * and run with a copy of tests/fuzz/corpus/guard.
 */
#include "fanout/buf.h"
#include "service/guard.h"

#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <event2/listener.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define MAX_INPUT  (16 * 1024)
#define QUIET_RUNS 6     /* of the loop, before evhttp is taken to have nothing more to do */
#define MAX_RUNS   10000 /* after which it will never have */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);

/* Small, so that inputs get beyond them. */
static const struct guard_limits limits = {
    .max_target_bytes = 64,
    .max_header_bytes = 400,
    .max_header_count = 8,
    .max_body_bytes = 300,
    .max_chunk_line_bytes = 60,
    .max_trailer_bytes = 80,
    .max_trailer_count = 3,
};

static void fail(const char *what)
{
    fprintf(stderr, "fuzz_guard: %s\n", what);
    abort();
}

/* ---- the guard ---- */

struct passed {
    struct guard guard;
    uint8_t bytes[MAX_INPUT];
    size_t length;
};

static void feed(struct passed *passed, const uint8_t *bytes, size_t length)
{
    while (length > 0) {
        size_t taken;
        enum guard_verdict verdict = guard_feed(&passed->guard, bytes, length, &taken);

        if (verdict == GUARD_REFUSE)
            return;
        if (taken == 0 || taken > length)
            fail("the guard stands still");
        if (verdict == GUARD_PASS) {
            memcpy(passed->bytes + passed->length, bytes, taken);
            passed->length += taken;
        }
        bytes += taken;
        length -= taken;
    }
}

/* Pieces of 1 to 7 bytes, as the bytes themselves say. */
static void feed_in_pieces(struct passed *passed, const uint8_t *bytes, size_t length)
{
    while (length > 0) {
        size_t piece = 1 + bytes[0] % 7;

        if (piece > length)
            piece = length;
        feed(passed, bytes, piece);
        bytes += piece;
        length -= piece;
    }
}

static void check_same(const struct passed *one, const struct passed *other)
{
    const struct guard *a = &one->guard, *b = &other->guard;

    if (one->length != other->length || memcmp(one->bytes, other->bytes, one->length) != 0)
        fail("what passes depends on the cut");
    if (a->status != b->status || a->reason != b->reason || a->offset != b->offset)
        fail("the refusal depends on the cut");
    if (a->requests_begun != b->requests_begun || a->heads_done != b->heads_done ||
        a->requests_done != b->requests_done || a->phase != b->phase ||
        a->wants_close != b->wants_close)
        fail("the counters depend on the cut");
}

/* ---- what the passed bytes mean, read by a reader that knows clean messages only ---- */

struct reader {
    const char *next;
    const char *end;
    struct buf *transcript;
};

/* A line without its CRLF; NULL: not all of it is there. */
static const char *read_line(struct reader *reader, size_t *length)
{
    const char *line = reader->next;
    const char *end = memmem(line, (size_t)(reader->end - line), "\r\n", 2);

    if (end == NULL)
        return NULL;
    *length = (size_t)(end - line);
    reader->next = end + 2;
    return line;
}

struct head {
    bool is_chunked;
    bool is_coded; /* in another way: may not become whole */
    size_t content_length;
};

static void read_field(const char *line, size_t length, struct head *head, struct buf *out)
{
    const char *colon = memchr(line, ':', length);
    const char *value = colon != NULL ? colon + 1 : line, *end = line + length;

    if (colon == NULL || colon == line || memchr(line, ' ', (size_t)(colon - line)) != NULL)
        fail("a line without a field name passed");
    for (const char *byte = line; byte < end; byte++)
        if ((unsigned char)*byte < ' ' && *byte != '\t')
            fail("a control byte passed");
    while (value < end && *value == ' ')
        value++;
    while (end > value && (end[-1] == ' ' || end[-1] == '\t'))
        end--;
    buf_printf(out, "%.*s:%.*s\n", (int)(colon - line), line, (int)(end - value), value);
    if (colon - line == 14 && strncasecmp(line, "Content-Length", 14) == 0)
        head->content_length = strtoul(value, NULL, 10);
    if (colon - line == 17 && strncasecmp(line, "Transfer-Encoding", 17) == 0) {
        head->is_chunked = end - value == 7 && strncasecmp(value, "chunked", 7) == 0;
        head->is_coded = !head->is_chunked;
    }
}

static bool read_head(struct reader *reader, struct head *head)
{
    size_t length;
    const char *line = read_line(reader, &length), *space;

    *head = (struct head){0};
    if (line == NULL)
        return false;
    space = memrchr(line, ' ', length);
    if (space == NULL || length - (size_t)(space - line) != 9)
        fail("a request line without a version passed");
    buf_printf(reader->transcript, "%.*s\n", (int)(space - line), line);
    while ((line = read_line(reader, &length)) != NULL) {
        if (length == 0 && head->is_coded)
            fail("a transfer coding other than chunked passed");
        if (length == 0)
            return true;
        read_field(line, length, head, reader->transcript);
    }
    return false;
}

static bool read_bytes(struct reader *reader, size_t count, struct buf *body)
{
    if ((size_t)(reader->end - reader->next) < count)
        return false;
    buf_append(body, reader->next, count);
    reader->next += count;
    return true;
}

static bool read_chunks(struct reader *reader, struct buf *body)
{
    const char *line;
    size_t length;

    while ((line = read_line(reader, &length)) != NULL) {
        size_t size = strtoul(line, NULL, 16);

        if (length == 0 || strspn(line, "0123456789abcdefABCDEF") != length)
            fail("a chunk size with something else passed");
        if (!read_bytes(reader, size, body))
            return false;
        line = read_line(reader, &length);
        if (line != NULL && length > 0)
            fail("more than a chunk, or a trailer, passed");
        if (size == 0 || line == NULL)
            return line != NULL;
    }
    return false;
}

static void end_transcript(struct buf *transcript, struct buf *body)
{
    buf_printf(transcript, "body %zu\n", body->len);
    buf_append(transcript, body->data, body->len);
    buf_append_text(transcript, "\n");
}

static bool read_request(struct reader *reader)
{
    struct head head;
    struct buf body;
    size_t whole = reader->transcript->len;
    bool is_whole;

    buf_init(&body, BUF_UNLIMITED);
    is_whole = read_head(reader, &head) &&
               (head.is_chunked ? read_chunks(reader, &body)
                                : read_bytes(reader, head.content_length, &body));
    if (is_whole)
        end_transcript(reader->transcript, &body);
    else
        reader->transcript->len = whole;
    buf_release(&body);
    return is_whole;
}

static uint64_t read_all(const struct passed *passed, struct buf *transcript)
{
    const char *bytes = (const char *)passed->bytes;
    struct reader reader = {bytes, bytes + passed->length, transcript};
    uint64_t count = 0;

    while (read_request(&reader))
        count++;
    return count;
}

/* ---- evhttp ---- */

static struct {
    struct event_base *base;
    struct sockaddr_un address;
    socklen_t address_length;
    /* of this run */
    const struct guard *guard;
    uint64_t requests;
    struct buf transcript;
    struct buf answers;
} world;

static const char *method_name(struct evhttp_request *request)
{
    switch (evhttp_request_get_command(request)) {
    case EVHTTP_REQ_GET:
        return "GET";
    case EVHTTP_REQ_POST:
        return "POST";
    case EVHTTP_REQ_HEAD:
        return "HEAD";
    case EVHTTP_REQ_PUT:
        return "PUT";
    case EVHTTP_REQ_DELETE:
        return "DELETE";
    case EVHTTP_REQ_PATCH:
        return "PATCH";
    case EVHTTP_REQ_OPTIONS:
        return "OPTIONS";
    case EVHTTP_REQ_TRACE:
        return "TRACE";
    default:
        return "?";
    }
}

static void on_request(struct evhttp_request *request, void *arg)
{
    const struct evhttp_uri *uri = evhttp_request_get_evhttp_uri(request);
    struct evbuffer *input = evhttp_request_get_input_buffer(request);
    struct evkeyval *field;
    struct buf body;

    (void)arg;
    world.requests++;
    buf_printf(&world.transcript, "%s %s", method_name(request), evhttp_uri_get_path(uri));
    if (evhttp_uri_get_query(uri) != NULL)
        buf_printf(&world.transcript, "?%s", evhttp_uri_get_query(uri));
    buf_append_text(&world.transcript, "\n");
    for (field = evhttp_request_get_input_headers(request)->tqh_first; field != NULL;
         field = field->next.tqe_next)
        buf_printf(&world.transcript, "%s:%s\n", field->key, field->value);
    buf_init(&body, BUF_UNLIMITED);
    buf_append(&body, evbuffer_pullup(input, -1), evbuffer_get_length(input));
    end_transcript(&world.transcript, &body);
    buf_release(&body);
    if (world.guard->wants_close && world.requests == world.guard->heads_done)
        evhttp_add_header(evhttp_request_get_output_headers(request), "Connection", "close");
    evhttp_send_reply(request, 200, "OK", NULL);
}

static void set_up(void)
{
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
    struct evhttp *http;

    event_set_log_callback(NULL);
    world.base = event_base_new();
    world.address.sun_family = AF_UNIX;
    world.address_length =
        (socklen_t)offsetof(struct sockaddr_un, sun_path) + 1 +
        (socklen_t)snprintf(world.address.sun_path + 1, 64, "fuzz_guard.%d", (int)getpid());
    if (bind(listener, (struct sockaddr *)&world.address, world.address_length) != 0)
        fail("bind");
    http = evhttp_new(world.base);
    evhttp_set_allowed_methods(http, 0xffff);
    evhttp_set_max_headers_size(
        http, (ev_ssize_t)(limits.max_target_bytes + limits.max_header_bytes + 32));
    evhttp_set_max_body_size(http, (ev_ssize_t)limits.max_body_bytes);
    evhttp_set_gencb(http, on_request, NULL);
    evhttp_bind_listener(http, evconnlistener_new(world.base, NULL, NULL, 0, 16, listener));
}

/* False: evhttp has closed. */
static bool read_answers(int client)
{
    char bytes[4096];
    ssize_t count;

    while ((count = recv(client, bytes, sizeof bytes, MSG_DONTWAIT)) > 0)
        buf_append(&world.answers, bytes, (size_t)count);
    return count != 0;
}

static bool run_until_quiet(int client)
{
    unsigned quiet = 0;

    while (quiet < QUIET_RUNS) {
        uint64_t requests = world.requests;
        size_t answered = world.answers.len;

        event_base_loop(world.base, EVLOOP_NONBLOCK);
        if (!read_answers(client))
            return false;
        quiet = requests == world.requests && answered == world.answers.len ? quiet + 1 : 0;
    }
    return true;
}

static void give_to_evhttp(const struct passed *passed)
{
    int client = socket(AF_UNIX, SOCK_STREAM, 0);
    size_t half = passed->length > 0 ? passed->bytes[passed->length / 2] % passed->length : 0;
    bool is_open;

    if (connect(client, (struct sockaddr *)&world.address, world.address_length) != 0)
        fail("connect");
    send(client, passed->bytes, half, MSG_NOSIGNAL);
    is_open = run_until_quiet(client);
    send(client, passed->bytes + half, passed->length - half, MSG_NOSIGNAL);
    is_open = is_open && run_until_quiet(client);
    if (is_open && passed->guard.phase == GUARD_OVER)
        fail("evhttp does not close");
    shutdown(client, SHUT_WR);
    for (unsigned runs = 0; is_open; runs++) {
        is_open = run_until_quiet(client);
        if (runs == MAX_RUNS)
            fail("evhttp never closes");
    }
    close(client);
}

/* Nothing but 100 and 200: evhttp found nothing wrong. */
static void check_answers(void)
{
    const char *next = world.answers.data != NULL ? world.answers.data : "";
    const char *end = next + world.answers.len, *line;
    uint64_t answers = 0;

    while ((line = memmem(next, (size_t)(end - next), "HTTP/1.", 7)) != NULL) {
        if (memcmp(line + 8, " 200", 4) == 0)
            answers++;
        else if (memcmp(line + 8, " 100", 4) != 0)
            fail("evhttp refuses what the guard passes");
        next = line + 12;
    }
    if (answers != world.requests)
        fail("evhttp does not answer all");
}

static void check_against_evhttp(const struct passed *passed)
{
    struct buf transcript;

    buf_init(&transcript, BUF_UNLIMITED);
    if (read_all(passed, &transcript) != passed->guard.requests_done)
        fail("the guard counts other requests than it passes");
    buf_init(&world.transcript, BUF_UNLIMITED);
    buf_init(&world.answers, BUF_UNLIMITED);
    world.guard = &passed->guard;
    world.requests = 0;
    give_to_evhttp(passed);
    if (world.requests != passed->guard.requests_done)
        fail("evhttp counts other requests");
    if (world.transcript.len != transcript.len ||
        (transcript.len > 0 && memcmp(world.transcript.data, transcript.data, transcript.len) != 0))
        fail("evhttp reads other requests");
    check_answers();
    buf_release(&transcript);
    buf_release(&world.transcript);
    buf_release(&world.answers);
}

/* ---- libFuzzer ---- */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct passed whole, pieces;

    if (world.base == NULL)
        set_up();
    if (size > MAX_INPUT)
        return 0;
    whole.length = pieces.length = 0;
    guard_init(&whole.guard, &limits);
    guard_init(&pieces.guard, &limits);
    feed(&whole, data, size);
    feed_in_pieces(&pieces, data, size);
    check_same(&whole, &pieces);
    check_against_evhttp(&whole);
    return 0;
}

static const char *const words[] = {
    "\r\n",
    "\r\n\r\n",
    "\r",
    "\n",
    "\t",
    " ",
    ":",
    "0\r\n\r\n",
    "1\r\nx\r\n",
    "5;a=b\r\nhello\r\n",
    ";a=\"b\\\"c\"",
    "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "HEAD / HTTP/1.1\r\nHost: a\r\n",
    "TRACE / HTTP/1.1\r\nHost: a\r\n",
    "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
    "POST /p HTTP/1.1\r\nHost: a\r\n",
    "PUT /p?q=%41 HTTP/1.0\r\n",
    "Host: [::1]:80\r\n",
    "Content-Length: 5\r\n",
    "Content-Length:\t0\r\n",
    "Transfer-Encoding: chunked\r\n",
    "transfer-encoding:\tChunked\t\r\n",
    "Connection: close\r\n",
    "Connection: keep-alive\r\n",
    "Connection: x, close\r\n",
    "Connection: x, keep-alive\r\n",
    "GET / HTTP/1.0\r\n",
    "Expect: 100-continue\r\n",
    "X: y\r\n",
    "HTTP/1.0",
    "0x",
    "+",
    "//",
    "chunked",
};

/* Half of the changes put a word of the protocol somewhere. */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
    const char *word = words[(seed >> 8) % (sizeof words / sizeof words[0])];
    size_t length = strlen(word), place = size > 0 ? (seed >> 14) % (size + 1) : 0;

    if (seed % 2 == 0 || size + length > max_size)
        return LLVMFuzzerMutate(data, size, max_size);
    memmove(data + place + length, data + place, size - place);
    memcpy(data + place, word, length);
    return size + length;
}
