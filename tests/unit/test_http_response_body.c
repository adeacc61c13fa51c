/* The body of an answer: lengths, chunks, codings, caps, room to receive it in, memory. */
#include "tests/unit/http_response_cases.h"

#include "fanout/budget.h"

#include <zlib.h>

#define OK_LINE "HTTP/1.1 200 OK\r\n"
#define CHUNKED OK_LINE "Transfer-Encoding: chunked\r\n\r\n"
#define LAST    "0\r\n\r\n"
#define CHUNK(name, chunk, verdict)                                                                \
    ANSWER(name, OK_LINE "Transfer-Encoding: chunked\r\n\r\n" chunk, verdict)
#define CODED(name, coding, verdict)                                                               \
    ANSWER(name, OK_LINE "Content-Encoding:" coding "\r\nContent-Length: 2\r\n\r\n{}", verdict)

#define NO_SIZE    PROTOCOL("a chunk of the answer has no size")
#define NOT_HEX    PROTOCOL("a chunk size of the answer is not a hexadecimal number")
#define WRONG_SIZE PROTOCOL("a chunk of the answer is not as long as its size says")

static const struct response_case cases[] = {
    CHUNK("A chunk is the body", "2\r\n{}\r\n" LAST, "200 keeps {}"),
    CHUNK("Chunks are put together", "1\r\n{\r\n1\r\n}\r\n" LAST, "200 keeps {}"),
    CHUNK("Lines of chunks may end in LF", "1\n{\n1\n}\n0\n\n", "200 keeps {}"),
    CHUNK("Extensions are passed over", "2;a=b;c=\"d\"\r\n{}\r\n0 ;e\r\n\r\n", "200 keeps {}"),
    CHUNK("No chunk but the last is an empty body", LAST, "200 keeps "),
    CHUNK("A size that is no number is refused", "2h\r\n{}\r\n" LAST, NOT_HEX),
    CHUNK("A chunk without a size is refused", "\r\n{}\r\n" LAST, NO_SIZE),
    CHUNK("A chunk longer than its size is refused", "1\r\n{}\r\n" LAST, WRONG_SIZE),
    CHUNK("A chunk shorter than its size is refused", "4\r\n{}\r\n" LAST, WRONG_SIZE),
    CHUNK("The line behind the last chunk is waited for", "2\r\n{}\r\n0\r\n", WAITS),
    CHUNK("Trailers are passed over", "2\r\n{}\r\n0\r\nX: 1\r\nY: 2\r\n 3\r\n\r\n", "200 keeps {}"),
    CHUNK("Fields that frame mean nothing in a trailer",
          "2\r\n{}\r\n0\r\nContent-Length: x\r\nTransfer-Encoding: y\r\nConnection: close\r\n"
          "Content-Encoding: z\r\n a\r\n\r\n",
          "200 keeps {}"),
    CHUNK("A line of a trailer that is no field is refused", "0\r\nnonsense\r\n\r\n", BAD_FIELD),
    CHUNK("A trailer that begins with a fold is refused", "0\r\n X: 1\r\n\r\n",
          PROTOCOL("the first field of the answer begins with a blank")),
    CHUNK("A NUL in a trailer is refused", "0\r\nX: \0\r\n\r\n", HAS_NUL),
    CHUNK("A CR in a trailer is refused", "0\r\nX: \r1\r\n\r\n", HAS_CR),
    CHUNK("What is behind the chunks is left over", "2\r\n{}\r\n" LAST "more", "200 keeps +4 {}"),
    CHUNK("A chunk beyond the cap is refused before it comes", "1001\r\n", TOO_LARGE),
    CHUNK("A chunk beyond what is left of the cap is refused before it comes", "1\r\nx\r\n1000\r\n",
          TOO_LARGE),
    ANSWER_AND_CLOSE("A close in a chunk size is a cut", CHUNKED "2", CUT),
    ANSWER_AND_CLOSE("A close in a chunk is a cut", CHUNKED "2\r\n{", CUT),
    ANSWER_AND_CLOSE("A close behind a chunk is a cut", CHUNKED "2\r\n{}\r\n", CUT),
    ANSWER_AND_CLOSE("A close behind the last chunk is a cut", CHUNKED "2\r\n{}\r\n0\r\n", CUT),
    ANSWER_AND_CLOSE("A close in a trailer is a cut", CHUNKED "0\r\nX: 1\r\n", CUT),
    ANSWER("A length beyond the cap is refused before the body comes",
           OK_LINE "Content-Length: 4097\r\n\r\n", TOO_LARGE),
    ANSWER("A length of the cap is waited for", OK_LINE "Content-Length: 4096\r\n\r\n", WAITS),
    CODED("Identity is no coding", " identity", "200 keeps {}"),
    CODED("An empty list has no coding", " , ,", "200 keeps {}"),
    CODED("An unknown coding is refused", " br",
          PROTOCOL("the answer has an unknown content coding")),
    CODED("An unknown coding in a list is refused", " gzip, nonsense",
          PROTOCOL("the answer has an unknown content coding")),
    CODED("An unknown coding in the first of two fields is refused",
          " nonsense\r\nContent-Encoding: gzip",
          PROTOCOL("the answer has an unknown content coding")),
    CODED("Six codings are refused", " gzip, gzip, gzip, gzip, gzip, gzip",
          PROTOCOL("the answer has too many content codings")),
    CODED("Six codings in two fields are refused",
          " gzip, gzip, gzip\r\nContent-Encoding: gzip, gzip, gzip",
          PROTOCOL("the answer has too many content codings")),
    CODED("What is not gzip is refused", " gzip",
          PROTOCOL("the body of the answer is not coded as it says")),
    ANSWER("An empty body may have any coding that is known",
           OK_LINE "Content-Encoding: gzip, deflate\r\nContent-Length: 0\r\n\r\n", "200 keeps "),
    ANSWER("No chunks may have any coding that is known",
           OK_LINE "Content-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n" LAST,
           "200 keeps "),
    ANSWER_AND_CLOSE("Nothing before the close may have any coding that is known",
                     OK_LINE "Content-Encoding: gzip\r\n\r\n", "200 closes "),
};

