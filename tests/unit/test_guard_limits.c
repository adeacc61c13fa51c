/* The limits of the guard: so much passes, one more does not. */
#include "tests/unit/guard_cases.h"

#include <stdio.h>

static struct guard_run run;
static char text[4096];

static void start(const struct guard_limits *limits)
{
    run_start(&run, limits);
}

static void say(const char *bytes)
{
    run_feed(&run, bytes, strlen(bytes));
}

static const struct guard_limits small = {
    .max_target_bytes = 10,
    .max_header_bytes = 50,
    .max_header_count = 4,
    .max_body_bytes = 20,
    .max_chunk_line_bytes = 12,
    .max_trailer_bytes = 16,
    .max_trailer_count = 2,
};

/* As whole and in pieces. */
static unsigned status_of(const char *bytes)
{
    start(&small);
    say(bytes);
    assert_cuts_do_not_matter(&run, bytes, strlen(bytes), &small);
    if (run.guard.status != 0)
        assert_refused_at(run.guard.offset, bytes, strlen(bytes), &small);
    return run.guard.status;
}

/* before, count times the same byte, after */
static unsigned status_of_many(const char *before, char byte, size_t count, const char *after)
{
    size_t start_length = strlen(before);

    assert_in_range(start_length + count + strlen(after), 0, sizeof text - 1);
    memcpy(text, before, start_length);
    memset(text + start_length, byte, count);
    memcpy(text + start_length + count, after, strlen(after) + 1);
    return status_of(text);
}

static void the_target_has_its_limit(void **state)
{
    (void)state;
    assert_int_equal(status_of_many("GET /", 'a', 9, " HTTP/1.1\r\nHost: a\r\n\r\n"), 0);
    assert_int_equal(status_of_many("GET /", 'a', 10, " HTTP/1.1\r\nHost: a\r\n\r\n"), 414);
    assert_int_equal(status_of_many("GET /", 'a', 10, ""), 414);
    assert_int_equal(status_of_many("GET /", 'a', 9, "%41 HTTP/1.1\r\n"), 414);
}

static void the_header_section_has_its_limit_in_bytes(void **state)
{
    (void)state; /* "Host: a\r\n" are 9, "X: \r\n" are 5 */
    assert_int_equal(status_of_many(GET "X: ", 'x', 36, "\r\n\r\n"), 0);
    assert_int_equal(status_of_many(GET "X: ", 'x', 37, "\r\n\r\n"), 431);
    assert_int_equal(status_of_many(GET "X: ", 'x', 900, ""), 431);
    assert_int_equal(status_of_many(GET, 'x', 900, ""), 431);
    assert_int_equal(status_of_many(GET "X:", ' ', 900, ""), 431);
    assert_int_equal(status_of_many(GET "X:", '\t', 900, ""), 431);
    assert_int_equal(status_of_many(GET "X:", '\t', 37, "\r\n\r\n"), 0);
    assert_int_equal(status_of_many(GET "X:", '\t', 38, "\r\n\r\n"), 431);
}

static void the_limit_of_a_section_is_new_for_each_request(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(status_of(GET "X: xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\r\n\r\n" GET
                                       "X: xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\r\n\r\n"),
                         0);
        assert_int_equal(run.guard.requests_done, 2);
    }
}

static void the_header_section_has_its_limit_in_fields(void **state)
{
    (void)state;
    assert_int_equal(status_of(GET "A:\r\nB:\r\nC:\r\n\r\n"), 0);
    assert_int_equal(status_of(GET "A:\r\nB:\r\nC:\r\nD:\r\n\r\n"), 431);
    assert_int_equal(status_of(GET "A:\r\nA:\r\nA:\r\nA:\r\n\r\n"), 431);
    assert_int_equal(status_of(GET "A:\r\nB:\r\nC:\r\n:\r\n\r\n"), 431);
}

static void a_length_has_its_limit_before_the_body_comes(void **state)
{
    (void)state;
    assert_int_equal(status_of(POST "Content-Length: 20\r\n\r\n01234567890123456789"), 0);
    assert_int_equal(run.guard.requests_done, 1);
    assert_int_equal(status_of(POST "Content-Length: 21\r\n\r\n"), 413);
    assert_int_equal(run.guard.heads_done, 0);
}

static void a_body_counts_for_nothing_but_the_body(void **state)
{
    (void)state; /* a header section of 50 bytes, which is full */
    assert_int_equal(status_of(POST "Content-Length: 20\r\nX: xxxxxxxxxxxxxxxx\r\n\r\n"
                                    "01234567890123456789"),
                     0);
    assert_int_equal(run.guard.requests_done, 1);
}

static void chunks_have_their_limit_as_a_sum(void **state)
{
    (void)state;
    assert_int_equal(status_of(SENT "14\r\n01234567890123456789\r\n0\r\n\r\n"), 0);
    assert_int_equal(status_of(SENT "15\r\n"), 413);
    assert_int_equal(status_of(SENT "a\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n"), 0);
    assert_int_equal(status_of(SENT "a\r\n0123456789\r\nb\r\n"), 413);
    assert_int_equal(status_of(SENT "14\r\n01234567890123456789\r\n1\r\n"), 413);
    assert_int_equal(status_of(SENT "1\r\n0\r\nffffffff\r\n"), 413);
}

