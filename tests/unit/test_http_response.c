/* The head of an answer: status lines, fields, interim answers, what becomes of the connection. */
#include "tests/unit/http_response_cases.h"

#include <stdlib.h>

#define OK_LINE             "HTTP/1.1 200 OK\r\n"
#define TWO                 "Content-Length: 2\r\n"
#define REST                TWO "\r\n{}"
#define WHOLE               OK_LINE REST
#define LINE(line, verdict) ANSWER("A status line: " line, line "\r\n" REST, verdict)
#define LENGTH(value, verdict)                                                                     \
    ANSWER("A Content-Length:" value, OK_LINE "Content-Length:" value "\r\n\r\n{}", verdict)
#define CODING(value, verdict)                                                                     \
    ANSWER("A Transfer-Encoding:" value,                                                           \
           OK_LINE "Transfer-Encoding:" value "\r\n\r\n2\r\n{}\r\n0\r\n\r\n", verdict)
#define FIELD(name, field, verdict) ANSWER(name, OK_LINE field "\r\n" REST, verdict)
#define INTERIM                     "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"

static const struct response_case status_lines[] = {
    LINE("HTTP/1.1 200 OK", "200 keeps {}"),
    LINE("HTTP/1.1 200 ", "200 keeps {}"),
    LINE("HTTP/1.1 200", "200 keeps {}"),
    LINE("HTTP/1.1 200 \xc3\xa9\xff", "200 keeps {}"),
    LINE("HTTP/1.1 200 OK\tfine", "200 keeps {}"),
    LINE("HTTP/1.1 299 Odd", "299 keeps {}"),
    LINE("HTTP/1.1 599 Odd", "599 keeps {}"),
    LINE("HTTP/1.0 200 OK", "200 closes {}"),
    LINE("HTTP/1.2 200 OK", BAD_STATUS),
    LINE("HTTP/1.1 99 Low", BAD_STATUS),
    LINE("HTTP/1.1 099 Low", BAD_STATUS),
    LINE("HTTP/1.1 600 High", BAD_STATUS),
    LINE("HTTP/1.1 2000 High", BAD_STATUS),
    LINE("HTTP/1.1 20 Short", BAD_STATUS),
    LINE("HTTP/1.1 2", BAD_STATUS),
    LINE("HTTP/1.1 20x OK", BAD_STATUS),
    LINE("HTTP/1.1 2x0 OK", BAD_STATUS),
    LINE("HTTP/1.1 +200 OK", BAD_STATUS),
    LINE("HTTP/1.1 200OK", BAD_STATUS),
    LINE("HTTP/1.1  200 OK", BAD_STATUS),
    LINE("HTTP/1.1\t200\tOK", BAD_STATUS),
    LINE("HTTP/1.1", BAD_STATUS),
    LINE("HTTP/1.10 200 OK", BAD_STATUS),
    LINE("HTTP/01.1 200 OK", BAD_STATUS),
    LINE("HTTP/0.9 200 OK", BAD_STATUS),
    LINE("HTTP/2 200 OK", BAD_STATUS),
    LINE("http/1.1 200 OK", BAD_STATUS),
    LINE(" HTTP/1.1 200 OK", BAD_STATUS),
    LINE("\xef\xbb\xbfHTTP/1.1 200 OK", BAD_STATUS),
    LINE("\0HTTP/1.1 200 OK", BAD_STATUS),
    LINE("HTTP/1.1 200 O\0K", HAS_NUL),
    LINE("HTTP/1.1 200\rOK", HAS_CR),
    LINE("HTTP/1.1 200 OK\r", HAS_CR),
    LINE("ICY 200 OK", BAD_STATUS),
    LINE("200 OK", BAD_STATUS),
    LINE("", BAD_STATUS),
    ANSWER("An empty line before the status line is refused", "\n" WHOLE, BAD_STATUS),
    ANSWER("What can't become a status line is refused before its end", "{\"a\"", BAD_STATUS),
    ANSWER("A TLS alert is refused", "\x15\x03\x01\x00\x02\x02\x16", BAD_STATUS),
    ANSWER("What may become a status line is waited for", "HTTP/1.", WAITS),
    ANSWER("A status below 100 is no interim answer", "HTTP/1.1 099 L\r\n\r\n" WHOLE, BAD_STATUS),
    ANSWER("Lines may end in LF alone", "HTTP/1.1 200 OK\nContent-Length: 2\n\n{}", "200 keeps {}"),
    ANSWER("The two line ends may be mixed", "HTTP/1.1 200 OK\r\nContent-Length: 2\n\r\n{}",
           "200 keeps {}"),
    ANSWER("A lone CR is waited behind", OK_LINE TWO "\r", WAITS),
};