/* ---- caps ---- */

static void start(struct buf *answer, const char *head)
{
    buf_init(answer, BUF_UNLIMITED);
    repeat(answer, head, 1);
}

static void check_cap(const char *head, size_t body_bytes, const char *last, const char *verdict)
{
    struct buf answer;

    start(&answer, head);
    repeat(&answer, "x", body_bytes);
    repeat(&answer, last, 1);
    check_long_answer(&answer, MAX_BODY_BYTES, verdict);
    buf_release(&answer);
}

#define HUNDRED_X                                                                                  \
    "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"                                           \
    "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"

static void a_body_of_just_the_cap_is_taken(void **state)
{
    (void)state;
    check_cap(OK_LINE "Content-Length: 4096\r\n\r\n", 4096, "", "200 keeps " HUNDRED_X);
    check_cap(CHUNKED "1000\r\n", 4096, "\r\n" LAST, "200 keeps " HUNDRED_X);
    check_cap(OK_LINE "\r\n", 4096, "", WAITS);
}

static void a_byte_more_than_the_cap_is_refused(void **state)
{
    (void)state;
    check_cap(OK_LINE "\r\n", 4097, "", TOO_LARGE);
    check_cap(CHUNKED "1000\r\n", 4096, "\r\n1\r\nx\r\n" LAST, TOO_LARGE);
}

static void tiny_chunks_for_ever_end(void **state)
{
    struct buf answer;

    (void)state;
    start(&answer, CHUNKED);
    repeat(&answer, "1\r\nx\r\n", MAX_BODY_BYTES + 1);
    check_long_answer(&answer, MAX_BODY_BYTES, TOO_LARGE);
    buf_release(&answer);
}

