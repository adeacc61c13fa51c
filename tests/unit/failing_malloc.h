/*
 * An allocator in which the nth allocation fails. Whoever includes it once
 * defines malloc and its kin for the whole program, as a program or as a
 * library to preload.
 */
#ifndef TESTS_FAILING_MALLOC_H
#define TESTS_FAILING_MALLOC_H

#include <dlfcn.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

/* A sanitizer allocates before it is ready to check. */
#define FAILING_UNCHECKED                                                                          \
    __attribute__((no_sanitize("address"), no_sanitize("undefined"), no_sanitize("thread")))

struct failing_malloc {
    atomic_long fail_at; /* counted from 1; 0: none fails, and none is counted */
    atomic_long count;   /* allocations since count was set to 0 */
};

static struct failing_malloc failing_here;
static struct failing_malloc *failing = &failing_here;

/* The next definition is the C library's, or a sanitizer's. */
FAILING_UNCHECKED static inline void *failing_next(const char *name)
{
    void *found = dlsym(RTLD_NEXT, name);

    if (found == NULL)
        abort();
    return found;
}

/* A pointer to an object and one to a function may not be converted into each
 * other. */
#define FAILING_REAL(name)                                                                         \
    static __typeof__(&name) real;                                                                 \
    if (real == NULL) {                                                                            \
        union {                                                                                    \
            void *object;                                                                          \
            __typeof__(&name) function;                                                            \
        } found = {failing_next(#name)};                                                           \
        real = found.function;                                                                     \
    }

FAILING_UNCHECKED static inline bool failing_now(void)
{
    long fail_at = atomic_load(&failing->fail_at);

    if (fail_at == 0 || atomic_fetch_add(&failing->count, 1) + 1 != fail_at)
        return false;
    errno = ENOMEM;
    return true;
}

FAILING_UNCHECKED void *malloc(size_t size)
{
    FAILING_REAL(malloc)
    return failing_now() ? NULL : real(size);
}

FAILING_UNCHECKED void *calloc(size_t count, size_t size)
{
    FAILING_REAL(calloc)
    return failing_now() ? NULL : real(count, size);
}

FAILING_UNCHECKED void *realloc(void *block, size_t size)
{
    FAILING_REAL(realloc)
    return failing_now() ? NULL : real(block, size);
}

FAILING_UNCHECKED void *reallocarray(void *block, size_t count, size_t size)
{
    if (size > 0 && count > SIZE_MAX / size) {
        errno = ENOMEM;
        return NULL;
    }
    return realloc(block, count * size);
}

FAILING_UNCHECKED void *aligned_alloc(size_t alignment, size_t size)
{
    FAILING_REAL(aligned_alloc)
    return failing_now() ? NULL : real(alignment, size);
}

FAILING_UNCHECKED int posix_memalign(void **block, size_t alignment, size_t size)
{
    FAILING_REAL(posix_memalign)
    return failing_now() ? ENOMEM : real(block, alignment, size);
}

#endif