static void the_line_before_a_chunk_has_its_limit(void **state)
{
    (void)state;
    assert_int_equal(status_of_many(SENT "1;", 'x', 10, "\r\nx\r\n0\r\n\r\n"), 0);
    assert_int_equal(status_of_many(SENT "1;", 'x', 11, "\r\nx\r\n0\r\n\r\n"), 400);
    assert_int_equal(status_of_many(SENT "1;", 'x', 900, ""), 400);
    assert_int_equal(status_of_many(SENT "1;a=\"", 'x', 900, ""), 400);
    assert_int_equal(status_of_many(SENT "1;", ' ', 900, ""), 400);
    assert_int_equal(status_of_many(SENT "0;", 'x', 10, "\r\n\r\n"), 0);
    assert_int_equal(status_of_many(SENT "0;", 'x', 11, "\r\n\r\n"), 400);
}

static void the_trailer_has_its_limit_in_bytes(void **state)
{
    (void)state;
    assert_int_equal(status_of_many(SENT "0\r\nX: ", 'x', 11, "\r\n\r\n"), 0);
    assert_int_equal(status_of_many(SENT "0\r\nX: ", 'x', 12, "\r\n\r\n"), 431);
    assert_int_equal(status_of_many(SENT "0\r\nX: ", 'x', 900, ""), 431);
    assert_int_equal(status_of_many(SENT "0\r\n", 'x', 900, ""), 431);
}

static void the_trailer_has_its_limit_in_fields(void **state)
{
    (void)state;
    assert_int_equal(status_of(SENT "0\r\nA:\r\nB:\r\n\r\n"), 0);
    assert_int_equal(status_of(SENT "0\r\nA:\r\nB:\r\nC:\r\n\r\n"), 431);
}

static void a_limit_of_nothing_allows_nothing(void **state)
{
    static const struct guard_limits none = {
        .max_target_bytes = 1, .max_header_bytes = 9, .max_header_count = 1};

    (void)state;
    start(&none);
    say(GET END GET END);
    assert_int_equal(run.guard.requests_done, 2);
    say(POST "X:");
    assert_int_equal(run.guard.status, 431);
}

/* How many chunks of `size` bytes pass, each behind a line of `line_bytes`, CRLF included. */
static unsigned chunks_that_pass(size_t size, size_t line_bytes, unsigned most)
{
    static const struct guard_limits wide = {
        .max_target_bytes = 10,
        .max_header_bytes = 100,
        .max_header_count = 4,
        .max_body_bytes = 1 << 30,
        .max_chunk_line_bytes = 400,
    };
    unsigned count;
    char line[500];

    start(&wide);
    say(SENT);
    memset(line, 'x', line_bytes);
    line[snprintf(line, sizeof line, "%zx;", size)] = 'x';
    memcpy(line + line_bytes - 2, "\r\n", 3);
    memset(text, 'x', size);
    for (count = 0; count < most; count++) {
        size_t taken;

        run.length = 0;
        say(line);
        if (run.guard.status != 0)
            return count;
        assert_int_equal(guard_feed(&run.guard, text, size, &taken), GUARD_PASS);
        assert_int_equal(taken, size);
        say("\r\n");
    }
    return count;
}

/* Each line is worth 16 bytes and twice its data; 16 KiB beyond that are too much. */
static void a_body_of_little_but_extensions_is_cut_off(void **state)
{
    (void)state;
    assert_int_equal(chunks_that_pass(1, 18 + 64, 1000), 16 * 1024 / 64);
    assert_int_equal(run.guard.status, 400);
    assert_int_equal(chunks_that_pass(32, 16 + 64, 1000), 1000);
    assert_int_equal(chunks_that_pass(1024, 400, 1000), 1000);
}

static void a_long_chunk_makes_up_for_lines_before_it(void **state)
{
    (void)state;
    assert_int_equal(chunks_that_pass(1, 18 + 64, 256), 256);
    say("1000\r\n"); /* 8 KiB */
    assert_int_equal(run.guard.status, 0);
}

static void many_small_chunks_are_no_offence(void **state)
{
    (void)state;
    start(&guard_default_limits);
    say(SENT);
    for (int i = 0; i < 10000; i++) {
        run.length = 0;
        say("1\r\nx\r\n");
    }
    say("0\r\n\r\n");
    assert_int_equal(run.guard.requests_done, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_target_has_its_limit),
        cmocka_unit_test(the_header_section_has_its_limit_in_bytes),
        cmocka_unit_test(the_limit_of_a_section_is_new_for_each_request),
        cmocka_unit_test(the_header_section_has_its_limit_in_fields),
        cmocka_unit_test(a_length_has_its_limit_before_the_body_comes),
        cmocka_unit_test(a_body_counts_for_nothing_but_the_body),
        cmocka_unit_test(chunks_have_their_limit_as_a_sum),
        cmocka_unit_test(the_line_before_a_chunk_has_its_limit),
        cmocka_unit_test(the_trailer_has_its_limit_in_bytes),
        cmocka_unit_test(the_trailer_has_its_limit_in_fields),
        cmocka_unit_test(a_limit_of_nothing_allows_nothing),
        cmocka_unit_test(a_body_of_little_but_extensions_is_cut_off),
        cmocka_unit_test(a_long_chunk_makes_up_for_lines_before_it),
        cmocka_unit_test(many_small_chunks_are_no_offence),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
