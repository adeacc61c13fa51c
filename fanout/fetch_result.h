/*
 * How a fetch, or one attempt of it, ended.
 */
#ifndef FANOUT_FETCH_RESULT_H
#define FANOUT_FETCH_RESULT_H

#include "fanout/body.h"
#include "fanout/buf.h"
#include "fanout/outcome.h"

#include <stdbool.h>
#include <stdint.h>

#define FETCH_MESSAGE_SIZE 256

/* By what a result came, if not by the first attempt. */
enum fetch_via {
    FETCH_VIA_FIRST,
    FETCH_VIA_RETRY,
    FETCH_VIA_HEDGE,
    FETCH_VIA_FALLBACK,
};

/* The receiver may take the body with buf_move; what it points to else is there until the
 * callback that brings it returns. */
struct fetch_result {
    enum outcome outcome;
    unsigned status;     /* the upstream's HTTP status; 0: none came */
    unsigned attempts;   /* how often a request was sent, or tried to be; 0: it never got a slot */
    uint64_t elapsed_us; /* since the fetch was started, waiting included */
    bool retryable;
    enum fetch_via via;
    enum body_kind body_kind;
    struct buf body;
    const char *content_type;         /* NULL: none */
    const char *retry_after;          /* as sent; NULL or empty: none */
    char message[FETCH_MESSAGE_SIZE]; /* for people; empty when ok */
};

/* "retry", "hedge", "fallback"; NULL for the first. */
const char *fetch_via_name(enum fetch_via via);

#endif
