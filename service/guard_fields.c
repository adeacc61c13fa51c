/*
 * Field lines (RFC 9112, 5), of the header section and of the trailer: their
 * form, and what all fields of a request together say about its body.
 */
#include "service/guard_internal.h"

#include <string.h>

static const struct guard_field fields[] = {
    {"host", guard_take_host},
    {"content-length", guard_take_length},
    {"transfer-encoding", guard_take_coding},
    {"connection", guard_take_connection},
    {"expect", guard_take_expect},
    /* and what else may not come late (RFC 9110, 6.5.1) */
    {"authorization", NULL},
    {"cache-control", NULL},
    {"content-encoding", NULL},
    {"content-range", NULL},
    {"content-type", NULL},
    {"cookie", NULL},
    {"if-match", NULL},
    {"if-modified-since", NULL},
    {"if-none-match", NULL},
    {"if-range", NULL},
    {"if-unmodified-since", NULL},
    {"keep-alive", NULL},
    {"max-forwards", NULL},
    {"pragma", NULL},
    {"proxy-authorization", NULL},
    {"proxy-connection", NULL},
    {"range", NULL},
    {"te", NULL},
    {"trailer", NULL},
    {"upgrade", NULL},
};

/* ---- the section ---- */

void guard_start_fields(struct guard *guard, enum guard_part part)
{
    const struct guard_limits *limits = guard->limits;

    guard->message.is_in_trailer = part == GUARD_TRAILER_SECTION;
    guard->message.field_count = 0;
    guard->state = GUARD_FIELD;
    guard_enter_part(
        guard, part,
        (guard->message.is_in_trailer ? limits->max_trailer_bytes : limits->max_header_bytes) +
            2); /* for the empty line */
}

static void on_empty_line(struct guard *guard)
{
    if (guard->message.is_in_trailer)
        guard_end_message(guard);
    else
        guard_end_head(guard);
}

static bool count_field(struct guard *guard)
{
    const struct guard_limits *limits = guard->limits;
    bool is_in_trailer = guard->message.is_in_trailer;

    if (guard->message.field_count ==
        (is_in_trailer ? limits->max_trailer_count : limits->max_header_count))
        return guard_refuse(guard, 431,
                            is_in_trailer ? "too many trailer fields" : "too many fields");
    guard->message.field_count++;
    return true;
}

size_t guard_read_field(struct guard *guard, const uint8_t *bytes, size_t length)
{
    (void)length;
    if (*bytes == '\r') {
        guard_await_lf(guard, on_empty_line);
        return 1;
    }
    if (*bytes == ' ' || *bytes == '\t')
        guard_refuse(guard, 400, "a field line begins with white space (a folded line?)");
    else if (count_field(guard)) {
        guard->is_dropping = guard->message.is_in_trailer;
        guard->state = GUARD_NAME;
        guard->text_length = 0;
    }
    return 0;
}

/* ---- name ---- */

static const struct guard_field *find_field(const struct guard *guard)
{
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++)
        if (guard_text_is(guard, fields[i].name))
            return &fields[i];
    return NULL;
}

static bool end_name(struct guard *guard)
{
    if (guard->text_length == 0)
        return guard_refuse(guard, 400, "a field has no name");
    guard->field = find_field(guard);
    if (guard->field != NULL && guard->message.is_in_trailer)
        return guard_refuse(guard, 400, "a field that may not stand in a trailer");
    if (guard->field != NULL && guard->field->take == NULL)
        guard->field = NULL;
    guard->state = GUARD_SPACE;
    guard->text_length = 0;
    return true;
}

/* A name that does not fit is none that we know. */
static void keep_name_byte(struct guard *guard, uint8_t byte)
{
    if (guard->text_length < GUARD_TEXT_SIZE)
        guard->text[guard->text_length++] = (char)(byte >= 'A' && byte <= 'Z' ? byte | 0x20 : byte);
}

size_t guard_read_name(struct guard *guard, const uint8_t *bytes, size_t length)
{
    size_t used;

    for (used = 0; used < length; used++) {
        if (bytes[used] == ':')
            return end_name(guard) ? used + 1 : used;
        if (!guard_is_token(bytes[used])) {
            guard_refuse_byte(guard, bytes[used], "a field name is not a token and a colon");
            return used;
        }
        keep_name_byte(guard, bytes[used]);
    }
    return used;
}

/* ---- value ---- */

/* evhttp skips spaces, but takes a tab for the beginning of the value. */
size_t guard_read_space(struct guard *guard, const uint8_t *bytes, size_t length)
{
    size_t used = 0;

    while (used < length && (bytes[used] == ' ' || (bytes[used] == '\t' && guard->is_dropping)))
        used++;
    if (used == length)
        return used;
    if (bytes[used] == '\t') {
        guard->is_dropping = true;
    } else {
        guard->is_dropping = guard->message.is_in_trailer;
        guard->state = GUARD_VALUE;
    }
    return used;
}

static void on_field_line(struct guard *guard)
{
    size_t length = guard->text_length;

    while (length > 0 && (guard->text[length - 1] == ' ' || guard->text[length - 1] == '\t'))
        length--;
    if (guard->field != NULL && !guard->field->take(guard, guard->text, length))
        return;
    guard->is_dropping = false;
    guard->state = GUARD_FIELD;
}

size_t guard_read_value(struct guard *guard, const uint8_t *bytes, size_t length)
{
    size_t room = GUARD_TEXT_SIZE - guard->text_length, used = 0;

    while (used < length && guard_is_text(bytes[used]))
        used++;
    if (guard->field != NULL && used > room) {
        guard_refuse(guard, 431, "a field that frames or routes the request is too long");
        return room;
    }
    if (guard->field != NULL) {
        memcpy(guard->text + guard->text_length, bytes, used);
        guard->text_length += used;
    }
    if (used == length)
        return used;
    if (bytes[used] != '\r') {
        guard_refuse_byte(guard, bytes[used], "a control byte in a field value");
        return used;
    }
    guard_await_lf(guard, on_field_line);
    return used + 1;
}

/* ---- all fields together ---- */

/* RFC 9112, 3.2, 6.1 and 6.3 */
static bool check_head(struct guard *guard)
{
    const struct guard_message *message = &guard->message;
    bool has_body = message->has_coding || message->content_length > 0;

    if (!message->has_host && !message->is_http_1_0)
        return guard_refuse(guard, 400, "there is no Host");
    if (message->has_coding && message->has_length)
        return guard_refuse(guard, 400, "both Transfer-Encoding and Content-Length");
    if (message->has_coding && message->is_http_1_0)
        return guard_refuse(guard, 400, "Transfer-Encoding in HTTP/1.0");
    if (has_body && !message->takes_body)
        return guard_refuse(guard, 400, "a body with a method that has none");
    if (message->has_coding && !message->is_chunked)
        return guard_refuse(guard, 501, "a transfer coding other than chunked");
    if (message->content_length > guard->limits->max_body_bytes)
        return guard_refuse(guard, 413, "the body is too large");
    return true;
}

void guard_end_head(struct guard *guard)
{
    const struct guard_message *message = &guard->message;

    if (!check_head(guard))
        return;
    guard->heads_done++;
    guard->phase = GUARD_BODY;
    guard->wants_close = message->says_close || (message->is_http_1_0 && !message->says_keep_alive);
    if (message->is_chunked) {
        guard_start_chunk(guard);
    } else if (message->content_length > 0) {
        guard_enter_part(guard, GUARD_UNLIMITED, SIZE_MAX);
        guard->left = message->content_length;
        guard->state = GUARD_CONTENT;
    } else {
        guard_end_message(guard);
    }
}
