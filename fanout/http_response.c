/*
 * The way of an answer:
 *
 *   STATUS_LINE → FIELD … → STATUS_LINE (that was an interim answer)
 *                         → LENGTH | CLOSE | CHUNK … → TRAILER … → done
 *
 * Lines and bytes are judged when they are whole, one after the other, so that
 * the verdict does not depend on the pieces in which they come.
 */
#include "fanout/http_response.h"

#include "fanout/content_decoder.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>

#define STATUS_LINE_BEGIN   "HTTP/1."
#define BEGIN_LENGTH        (sizeof STATUS_LINE_BEGIN - 1)
#define CODE_END            12                /* of "HTTP/1.1 200" */
#define BYTES_AHEAD         (64 * 1024)       /* reserved on an upstream's mere word */
#define LEAST_BYTES_IN_ROOM ((size_t)4 << 10) /* for fewer, a copy costs less than a call */

static const char bad_status_line[] = "the answer has a bad status line";
static const char too_large[] = "the body of the answer is larger than allowed";
static const char no_memory[] = "there is no memory left for the answer";

void http_response_init(struct http_response *response, enum method method, struct buf *body)
{
    *response = (struct http_response){.body = body, .is_head = method == METHOD_HEAD};
    buf_init(&response->line, HTTP_RESPONSE_MAX_HEAD_BYTES);
}

void http_response_release(struct http_response *response)
{
    response->content_type = NULL;
    http_fields_release(&response->fields);
    content_decoder_free(response->decoder);
    response->decoder = NULL;
    buf_release(&response->line);
}

bool http_response_has_begun(const struct http_response *response)
{
    return response->has_begun;
}

/* ---- how it ends ---- */

static void fail(struct http_response *response, enum outcome outcome, const char *reason)
{
    response->phase = HTTP_RESPONSE_FAILED;
    response->awaited = HTTP_RESPONSE_NOTHING;
    response->outcome = outcome;
    response->reason = reason;
}

/* False: something is wrong. */
static bool is_fine(struct http_response *response, const char *reason)
{
    if (reason != NULL)
        fail(response, OUTCOME_PROTOCOL_ERROR, reason);
    return reason == NULL;
}

/* A 204 that tells a length or has chunks may well be followed by a body that nobody reads. */
static bool may_persist(const struct http_response *response)
{
    const struct http_fields *fields = &response->fields;

    if (response->awaited == HTTP_RESPONSE_CLOSE || fields->says_close ||
        (fields->is_http_1_0 && !fields->says_keep_alive))
        return false;
    return response->status != 204 || (fields->length == 0 && !fields->is_chunked);
}

static void finish(struct http_response *response)
{
    response->is_persistent = may_persist(response);
    response->phase = HTTP_RESPONSE_DONE;
    response->awaited = HTTP_RESPONSE_NOTHING;
}

static void finish_body(struct http_response *response)
{
    if (response->decoder == NULL || is_fine(response, content_decoder_end(response->decoder)))
        finish(response);
}

void http_response_end(struct http_response *response)
{
    if (response->awaited == HTTP_RESPONSE_CLOSE)
        finish_body(response);
    else if (response->awaited != HTTP_RESPONSE_NOTHING)
        fail(response, OUTCOME_RESET,
             response->has_begun ? "the connection was closed before the whole answer came"
                                 : "the connection was closed before any answer came");
}

/* ---- the head ---- */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* "HTTP/1.1 200 OK" or "HTTP/1.0 200" (RFC 9112, section 4) */
static bool is_status_line(const char *line, size_t length)
{
    return length >= CODE_END && memcmp(line, STATUS_LINE_BEGIN, BEGIN_LENGTH) == 0 &&
           (line[7] == '0' || line[7] == '1') && line[8] == ' ' && line[9] >= '1' &&
           line[9] <= '5' && is_digit(line[10]) && is_digit(line[11]) &&
           (length == CODE_END || line[CODE_END] == ' ');
}

