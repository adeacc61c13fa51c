/*
 * What the parts of the guard share. Every state has a step, which takes as
 * many bytes as it can and moves on; a step that takes none has changed the
 * state, is_dropping, or refused.
 */
#ifndef SERVICE_GUARD_INTERNAL_H
#define SERVICE_GUARD_INTERNAL_H

#include "service/guard.h"

#include <string.h>

/* What is awaited. */
enum guard_state {
    GUARD_START,     /* the first byte of a request, or an empty line before it */
    GUARD_METHOD,    /* the rest of it, and a space */
    GUARD_TARGET,    /* the same */
    GUARD_VERSION,   /* HTTP/1.1, and CR */
    GUARD_FIELD,     /* a field line, or the empty line behind the last */
    GUARD_NAME,      /* the rest of a field name, and a colon */
    GUARD_SPACE,     /* spaces and tabs before a field value */
    GUARD_VALUE,     /* the rest of a field value, and CR */
    GUARD_CONTENT,   /* `left` bytes of body */
    GUARD_SIZE,      /* digits of a chunk size */
    GUARD_EXTENSION, /* chunk extensions, up to CR */
    GUARD_CHUNK,     /* `left` bytes of a chunk */
    GUARD_CR,        /* CR, and nothing else */
    GUARD_LF,        /* LF, and nothing else; then on_line */
    GUARD_END,       /* nothing: the connection is as good as closed */
};

/* What has a limit of its own. */
enum guard_part {
    GUARD_UNLIMITED,
    GUARD_HEADER_SECTION,
    GUARD_CHUNK_LINE,
    GUARD_TRAILER_SECTION,
};

/* A field that frames or routes a request, or that may not stand in a trailer. */
struct guard_field {
    const char *name;                                                    /* in lower case */
    bool (*take)(struct guard *guard, const char *value, size_t length); /* NULL: any value */
};

typedef size_t guard_step(struct guard *guard, const uint8_t *bytes, size_t length);

guard_step guard_read_method, guard_read_target, guard_read_version;
guard_step guard_read_field, guard_read_name, guard_read_space, guard_read_value;
guard_step guard_read_content, guard_read_size, guard_read_extension, guard_read_chunk;

/* Return false, so that a check can end with them. */
bool guard_refuse(struct guard *guard, unsigned status, const char *reason);
/* About one byte: says so where the byte is a line end that should have been CRLF. */
bool guard_refuse_byte(struct guard *guard, uint8_t byte, const char *reason);

/* The line is over: CR and LF, or LF, then on_line. */
void guard_await_crlf(struct guard *guard, void (*on_line)(struct guard *));
void guard_await_lf(struct guard *guard, void (*on_line)(struct guard *));

/* For an on_line: what comes next may have so many bytes. */
void guard_enter_part(struct guard *guard, enum guard_part part, size_t max_bytes);

/* The fields, behind the line before them. */
void guard_start_fields(struct guard *guard, enum guard_part part);
/* The header section is over. */
void guard_end_head(struct guard *guard);
/* The line before a chunk. */
void guard_start_chunk(struct guard *guard);
/* The request is whole. */
void guard_end_message(struct guard *guard);

/* guard_values.c: the rules of one field each; true if the value may pass. */
bool guard_take_host(struct guard *guard, const char *value, size_t length);
bool guard_take_length(struct guard *guard, const char *value, size_t length);
bool guard_take_coding(struct guard *guard, const char *value, size_t length);
bool guard_take_connection(struct guard *guard, const char *value, size_t length);
bool guard_take_expect(struct guard *guard, const char *value, size_t length);

/* Whether the text that was kept, which is not empty, is this one. Most differ in the first byte.
 */
static inline bool guard_text_is(const struct guard *guard, const char *text)
{
    return text[0] == guard->text[0] && strncmp(text, guard->text, guard->text_length) == 0 &&
           text[guard->text_length] == '\0';
}

static inline bool guard_is_digit(uint8_t byte)
{
    return byte >= '0' && byte <= '9';
}

static inline bool guard_is_alphanumeric(uint8_t byte)
{
    return guard_is_digit(byte) || ((byte | 0x20) >= 'a' && (byte | 0x20) <= 'z');
}

/* -1: no hex digit. */
static inline int guard_hex_value(uint8_t byte)
{
    if (guard_is_digit(byte))
        return byte - '0';
    if ((byte | 0x20) >= 'a' && (byte | 0x20) <= 'f')
        return (byte | 0x20) - 'a' + 10;
    return -1;
}

/* tchar (RFC 9110, 5.6.2) */
static inline bool guard_is_token(uint8_t byte)
{
    if (guard_is_alphanumeric(byte))
        return true;
    switch (byte) {
    case '!':
    case '#':
    case '$':
    case '%':
    case '&':
    case '\'':
    case '*':
    case '+':
    case '-':
    case '.':
    case '^':
    case '_':
    case '`':
    case '|':
    case '~':
        return true;
    default:
        return false;
    }
}

/* What a field value or a quoted string is made of: visible, obs-text, space, tab (5.5). */
static inline bool guard_is_text(uint8_t byte)
{
    return (byte >= ' ' && byte != 0x7f) || byte == '\t';
}

#endif
