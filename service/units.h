/*
 * Numbers with units, as people write them: "800ms", "64k". In the
 * configuration and in queries alike.
 */
#ifndef SERVICE_UNITS_H
#define SERVICE_UNITS_H

#include <stdbool.h>
#include <stdint.h>

#define UNITS_TEXT_SIZE 32

/* What a number may be followed by, from the smallest to the largest. */
struct units {
    const char *shape; /* for messages: "a whole number and us, ms, s, m or h, like 250ms" */
    const char *zero;  /* how nothing is written: "0s" */
    struct unit {
        const char *name;
        uint64_t size;
    } list[6]; /* ends with a NULL name */
};

extern const struct units units_of_time;  /* us, ms, s, m, h: in microseconds */
extern const struct units units_of_bytes; /* nothing, k, m, g: powers of 1024 */

enum units_result {
    UNITS_OK,
    UNITS_WRONG,     /* not of the shape */
    UNITS_MISSING,   /* a number alone, where a unit is needed */
    UNITS_TOO_LARGE, /* for 64 bits */
};

enum units_result units_parse(const struct units *units, const char *text, uint64_t *number);

/* In the largest unit that divides it; returns text. */
const char *units_print(const struct units *units, uint64_t number, char text[UNITS_TEXT_SIZE]);

/* Digits at the front of *text, which moves behind them. False: there are none, and *number is 0.
 * Too large a number becomes UINT64_MAX. */
bool units_take_digits(const char **text, uint64_t *number);

#endif