static void on_status_line(struct http_response *response, const char *line, size_t length)
{
    unsigned status;

    if (!is_status_line(line, length)) {
        fail(response, OUTCOME_PROTOCOL_ERROR, bad_status_line);
        return;
    }
    status = (unsigned)(line[9] - '0') * 100 + (unsigned)(line[10] - '0') * 10 +
             (unsigned)(line[11] - '0');
    if (status == 101) {
        fail(response, OUTCOME_PROTOCOL_ERROR, "the answer switches protocols, unasked");
        return;
    }
    response->is_interim = status < 200;
    response->status = response->is_interim ? 0 : status;
    response->fields.is_http_1_0 = line[7] == '0';
    response->fields.is_ignored = response->is_interim;
    response->fields.fold = HTTP_FIELDS_NO_FOLD;
    response->awaited = HTTP_RESPONSE_FIELD;
}

static bool has_no_body(const struct http_response *response)
{
    return response->is_head || response->status == 204 || response->status == 304;
}

/* How the end of the body is found (RFC 9112, section 6.3). */
static void start_body(struct http_response *response)
{
    const struct http_fields *fields = &response->fields;

    response->decoder = content_decoder_new(&fields->codings, response->body);
    response->phase = HTTP_RESPONSE_BODY;
    response->left = fields->length;
    if (fields->is_chunked)
        response->awaited = HTTP_RESPONSE_CHUNK;
    else if (!fields->has_length)
        response->awaited = HTTP_RESPONSE_CLOSE;
    else if (fields->length == 0)
        finish(response);
    else if (response->decoder == NULL &&
             fields->length > response->body->max_bytes - response->body->len)
        fail(response, OUTCOME_RESPONSE_TOO_LARGE, too_large);
    else
        response->awaited = HTTP_RESPONSE_LENGTH;
}

static void on_head_end(struct http_response *response)
{
    struct http_fields *fields = &response->fields;

    if (response->is_interim) {
        response->awaited = HTTP_RESPONSE_STATUS_LINE;
        return;
    }
    response->content_type = fields->content_type;
    if (has_no_body(response))
        finish(response);
    else if (is_fine(response, fields->wrong_coding))
        start_body(response);
}

/* ---- lines, of heads and of the trailer ---- */

/* Empty lines too, but for the status line: there they are bad ones. */
static inline void on_clean_line(struct http_response *response, const char *line, size_t length)
{
    if (response->awaited == HTTP_RESPONSE_STATUS_LINE)
        on_status_line(response, line, length);
    else if (length > 0)
        is_fine(response, http_fields_take(&response->fields, line, length));
    else if (response->awaited == HTTP_RESPONSE_FIELD)
        on_head_end(response);
    else
        finish_body(response);
}

static void on_line(struct http_response *response, const char *line, size_t length)
{
    if (length > 0 && line[length - 1] == '\r')
        length--;
    if (memchr(line, '\0', length) != NULL)
        fail(response, OUTCOME_PROTOCOL_ERROR, "the header section of the answer has a NUL in it");
    else if (memchr(line, '\r', length) != NULL)
        fail(response, OUTCOME_PROTOCOL_ERROR, "a header line of the answer has a CR in it");
    else
        on_clean_line(response, line, length);
}

/* What can't become a status line is refused before the line's end, which may never come. */
static bool may_be_status_line(const struct http_response *response, const char *bytes,
                               size_t count)
{
    size_t at = response->line.len, rest;

    if (response->awaited != HTTP_RESPONSE_STATUS_LINE || at >= BEGIN_LENGTH)
        return true;
    rest = BEGIN_LENGTH - at;
    return memcmp(&STATUS_LINE_BEGIN[at], bytes, count < rest ? count : rest) == 0;
}

static void on_stored_line(struct http_response *response)
{
    on_line(response, response->line.data, response->line.len - 1);
    buf_clear(&response->line);
}

