/*
 * The header fields of requests to one upstream as libcurl takes them: a list of
 * lines. Those that no request changes are made once, and a request's own go on
 * with them. For transport*.c alone.
 */
#ifndef FANOUT_TRANSPORT_FIELDS_H
#define FANOUT_TRANSPORT_FIELDS_H

#include "fanout/header.h"

#include <curl/curl.h>
#include <stdbool.h>
#include <stdint.h>

struct upstream_settings;

struct fields {
    const struct upstream_settings *settings;
    struct curl_slist *common;
    struct curl_slist *with_body; /* goes on with common */
};

/* settings must outlive the fields. */
void fields_init(struct fields *fields, const struct upstream_settings *settings);
void fields_release(struct fields *fields);

/* own may be NULL. The list may be another's as well: only fields_give_back takes it. */
struct curl_slist *fields_take(const struct fields *fields, const struct header_list *own,
                               bool has_body);
void fields_give_back(const struct fields *fields, struct curl_slist *list);

/* A line to put before such a list, that tells what time is left; NULL: the upstream is not told.
 * It is the caller's, who frees it with free(). */
struct curl_slist *fields_new_time_left(const struct fields *fields);
void fields_tell_time_left(const struct fields *fields, struct curl_slist *line, uint64_t left_us);

#endif
