/* Content codings undone, against zlib's own deflate. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fanout/content_decoder.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#define ZLIB     MAX_WBITS
#define RAW      (-MAX_WBITS)
#define GZIP     (MAX_WBITS + 16)
#define MAX_OUT  100000
#define WRONG    "the body of the answer is not coded as it says"
#define BEHIND   "there is something behind the end of the answer's coding"
#define CUT      "the body of the answer stops before the end of its coding"
#define TOO_MUCH "response_too_large"

static struct buf plain; /* some text that is not the same all over */

static int set_up(void **state)
{
    (void)state;
    buf_init(&plain, BUF_UNLIMITED);
    for (unsigned i = 0; i < 9000; i++)
        assert_true(buf_printf(&plain, "%u,%u;", i, i * 2654435761u));
    plain.len = MAX_OUT;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    buf_release(&plain);
    return 0;
}

static void code(struct buf *out, const void *bytes, size_t count, int window_bits)
{
    z_stream zlib = {.next_in = (z_const Bytef *)bytes, .avail_in = (uInt)count};

    buf_init(out, BUF_UNLIMITED);
    assert_int_equal(deflateInit2(&zlib, 6, Z_DEFLATED, window_bits, 8, Z_DEFAULT_STRATEGY), Z_OK);
    assert_true(buf_reserve(out, deflateBound(&zlib, count)));
    zlib.next_out = (Bytef *)out->data;
    zlib.avail_out = (uInt)out->room;
    assert_int_equal(deflate(&zlib, Z_FINISH), Z_STREAM_END);
    out->len = zlib.total_out;
    deflateEnd(&zlib);
}

/* NULL: all is well; otherwise the reason, or else the outcome. */
static const char *decode(const char *names, const struct buf *coded, size_t piece, struct buf *out)
{
    struct content_codings codings = {.count = 0};
    struct content_decoder *decoder;
    enum outcome outcome = OUTCOME_OK;
    const char *reason = NULL;

    assert_null(content_codings_add(&codings, names, strlen(names)));
    decoder = content_decoder_new(&codings, out);
    assert_non_null(decoder);
    for (size_t at = 0; at < coded->len && outcome == OUTCOME_OK; at += piece) {
        size_t left = coded->len - at;

        outcome =
            content_decoder_take(decoder, coded->data + at, left < piece ? left : piece, &reason);
    }
    if (outcome == OUTCOME_OK)
        reason = content_decoder_end(decoder);
    else if (reason == NULL)
        reason = outcome_info(outcome)->name;
    content_decoder_free(decoder);
    return reason;
}

static void check(const char *names, const struct buf *coded, const char *reason, const void *bytes,
                  size_t count)
{
    static const size_t pieces[] = {1, 2, 3, 7, 1000, MAX_OUT * 2};

    for (size_t i = 0; i < sizeof pieces / sizeof pieces[0]; i++) {
        struct buf out;
        const char *found;

        buf_init(&out, MAX_OUT);
        found = decode(names, coded, pieces[i], &out);
        if (reason != NULL) {
            assert_non_null(found);
            assert_string_equal(found, reason);
        } else if (found != NULL) {
            fail_msg("%s in pieces of %zu: %s", names, pieces[i], found);
        } else {
            assert_int_equal(out.len, count);
            assert_true(count == 0 || memcmp(out.data, bytes, count) == 0);
        }
        buf_release(&out);
    }
}

static void check_way(const char *names, int window_bits, size_t count)
{
    struct buf coded;

    code(&coded, plain.data, count, window_bits);
    check(names, &coded, NULL, plain.data, count);
    buf_release(&coded);
}

/* ---- what is well coded ---- */

static void each_coding_is_undone_in_whatever_pieces_it_comes(void **state)
{
    (void)state;
    for (size_t count = 1; count <= MAX_OUT; count *= 10) {
        check_way("gzip", GZIP, count);
        check_way("X-GZIP", GZIP, count);
        check_way("deflate", ZLIB, count);
        check_way("Deflate, identity", ZLIB, count);
    }
}

static void a_deflate_without_its_wrapping_is_undone_too(void **state)
{
    (void)state;
    for (size_t count = 1; count <= MAX_OUT; count *= 10)
        check_way("deflate", RAW, count);
}

/* The padding of a stored block may be anything, so it can look like zlib's first byte. */
static void only_a_whole_header_of_zlib_is_one(void **state)
{
    static const char stored[] = "\x08\3\0\xfc\xff"
                                 "abc\1\0\0\xff\xff";
    struct buf coded = {.data = (char *)(uintptr_t)stored, .len = sizeof stored - 1};

    (void)state;
    check("deflate", &coded, NULL, "abc", 3);
}

/* The last byte may stand for more than the rest of what is given on at a time, 64 KiB divided by
 * some power of two. */
