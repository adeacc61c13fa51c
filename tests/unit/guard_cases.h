/*
 * Tables of raw bytes for the guard. Each row is a test of its own: the bytes are
 * fed whole, one by one and cut in two at every place, which must all end alike.
 */
#ifndef TESTS_UNIT_GUARD_CASES_H
#define TESTS_UNIT_GUARD_CASES_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "service/guard.h"
#include "tests/unit/row_tests.h"

#include <assert.h>
#include <string.h>

#define MAX_PASSED_BYTES 4096
#define WHOLE            ((size_t)-1)

/* A request line and the one field it needs. */
#define GET  "GET / HTTP/1.1\r\nHost: a\r\n"
#define POST "POST / HTTP/1.1\r\nHost: a\r\n"
#define END  "\r\n"
#define SENT POST "Transfer-Encoding: chunked\r\n\r\n"

struct guard_case {
    const char *name;
    const char *bytes;
    size_t length;
    unsigned status;
    unsigned requests;  /* whole ones */
    const char *passed; /* NULL: all of it */
    size_t passed_length;
};

#define REFUSED(name, status, bytes)                                                               \
    {                                                                                              \
        name, bytes, sizeof(bytes) - 1, status, 0, NULL, 0                                         \
    }
#define REFUSED_AFTER(requests, name, status, bytes)                                               \
    {                                                                                              \
        name, bytes, sizeof(bytes) - 1, status, requests, NULL, 0                                  \
    }
#define PASSES(requests, name, bytes)                                                              \
    {                                                                                              \
        name, bytes, sizeof(bytes) - 1, 0, requests, NULL, 0                                       \
    }
#define PASSES_AS(requests, name, bytes, passed)                                                   \
    {                                                                                              \
        name, bytes, sizeof(bytes) - 1, 0, requests, passed, sizeof(passed) - 1                    \
    }

struct guard_run {
    struct guard guard;
    char passed[MAX_PASSED_BYTES];
    size_t length;
};

static inline void run_start(struct guard_run *run, const struct guard_limits *limits)
{
    run->length = 0;
    guard_init(&run->guard, limits);
}

static inline void run_feed(struct guard_run *run, const char *bytes, size_t length)
{
    while (length > 0) {
        size_t taken = WHOLE;
        enum guard_verdict verdict = guard_feed(&run->guard, bytes, length, &taken);

        if (verdict == GUARD_REFUSE) {
            assert_int_equal(taken, 0);
            assert_int_not_equal(run->guard.status, 0);
            return;
        }
        assert_in_range(taken, 1, length);
        if (verdict == GUARD_PASS) {
            assert_in_range(run->length + taken, 0, MAX_PASSED_BYTES);
            memcpy(run->passed + run->length, bytes, taken);
            run->length += taken;
        }
        bytes += taken;
        length -= taken;
    }
}

static inline void assert_same_run(const struct guard_run *run, const struct guard_run *other)
{
    const struct guard *guard = &run->guard, *others = &other->guard;

    assert_int_equal(guard->status, others->status);
    assert_ptr_equal(guard->reason, others->reason);
    assert_int_equal(guard->phase, others->phase);
    assert_int_equal(guard->wants_close, others->wants_close);
    assert_int_equal(guard->requests_begun, others->requests_begun);
    assert_int_equal(guard->heads_done, others->heads_done);
    assert_int_equal(guard->requests_done, others->requests_done);
    assert_int_equal(guard->offset, others->offset);
    assert_int_equal(run->length, other->length);
    assert_memory_equal(run->passed, other->passed, run->length);
}

/* In every way to cut the bytes in two, and one by one. */
static inline void assert_cuts_do_not_matter(const struct guard_run *whole, const char *bytes,
                                             size_t length, const struct guard_limits *limits)
{
    struct guard_run run;

    run_start(&run, limits);
    for (size_t i = 0; i < length; i++)
        run_feed(&run, bytes + i, 1);
    assert_same_run(&run, whole);
    for (size_t cut = 1; cut < length; cut++) {
        run_start(&run, limits);
        run_feed(&run, bytes, cut);
        run_feed(&run, bytes + cut, length - cut);
        assert_same_run(&run, whole);
    }
}

/* All before the byte that is wrong passes or is left out, however the connection goes on. */
static inline void assert_refused_at(size_t offset, const char *bytes, size_t length,
                                     const struct guard_limits *limits)
{
    struct guard_run run;

    assert_in_range(offset, 0, length - 1);
    run_start(&run, limits);
    run_feed(&run, bytes, offset);
    assert_int_equal(run.guard.status, 0);
    assert_int_equal(run.guard.offset, offset);
    run_feed(&run, bytes + offset, 1);
    assert_int_not_equal(run.guard.status, 0);
    assert_int_equal(run.guard.offset, offset);
}

static inline void check_case(void **state)
{
    const struct guard_case *row = *state;
    const char *passed = row->passed != NULL ? row->passed : row->bytes;
    size_t passed_length = row->passed != NULL ? row->passed_length : row->length;
    struct guard_run whole;

    run_start(&whole, &guard_default_limits);
    run_feed(&whole, row->bytes, row->length);
    if (whole.guard.status != row->status)
        fail_msg("status %u (%s), not %u", whole.guard.status,
                 whole.guard.reason != NULL ? whole.guard.reason : "", row->status);
    assert_int_equal(whole.guard.requests_done, row->requests);
    assert_cuts_do_not_matter(&whole, row->bytes, row->length, &guard_default_limits);
    if (row->status != 0) {
        assert_non_null(whole.guard.reason);
        assert_refused_at(whole.guard.offset, row->bytes, row->length, &guard_default_limits);
        return;
    }
    assert_int_equal(whole.guard.offset, row->length);
    assert_int_equal(whole.length, passed_length);
    assert_memory_equal(whole.passed, passed, passed_length);
}

/* One test for each row of the table. */
#define RUN_CASES(cases) RUN_ROWS(cases, check_case)

#endif
