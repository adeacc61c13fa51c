/* Numbers as text, held against printf. */
#include <stdarg.h>
#include <stddef.h>

#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include "fanout/buf.h"
#include "fanout/decimal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static void assert_written(uint64_t number)
{
    char expected[32], text[DECIMAL_SIZE + 1];

    snprintf(expected, sizeof expected, "%" PRIu64, number);
    *decimal_write(text, number) = '\0';
    assert_string_equal(text, expected);
}

static void every_length_of_number_is_written(void **state)
{
    (void)state;
    assert_written(0);
    for (uint64_t power = 1; power <= UINT64_MAX / 10; power *= 10) {
        assert_written(power - 1);
        assert_written(power);
        assert_written(power * 9 + 7);
    }
    assert_written(UINT64_MAX);
}

static const char *ms(uint64_t time_us)
{
    static char text[DECIMAL_MS_SIZE + 1];

    *decimal_write_ms(text, time_us) = '\0';
    return text;
}

static void times_have_one_decimal_rounded_to_the_nearest(void **state)
{
    (void)state;
    assert_string_equal(ms(0), "0.0");
    assert_string_equal(ms(49), "0.0");
    assert_string_equal(ms(50), "0.1");
    assert_string_equal(ms(949), "0.9");
    assert_string_equal(ms(950), "1.0");
    assert_string_equal(ms(41849), "41.8");
    assert_string_equal(ms(1234567), "1234.6");
}

static void the_longest_time_fits(void **state)
{
    (void)state;
    assert_string_equal(ms(UINT64_MAX), "18446744073709551.6");
    assert_int_equal(strlen(ms(UINT64_MAX)), DECIMAL_MS_SIZE);
}

static void a_buffer_takes_numbers_up_to_its_cap(void **state)
{
    struct buf buf;

    (void)state;
    buf_init(&buf, 7);
    assert_true(buf_append_unsigned(&buf, 1234));
    assert_true(buf_append_ms(&buf, 5600));
    assert_int_equal(buf.len, 7);
    assert_memory_equal(buf.data, "12345.6", 7);
    assert_false(buf_append_unsigned(&buf, 1));
    assert_int_equal(buf.len, 7);
    buf_release(&buf);
}

static void a_buffer_never_has_more_room_than_its_cap(void **state)
{
    struct buf buf;

    (void)state;
    buf_init(&buf, 10);
    assert_true(buf_append_text(&buf, "123"));
    assert_int_equal(buf.room, 10);
    assert_false(buf_append_text(&buf, "12345678"));
    assert_false(buf_append_text(&buf, "4")); /* nothing is left out between what was appended */
    assert_int_equal(buf.len, 3);
    buf_release(&buf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_length_of_number_is_written),
        cmocka_unit_test(times_have_one_decimal_rounded_to_the_nearest),
        cmocka_unit_test(the_longest_time_fits),
        cmocka_unit_test(a_buffer_takes_numbers_up_to_its_cap),
        cmocka_unit_test(a_buffer_never_has_more_room_than_its_cap),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
