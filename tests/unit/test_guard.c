/* The guard as a whole: what it counts, how far it reads, what each byte is good for, its size. */
#include "tests/unit/guard_cases.h"

_Static_assert(sizeof(struct guard) < 512, "a guard is small, and of one size");

static struct guard_run run;

static void start(const struct guard_limits *limits)
{
    run_start(&run, limits);
}

static void say(const char *bytes)
{
    run_feed(&run, bytes, strlen(bytes));
}

static void expect_counts(unsigned begun, unsigned heads, unsigned done, enum guard_phase phase)
{
    assert_int_equal(run.guard.status, 0);
    assert_int_equal(run.guard.requests_begun, begun);
    assert_int_equal(run.guard.heads_done, heads);
    assert_int_equal(run.guard.requests_done, done);
    assert_int_equal(run.guard.phase, phase);
}

/* ---- counters and phases ---- */

static void a_new_guard_is_idle(void **state)
{
    size_t taken = 1;

    (void)state;
    start(&guard_default_limits);
    expect_counts(0, 0, 0, GUARD_IDLE);
    assert_int_equal(guard_feed(&run.guard, "", 0, &taken), GUARD_PASS);
    assert_int_equal(taken, 0);
}

static void the_phases_of_a_request_follow_its_bytes(void **state)
{
    (void)state;
    start(&guard_default_limits);
    say("\r\n");
    expect_counts(0, 0, 0, GUARD_IDLE);
    say("G");
    expect_counts(1, 0, 0, GUARD_HEAD);
    say("ET / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r");
    expect_counts(1, 0, 0, GUARD_HEAD);
    say("\n");
    expect_counts(1, 1, 0, GUARD_BODY);
    say("x");
    expect_counts(1, 1, 0, GUARD_BODY);
    say("x");
    expect_counts(1, 1, 1, GUARD_IDLE);
    say("\r\n");
    expect_counts(1, 1, 1, GUARD_IDLE);
    say(GET "\r\n");
    expect_counts(2, 2, 2, GUARD_IDLE);
}

static void chunks_are_a_body_up_to_the_end_of_the_trailer(void **state)
{
    (void)state;
    start(&guard_default_limits);
    say(SENT);
    expect_counts(1, 1, 0, GUARD_BODY);
    say("1\r\nx\r\n0\r\nX: y\r\n\r");
    expect_counts(1, 1, 0, GUARD_BODY);
    say("\n");
    expect_counts(1, 1, 1, GUARD_IDLE);
}

static void requests_in_one_piece_are_all_counted(void **state)
{
    (void)state;
    start(&guard_default_limits);
    say(GET END SENT "1\r\nx\r\n0\r\n\r\n" POST "Content-Length: 1\r\n\r\nx" GET END GET);
    expect_counts(5, 4, 4, GUARD_HEAD);
    say("\r\n");
    expect_counts(5, 5, 5, GUARD_IDLE);
}

static void the_last_request_is_known_when_its_head_is(void **state)
{
    (void)state;
    start(&guard_default_limits);
    say(GET END POST "Content-Length: 1\r\nConnection: close\r\n\r");
    assert_false(run.guard.wants_close);
    say("\n");
    assert_true(run.guard.wants_close);
    expect_counts(2, 2, 1, GUARD_BODY);
    say("x");
    expect_counts(2, 2, 2, GUARD_OVER);
    say(GET END);
    expect_counts(2, 2, 2, GUARD_OVER);
    assert_true(run.guard.wants_close);
}

static void what_follows_the_last_request_is_dropped(void **state)
{
    size_t taken = 0;

    (void)state;
    start(&guard_default_limits);
    say(GET "Connection: close\r\n\r\n");
    assert_int_equal(guard_feed(&run.guard, "\0\1\2", 3, &taken), GUARD_DROP);
    assert_int_equal(taken, 3);
}

static void a_refusal_is_for_good_and_takes_nothing(void **state)
{
    size_t taken = 1;

    (void)state;
    start(&guard_default_limits);
    say(GET "X: y\nrest");
    assert_int_equal(run.guard.status, 400);
    assert_int_equal(run.guard.offset, sizeof(GET "X: y") - 1);
    assert_int_equal(run.length, sizeof(GET "X: y") - 1);
    assert_int_equal(guard_feed(&run.guard, GET END, 5, &taken), GUARD_REFUSE);
    assert_int_equal(taken, 0);
    assert_int_equal(guard_feed(&run.guard, "", 0, &taken), GUARD_REFUSE);
    assert_int_equal(run.guard.requests_done, 0);
}

