/*
 * One test for each row of a table, with its name. A row is any struct that
 * begins with its name; the test gets it as its state.
 */
#ifndef TESTS_ROW_TESTS_H
#define TESTS_ROW_TESTS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

#define RUN_ROWS(rows, test)                                                                       \
    run_rows(rows, sizeof(rows)[0], test, (struct CMUnitTest[COUNT(rows)]){{0}}, COUNT(rows))

static inline int run_rows(const void *rows, size_t row_size, CMUnitTestFunction test,
                           struct CMUnitTest *tests, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const char *const *row = (const void *)((const char *)rows + i * row_size);

        tests[i] = (struct CMUnitTest){
            .name = *row,
            .test_func = test,
            .initial_state = (void *)(uintptr_t)row,
        };
    }
    return _cmocka_run_group_tests("cases", tests, count, NULL, NULL);
}

#endif
