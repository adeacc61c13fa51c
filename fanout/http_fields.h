/*
 * The field lines of an answer's head or trailer (RFC 9112, section 5): their
 * form, and what the few fields say that are read.
 */
#ifndef FANOUT_HTTP_FIELDS_H
#define FANOUT_HTTP_FIELDS_H

#include "fanout/content_decoder.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HTTP_FIELDS_SHORT_TYPE  48 /* a media type of fewer bytes needs no memory of its own */
#define HTTP_FIELDS_RETRY_AFTER 32 /* with the NUL; what is longer is no date */

enum http_fields_fold {
    HTTP_FIELDS_NO_FOLD, /* there is no field yet that could go on */
    HTTP_FIELDS_FOLD_IGNORED,
    HTTP_FIELDS_FOLD_REFUSED, /* the field says something, so it must say it on one line */
};

struct http_fields {
    bool is_http_1_0;
    bool is_ignored; /* an interim answer's or a trailer's: nothing is read, only its form */
    enum http_fields_fold fold; /* what becomes of a line that goes on with the last field */
    bool has_length;
    bool is_chunked;
    bool says_close;
    bool says_keep_alive;
    bool has_content_type;
    uint64_t length;
    const char *content_type; /* in one of the next two; NULL: none, or an empty one */
    char short_type[HTTP_FIELDS_SHORT_TYPE];
    char *long_type;
    char retry_after[HTTP_FIELDS_RETRY_AFTER]; /* as sent; empty: none */
    struct content_codings codings;
    const char *wrong_coding; /* matters only if there is a body; NULL: none */
};

void http_fields_release(struct http_fields *fields);

/* One line, not empty; its line end is behind it, but does not count. NULL: it is fine; otherwise
 * what is wrong, static. */
const char *http_fields_take(struct http_fields *fields, const char *line, size_t length);

#endif
