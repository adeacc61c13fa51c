/*
 * The request line (RFC 9112, 3): method SP target SP version CRLF, with exactly
 * these spaces.
 */
#include "service/guard_internal.h"

#include <string.h>

#define MAX_METHOD_BYTES 20

/* All that evhttp knows; for any other it would answer with a page of its own. */
static const struct method {
    const char *name;
    unsigned status;    /* 0: it may pass */
    const char *reason; /* why it may not */
    bool takes_body;    /* evhttp reads no body for HEAD and TRACE, whatever the header says */
} methods[] = {
    {.name = "GET", .takes_body = true},
    {.name = "POST", .takes_body = true},
    {.name = "HEAD"},
    {.name = "PUT", .takes_body = true},
    {.name = "DELETE", .takes_body = true},
    {.name = "PATCH", .takes_body = true},
    {.name = "OPTIONS", .takes_body = true},
    {.name = "TRACE"},
    {.name = "CONNECT", .status = 501, .reason = "this is not a proxy: CONNECT is not served"},
    /* never a method: it opens an HTTP/2 connection (RFC 9113, 3.4) */
    {.name = "PRI", .status = 505, .reason = "HTTP/2 is not served here, only HTTP/1.1"},
};

/* ---- method ---- */

static bool end_method(struct guard *guard)
{
    if (guard->text_length == 0)
        return guard_refuse(guard, 400, "a request line begins with a space");
    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++) {
        const struct method *method = &methods[i];

        if (!guard_text_is(guard, method->name))
            continue;
        if (method->status != 0)
            return guard_refuse(guard, method->status, method->reason);
        guard->message.takes_body = method->takes_body;
        guard->message.is_options = strcmp(method->name, "OPTIONS") == 0;
        guard->state = GUARD_TARGET;
        guard->count = 0;
        guard->escape = 0;
        return true;
    }
    return guard_refuse(guard, 501, "an unknown method");
}

static bool take_method_byte(struct guard *guard, uint8_t byte)
{
    if (!guard_is_token(byte))
        return guard_refuse_byte(guard, byte, "the method is not a token");
    if (guard->text_length == MAX_METHOD_BYTES)
        return guard_refuse(guard, 501, "an unknown method");
    guard->text[guard->text_length++] = (char)byte;
    return true;
}

size_t guard_read_method(struct guard *guard, const uint8_t *bytes, size_t length)
{
    size_t used;

    for (used = 0; used < length; used++) {
        if (bytes[used] == ' ')
            return end_method(guard) ? used + 1 : used;
        if (!take_method_byte(guard, bytes[used]))
            return used;
    }
    return used;
}

/* ---- target ---- */

/* A slash, but not two, which evhttp takes for the start of a host; or an asterisk. */
static bool take_first_bytes(struct guard *guard, uint8_t byte)
{
    if (guard->count == 0) {
        guard->message.is_asterisk = byte == '*';
        if (byte != '/' && byte != '*')
            return guard_refuse_byte(guard, byte, "the request target does not begin with /");
    } else if (guard->message.is_asterisk) {
        return guard_refuse_byte(guard, byte, "the request target begins with * and goes on");
    } else if (byte == '/') {
        return guard_refuse(guard, 400, "the request target begins with //");
    }
    return true;
}

static bool take_escape_digit(struct guard *guard, uint8_t byte)
{
    int value = guard_hex_value(byte);

    if (value < 0)
        return guard_refuse_byte(guard, byte, "% is not followed by two hex digits");
    if (--guard->escape == 1)
        guard->escape_high = (unsigned char)value;
    else if (guard->escape_high == 0 && value == 0)
        return guard_refuse(guard, 400, "the request target has a %00");
    return true;
}

static bool take_target_byte(struct guard *guard, uint8_t byte)
{
    if (guard->count == guard->limits->max_target_bytes)
        return guard_refuse(guard, 414, "the request target is too long");
    if (guard->count < 2 && !take_first_bytes(guard, byte))
        return false;
    guard->count++;
    if (guard->escape > 0)
        return take_escape_digit(guard, byte);
    if (byte == '%')
        guard->escape = 2;
    if (byte == '#')
        return guard_refuse(guard, 400, "the request target has a fragment");
    if (byte <= ' ' || byte >= 0x7f)
        return guard_refuse_byte(guard, byte, "the request target is not all visible ASCII");
    return true;
}

static bool end_target(struct guard *guard)
{
    if (guard->count == 0)
        return guard_refuse(guard, 400, "the request line has no target, or too many spaces");
    if (guard->escape > 0)
        return guard_refuse(guard, 400, "% is not followed by two hex digits");
    if (guard->message.is_asterisk && !guard->message.is_options)
        return guard_refuse(guard, 400, "* is a target of OPTIONS only");
    guard->state = GUARD_VERSION;
    guard->count = 0;
    return true;
}

size_t guard_read_target(struct guard *guard, const uint8_t *bytes, size_t length)
{
    size_t used;

    for (used = 0; used < length; used++) {
        if (bytes[used] == ' ')
            return end_target(guard) ? used + 1 : used;
        if (!take_target_byte(guard, bytes[used]))
            return used;
    }
    return used;
}

/* ---- version ---- */

static void on_request_line(struct guard *guard)
{
    const char *version = guard->version;

    guard->message.is_http_1_0 = memcmp(version, "1.0", 3) == 0;
    if (!guard->message.is_http_1_0 && memcmp(version, "1.1", 3) != 0)
        guard_refuse(guard, 505, "only HTTP/1.1 and HTTP/1.0 are served");
    else
        guard_start_fields(guard, GUARD_HEADER_SECTION);
}

/* "HTTP/" digit "." digit */
static bool is_version_byte(size_t place, uint8_t byte)
{
    if (place == 5 || place == 7)
        return guard_is_digit(byte);
    return byte == (uint8_t) "HTTP/ ."[place];
}

size_t guard_read_version(struct guard *guard, const uint8_t *bytes, size_t length)
{
    size_t used;

    for (used = 0; used < length; used++) {
        if (guard->count == 8 && bytes[used] == '\r') {
            guard_await_lf(guard, on_request_line);
            return used + 1;
        }
        if (guard->count == 8 || !is_version_byte(guard->count, bytes[used])) {
            guard_refuse_byte(guard, bytes[used], "the request line does not end in HTTP/1.1");
            return used;
        }
        if (guard->count >= 5)
            guard->version[guard->count - 5] = (char)bytes[used];
        guard->count++;
    }
    return used;
}