static const struct response_case fields[] = {
    FIELD("No blank before a value is needed", "X:y", "200 keeps {}"),
    FIELD("A value may be empty", "X:", "200 keeps {}"),
    FIELD("High bytes in a value pass", "X: \xff\xc3", "200 keeps {}"),
    FIELD("Control bytes in a value pass", "X: a\x01\x1f\x7f\tb", "200 keeps {}"),
    FIELD("All bytes of a token may stand in a name", "!#$%&'*+-.^_`|~09azAZ: y", "200 keeps {}"),
    FIELD("A name that only begins like one that is read is another", "Content-Lengths: 7",
          "200 keeps {}"),
    FIELD("A name that only ends like one that is read is another", "XContent-Length: 7",
          "200 keeps {}"),
    FIELD("A folded value of no interest passes", "X: a\r\n b\r\n\tc", "200 keeps {}"),
    FIELD("A length in a fold is none", "X: a\r\n Content-Length: 7", "200 keeps {}"),
    FIELD("A NUL in a value is refused", "X: a\0b", HAS_NUL),
    FIELD("A NUL in a name is refused", "X\0: b", HAS_NUL),
    FIELD("A NUL in a fold is refused", "X: a\r\n \0", HAS_NUL),
    FIELD("A CR in a value is refused", "X: a\rContent-Length: 9", HAS_CR),
    FIELD("Two CR before LF are refused", "X: a\r", HAS_CR),
    FIELD("An empty line with two CR is refused", "\r", HAS_CR),
    FIELD("A blank before the colon is refused", "X : y", BAD_FIELD),
    FIELD("A blank before the colon of a length is refused", "Content-Length : 2", BAD_FIELD),
    FIELD("A line without a colon is refused", "nonsense", BAD_FIELD),
    FIELD("The name of a field alone is refused", "Content-Length", BAD_FIELD),
    FIELD("A field without a name is refused", ": x", BAD_FIELD),
    FIELD("A name that is no token is refused", "X(y): z", BAD_FIELD),
    FIELD("A high byte in a name is refused", "X\xff: z", BAD_FIELD),
    FIELD("A fold before the first field is refused", " X: y",
          PROTOCOL("the first field of the answer begins with a blank")),
    FIELD("A folded Content-Type is refused", "Content-Type: a/b;\r\n c=d", FOLDED),
    FIELD("A folded Connection is refused", "Connection: close,\r\n\tx", FOLDED),
    FIELD("A folded Content-Encoding is refused", "Content-Encoding: gzip,\r\n gzip", FOLDED),
    ANSWER("A folded Content-Length is refused", OK_LINE "Content-Length: 2\r\n 2\r\n\r\n", FOLDED),
    ANSWER("A folded Transfer-Encoding is refused",
           OK_LINE "Transfer-Encoding: chunked\r\n ,gzip\r\n\r\n", FOLDED),
    LENGTH(" 2", "200 keeps {}"),
    LENGTH("2", "200 keeps {}"),
    LENGTH("\t2 \t", "200 keeps {}"),
    LENGTH(" 000000000000000002", "200 keeps {}"),
    LENGTH(" 0000000000000000002", BAD_LENGTH),
    LENGTH(" 9223372036854775808", BAD_LENGTH),
    LENGTH(" 18446744073709551618", BAD_LENGTH),
    LENGTH(" 999999999999999999", TOO_LARGE),
    LENGTH(" two", BAD_LENGTH),
    LENGTH(" -2", BAD_LENGTH),
    LENGTH(" +2", BAD_LENGTH),
    LENGTH(" 0x2", BAD_LENGTH),
    LENGTH(" 2.0", BAD_LENGTH),
    LENGTH(" 2 2", BAD_LENGTH),
    LENGTH(" 2, 2", BAD_LENGTH),
    LENGTH(" 2,", BAD_LENGTH),
    LENGTH(" \"2\"", BAD_LENGTH),
    LENGTH(" \x0b"
           "2",
           BAD_LENGTH),
    LENGTH("", BAD_LENGTH),
    LENGTH(" ", BAD_LENGTH),
    ANSWER("A Content-Length told twice is refused, even the same", OK_LINE TWO REST, TOLD_TWICE),
    ANSWER("A Content-Length in small letters is the second", OK_LINE "content-length: 0\r\n" REST,
           TOLD_TWICE),
    CODING(" chunked", "200 keeps {}"),
    CODING(" CHUNKED", "200 keeps {}"),
    CODING("\tchunked\t", "200 keeps {}"),
    CODING("", BAD_CODING),
    CODING(" gzip", BAD_CODING),
    CODING(" identity", BAD_CODING),
    CODING(" gzip, chunked", BAD_CODING),
    CODING(" chunked, chunked", BAD_CODING),
    CODING(" chunked,", BAD_CODING),
    CODING(" chunkedx", BAD_CODING),
    CODING(" chunked\x0b", BAD_CODING),
    CODING(" \x0b"
           "chunked",
           BAD_CODING),
    ANSWER("Transfer-Encoding twice is refused",
           OK_LINE "Transfer-Encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n", TOLD_TWICE),
    ANSWER("A length and chunks are refused",
           OK_LINE TWO "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n", TOLD_TWICE),
    ANSWER("Chunks and a length are refused", OK_LINE "Transfer-Encoding: chunked\r\n" REST,
           TOLD_TWICE),
    ANSWER("Chunks in HTTP/1.0 are refused",
           "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
           PROTOCOL("the answer is in chunks, which HTTP/1.0 does not know")),
};

