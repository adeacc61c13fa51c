/* Numbers as text. */
#include "fanout/decimal.h"

static unsigned count_digits(uint64_t number)
{
    unsigned count = 1;

    for (uint64_t power = 10; number >= power; power *= 10)
        if (++count == DECIMAL_SIZE)
            break; /* the next power is too large to be told */
    return count;
}

char *decimal_write(char *to, uint64_t number)
{
    char *end = to + count_digits(number);

    for (char *at = end; at > to; number /= 10)
        *--at = (char)('0' + number % 10);
    return end;
}

char *decimal_write_ms(char *to, uint64_t time_us)
{
    uint64_t tenths = time_us / 100 + (time_us % 100 >= 50);

    to = decimal_write(to, tenths / 10);
    *to++ = '.';
    *to++ = (char)('0' + tenths % 10);
    return to;
}
