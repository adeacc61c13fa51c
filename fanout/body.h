/*
 * What the body of an upstream's answer is, and how it may be shown. JSON is
 * validated here, and never touched.
 */
#ifndef FANOUT_BODY_H
#define FANOUT_BODY_H

#include "fanout/buf.h"

#include <stdbool.h>
#include <stddef.h>

enum body_kind {
    BODY_NONE,   /* empty: null in an answer */
    BODY_JSON,   /* one valid JSON value: may be spliced as it is */
    BODY_TEXT,   /* to be shown as a string; may hold bytes that are not UTF-8 */
    BODY_BINARY, /* to be shown as base64 */
};

struct body_judgement {
    enum body_kind kind;
    bool is_broken_json; /* claims to be JSON and is not; kind is then how else to show it */
    size_t offset;
    const char *message; /* static */
};

/*
 * What a body is, by its media type (RFC 9110, section 8.3): application/json, text/json and
 * +json are JSON (RFC 6839, section 3.1), text/ and what is known to be text is text, all else
 * binary. Without a media type the bytes decide. content_type may be NULL.
 */
struct body_judgement body_judge(const struct buf *body, const char *content_type,
                                 unsigned max_json_depth);

#endif