static void the_reason_tells_a_bare_line_feed_from_other_bytes(void **state)
{
    (void)state;
    start(&guard_default_limits);
    say(GET "X: y\n");
    assert_string_equal(run.guard.reason, "a line ends in LF without CR");
    start(&guard_default_limits);
    say(GET "X: y\f");
    assert_string_equal(run.guard.reason, "a control byte in a field value");
}

static void the_byte_that_would_complete_a_bad_head_is_held_back(void **state)
{
    static const char *const heads[] = {
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost:\r\nExpect: x\r\n",
        "GET / HTTP/3.0\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9999999999\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: x\r\n\r\n",
    };

    (void)state;
    for (size_t i = 0; i < COUNT(heads); i++) {
        start(&guard_default_limits);
        say(heads[i]);
        assert_int_not_equal(run.guard.status, 0);
        assert_int_equal(run.length, strlen(heads[i]) - 1);
        assert_int_equal(run.guard.heads_done, 0);
    }
}

static void a_run_ends_where_the_verdict_changes(void **state)
{
    static const char bytes[] = "\r\nGET / HTTP/1.1\r\nHost:\t a\r\n\r\n";
    static const struct {
        size_t taken;
        enum guard_verdict verdict;
    } runs[] = {{2, GUARD_DROP}, {21, GUARD_PASS}, {2, GUARD_DROP}, {5, GUARD_PASS}};
    const char *next = bytes;

    (void)state;
    start(&guard_default_limits);
    for (size_t i = 0; i < COUNT(runs); i++) {
        size_t taken = 0;

        assert_int_equal(guard_feed(&run.guard, next, strlen(next), &taken), runs[i].verdict);
        assert_int_equal(taken, runs[i].taken);
        next += taken;
    }
    assert_int_equal(*next, '\0');
    expect_counts(1, 1, 1, GUARD_IDLE);
}

static void a_request_leaves_nothing_behind_for_the_next(void **state)
{
    static const char *const bad[] = {
        "GET / HTTP/1.1\r\n\r\n",                                  /* no Host of its own */
        "HEAD / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n", /* no method of before */
        "GET * HTTP/1.1\r\n",
    };
    static const char good[] =
        "OPTIONS * HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nConnection: keep-alive\r\n\r\nx";

    (void)state;
    for (size_t i = 0; i < COUNT(bad); i++) {
        start(&guard_default_limits);
        say(good);
        say(good);
        expect_counts(2, 2, 2, GUARD_IDLE);
        say(bad[i]);
        assert_int_equal(run.guard.status, 400);
    }
    start(&guard_default_limits);
    say(good);
    say("POST / HTTP/1.0\r\n\r\n");
    expect_counts(2, 2, 2, GUARD_OVER);
}

/* Three cuts in a stream that has everything in it. */
static void a_stream_of_everything_may_be_cut_anywhere(void **state)
{
    static const char bytes[] =
        "\r\nPOST /a?b=%20 HTTP/1.1\r\nHost:\t[::1]:80\r\nTransfer-Encoding: \t chunked\r\n"
        "Expect: 100-continue\r\n\r\n5 ;a=\"b\\\"\" ; c\r\nhello\r\n00A;d\r\n0123456789\r\n0\r\n"
        "X:\ty\r\n\r\n\r\nGET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\nPUT /x HTTP/1.1\r\n"
        "Host:\r\nContent-Length: 3\r\n\r\nabcGET /y HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
        "\r\nrest";
    const size_t length = sizeof bytes - 1;
    struct guard_run whole;

    (void)state;
    run_start(&whole, &guard_default_limits);
    run_feed(&whole, bytes, length);
    assert_int_equal(whole.guard.requests_done, 4);
    assert_int_equal(whole.guard.phase, GUARD_OVER);
    assert_cuts_do_not_matter(&whole, bytes, length, &guard_default_limits);
    for (size_t first = 1; first < length; first++)
        for (size_t second = first + 1; second < length && second < first + 40; second++) {
            start(&guard_default_limits);
            run_feed(&run, bytes, first);
            run_feed(&run, bytes + first, second - first);
            run_feed(&run, bytes + second, length - second);
            assert_same_run(&run, &whole);
        }
}

/* ---- each of the 256 bytes ---- */

static unsigned status_with(const char *before, unsigned byte, const char *after)
{
    char middle = (char)byte;

    start(&guard_default_limits);
    say(before);
    run_feed(&run, &middle, 1);
    say(after);
    return run.guard.status;
}

