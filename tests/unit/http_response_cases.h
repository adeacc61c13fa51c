/*
 * Tables of raw answers. Each row is a test of its own: the bytes are fed whole,
 * one by one, cut in two at every place, and received in place where the parser
 * offers room; all must end alike.
 */
#ifndef TESTS_UNIT_HTTP_RESPONSE_CASES_H
#define TESTS_UNIT_HTTP_RESPONSE_CASES_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fanout/http_response.h"
#include "tests/unit/row_tests.h"

#include <stdio.h>
#include <string.h>

#define MAX_BODY_BYTES 4096
#define MAX_TEXT       256

struct response_case {
    const char *name;
    enum method method;
    bool ends; /* the connection, behind the bytes */
    const char *bytes;
    size_t length;
    const char *verdict; /* as verdict_of writes it */
};

#define ANSWER(name, bytes, verdict)                                                               \
    {                                                                                              \
        name, METHOD_GET, false, bytes, sizeof(bytes) - 1, verdict                                 \
    }
#define ANSWER_TO_HEAD(name, bytes, verdict)                                                       \
    {                                                                                              \
        name, METHOD_HEAD, false, bytes, sizeof(bytes) - 1, verdict                                \
    }
#define ANSWER_AND_CLOSE(name, bytes, verdict)                                                     \
    {                                                                                              \
        name, METHOD_GET, true, bytes, sizeof(bytes) - 1, verdict                                  \
    }

#define WAITS         "waits"
#define PROTOCOL(why) "protocol_error: " why
#define CUT           "reset: the connection was closed before the whole answer came"
#define TOO_LARGE     "response_too_large: the body of the answer is larger than allowed"
#define BAD_STATUS    PROTOCOL("the answer has a bad status line")
#define BAD_LENGTH    PROTOCOL("the Content-Length of the answer is not a number")
#define TOLD_TWICE    PROTOCOL("the answer tells its length twice")
#define BAD_CODING    PROTOCOL("the Transfer-Encoding of the answer is not chunked")
#define BAD_FIELD     PROTOCOL("a header line of the answer is not a name, a colon and a value")
#define HAS_NUL       PROTOCOL("the header section of the answer has a NUL in it")
#define HAS_CR        PROTOCOL("a header line of the answer has a CR in it")
#define FOLDED        PROTOCOL("a field of the answer that matters is folded over two lines")
#define TOO_LONG_HEAD PROTOCOL("the header section of the answer is larger than 64 KiB")

struct response_run {
    struct http_response response;
    struct buf body;
    size_t used;
};

static inline void run_start(struct response_run *run, enum method method, size_t max_bytes)
{
    run->used = 0;
    buf_init(&run->body, max_bytes);
    http_response_init(&run->response, method, &run->body);
}

static inline void run_end(struct response_run *run)
{
    http_response_release(&run->response);
    buf_release(&run->body);
}

static inline bool run_is_over(const struct response_run *run)
{
    return run->response.phase == HTTP_RESPONSE_DONE || run->response.phase == HTTP_RESPONSE_FAILED;
}

static inline void run_feed(struct response_run *run, const char *bytes, size_t length)
{
    size_t used;

    if (run_is_over(run))
        return;
    used = http_response_take(&run->response, bytes, length);
    run->used += used;
    assert_in_range(used, 0, length);
    assert_true(used == length || run_is_over(run));
    assert_true(http_response_has_begun(&run->response) == (run->used > 0));
    assert_in_range(run->body.len, 0, run->body.max_bytes);
}

/* As from a socket: into the room that is offered, or by way of a buffer of our own. */
static inline void run_receive(struct response_run *run, const char *bytes, size_t length)
{
    while (length > 0 && !run_is_over(run)) {
        size_t room = 0, piece = length < 100 ? length : 100;
        char *place = http_response_room(&run->response, &room);

        if (place == NULL) {
            run_feed(run, bytes, piece);
        } else {
            assert_in_range(room, 1, run->body.room - run->body.len);
            piece = length < room ? length : room;
            memcpy(place, bytes, piece);
            http_response_took(&run->response, piece);
            run->used += piece;
        }
        bytes += piece;
        length -= piece;
    }
}

/* "200 keeps {}", "200 closes {}", "200 keeps +7 {}" if 7 bytes were left over; "waits"; or how it
 * failed: "protocol_error: the answer …". */
static inline void verdict_of(const struct response_run *run, size_t length, char text[MAX_TEXT])
{
    const struct http_response *response = &run->response;
    char left[32] = "";

    if (run->used < length)
        snprintf(left, sizeof left, "+%zu ", length - run->used);
    if (response->phase == HTTP_RESPONSE_FAILED)
        snprintf(text, MAX_TEXT, "%s: %s", outcome_info(response->outcome)->name, response->reason);
    else if (response->phase == HTTP_RESPONSE_DONE)
        snprintf(text, MAX_TEXT, "%u %s %s%.*s", response->status,
                 response->is_persistent ? "keeps" : "closes", left,
                 (int)(run->body.len < 100 ? run->body.len : 100),
                 run->body.len > 0 ? run->body.data : "");
    else
        snprintf(text, MAX_TEXT, WAITS);
}

/* Ends the run. */
static inline void assert_verdict(struct response_run *run, bool ends, size_t length,
                                  const char *verdict, const char *way)
{
    char text[MAX_TEXT];

    if (ends)
        http_response_end(&run->response);
    verdict_of(run, length, text);
    if (strcmp(text, verdict) != 0)
        fail_msg("%s: \"%s\", not \"%s\"", way, text, verdict);
    run_end(run);
}

static inline void check_answer(const struct response_case *row, size_t max_bytes, size_t step)
{
    struct response_run run;

    run_start(&run, row->method, max_bytes);
    run_feed(&run, row->bytes, row->length);
    assert_verdict(&run, row->ends, row->length, row->verdict, "whole");
    run_start(&run, row->method, max_bytes);
    for (size_t i = 0; i < row->length; i++)
        run_feed(&run, row->bytes + i, 1);
    assert_verdict(&run, row->ends, row->length, row->verdict, "byte by byte");
    run_start(&run, row->method, max_bytes);
    run_receive(&run, row->bytes, row->length);
    assert_verdict(&run, row->ends, row->length, row->verdict, "received in place");
    for (size_t cut = 1; cut < row->length; cut += step) {
        run_start(&run, row->method, max_bytes);
        run_feed(&run, row->bytes, cut);
        run_feed(&run, row->bytes + cut, row->length - cut);
        assert_verdict(&run, row->ends, row->length, row->verdict, "cut in two");
    }
}

static inline void check_case(void **state)
{
    check_answer(*state, MAX_BODY_BYTES, 1);
}

/* Made at run time, and long, so it is not cut at every place. */
static inline void check_long_answer(const struct buf *answer, size_t max_bytes,
                                     const char *verdict)
{
    struct response_case row = {"", METHOD_GET, false, answer->data, answer->len, verdict};

    check_answer(&row, max_bytes, answer->len / 50 + 1);
}

static inline void repeat(struct buf *buf, const char *text, size_t times)
{
    while (times-- > 0)
        assert_true(buf_append_text(buf, text));
}

/* One test for each row of the table. */
#define RUN_CASES(cases) RUN_ROWS(cases, check_case)

#endif
