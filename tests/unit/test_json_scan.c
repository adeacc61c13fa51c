/* The two ways to find what is special in a string, held against the plainest one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fanout/dice.h"
#include "fanout/json_scan.h"

#include <stdlib.h>

#define ROUNDS 200000

static struct dice dice = {7};

static unsigned random_below(unsigned limit)
{
    return (unsigned)dice_below(&dice, limit);
}

/* Plain ones mostly, so that all counts come; any byte, and those at the bounds more often. */
static unsigned char random_byte(void)
{
    static const unsigned char bounds[] = {0x00, 0x1f, 0x20, '!',  '"',  '#',
                                           '[',  '\\', ']',  0x7f, 0x80, 0xff};

    switch (random_below(16)) {
    case 0:
        return (unsigned char)random_below(256);
    case 1:
        return bounds[random_below(sizeof bounds)];
    default:
        return (unsigned char)('a' + random_below(26));
    }
}

static uint64_t special_bits(const unsigned char *at, unsigned count)
{
    uint64_t bits = 0;

    for (unsigned i = 0; i < count; i++)
        bits |= (uint64_t)!json_is_plain(at[i]) << i;
    return bits;
}

static void assert_found(const unsigned char *at)
{
    assert_int_equal(json_special_16_portable(at), special_bits(at, JSON_BLOCK));
    assert_int_equal(json_special_16(at), special_bits(at, JSON_BLOCK));
}

static void every_byte_is_judged_alike_at_every_place(void **state)
{
    unsigned char bytes[JSON_BLOCK];

    (void)state;
    for (unsigned place = 0; place < JSON_BLOCK; place++) {
        memset(bytes, 'a', sizeof bytes);
        for (unsigned byte = 0; byte < 256; byte++) {
            bytes[place] = (unsigned char)byte;
            assert_found(bytes);
        }
    }
}

static void random_bytes_are_judged_alike(void **state)
{
    unsigned char bytes[JSON_WINDOW];

    (void)state;
    for (unsigned round = 0; round < ROUNDS; round++) {
        for (unsigned i = 0; i < JSON_WINDOW; i++)
            bytes[i] = random_byte();
        assert_found(bytes);
        assert_int_equal(json_special_64(bytes), special_bits(bytes, JSON_WINDOW));
    }
}

/* Each text in a block of its own length, so that a sanitizer sees what is read behind it. */
static void the_plain_part_ends_where_it_does_in_texts_of_any_length(void **state)
{
    (void)state;
    for (size_t round = 0; round < ROUNDS / 100; round++) {
        size_t length = 1 + round % 70, expected = 0;
        unsigned char *text = malloc(length);

        assert_non_null(text);
        for (size_t i = 0; i < length; i++)
            text[i] = random_byte();
        while (expected < length && json_is_plain(text[expected]))
            expected++;
        assert_ptr_equal(json_plain_end(text, text + length), text + expected);
        free(text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_byte_is_judged_alike_at_every_place),
        cmocka_unit_test(random_bytes_are_judged_alike),
        cmocka_unit_test(the_plain_part_ends_where_it_does_in_texts_of_any_length),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
