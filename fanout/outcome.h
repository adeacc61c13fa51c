/*
 * Every way a fetch can end, one row each. The wire names are part of the HTTP
 * contract and never change; a new way to end is a new row, nothing else.
 */
#ifndef FANOUT_OUTCOME_H
#define FANOUT_OUTCOME_H

#include <stdbool.h>

/* What a failure makes of the whole answer's HTTP status. */
enum outcome_class {
    OUTCOME_CLASS_OK,
    OUTCOME_CLASS_TIMEOUT, /* 504 Gateway Timeout */
    OUTCOME_CLASS_SHED,    /* 503 Service Unavailable: refused by us to protect ourselves */
    OUTCOME_CLASS_FAILURE, /* 502 Bad Gateway */
};

/* clang-format off */
/*        symbol              wire name             retryable  upstream's fault  class  */
#define OUTCOME_TABLE(ROW)                                                              \
    ROW(OK,                 "ok",                 false, false, OK)      \
    ROW(QUEUE_FULL,         "queue_full",         true,  false, SHED)    \
    ROW(QUEUE_TIMEOUT,      "queue_timeout",      true,  false, SHED)    \
    ROW(CIRCUIT_OPEN,       "circuit_open",       true,  false, SHED)    \
    ROW(DNS_FAILURE,        "dns_failure",        true,  true,  FAILURE) \
    ROW(CONNECT_REFUSED,    "connect_refused",    true,  true,  FAILURE) \
    ROW(CONNECT_TIMEOUT,    "connect_timeout",    true,  true,  TIMEOUT) \
    ROW(CONNECT_FAILED,     "connect_failed",     true,  true,  FAILURE) \
    ROW(TLS_ERROR,          "tls_error",          false, true,  FAILURE) \
    ROW(TIMEOUT,            "timeout",            true,  true,  TIMEOUT) \
    ROW(DEADLINE_EXCEEDED,  "deadline_exceeded",  true,  false, TIMEOUT) \
    ROW(RESET,              "reset",              true,  true,  FAILURE) \
    ROW(PROTOCOL_ERROR,     "protocol_error",     false, true,  FAILURE) \
    ROW(HTTP_STATUS,        "http_status",        false, true,  FAILURE) \
    ROW(RESPONSE_TOO_LARGE, "response_too_large", false, false, FAILURE) \
    ROW(INVALID_JSON,       "invalid_json",       false, true,  FAILURE) \
    ROW(ADDRESS_DENIED,     "address_denied",     false, false, FAILURE) \
    ROW(ABANDONED,          "abandoned",          false, false, FAILURE) \
    ROW(CANCELLED,          "cancelled",          false, false, FAILURE) \
    ROW(INTERNAL,           "internal",           false, false, FAILURE)
/* clang-format on */

enum outcome {
#define OUTCOME_SYMBOL(symbol, name, retryable, fault, class) OUTCOME_##symbol,
    OUTCOME_TABLE(OUTCOME_SYMBOL)
#undef OUTCOME_SYMBOL
        OUTCOME_COUNT,
};

struct outcome_info {
    const char *name;        /* on the wire */
    bool retryable;          /* the same fetch may well succeed if tried again */
    bool upstream_fault;     /* says something about the upstream's health */
    enum outcome_class kind; /* see above */
};

/* The row of one outcome; never NULL. */
const struct outcome_info *outcome_info(enum outcome outcome);

#endif