static bool is_token_sign(unsigned byte)
{
    return (byte >= '0' && byte <= '9') || (byte >= 'A' && byte <= 'Z') ||
           (byte >= 'a' && byte <= 'z') ||
           (byte != 0 && byte < 0x80 && strchr("!#$%&'*+-.^_`|~", (int)byte) != NULL);
}

static void names_are_made_of_token_signs_alone(void **state)
{
    (void)state;
    for (unsigned byte = 0; byte < 256; byte++) {
        bool is_good = is_token_sign(byte) || byte == ':';

        assert_int_equal(status_with(GET "X", byte, "Y: z\r\n\r\n"), is_good ? 0 : 400);
        assert_int_equal(status_with("X", byte, "Y / HTTP/1.1\r\n"), is_token_sign(byte) ? 501
                                                                     : byte == ' '       ? 501
                                                                                         : 400);
    }
}

static void targets_are_made_of_visible_ascii_alone(void **state)
{
    (void)state;
    for (unsigned byte = 0; byte < 256; byte++) {
        bool is_good = byte > ' ' && byte < 0x7f && byte != '#';

        /* "41" goes on with a percent sign, and is a path else */
        assert_int_equal(status_with("GET /a", byte, "41 HTTP/1.1\r\nHost: a\r\n\r\n"),
                         is_good ? 0 : 400);
    }
}

static void values_are_made_of_all_but_control_bytes(void **state)
{
    (void)state;
    for (unsigned byte = 0; byte < 256; byte++) {
        bool is_good = byte == '\t' || (byte >= ' ' && byte != 0x7f);

        assert_int_equal(status_with(GET "X: y", byte, "z\r\n\r\n"), is_good ? 0 : 400);
        assert_int_equal(status_with(SENT "0\r\nX: y", byte, "z\r\n\r\n"), is_good ? 0 : 400);
    }
}

static void hosts_are_made_of_the_signs_of_names_alone(void **state)
{
    (void)state;
    for (unsigned byte = 0; byte < 256; byte++) {
        bool is_good = (is_token_sign(byte) && strchr("#%^`|", (int)byte) == NULL) ||
                       (byte != 0 && byte < 0x80 && strchr("(),;=", (int)byte) != NULL);

        assert_int_equal(status_with("GET / HTTP/1.1\r\nHost: a", byte, "z\r\n\r\n"),
                         is_good ? 0 : 400);
    }
}

static void sizes_are_made_of_hex_digits_alone(void **state)
{
    (void)state;
    for (unsigned byte = 0; byte < 256; byte++) {
        bool is_digit = byte < 0x80 && byte != 0 && strchr("0123456789abcdefABCDEF", (int)byte);

        assert_int_equal(status_with(SENT "0", byte, "\r\n"), is_digit ? 0 : 400);
    }
}

static void a_connection_may_last(void **state)
{
    (void)state;
    start(&guard_default_limits);
    for (int i = 0; i < 10000; i++) {
        run.length = 0;
        say(GET END POST "Content-Length: 20\r\n\r\n01234567890123456789");
    }
    expect_counts(20000, 20000, 20000, GUARD_IDLE);
    assert_int_equal(run.guard.offset, 10000 * (sizeof GET + sizeof POST + 42));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_new_guard_is_idle),
        cmocka_unit_test(the_phases_of_a_request_follow_its_bytes),
        cmocka_unit_test(chunks_are_a_body_up_to_the_end_of_the_trailer),
        cmocka_unit_test(requests_in_one_piece_are_all_counted),
        cmocka_unit_test(the_last_request_is_known_when_its_head_is),
        cmocka_unit_test(what_follows_the_last_request_is_dropped),
        cmocka_unit_test(a_refusal_is_for_good_and_takes_nothing),
        cmocka_unit_test(the_reason_tells_a_bare_line_feed_from_other_bytes),
        cmocka_unit_test(the_byte_that_would_complete_a_bad_head_is_held_back),
        cmocka_unit_test(a_run_ends_where_the_verdict_changes),
        cmocka_unit_test(a_request_leaves_nothing_behind_for_the_next),
        cmocka_unit_test(a_stream_of_everything_may_be_cut_anywhere),
        cmocka_unit_test(names_are_made_of_token_signs_alone),
        cmocka_unit_test(targets_are_made_of_visible_ascii_alone),
        cmocka_unit_test(values_are_made_of_all_but_control_bytes),
        cmocka_unit_test(hosts_are_made_of_the_signs_of_names_alone),
        cmocka_unit_test(sizes_are_made_of_hex_digits_alone),
        cmocka_unit_test(a_connection_may_last),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
