/*
 * HTTP header fields that go to an upstream: lists of them, and what may
 * stand in one (RFC 9110, section 5). What frames a message or belongs to one
 * hop is ours to send and nobody else's.
 */
#ifndef FANOUT_HEADER_H
#define FANOUT_HEADER_H

#include <stdbool.h>
#include <stddef.h>
#include <strings.h>

struct header {
    char *name;
    char *value;
};

/* A growing list; zeroed is empty. */
struct header_list {
    struct header *items;
    size_t count;
    size_t room;
};

/* A token (RFC 9110, section 5.6.2), 1 to 256 bytes. */
bool header_name_is_valid(const char *name, size_t length);
/* In whatever case. */
static inline bool header_name_equals(const char *left, const char *right)
{
    return (left[0] | 0x20) == (right[0] | 0x20) && strcasecmp(left, right) == 0;
}
/* Visible characters, spaces, tabs and obs-text; no other control bytes; no space at the ends. */
bool header_value_is_valid(const char *value, size_t length);
/* Host, Content-Length, Transfer-Encoding, Connection and the other fields that frame a message
 * or belong to one hop (RFC 9110, section 7.6.1): never taken from a caller or a file. */
bool header_is_reserved(const char *name);

/* Copies both. header_list_set replaces a field of that name, case-insensitively. */
void header_list_add(struct header_list *list, const char *name, const char *value);
void header_list_set(struct header_list *list, const char *name, const char *value);
const struct header *header_list_find(const struct header_list *list, const char *name);
void header_list_release(struct header_list *list);

#endif