static void extensions_for_ever_end(void **state)
{
    struct buf answer;

    (void)state;
    start(&answer, CHUNKED);
    repeat(&answer, "1;01234567890123456789012345678901234567890123456789\r\nx\r\n", 2000);
    check_long_answer(&answer, MAX_BODY_BYTES,
                      PROTOCOL("the chunks of the answer have too long extensions"));
    buf_release(&answer);
}

/* ---- codings ---- */

static void gzip(struct buf *out, const char *bytes, size_t count)
{
    z_stream zlib = {.next_in = (z_const Bytef *)bytes, .avail_in = (uInt)count};

    assert_int_equal(deflateInit2(&zlib, 9, Z_DEFLATED, MAX_WBITS + 16, 8, Z_DEFAULT_STRATEGY),
                     Z_OK);
    assert_true(buf_reserve(out, deflateBound(&zlib, count)));
    zlib.next_out = (Bytef *)out->data + out->len;
    zlib.avail_out = (uInt)(out->room - out->len);
    assert_int_equal(deflate(&zlib, Z_FINISH), Z_STREAM_END);
    out->len += zlib.total_out;
    deflateEnd(&zlib);
}

#define GZIP OK_LINE "Content-Encoding: gzip\r\n"

/* By length and in a chunk. */
static void check_coded(const struct buf *coded, const char *verdict)
{
    struct buf answer;

    buf_init(&answer, BUF_UNLIMITED);
    assert_true(buf_printf(&answer, GZIP "Content-Length: %zu\r\n\r\n", coded->len));
    assert_true(buf_append(&answer, coded->data, coded->len));
    check_long_answer(&answer, MAX_BODY_BYTES, verdict);
    answer.len = 0;
    assert_true(buf_printf(&answer, GZIP "Transfer-Encoding: chunked\r\n\r\n%zx\r\n", coded->len));
    assert_true(buf_append(&answer, coded->data, coded->len));
    repeat(&answer, "\r\n" LAST, 1);
    check_long_answer(&answer, MAX_BODY_BYTES, verdict);
    buf_release(&answer);
}

static void a_coded_body_is_decoded(void **state)
{
    struct buf coded;

    (void)state;
    buf_init(&coded, BUF_UNLIMITED);
    gzip(&coded, "{\"a\":1}", 7);
    check_coded(&coded, "200 keeps {\"a\":1}");
    buf_release(&coded);
}

static void the_cap_holds_for_what_is_decoded(void **state)
{
    static char zeros[MAX_BODY_BYTES + 1];
    struct buf coded;

    (void)state;
    buf_init(&coded, BUF_UNLIMITED);
    gzip(&coded, zeros, MAX_BODY_BYTES);
    check_coded(&coded, "200 keeps ");
    coded.len = 0;
    gzip(&coded, zeros, MAX_BODY_BYTES + 1);
    check_coded(&coded, TOO_LARGE);
    buf_release(&coded);
}

static void a_coded_body_larger_than_the_cap_may_decode_to_less(void **state)
{
    struct response_run run;
    struct buf answer, coded;

    (void)state;
    buf_init(&answer, BUF_UNLIMITED);
    buf_init(&coded, BUF_UNLIMITED);
    gzip(&coded, "{}", 2);
    assert_true(buf_printf(&answer, GZIP "Content-Length: %zu\r\n\r\n", coded.len));
    assert_true(buf_append(&answer, coded.data, coded.len));
    run_start(&run, METHOD_GET, 2);
    run_feed(&run, answer.data, answer.len);
    assert_verdict(&run, false, answer.len, "200 keeps {}", "whole");
    buf_release(&coded);
    buf_release(&answer);
}

static void a_coding_that_is_cut_is_refused_however_the_body_ends(void **state)
{
    struct response_run run;
    struct buf coded;

    (void)state;
    buf_init(&coded, BUF_UNLIMITED);
    gzip(&coded, "{}", 2);
    coded.len -= 3;
    check_coded(&coded, PROTOCOL("the body of the answer stops before the end of its coding"));
    run_start(&run, METHOD_GET, MAX_BODY_BYTES);
    run_feed(&run, GZIP "\r\n", strlen(GZIP "\r\n"));
    run_feed(&run, coded.data, coded.len);
    assert_verdict(&run, true, 0, /* the connection closes */
                   PROTOCOL("the body of the answer stops before the end of its coding"), "closed");
    buf_release(&coded);
}

