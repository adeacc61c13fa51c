/*
 * What the fuzzers share: claims, whose breach is a finding, and inputs in a
 * block of exactly their size, so that AddressSanitizer sees a read behind it.
 */
#ifndef TESTS_FUZZ_H
#define TESTS_FUZZ_H

#include "fanout/buf.h"
#include "fanout/json.h"
#include "fanout/mem.h"
#include "service/config.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static inline void claim(bool holds, const char *what)
{
    if (holds)
        return;
    fprintf(stderr, "finding: not so: %s\n", what);
    abort();
}

/* Freed by the caller. */
static inline char *exact_copy(const void *bytes, size_t length)
{
    char *copy = mem_alloc(length > 0 ? length : 1);

    if (length > 0)
        memcpy(copy, bytes, length);
    return copy;
}

static inline void claim_json(const struct buf *text, const char *what)
{
    claim(json_validate(text->data, text->len, JSON_DEPTH_LIMIT, NULL), what);
}

/* A configuration that is known to be good. */
static inline struct config *config_of(const char *text)
{
    char file[] = "/tmp/fanoutd-fuzz-XXXXXX";
    int fd = mkstemp(file);
    struct config *config;

    claim(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text), "a file was written");
    close(fd);
    config = config_load(file, stderr);
    unlink(file);
    claim(config != NULL, "the fuzzer's own configuration is good");
    return config;
}

#endif
