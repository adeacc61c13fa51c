/*
 * The HTTP methods that may be asked of an upstream, one row each (RFC 9110,
 * section 9; RFC 5789). CONNECT and TRACE have no place in a fan-out.
 */
#ifndef FANOUT_METHOD_H
#define FANOUT_METHOD_H

#include <stdbool.h>
#include <stddef.h>

/* clang-format off */
/*      symbol   idempotent  may have a body */
#define METHOD_TABLE(ROW)       \
    ROW(GET,     true,       false) \
    ROW(HEAD,    true,       false) \
    ROW(POST,    false,      true)  \
    ROW(PUT,     true,       true)  \
    ROW(PATCH,   false,      true)  \
    ROW(DELETE,  true,       true)  \
    ROW(OPTIONS, true,       true)
/* clang-format on */

enum method {
#define METHOD_SYMBOL(symbol, idempotent, body) METHOD_##symbol,
    METHOD_TABLE(METHOD_SYMBOL)
#undef METHOD_SYMBOL
        METHOD_COUNT,
};

/* "GET"; never NULL. */
const char *method_name(enum method method);
bool method_is_idempotent(enum method method);
bool method_may_have_body(enum method method);
/* Names are case-sensitive (RFC 9110, section 9.1). False: not one of ours. */
bool method_parse(const char *name, size_t length, enum method *method);

#endif