/* Any line: part of one, one of which part is stored, one with control bytes. */
static size_t take_any_line(struct http_response *response, const char *bytes, size_t count)
{
    const char *end = memchr(bytes, '\n', count);
    size_t used = end != NULL ? (size_t)(end - bytes) + 1 : count;
    size_t room = HTTP_RESPONSE_MAX_HEAD_BYTES - response->head_bytes;

    response->head_bytes += used < room ? used : room;
    if (!may_be_status_line(response, bytes, used < room ? used : room))
        fail(response, OUTCOME_PROTOCOL_ERROR, bad_status_line);
    else if (used > room)
        fail(response, OUTCOME_PROTOCOL_ERROR,
             "the header section of the answer is larger than 64 KiB");
    else if (end != NULL && response->line.len == 0)
        on_line(response, bytes, used - 1);
    else if (!buf_append(&response->line, bytes, used))
        fail(response, OUTCOME_QUEUE_FULL, no_memory);
    else if (end != NULL)
        on_stored_line(response);
    return used;
}

/* How many bytes without any of those below 0x0e, which line ends and NUL are among. Eight at a
 * time: where a byte is below, its highest bit is set in `low`, and the lowest such bit is true. */
static size_t count_text(const char *bytes, size_t count)
{
    const uint64_t ones = UINT64_MAX / 0xff;
    uint64_t word, low;
    size_t at = 0;

    for (; count - at >= sizeof word; at += sizeof word) {
        memcpy(&word, bytes + at, sizeof word);
        word = le64toh(word);
        low = (word - ones * 0x0e) & ~word & ones * 0x80;
        if (low != 0)
            return at + (size_t)__builtin_ctzll(low) / 8;
    }
    while (at < count && (unsigned char)bytes[at] >= 0x0e)
        at++;
    return at;
}

/* Nearly every line is one that is all here, ends in CR LF, has no control bytes, and is looked at
 * but once. */
static size_t take_line(struct http_response *response, const char *bytes, size_t count)
{
    size_t length = response->line.len == 0 ? count_text(bytes, count) : count;

    if (count - length < 2 || memcmp(bytes + length, "\r\n", 2) != 0 ||
        length + 2 > HTTP_RESPONSE_MAX_HEAD_BYTES - response->head_bytes)
        return take_any_line(response, bytes, count);
    response->head_bytes += length + 2;
    on_clean_line(response, bytes, length);
    return length + 2;
}

static bool awaits_line(const struct http_response *response)
{
    return response->awaited <= HTTP_RESPONSE_TRAILER;
}

static size_t take_lines(struct http_response *response, const char *bytes, size_t count)
{
    size_t used = 0;

    while (used < count && awaits_line(response))
        used += take_line(response, bytes + used, count - used);
    return used;
}

/* ---- the body ---- */

static void fail_for_want_of_room(struct http_response *response, size_t more)
{
    const struct buf *body = response->body;

    if (more > body->max_bytes - body->len)
        fail(response, OUTCOME_RESPONSE_TOO_LARGE, too_large);
    else
        fail(response, OUTCOME_QUEUE_FULL, no_memory);
}

/*
 * Room for `count` bytes that have come and for more of a body whose length was told: all of it if
 * that is not much, else as much again as has come, so that a mere word costs no memory. For the
 * time of growing the cap is the body's length, so that it is met exactly and not doubled over.
 */
static bool reserve_ahead(struct http_response *response, size_t count)
{
    struct buf *body = response->body;
    size_t max_bytes = body->max_bytes, want = body->len > count ? body->len : count;
    bool done;

    if (count <= body->room - body->len)
        return true;
    if (want < BYTES_AHEAD)
        want = BYTES_AHEAD;
    if (want > response->left)
        want = (size_t)response->left;
    body->max_bytes = body->len + (size_t)response->left;
    done = buf_reserve(body, want);
    body->max_bytes = max_bytes;
    if (!done)
        fail_for_want_of_room(response, want);
    return done;
}