static void all_that_the_last_byte_stands_for_comes_out(void **state)
{
    static char zeros[MAX_OUT];

    (void)state;
    for (size_t more = 1; more < 300; more += 20) {
        struct buf coded;

        code(&coded, zeros, 65536 + more, RAW);
        check("deflate", &coded, NULL, zeros, 65536 + more);
        buf_release(&coded);
    }
}

static void a_coded_nothing_is_nothing(void **state)
{
    struct buf coded;

    (void)state;
    code(&coded, "", 0, GZIP);
    check("gzip", &coded, NULL, "", 0);
    buf_release(&coded);
    code(&coded, "", 0, RAW);
    check("deflate", &coded, NULL, "", 0);
    coded.len = 0;
    check("gzip, deflate", &coded, NULL, "", 0);
    buf_release(&coded);
}

static void codings_are_undone_last_first(void **state)
{
    struct buf inner, outer, third;

    (void)state;
    code(&inner, plain.data, plain.len, RAW);
    code(&outer, inner.data, inner.len, GZIP);
    code(&third, outer.data, outer.len, ZLIB);
    check("deflate, gzip", &outer, NULL, plain.data, plain.len);
    check("deflate,,identity,\tgzip , deflate", &third, NULL, plain.data, plain.len);
    check("gzip, deflate", &outer, WRONG, NULL, 0);
    buf_release(&inner);
    buf_release(&outer);
    buf_release(&third);
}

/* ---- what is not ---- */

static void a_coding_that_stops_early_is_refused_wherever(void **state)
{
    static const int ways[] = {GZIP, ZLIB, RAW};

    (void)state;
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
        struct buf coded;

        code(&coded, plain.data, 300, ways[i]);
        while (--coded.len > 0)
            check(ways[i] == GZIP ? "gzip" : "deflate", &coded, CUT, NULL, 0);
        buf_release(&coded);
    }
}

/* All that was coded is out by then, and what is given on at a time divides it. */
static void a_missing_checksum_is_missed(void **state)
{
    struct buf coded;

    (void)state;
    code(&coded, plain.data, 65536, GZIP);
    for (unsigned back = 1; back <= 8; back++) {
        coded.len--;
        check("gzip", &coded, CUT, NULL, 0);
    }
    buf_release(&coded);
}

static void an_inner_coding_that_stops_early_is_refused(void **state)
{
    struct buf inner, outer;

    (void)state;
    code(&inner, plain.data, 300, GZIP);
    code(&outer, inner.data, inner.len - 1, GZIP);
    check("gzip, gzip", &outer, CUT, NULL, 0);
    buf_release(&outer);
    code(&outer, "", 0, GZIP);
    check("gzip, gzip", &outer, CUT, NULL, 0);
    buf_release(&outer);
    buf_release(&inner);
}

static void bytes_behind_the_end_are_refused(void **state)
{
    struct buf coded, outer;

    (void)state;
    code(&coded, plain.data, 300, GZIP);
    assert_true(buf_append(&coded, "x", 1));
    check("gzip", &coded, BEHIND, NULL, 0);
    code(&outer, coded.data, coded.len, ZLIB);
    check("gzip, deflate", &outer, BEHIND, NULL, 0);
    buf_release(&outer);
    buf_release(&coded);
    code(&coded, plain.data, 300, RAW);
    assert_true(buf_append(&coded, "\0", 1));
    check("deflate", &coded, BEHIND, NULL, 0);
    buf_release(&coded);
}

static void wrong_checksums_and_lengths_are_refused(void **state)
{
    struct buf coded;

    (void)state;
    code(&coded, plain.data, 300, GZIP);
    for (size_t back = 1; back <= 8; back++) {
        coded.data[coded.len - back] ^= 1;
        check("gzip", &coded, WRONG, NULL, 0);
        coded.data[coded.len - back] ^= 1;
    }
    buf_release(&coded);
    code(&coded, plain.data, 300, ZLIB);
    coded.data[coded.len - 1] ^= 1;
    check("deflate", &coded, WRONG, NULL, 0);
    buf_release(&coded);
}

static void what_is_no_coding_is_refused(void **state)
{
    static const char *const bodies[] = {"{\"a\":1}", "\x1f\x8b\x07\0\0\0\0\0\0\3", "\x1f\x1f"};

    (void)state;
    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++) {
        struct buf coded;

        buf_init(&coded, BUF_UNLIMITED);
        assert_true(buf_append(&coded, bodies[i], i == 1 ? 10 : strlen(bodies[i])));
        check("gzip", &coded, WRONG, NULL, 0);
        buf_release(&coded);
    }
}

