/* Optimal string alignment distance, on three rows of the table. */
#include "service/nearest.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>

#define MAX_NAME_LENGTH 64

static size_t least_of(size_t left, size_t right)
{
    return left < right ? left : right;
}

static int lower(char c)
{
    return tolower((unsigned char)c);
}

/* before, above: the rows of the last two characters of `left`; fills `row` for left[at]. */
static void fill_row(const char *left, size_t at, const char *right, const size_t *before,
                     const size_t *above, size_t *row)
{
    size_t length = strlen(right);

    row[0] = at + 1;
    for (size_t i = 0; i < length; i++) {
        bool equal = lower(left[at]) == lower(right[i]);
        size_t change = above[i] + (equal ? 0 : 1);

        row[i + 1] = least_of(change, least_of(above[i + 1], row[i]) + 1);
        if (at > 0 && i > 0 && lower(left[at]) == lower(right[i - 1]) &&
            lower(left[at - 1]) == lower(right[i]))
            row[i + 1] = least_of(row[i + 1], before[i - 1] + 1);
    }
}

/* Both at most MAX_NAME_LENGTH long. */
static size_t distance(const char *left, const char *right)
{
    size_t rows[3][MAX_NAME_LENGTH + 1];
    size_t length = strlen(left);

    for (size_t i = 0; i <= strlen(right); i++)
        rows[0][i] = i;
    for (size_t i = 0; i < length; i++)
        fill_row(left, i, right, rows[(i + 2) % 3], rows[i % 3], rows[(i + 1) % 3]);
    return rows[length % 3][strlen(right)];
}

static size_t most_allowed(size_t left_length, size_t right_length)
{
    size_t longer = left_length > right_length ? left_length : right_length;

    return longer < 6 ? 1 : longer / 3;
}

const char *nearest_name(const char *wrong, const char *const *names, size_t count)
{
    size_t wrong_length = strlen(wrong);
    size_t best = MAX_NAME_LENGTH + 1;
    const char *nearest = NULL;

    for (size_t i = 0; wrong_length <= MAX_NAME_LENGTH && i < count; i++) {
        size_t length = strlen(names[i]);
        size_t steps;

        if (length > MAX_NAME_LENGTH)
            continue;
        steps = distance(wrong, names[i]);
        if (steps < best && steps <= most_allowed(wrong_length, length)) {
            best = steps;
            nearest = names[i];
        }
    }
    return nearest;
}
