/*
 * For the tests of JSON: validating a text that ends where its block of memory
 * ends, so that a sanitizer sees any read behind it.
 */
#ifndef TESTS_UNIT_JSON_CHECK_H
#define TESTS_UNIT_JSON_CHECK_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fanout/json.h"

#include <stdlib.h>
#include <string.h>

#define COUNT(array)  (sizeof(array) / sizeof(array)[0])
#define TEXT(literal) (literal), sizeof(literal) - 1
#define DEPTH         16

static inline bool validate(const char *text, size_t length, unsigned max_depth,
                            struct json_error *error)
{
    char *block = malloc(1 + length), *start;
    bool valid;

    assert_non_null(block);
    start = block + 1;
    memcpy(start, text, length);
    *error = (struct json_error){SIZE_MAX, NULL};
    valid = json_validate(start, length, max_depth, error);
    free(block);
    return valid;
}

static inline void expect_valid(const char *text, size_t length, unsigned max_depth)
{
    struct json_error error;

    if (!validate(text, length, max_depth, &error))
        fail_msg("%.*s: refused at %zu: %s", (int)length, text, error.offset, error.message);
}

static inline void expect_wrong_at(size_t offset, const char *text, size_t length,
                                   unsigned max_depth)
{
    struct json_error error;

    if (validate(text, length, max_depth, &error))
        fail_msg("%.*s: accepted, wrong at %zu", (int)length, text, offset);
    if (error.offset != offset)
        fail_msg("%.*s: refused at %zu, not at %zu: %s", (int)length, text, error.offset, offset,
                 error.message);
    assert_non_null(error.message);
}

#endif
