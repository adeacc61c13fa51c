/* Durations and sizes. */
#include "service/units.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

const struct units units_of_time = {
    .shape = "a whole number and us, ms, s, m or h, like 250ms",
    .zero = "0s",
    .list = {{"us", 1},
             {"ms", 1000},
             {"s", 1000000},
             {"m", 60000000},
             {"h", UINT64_C(3600000000)},
             {NULL, 0}},
};

const struct units units_of_bytes = {
    .shape = "a whole number of bytes, or of k, m or g, like 64k",
    .zero = "0",
    .list = {{"", 1}, {"k", 1 << 10}, {"m", 1 << 20}, {"g", 1 << 30}, {NULL, 0}},
};

bool units_take_digits(const char **text, uint64_t *number)
{
    const char *at = *text;

    *number = 0;
    for (; *at >= '0' && *at <= '9'; at++) {
        uint64_t digit = (uint64_t)(*at - '0');

        *number = *number > (UINT64_MAX - digit) / 10 ? UINT64_MAX : *number * 10 + digit;
    }
    if (at == *text)
        return false;
    *text = at;
    return true;
}

enum units_result units_parse(const struct units *units, const char *text, uint64_t *number)
{
    const struct unit *unit = units->list;

    if (!units_take_digits(&text, number))
        return UNITS_WRONG;
    while (unit->name != NULL && strcmp(unit->name, text) != 0)
        unit++;
    if (unit->name == NULL)
        return *text == '\0' ? UNITS_MISSING : UNITS_WRONG;
    if (*number == UINT64_MAX || __builtin_mul_overflow(*number, unit->size, number))
        return UNITS_TOO_LARGE;
    return UNITS_OK;
}

const char *units_print(const struct units *units, uint64_t number, char text[UNITS_TEXT_SIZE])
{
    const struct unit *best = units->list;

    for (const struct unit *unit = units->list; unit->name != NULL; unit++)
        if (number % unit->size == 0)
            best = unit;
    if (number == 0)
        snprintf(text, UNITS_TEXT_SIZE, "%s", units->zero);
    else
        snprintf(text, UNITS_TEXT_SIZE, "%" PRIu64 "%s", number / best->size, best->name);
    return text;
}