static const struct response_case connections[] = {
    FIELD("Connection: close closes", "Connection: close", "200 closes {}"),
    FIELD("Close counts in a list and in any case", "connection: x ,\tCLOSE ,", "200 closes {}"),
    FIELD("Close counts in a second field", "Connection: keep-alive\r\nConnection: close",
          "200 closes {}"),
    FIELD("Close counts in a list as long as keep-alive", "Connection: abcd,close",
          "200 closes {}"),
    FIELD("Close counts after keep-alive", "Connection: keep-alive, close", "200 closes {}"),
    FIELD("A word that begins with close is another", "Connection: closed, xclose", "200 keeps {}"),
    FIELD("An empty Connection says nothing", "Connection:", "200 keeps {}"),
    ANSWER("HTTP/1.0 keeps with keep-alive", "HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\n" REST,
           "200 keeps {}"),
    ANSWER("HTTP/1.0 closes with keep-alive and close",
           "HTTP/1.0 200 OK\r\nConnection: keep-alive, close\r\n" REST, "200 closes {}"),
    ANSWER_AND_CLOSE("A body that a close ends keeps nothing",
                     OK_LINE "Connection: keep-alive\r\n\r\n{}", "200 closes {}"),
};

static const struct response_case interims[] = {
    ANSWER("100 Continue is passed over", "HTTP/1.1 100 Continue\r\n\r\n" WHOLE, "200 keeps {}"),
    ANSWER("Several interim answers are passed over",
           INTERIM "HTTP/1.1 199 Q\n\nHTTP/1.0 102\r\n\r\n" INTERIM WHOLE, "200 keeps {}"),
    ANSWER("A length in an interim answer means nothing",
           "HTTP/1.1 103 E\r\nContent-Length: 9\r\n\r\n" WHOLE, "200 keeps {}"),
    ANSWER("Chunks in an interim answer mean nothing",
           "HTTP/1.1 103 E\r\nTransfer-Encoding: chunked\r\nContent-Encoding: x\r\n\r\n" WHOLE,
           "200 keeps {}"),
    ANSWER("Close in an interim answer means nothing",
           "HTTP/1.0 103 E\r\nConnection: close\r\n\r\n" WHOLE, "200 keeps {}"),
    ANSWER("A bad field in an interim answer is refused", "HTTP/1.1 103 E\r\nX y\r\n\r\n" WHOLE,
           BAD_FIELD),
    ANSWER("A body behind an interim answer is refused",
           "HTTP/1.1 103 E\r\nContent-Length: 2\r\n\r\n{}" WHOLE, BAD_STATUS),
    ANSWER("A fold across two heads is refused", INTERIM OK_LINE " X: y\r\n" REST,
           PROTOCOL("the first field of the answer begins with a blank")),
    ANSWER("Switching protocols unasked is refused",
           "HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n" WHOLE,
           PROTOCOL("the answer switches protocols, unasked")),
    ANSWER("An interim answer alone is waited behind", INTERIM, WAITS),
    ANSWER_AND_CLOSE("An interim answer and a close are a cut", INTERIM, CUT),
};