static void the_coding_must_be_the_one_that_is_told(void **state)
{
    struct buf coded;

    (void)state;
    code(&coded, plain.data, 300, ZLIB);
    check("gzip", &coded, WRONG, NULL, 0);
    buf_release(&coded);
    code(&coded, plain.data, 300, GZIP);
    check("deflate", &coded, WRONG, NULL, 0);
    buf_release(&coded);
}

static void a_dictionary_that_nobody_agreed_on_is_refused(void **state)
{
    z_stream zlib = {.avail_in = 4, .next_in = (z_const Bytef *)"abcd"};
    char bytes[100];
    struct buf coded = {.data = bytes};

    (void)state;
    assert_int_equal(deflateInit(&zlib, 6), Z_OK);
    assert_int_equal(deflateSetDictionary(&zlib, (const Bytef *)"abc", 3), Z_OK);
    zlib.next_out = (Bytef *)bytes;
    zlib.avail_out = sizeof bytes;
    assert_int_equal(deflate(&zlib, Z_FINISH), Z_STREAM_END);
    coded.len = zlib.total_out;
    deflateEnd(&zlib);
    check("deflate", &coded, WRONG, NULL, 0);
}

/* ---- bounds ---- */

static void a_bomb_ends_at_the_cap(void **state)
{
    const size_t great = (size_t)4 << 20;
    void *zeros = calloc(1, great);
    struct buf once, twice;

    (void)state;
    assert_non_null(zeros);
    code(&once, zeros, great, GZIP);
    code(&twice, once.data, once.len, GZIP);
    check("gzip", &once, TOO_MUCH, NULL, 0);
    check("gzip, gzip", &twice, TOO_MUCH, NULL, 0);
    buf_release(&once);
    buf_release(&twice);
    free(zeros);
}

static void one_byte_more_than_the_cap_is_too_large(void **state)
{
    struct buf coded, out;

    (void)state;
    code(&coded, plain.data, 300, ZLIB);
    buf_init(&out, 300);
    assert_null(decode("deflate", &coded, 10, &out));
    buf_release(&out);
    buf_init(&out, 299);
    assert_string_equal(decode("deflate", &coded, 10, &out), TOO_MUCH);
    buf_release(&out);
    buf_release(&coded);
}

/* ---- names ---- */

static void known_names_are_few_and_their_number_is_bounded(void **state)
{
    static const char *const unknown[] = {"br",       "zstd",      "compress", "gzi",
                                          "gzipp",    "x-deflate", "gzip;q=1", "gzip gzip",
                                          "\"gzip\"", "gzip, , *"};
    struct content_codings codings = {.count = 0};

    (void)state;
    for (size_t i = 0; i < sizeof unknown / sizeof unknown[0]; i++) {
        struct content_codings none = {.count = 0};

        assert_non_null(content_codings_add(&none, unknown[i], strlen(unknown[i])));
    }
    assert_null(content_codings_add(&codings, "gzip,deflate", 12));
    assert_null(content_codings_add(&codings, " ,x-gzip ,identity,", 19));
    assert_null(content_codings_add(&codings, "gzip", 4));
    assert_int_equal(codings.count, CONTENT_CODINGS_MAX);
    assert_non_null(content_codings_add(&codings, "gzip", 4));
    assert_null(content_codings_add(&codings, "", 0));
}

static void identity_alone_needs_no_decoder(void **state)
{
    struct content_codings codings = {.count = 0};

    (void)state;
    assert_null(content_decoder_new(&codings, NULL));
    assert_null(content_codings_add(&codings, "identity, identity", 18));
    assert_null(content_decoder_new(&codings, NULL));
    content_decoder_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_coding_is_undone_in_whatever_pieces_it_comes),
        cmocka_unit_test(a_deflate_without_its_wrapping_is_undone_too),
        cmocka_unit_test(only_a_whole_header_of_zlib_is_one),
        cmocka_unit_test(all_that_the_last_byte_stands_for_comes_out),
        cmocka_unit_test(a_coded_nothing_is_nothing),
        cmocka_unit_test(codings_are_undone_last_first),
        cmocka_unit_test(a_coding_that_stops_early_is_refused_wherever),
        cmocka_unit_test(a_missing_checksum_is_missed),
        cmocka_unit_test(an_inner_coding_that_stops_early_is_refused),
        cmocka_unit_test(bytes_behind_the_end_are_refused),
        cmocka_unit_test(wrong_checksums_and_lengths_are_refused),
        cmocka_unit_test(what_is_no_coding_is_refused),
        cmocka_unit_test(the_coding_must_be_the_one_that_is_told),
        cmocka_unit_test(a_dictionary_that_nobody_agreed_on_is_refused),
        cmocka_unit_test(a_bomb_ends_at_the_cap),
        cmocka_unit_test(one_byte_more_than_the_cap_is_too_large),
        cmocka_unit_test(known_names_are_few_and_their_number_is_bounded),
        cmocka_unit_test(identity_alone_needs_no_decoder),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
