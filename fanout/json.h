/*
 * Strict JSON without a document: validate, walk, write. Nothing here
 * allocates but the writers, which append to a struct buf.
 *
 * The grammar is RFC 8259 to the letter: UTF-8 (RFC 3629, no surrogates, no
 * overlong forms, no byte order mark), no lone surrogate escapes, no control
 * bytes in strings, one value with white space around it. Duplicate keys and
 * numbers of any size are legal and left alone.
 */
#ifndef FANOUT_JSON_H
#define FANOUT_JSON_H

#include "fanout/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The deepest nesting that any caller may ask the validator to accept. */
#define JSON_DEPTH_LIMIT 1024

struct json_error {
    /*
     * Of the first byte that can't be right; == length when cut short. For ill-formed UTF-8 it
     * is the first byte of the sequence, for too deep nesting the bracket that opens it.
     */
    size_t offset;
    const char *message; /* static, says what was expected: "expected ',' or '}'" */
};

/*
 * Whether text[0..length) is exactly one JSON value nested no deeper than
 * max_depth (a scalar has depth 0, [] depth 1; 1..JSON_DEPTH_LIMIT). On false
 * *error says where and why; error may be NULL.
 */
bool json_validate(const char *text, size_t length, unsigned max_depth, struct json_error *error);

/* How many bytes at the front of bytes[0..length) are whole, valid UTF-8. */
size_t json_utf8_prefix(const char *bytes, size_t length);

/* A value inside a validated text, without the white space around it; not owned. */
struct json_span {
    const char *start;
    size_t length;
};

enum json_type {
    JSON_NULL,
    JSON_FALSE,
    JSON_TRUE,
    JSON_NUMBER,
    JSON_STRING,
    JSON_ARRAY,
    JSON_OBJECT,
};

/* Everything below takes only text that json_validate has accepted. */

/* The span of the one value in text[0..length). */
struct json_span json_root(const char *text, size_t length);
enum json_type json_type(struct json_span value);
/* "a string", "an object", …: for messages. */
const char *json_type_name(enum json_type type);

/* Walks the members of an object or the elements of an array, in order. */
struct json_walk {
    const char *at;
    const char *end;
};
struct json_walk json_walk_start(struct json_span object_or_array);
/* False at the end. *key is the key with its quotes. */
bool json_next_member(struct json_walk *walk, struct json_span *key, struct json_span *value);
bool json_next_element(struct json_walk *walk, struct json_span *value);

/* Whether a string (with its quotes, escapes allowed) equals a C string. */
bool json_string_equals(struct json_span string, const char *text);
/*
 * Decodes a string into out, which has room for string.length bytes; returns the decoded
 * length, NUL added behind it. A \u0000 in it is decoded to a NUL byte: compare lengths.
 */
size_t json_string_decode(struct json_span string, char *out);
/* A number that is a whole one from 0 to max, however written ("1e3" counts). */
bool json_number_to_uint(struct json_span number, uint64_t max, uint64_t *out);

/*
 * Writers: append to `out`; false when its cap is passed. Bytes that are not UTF-8 become
 * U+FFFD, one for each maximal ill-formed part (Unicode, section 3.9).
 */
bool json_write_string(struct buf *out, const char *bytes, size_t length);
/* Base64 with padding (RFC 4648, section 4), as a JSON string. */
bool json_write_base64(struct buf *out, const void *bytes, size_t length);

#endif
