/* Numbers as text. */
#include "fanout/decimal.h"

#include <string.h>

char *decimal_write(char *to, uint64_t number)
{
    char digits[DECIMAL_SIZE];
    char *first = digits + sizeof digits;
    size_t count;

    do {
        *--first = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    count = (size_t)(digits + sizeof digits - first);
    memcpy(to, first, count);
    return to + count;
}

char *decimal_write_ms(char *to, uint64_t time_us)
{
    uint64_t tenths = time_us / 100 + (time_us % 100 >= 50);

    to = decimal_write(to, tenths / 10);
    *to++ = '.';
    *to++ = (char)('0' + tenths % 10);
    return to;
}
