/*
 * The parser of answers: whatever comes, in whatever pieces, and received in
 * place or not, has one outcome; and no more is ever held than the cap allows.
 *
 * The first byte is 0 to 3: a GET or a HEAD, the connection stays or is closed.
 * The second is the cap, in 64 bytes.
 */
#include "fanout/http_response.h"
#include "tests/fuzz/fuzz.h"

#define SMALLEST_ROOM 256

struct run {
    struct http_response response;
    struct buf body;
    size_t used;
    bool is_closed; /* behind the last byte */
};

static bool is_over(const struct run *run)
{
    return run->response.phase == HTTP_RESPONSE_DONE || run->response.phase == HTTP_RESPONSE_FAILED;
}

static void start(struct run *run, const uint8_t *data)
{
    run->used = 0;
    run->is_closed = (data[0] & 2) != 0;
    buf_init(&run->body, (size_t)data[1] * 64);
    http_response_init(&run->response, (data[0] & 1) != 0 ? METHOD_HEAD : METHOD_GET, &run->body);
}

static void claim_bounds(const struct run *run)
{
    size_t most = run->body.max_bytes * 2;

    claim(run->body.len <= run->body.max_bytes, "a body is not larger than the cap");
    claim(run->body.room <= (most > SMALLEST_ROOM ? most : SMALLEST_ROOM),
          "there is no more room than the cap asks for");
    claim(run->response.line.len <= HTTP_RESPONSE_MAX_HEAD_BYTES, "a line is bounded");
}

/* ---- the ways in which bytes come ---- */

static void take(struct run *run, const char *bytes, size_t count)
{
    char *copy = exact_copy(bytes, count);
    size_t used = http_response_take(&run->response, copy, count);

    free(copy);
    run->used += used;
    claim(used <= count, "no more is taken than there is");
    claim(used == count || is_over(run), "all is taken of an answer that is not over");
    claim_bounds(run);
}

static void take_whole(struct run *run, const char *bytes, size_t count)
{
    take(run, bytes, count);
}

/* Pieces of 1 to 7 bytes, as the bytes themselves say. */
static void take_pieces(struct run *run, const char *bytes, size_t count)
{
    while (count > 0 && !is_over(run)) {
        size_t piece = 1 + (unsigned char)bytes[0] % 7;

        piece = piece < count ? piece : count;
        take(run, bytes, piece);
        bytes += piece;
        count -= piece;
    }
}

/* The head at once, and then up to 255 bytes into the place that is offered. */
static void take_in_place(struct run *run, const char *bytes, size_t count)
{
    while (count > 0 && !is_over(run)) {
        size_t room, piece = 1 + (unsigned char)bytes[0];
        char *place = http_response_room(&run->response, &room);

        claim(place != NULL || !is_over(run), "without a budget there is always room");
        claim(place == NULL || (room > 0 && room <= run->body.room - run->body.len),
              "the room is there");
        piece = piece < count ? piece : count;
        if (place == NULL) {
            take(run, bytes, piece);
        } else {
            piece = piece < room ? piece : room;
            memcpy(place, bytes, piece);
            http_response_took(&run->response, piece);
            run->used += piece;
            claim_bounds(run);
        }
        bytes += piece;
        count -= piece;
    }
}

/* ---- what came of it ---- */

static bool has_no_body(const struct http_response *response)
{
    return response->is_head || response->status == 204 || response->status == 304;
}

static bool is_possible(enum outcome outcome)
{
    return outcome == OUTCOME_RESET || outcome == OUTCOME_PROTOCOL_ERROR ||
           outcome == OUTCOME_RESPONSE_TOO_LARGE;
}

static void end(struct run *run)
{
    struct http_response *response = &run->response;

    if (run->is_closed) {
        http_response_end(response);
        claim(is_over(run), "an answer is over when the connection is");
    }
    claim(response->status == 0 || (response->status >= 200 && response->status <= 599),
          "a status is a final one");
    if (response->phase == HTTP_RESPONSE_FAILED)
        claim(is_possible(response->outcome) && response->reason != NULL, "a failure says why");
    if (response->phase == HTTP_RESPONSE_DONE) {
        claim(response->status != 0, "an answer has a status");
        claim(run->body.len == 0 || !has_no_body(response), "what has no body has none");
        claim(run->used >= sizeof "HTTP/1.1 200\n\n" - 1, "an answer has a head");
        claim(response->decoder != NULL || run->body.len < run->used, "nothing is made up");
    }
    if (is_over(run))
        claim(http_response_take(response, "x", 1) == 0, "nothing is taken behind the end");
}

static void claim_same(const struct run *run, const struct run *whole)
{
    const struct http_response *a = &run->response, *b = &whole->response;

    claim(a->phase == b->phase, "the phase does not depend on the pieces");
    claim(a->status == b->status, "the status does not depend on the pieces");
    claim(a->reason == b->reason && a->outcome == b->outcome,
          "what is wrong does not depend on the pieces");
    claim((a->content_type == NULL) == (b->content_type == NULL) &&
              (a->content_type == NULL || strcmp(a->content_type, b->content_type) == 0),
          "the type does not depend on the pieces");
    if (a->phase == HTTP_RESPONSE_FAILED)
        return;
    claim(a->is_persistent == b->is_persistent, "persistence does not depend on the pieces");
    claim(run->used == whole->used, "what is taken does not depend on the pieces");
    claim(run->body.len == whole->body.len &&
              (run->body.len == 0 || memcmp(run->body.data, whole->body.data, run->body.len) == 0),
          "the body does not depend on the pieces");
}

static void release(struct run *run)
{
    http_response_release(&run->response);
    buf_release(&run->body);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const ways[])(struct run * run, const char *bytes,
                                size_t count) = {take_pieces, take_in_place};
    struct run whole, run;

    if (size < 2)
        return 0;
    start(&whole, data);
    take_whole(&whole, (const char *)data + 2, size - 2);
    end(&whole);
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
        start(&run, data);
        ways[i](&run, (const char *)data + 2, size - 2);
        end(&run);
        claim_same(&run, &whole);
        release(&run);
    }
    release(&whole);
    return 0;
}