static void add(struct http_response *response, const char *bytes, size_t count)
{
    enum outcome outcome;
    const char *reason = too_large;

    if (response->decoder == NULL) {
        if (!buf_append(response->body, bytes, count))
            fail_for_want_of_room(response, count);
        return;
    }
    outcome = content_decoder_take(response->decoder, bytes, count, &reason);
    if (outcome != OUTCOME_OK)
        fail(response, outcome, outcome == OUTCOME_QUEUE_FULL ? no_memory : reason);
}

static size_t least(uint64_t left, size_t count)
{
    return left < count ? (size_t)left : count;
}

static size_t take_length(struct http_response *response, const char *bytes, size_t count)
{
    count = least(response->left, count);
    if (response->decoder != NULL || reserve_ahead(response, count))
        add(response, bytes, count);
    response->left -= count;
    if (response->left == 0 && response->phase == HTTP_RESPONSE_BODY)
        finish_body(response);
    return count;
}

static size_t take_data(struct http_response *response, const char *bytes, size_t count)
{
    count = least(response->chunks.left, count);
    add(response, bytes, count);
    http_chunks_took_data(&response->chunks, count);
    return count;
}

static void on_chunk_size(struct http_response *response)
{
    const struct buf *body = response->body;

    if (response->decoder == NULL && response->chunks.left > body->max_bytes - body->len)
        fail(response, OUTCOME_RESPONSE_TOO_LARGE, too_large);
}

static size_t take_chunk(struct http_response *response, const char *bytes, size_t count)
{
    struct http_chunks *chunks = &response->chunks;

    if (chunks->awaited == HTTP_CHUNKS_DATA)
        return take_data(response, bytes, count);
    count = http_chunks_take(chunks, bytes, count);
    if (chunks->awaited == HTTP_CHUNKS_DATA)
        on_chunk_size(response);
    if (chunks->awaited == HTTP_CHUNKS_TRAILER) {
        response->awaited = HTTP_RESPONSE_TRAILER;
        response->fields.is_ignored = true;
        response->fields.fold = HTTP_FIELDS_NO_FOLD;
    }
    is_fine(response, chunks->reason);
    return count;
}

static size_t take(struct http_response *response, const char *bytes, size_t count)
{
    switch (response->awaited) {
    case HTTP_RESPONSE_STATUS_LINE:
    case HTTP_RESPONSE_FIELD:
    case HTTP_RESPONSE_TRAILER:
        return take_lines(response, bytes, count);
    case HTTP_RESPONSE_LENGTH:
        return take_length(response, bytes, count);
    case HTTP_RESPONSE_CHUNK:
        return take_chunk(response, bytes, count);
    case HTTP_RESPONSE_CLOSE:
        add(response, bytes, count);
        return count;
    case HTTP_RESPONSE_NOTHING:
        break;
    }
    return 0;
}

size_t http_response_take(struct http_response *response, const char *bytes, size_t count)
{
    size_t used = 0;

    response->has_begun = response->has_begun || count > 0;
    while (used < count && response->awaited != HTTP_RESPONSE_NOTHING)
        used += take(response, bytes + used, count - used);
    return used;
}

char *http_response_room(struct http_response *response, size_t *room)
{
    struct buf *body = response->body;

    if (response->awaited != HTTP_RESPONSE_LENGTH || response->decoder != NULL ||
        response->left <= LEAST_BYTES_IN_ROOM || !reserve_ahead(response, LEAST_BYTES_IN_ROOM))
        return NULL;
    *room = least(response->left, body->room - body->len);
    return body->data + body->len;
}

void http_response_took(struct http_response *response, size_t count)
{
    response->body->len += count;
    response->left -= count;
    if (response->left == 0)
        finish_body(response);
}