/* ---- room and memory ---- */

static void feed_text(struct response_run *run, const char *text)
{
    run_feed(run, text, strlen(text));
}

static void room_is_offered_for_a_long_body_of_known_length_only(void **state)
{
    struct response_run run;
    size_t room = 0;

    (void)state;
    run_start(&run, METHOD_GET, 100000);
    assert_null(http_response_room(&run.response, &room));
    feed_text(&run, OK_LINE "Content-Length: 9000\r\n");
    assert_null(http_response_room(&run.response, &room));
    feed_text(&run, "\r\nabc");
    assert_non_null(http_response_room(&run.response, &room));
    assert_int_equal(room, 8997);
    assert_int_equal(run.body.room, 9000);
    run_end(&run);
    run_start(&run, METHOD_GET, 100000);
    feed_text(&run, OK_LINE "Content-Length: 4096\r\n\r\n");
    assert_null(http_response_room(&run.response, &room));
    run_end(&run);
    run_start(&run, METHOD_GET, 100000);
    feed_text(&run, OK_LINE "\r\n");
    assert_null(http_response_room(&run.response, &room));
    run_end(&run);
    run_start(&run, METHOD_GET, 100000);
    feed_text(&run, GZIP "Content-Length: 9000\r\n\r\n");
    assert_null(http_response_room(&run.response, &room));
    run_end(&run);
}

static void a_body_received_in_place_is_whole_and_takes_just_its_room(void **state)
{
    struct response_run run;
    char bytes[1000];
    size_t total = 0;

    (void)state;
    run_start(&run, METHOD_GET, 2000000);
    feed_text(&run, OK_LINE "Content-Length: 1000000\r\n\r\n");
    while (total < 1000000) {
        for (size_t i = 0; i < sizeof bytes; i++)
            bytes[i] = (char)('a' + (total + i) % 23);
        run_receive(&run, bytes, sizeof bytes);
        total += sizeof bytes;
    }
    assert_int_equal(run.response.phase, HTTP_RESPONSE_DONE);
    assert_int_equal(run.body.len, 1000000);
    assert_int_equal(run.body.room, 1000000);
    assert_int_equal(run.body.max_bytes, 2000000);
    for (size_t i = 0; i < run.body.len; i++)
        if (run.body.data[i] != (char)('a' + i % 23))
            fail_msg("byte %zu is another", i);
    run_end(&run);
}

static void a_body_received_in_place_to_its_end_is_done(void **state)
{
    struct response_run run;
    size_t room = 0;
    char *place;

    (void)state;
    run_start(&run, METHOD_GET, 9000);
    feed_text(&run, OK_LINE "Content-Length: 9000\r\n\r\n");
    place = http_response_room(&run.response, &room);
    assert_int_equal(room, 9000);
    memset(place, 'x', room);
    http_response_took(&run.response, 8999);
    assert_int_equal(run.response.phase, HTTP_RESPONSE_BODY);
    http_response_took(&run.response, 1);
    assert_int_equal(run.response.phase, HTTP_RESPONSE_DONE);
    assert_true(run.response.is_persistent);
    assert_int_equal(run.body.len, 9000);
    run_end(&run);
}

static void a_great_length_alone_takes_little_memory(void **state)
{
    struct response_run run;
    size_t room = 0;

    (void)state;
    run_start(&run, METHOD_GET, 1 << 30);
    feed_text(&run, OK_LINE "Content-Length: 1000000000\r\n\r\n");
    assert_int_equal(run.body.room, 0);
    assert_non_null(http_response_room(&run.response, &room));
    assert_int_equal(run.body.room, 65536);
    feed_text(&run, "x");
    assert_int_equal(run.body.room, 65536);
    run_end(&run);
}

/* ---- a budget that is used up ---- */

