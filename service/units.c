/* Durations and sizes. */
#include "service/units.h"

#include <string.h>

struct unit {
    const char *name;
    uint64_t factor;
};

static const struct unit durations[] = {
    {"us", 1}, {"ms", 1000}, {"s", 1000000}, {"m", 60000000}, {"h", 3600000000}, {NULL, 0},
};

static const struct unit sizes[] = {
    {"", 1}, {"k", 1024}, {"m", 1024 * 1024}, {"g", 1024 * 1024 * 1024}, {NULL, 0},
};

static const char *parse(const char *text, const struct unit *units, const char *unit_error,
                         uint64_t *value)
{
    size_t digits = strspn(text, "0123456789");
    uint64_t number = 0;

    if (digits == 0)
        return "must start with a whole number";
    for (size_t i = 0; i < digits; i++)
        if (__builtin_mul_overflow(number, 10, &number) ||
            __builtin_add_overflow(number, (uint64_t)(text[i] - '0'), &number))
            return "is too large";
    for (; units->name != NULL; units++)
        if (strcmp(units->name, text + digits) == 0)
            return __builtin_mul_overflow(number, units->factor, value) ? "is too large" : NULL;
    return unit_error;
}

const char *units_parse_duration(const char *text, uint64_t *duration_us)
{
    return parse(text, durations, "needs a unit: us, ms, s, m or h", duration_us);
}

const char *units_parse_size(const char *text, size_t *bytes)
{
    uint64_t value = 0;
    const char *error = parse(text, sizes, "needs a unit: none (bytes), k, m or g", &value);

    *bytes = (size_t)value;
    return error;
}