static const struct response_case bodiless[] = {
    ANSWER("204 has no body", "HTTP/1.1 204 N\r\n\r\n", "204 keeps "),
    ANSWER("204 with a length of none keeps", "HTTP/1.1 204 N\r\nContent-Length: 0\r\n\r\n",
           "204 keeps "),
    ANSWER("204 with a length has no body, but keeps nothing", "HTTP/1.1 204 N\r\n" REST,
           "204 closes +2 "),
    ANSWER("204 with chunks has no body, but keeps nothing",
           "HTTP/1.1 204 N\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "204 closes +5 "),
    ANSWER("204 with a length that is none is refused", "HTTP/1.1 204 N\r\nContent-Length: x\r\n",
           BAD_LENGTH),
    ANSWER("304 has no body, whatever length it tells",
           "HTTP/1.1 304 N\r\nContent-Length: 999999\r\n\r\n", "304 keeps "),
    ANSWER("205 with a length has a body", "HTTP/1.1 205 R\r\n" REST, "205 keeps {}"),
    ANSWER("A length of none is no body", OK_LINE "Content-Length: 0\r\n\r\n", "200 keeps "),
    ANSWER_TO_HEAD("HEAD has no body, whatever length is told",
                   OK_LINE "Content-Length: 999999\r\n\r\n", "200 keeps "),
    ANSWER_TO_HEAD("HEAD has no chunks", OK_LINE "Transfer-Encoding: chunked\r\n\r\n",
                   "200 keeps "),
    ANSWER_TO_HEAD("HEAD may tell no length", OK_LINE "\r\n", "200 keeps "),
    ANSWER_TO_HEAD("HEAD has no coding", OK_LINE "Content-Encoding: nonsense\r\n\r\n",
                   "200 keeps "),
    ANSWER_TO_HEAD("A body that comes after HEAD is left over", WHOLE, "200 keeps +2 "),
    ANSWER("What is behind an answer is left over", WHOLE WHOLE, "200 keeps +40 {}"),
    ANSWER("A line end behind an answer is left over", WHOLE "\r\n", "200 keeps +2 {}"),
};

static const struct response_case ends[] = {
    ANSWER_AND_CLOSE("A close before any byte is told apart", "",
                     "reset: the connection was closed before any answer came"),
    ANSWER_AND_CLOSE("A close in the version is a cut", "HTT", CUT),
    ANSWER_AND_CLOSE("A close in the status line is a cut", "HTTP/1.1 20", CUT),
    ANSWER_AND_CLOSE("A close in a field is a cut", OK_LINE "X: ", CUT),
    ANSWER_AND_CLOSE("A close before the empty line is a cut", OK_LINE TWO, CUT),
    ANSWER_AND_CLOSE("A close behind the head is a cut", OK_LINE TWO "\r\n", CUT),
    ANSWER_AND_CLOSE("A close in the body is a cut", OK_LINE TWO "\r\n{", CUT),
    ANSWER_AND_CLOSE("A close behind the body changes nothing", WHOLE, "200 keeps {}"),
    ANSWER_AND_CLOSE("A close behind what is refused changes nothing", "x", BAD_STATUS),
    ANSWER_AND_CLOSE("A close ends a body without a length", OK_LINE "\r\n{}", "200 closes {}"),
    ANSWER_AND_CLOSE("A close ends an empty body without a length", OK_LINE "\r\n", "200 closes "),
    ANSWER("A body without a length goes on until the close", OK_LINE "\r\n{}", WAITS),
};

/* ---- what is not in the verdict ---- */

static void assert_type(const char *fields_sent, const char *type)
{
    struct response_run run;

    run_start(&run, METHOD_GET, MAX_BODY_BYTES);
    run_feed(&run, OK_LINE, strlen(OK_LINE));
    run_feed(&run, fields_sent, strlen(fields_sent));
    run_feed(&run, REST, strlen(REST));
    assert_int_equal(run.response.phase, HTTP_RESPONSE_DONE);
    if (type == NULL)
        assert_null(run.response.content_type);
    else
        assert_string_equal(run.response.content_type, type);
    run_end(&run);
}

static void the_type_is_as_sent_without_the_blanks_around_it(void **state)
{
    (void)state;
    assert_type("", NULL);
    assert_type("Content-Type: application/json\r\n", "application/json");
    assert_type("content-type:a/b\r\n", "a/b");
    assert_type("Content-Type: \tText/Plain ; x=\"\xff\x01\ty\" \t\r\n",
                "Text/Plain ; x=\"\xff\x01\ty\"");
    assert_type("Content-Type: \r\n", NULL);
}

static void of_several_types_the_first_counts(void **state)
{
    (void)state;
    assert_type("Content-Type: a/b\r\nContent-Type: c/d\r\n", "a/b");
    assert_type("Content-Type:\r\nContent-Type: c/d\r\n", NULL);
}

static void a_type_in_an_interim_answer_or_in_a_trailer_is_none(void **state)
{
    static const char answer[] =
        "HTTP/1.1 103 E\r\nContent-Type: a/b\r\n\r\n" OK_LINE "Transfer-Encoding: chunked\r\n\r\n"
        "0\r\nContent-Type: a/b\r\n\r\n";
    struct response_run run;

    (void)state;
    run_start(&run, METHOD_GET, MAX_BODY_BYTES);
    run_feed(&run, answer, sizeof answer - 1);
    assert_int_equal(run.response.phase, HTTP_RESPONSE_DONE);
    assert_null(run.response.content_type);
    run_end(&run);
}

static void a_type_of_50_kb_is_taken_whole(void **state)
{
    struct response_run run;
    struct buf head;

    (void)state;
    buf_init(&head, BUF_UNLIMITED);
    repeat(&head, OK_LINE "Content-Type: a/b; x=", 1);
    repeat(&head, "0123456789", 5000);
    repeat(&head, "\r\n" REST, 1);
    run_start(&run, METHOD_GET, MAX_BODY_BYTES);
    run_feed(&run, head.data, 30000);
    run_feed(&run, head.data + 30000, head.len - 30000);
    assert_int_equal(run.response.phase, HTTP_RESPONSE_DONE);
    assert_int_equal(strlen(run.response.content_type), 50007);
    run_end(&run);
    buf_release(&head);
}

static void the_status_is_known_with_its_line_and_never_an_interim_one(void **state)
{
    struct response_run run;

    (void)state;
    run_start(&run, METHOD_GET, MAX_BODY_BYTES);
    run_feed(&run, "HTTP/1.1 103 E\r\n\r", 17);
    assert_int_equal(run.response.status, 0);
    assert_int_equal(run.response.phase, HTTP_RESPONSE_HEAD);
    run_feed(&run, "\nHTTP/1.1 404 N\r\n", 17);
    assert_int_equal(run.response.status, 404);
    assert_int_equal(run.response.phase, HTTP_RESPONSE_HEAD);
    run_feed(&run, TWO "\r\n", strlen(TWO) + 2);
    assert_int_equal(run.response.phase, HTTP_RESPONSE_BODY);
    run_end(&run);
}

/* ---- bounds ---- */

static void check_bound(const char *first, const char *piece, size_t times, const char *last,
                        const char *verdict)
{
    struct buf answer;

    buf_init(&answer, BUF_UNLIMITED);
    repeat(&answer, first, 1);
    repeat(&answer, piece, times);
    repeat(&answer, last, 1);
    check_long_answer(&answer, MAX_BODY_BYTES, verdict);
    buf_release(&answer);
}

static void a_head_may_have_64_kib_and_no_byte_more(void **state)
{
    size_t room = HTTP_RESPONSE_MAX_HEAD_BYTES - strlen(OK_LINE "X: \r\n" TWO "\r\n");

    (void)state;
    check_bound(OK_LINE "X: ", "y", room, "\r\n" REST, "200 keeps {}");
    check_bound(OK_LINE "X: ", "y", room + 1, "\r\n" REST, TOO_LONG_HEAD);
}

static void lines_for_ever_end(void **state)
{
    (void)state;
    check_bound("HTTP/1.1 200 ", "O", 70000, "", TOO_LONG_HEAD);
    check_bound(OK_LINE "X", "y", 70000, "", TOO_LONG_HEAD);
    check_bound(OK_LINE, "X:\r\n", 20000, "", TOO_LONG_HEAD);
    check_bound(OK_LINE "X: y\r\n", " y\r\n", 20000, "", TOO_LONG_HEAD);
    check_bound("", INTERIM, 2000, "", TOO_LONG_HEAD);
    check_bound(OK_LINE "Transfer-Encoding: chunked\r\n\r\n0\r\n", "X: y\r\n", 20000, "",
                TOO_LONG_HEAD);
    check_bound(OK_LINE "X: y\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: ", "y", 70000, "",
                TOO_LONG_HEAD);
}

static void fifty_interim_answers_and_ninety_fields_are_no_bound(void **state)
{
    (void)state;
    check_bound("", INTERIM, 50, WHOLE, "200 keeps {}");
    check_bound(OK_LINE, "X-Some: y\r\n", 90, REST, "200 keeps {}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_type_is_as_sent_without_the_blanks_around_it),
        cmocka_unit_test(of_several_types_the_first_counts),
        cmocka_unit_test(a_type_in_an_interim_answer_or_in_a_trailer_is_none),
        cmocka_unit_test(a_type_of_50_kb_is_taken_whole),
        cmocka_unit_test(the_status_is_known_with_its_line_and_never_an_interim_one),
        cmocka_unit_test(a_head_may_have_64_kib_and_no_byte_more),
        cmocka_unit_test(lines_for_ever_end),
        cmocka_unit_test(fifty_interim_answers_and_ninety_fields_are_no_bound),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);

    failed += RUN_CASES(status_lines);
    failed += RUN_CASES(fields);
    failed += RUN_CASES(connections);
    failed += RUN_CASES(interims);
    failed += RUN_CASES(bodiless);
    failed += RUN_CASES(ends);
    return failed;
}