#define NO_MEMORY "queue_full: there is no memory left for the answer"

static void start_budgeted(struct response_run *run, struct budget *budget, size_t max_bytes)
{
    budget_init(budget, max_bytes);
    run->used = 0;
    buf_init_budgeted(&run->body, MAX_BODY_BYTES * 4, budget);
    http_response_init(&run->response, METHOD_GET, &run->body);
}

static void a_body_beyond_the_budget_is_shed_and_not_too_large(void **state)
{
    static const char *const answers[] = {
        OK_LINE "Content-Length: 600\r\n\r\n" HUNDRED_X,
        OK_LINE "\r\n" HUNDRED_X HUNDRED_X HUNDRED_X HUNDRED_X HUNDRED_X HUNDRED_X,
        CHUNKED "12c\r\n" HUNDRED_X HUNDRED_X HUNDRED_X,
    };

    (void)state;
    for (size_t i = 0; i < COUNT(answers); i++) {
        struct response_run run;
        struct budget budget;

        start_budgeted(&run, &budget, 500);
        feed_text(&run, answers[i]);
        assert_verdict(&run, false, 0, NO_MEMORY, answers[i]);
        assert_int_equal(budget_used(&budget), 0);
    }
}

static void a_decoded_body_beyond_the_budget_is_shed(void **state)
{
    static char zeros[3000];
    struct response_run run;
    struct budget budget;
    struct buf coded;

    (void)state;
    buf_init(&coded, BUF_UNLIMITED);
    gzip(&coded, zeros, sizeof zeros);
    start_budgeted(&run, &budget, 2000);
    feed_text(&run, GZIP "\r\n");
    run_feed(&run, coded.data, coded.len);
    assert_verdict(&run, false, 0, NO_MEMORY, "gzip");
    buf_release(&coded);
}

static void room_beyond_the_budget_is_not_offered(void **state)
{
    struct response_run run;
    struct budget budget;
    size_t room = 0;

    (void)state;
    start_budgeted(&run, &budget, 500);
    feed_text(&run, OK_LINE "Content-Length: 9000\r\n\r\n");
    assert_null(http_response_room(&run.response, &room));
    assert_verdict(&run, false, 0, NO_MEMORY, "room");
}

static void a_length_of_just_the_budget_is_taken(void **state)
{
    struct response_run run;
    struct budget budget;

    (void)state;
    start_budgeted(&run, &budget, 700);
    feed_text(&run, OK_LINE "Content-Length: 700\r\n\r\n");
    for (unsigned i = 0; i < 7; i++)
        feed_text(&run, HUNDRED_X);
    assert_int_equal(run.response.phase, HTTP_RESPONSE_DONE);
    assert_int_equal(budget_used(&budget), 700);
    run_end(&run);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_body_of_just_the_cap_is_taken),
        cmocka_unit_test(a_byte_more_than_the_cap_is_refused),
        cmocka_unit_test(tiny_chunks_for_ever_end),
        cmocka_unit_test(extensions_for_ever_end),
        cmocka_unit_test(a_coded_body_is_decoded),
        cmocka_unit_test(the_cap_holds_for_what_is_decoded),
        cmocka_unit_test(a_coded_body_larger_than_the_cap_may_decode_to_less),
        cmocka_unit_test(a_coding_that_is_cut_is_refused_however_the_body_ends),
        cmocka_unit_test(room_is_offered_for_a_long_body_of_known_length_only),
        cmocka_unit_test(a_body_received_in_place_is_whole_and_takes_just_its_room),
        cmocka_unit_test(a_body_received_in_place_to_its_end_is_done),
        cmocka_unit_test(a_great_length_alone_takes_little_memory),
        cmocka_unit_test(a_body_beyond_the_budget_is_shed_and_not_too_large),
        cmocka_unit_test(a_decoded_body_beyond_the_budget_is_shed),
        cmocka_unit_test(room_beyond_the_budget_is_not_offered),
        cmocka_unit_test(a_length_of_just_the_budget_is_taken),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);

    return failed + RUN_CASES(cases);
}
