/* An answer's body in pieces: in order, without copies of what is large, and accounted for. */
#include "fanout/budget.h"
#include "service/pieces.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define LARGE (PIECES_LEAST_BYTES + 100)

static struct budget budget;

static int start(void **state)
{
    (void)state;
    budget_init(&budget, 16 << 20);
    return 0;
}

/* Whatever was done, nothing is held in the end. */
static int end(void **state)
{
    (void)state;
    return budget_used(&budget) == 0 ? 0 : -1;
}

static struct buf body_of(char byte, size_t length)
{
    struct buf body;

    buf_init_budgeted(&body, BUF_UNLIMITED, &budget);
    while (body.len < length)
        assert_true(buf_append(&body, &byte, 1));
    return body;
}

static void add_body(struct pieces *pieces, char byte, size_t length)
{
    struct buf body = body_of(byte, length);

    pieces_add_body(pieces, &body);
    buf_release(&body);
}

/* All in one, for the caller to release. */
static struct buf joined(const struct pieces *pieces)
{
    struct buf whole;

    buf_init(&whole, BUF_UNLIMITED);
    for (size_t i = 0; i < pieces_count(pieces); i++) {
        struct iovec piece = pieces_at(pieces, i);

        assert_true(buf_append(&whole, piece.iov_base, piece.iov_len));
    }
    assert_int_equal(whole.len, pieces_length(pieces));
    return whole;
}

static void text_alone_is_one_piece(void **state)
{
    struct pieces pieces;

    (void)state;
    pieces_init(&pieces, &budget);
    assert_int_equal(pieces_count(&pieces), 1);
    assert_int_equal(pieces_at(&pieces, 0).iov_len, 0);
    buf_append_text(&pieces.text, "some text");
    assert_int_equal(pieces_count(&pieces), 1);
    assert_int_equal(pieces_at(&pieces, 0).iov_len, 9);
    assert_null(pieces_body_at(&pieces, 0));
    pieces_release(&pieces);
    assert_int_equal(pieces_length(&pieces), 0);
}

static void a_text_is_taken_over_with_its_budget(void **state)
{
    struct buf text = body_of('a', 10);
    const char *data = text.data;
    struct pieces pieces;

    (void)state;
    pieces_init_text(&pieces, &text);
    assert_null(text.data);
    assert_ptr_equal(pieces_at(&pieces, 0).iov_base, data);
    assert_int_equal(pieces_length(&pieces), 10);
    pieces_release(&pieces);
}

static void a_large_body_is_no_copy(void **state)
{
    struct buf body = body_of('x', LARGE);
    const char *data = body.data;
    struct pieces pieces;

    (void)state;
    pieces_init(&pieces, &budget);
    buf_append_text(&pieces.text, "[");
    pieces_add_body(&pieces, &body);
    buf_append_text(&pieces.text, "]");
    assert_null(body.data);
    assert_int_equal(pieces_count(&pieces), 3);
    assert_ptr_equal(pieces_at(&pieces, 1).iov_base, data);
    assert_ptr_equal(pieces_body_at(&pieces, 1)->data, data);
    pieces_release(&pieces);
}

static void a_small_body_is_part_of_the_text(void **state)
{
    struct pieces pieces;

    (void)state;
    pieces_init(&pieces, &budget);
    add_body(&pieces, 'x', 0);
    add_body(&pieces, 'x', PIECES_LEAST_BYTES - 1);
    assert_int_equal(pieces_count(&pieces), 1);
    assert_int_equal(pieces_length(&pieces), PIECES_LEAST_BYTES - 1);
    add_body(&pieces, 'x', PIECES_LEAST_BYTES);
    assert_int_equal(pieces_count(&pieces), 3);
    assert_int_equal(pieces_length(&pieces), 2 * PIECES_LEAST_BYTES - 1);
    pieces_release(&pieces);
}

/* Large ones, small ones, and some with no text between them. */
static void everything_comes_in_the_order_of_adding(void **state)
{
    struct buf expected, whole;
    struct pieces pieces;

    (void)state;
    buf_init(&expected, BUF_UNLIMITED);
    pieces_init(&pieces, &budget);
    for (int i = 0; i < 100; i++) {
        struct buf body = body_of((char)('a' + i % 26), i % 3 == 0 ? 100 : LARGE + (size_t)i);

        buf_append(&expected, body.data, body.len);
        pieces_add_body(&pieces, &body);
        buf_release(&body);
        if (i % 5 != 0) {
            buf_append_unsigned(&expected, (uint64_t)i);
            buf_append_unsigned(&pieces.text, (uint64_t)i);
        }
    }
    whole = joined(&pieces);
    assert_int_equal(whole.len, expected.len);
    assert_memory_equal(whole.data, expected.data, whole.len);
    assert_false(pieces.text.has_failed);
    buf_release(&whole);
    buf_release(&expected);
    pieces_release(&pieces);
}

static void each_body_may_be_released_before_the_rest(void **state)
{
    struct pieces pieces;
    size_t used;

    (void)state;
    pieces_init(&pieces, &budget);
    for (int i = 0; i < 3; i++) {
        add_body(&pieces, 'x', LARGE);
        buf_append_text(&pieces.text, ",");
    }
    used = budget_used(&budget);
    buf_release(pieces_body_at(&pieces, 3));
    assert_true(budget_used(&budget) <= used - LARGE);
    pieces_release(&pieces);
}

static void where_no_room_was_nothing_more_is_taken(void **state)
{
    struct buf body = body_of('x', LARGE);
    struct pieces pieces;

    (void)state;
    pieces_init(&pieces, &budget);
    assert_false(buf_reserve(&pieces.text, 32 << 20));
    pieces_add_body(&pieces, &body);
    assert_true(pieces.text.has_failed);
    assert_int_equal(pieces_count(&pieces), 1);
    assert_int_equal(body.len, LARGE);
    buf_release(&body);
    pieces_release(&pieces);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(text_alone_is_one_piece),
        TEST(a_text_is_taken_over_with_its_budget),
        TEST(a_large_body_is_no_copy),
        TEST(a_small_body_is_part_of_the_text),
        TEST(everything_comes_in_the_order_of_adding),
        TEST(each_body_may_be_released_before_the_rest),
        TEST(where_no_room_was_nothing_more_is_taken),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
