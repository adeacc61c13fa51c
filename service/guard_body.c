/*
 * The body of a request: bytes of a known length, or chunks (RFC 9112, 7.1).
 */
#include "service/guard_internal.h"

#define MAX_SIZE_DIGITS 16

/*
 * Bytes that say nothing: what a line before a chunk has beyond FREE_LINE_BYTES and twice the data
 * behind it. So a body cannot be a thousand times its own size on the wire, and long extensions on
 * long chunks are still free.
 */
#define FREE_LINE_BYTES    16
#define MAX_OVERHEAD_BYTES (16 * 1024)

/* ---- a body of a known length ---- */

size_t guard_read_content(struct guard *guard, const uint8_t *bytes, size_t length)
{
    size_t used = length < guard->left ? length : (size_t)guard->left;

    (void)bytes;
    guard->left -= used;
    if (guard->left == 0)
        guard_end_message(guard);
    return used;
}

/* ---- chunks ---- */

void guard_start_chunk(struct guard *guard)
{
    guard->state = GUARD_SIZE;
    guard->count = 0;
    guard->left = 0;
    guard_enter_part(guard, GUARD_CHUNK_LINE, guard->limits->max_chunk_line_bytes + 2);
}

static bool charge_line(struct guard *guard)
{
    size_t line = guard->limits->max_chunk_line_bytes + 2 - guard->part_left;
    uint64_t free_bytes = FREE_LINE_BYTES + 2 * guard->left;
    uint64_t *overhead = &guard->message.chunk_overhead;

    *overhead += line;
    *overhead -= *overhead < free_bytes ? *overhead : free_bytes;
    return *overhead <= MAX_OVERHEAD_BYTES ||
           guard_refuse(guard, 400, "chunks with more extensions than data");
}

static void on_chunk_line(struct guard *guard)
{
    if (!charge_line(guard))
        return;
    if (guard->left == 0) {
        guard_start_fields(guard, GUARD_TRAILER_SECTION);
        return;
    }
    guard->message.body_bytes += guard->left;
    guard->state = GUARD_CHUNK;
    guard_enter_part(guard, GUARD_UNLIMITED, SIZE_MAX);
}

static bool take_size_digit(struct guard *guard, int value)
{
    if (guard->count == MAX_SIZE_DIGITS)
        return guard_refuse(guard, 400, "a chunk size has too many digits");
    guard->count++;
    guard->left = guard->left << 4 | (unsigned)value;
    return true;
}

/* evhttp would take a space or a 0x for more of the number, and an extension for an error. */
static void end_size(struct guard *guard, uint8_t byte)
{
    if (guard->count == 0)
        guard_refuse_byte(guard, byte, "a chunk has no size");
    else if (guard->left > guard->limits->max_body_bytes - guard->message.body_bytes)
        guard_refuse(guard, 413, "the body is too large");
    else if (byte == '\r')
        guard_await_crlf(guard, on_chunk_line);
    else if (byte != ';' && byte != ' ' && byte != '\t')
        guard_refuse_byte(guard, byte, "a chunk size is not all hex digits");
    else {
        guard->is_dropping = true;
        guard->state = GUARD_EXTENSION;
        guard->extension = 0;
    }
}

size_t guard_read_size(struct guard *guard, const uint8_t *bytes, size_t length)
{
    size_t used;

    for (used = 0; used < length; used++) {
        int value = guard_hex_value(bytes[used]);

        if (value < 0) {
            end_size(guard, bytes[used]);
            return used;
        }
        if (!take_size_digit(guard, value))
            return used;
    }
    return used;
}

static void on_chunk_end(struct guard *guard)
{
    guard_start_chunk(guard);
}

size_t guard_read_chunk(struct guard *guard, const uint8_t *bytes, size_t length)
{
    size_t used = length < guard->left ? length : (size_t)guard->left;

    (void)bytes;
    guard->left -= used;
    if (guard->left == 0)
        guard_await_crlf(guard, on_chunk_end);
    return used;
}

/* ---- chunk extensions (RFC 9112, 7.1.1) ---- */

/* What is awaited. */
enum extension {
    EXTENSION_SEMICOLON, /* or space before it */
    EXTENSION_NAME,      /* the first byte of a name, or space before it */
    EXTENSION_NAME_REST,
    EXTENSION_EQUALS, /* or a semicolon, or space before them */
    EXTENSION_VALUE,  /* the first byte of a value, or space before it */
    EXTENSION_VALUE_REST,
    EXTENSION_QUOTED,  /* the rest of a quoted string */
    EXTENSION_ESCAPED, /* the byte behind a backslash in it */
    EXTENSION_CLOSED,  /* what follows a quoted string */
    EXTENSION_WRONG,
};

/* The separators that may follow a name or a value. */
static enum extension after_word(uint8_t byte, enum extension after_space)
{
    if (byte == ' ' || byte == '\t')
        return after_space;
    if (byte == ';')
        return EXTENSION_NAME;
    if (byte == '=' && after_space == EXTENSION_EQUALS)
        return EXTENSION_VALUE;
    return EXTENSION_WRONG;
}

static enum extension first_of_word(uint8_t byte, enum extension now, enum extension rest)
{
    if (byte == ' ' || byte == '\t')
        return now;
    return guard_is_token(byte) ? rest : EXTENSION_WRONG;
}

static enum extension in_quotes(uint8_t byte)
{
    if (byte == '"')
        return EXTENSION_CLOSED;
    if (byte == '\\')
        return EXTENSION_ESCAPED;
    return guard_is_text(byte) ? EXTENSION_QUOTED : EXTENSION_WRONG;
}

static enum extension next_extension(enum extension now, uint8_t byte)
{
    switch (now) {
    case EXTENSION_NAME:
        return first_of_word(byte, now, EXTENSION_NAME_REST);
    case EXTENSION_NAME_REST:
        return guard_is_token(byte) ? now : after_word(byte, EXTENSION_EQUALS);
    case EXTENSION_EQUALS:
        return after_word(byte, EXTENSION_EQUALS);
    case EXTENSION_VALUE:
        return byte == '"' ? EXTENSION_QUOTED : first_of_word(byte, now, EXTENSION_VALUE_REST);
    case EXTENSION_VALUE_REST:
        return guard_is_token(byte) ? now : after_word(byte, EXTENSION_SEMICOLON);
    case EXTENSION_QUOTED:
        return in_quotes(byte);
    case EXTENSION_ESCAPED:
        return guard_is_text(byte) ? EXTENSION_QUOTED : EXTENSION_WRONG;
    case EXTENSION_SEMICOLON:
    case EXTENSION_CLOSED:
        return after_word(byte, EXTENSION_SEMICOLON);
    case EXTENSION_WRONG:
        break;
    }
    return EXTENSION_WRONG;
}

static bool may_end(enum extension now)
{
    return now == EXTENSION_NAME_REST || now == EXTENSION_VALUE_REST || now == EXTENSION_CLOSED;
}

size_t guard_read_extension(struct guard *guard, const uint8_t *bytes, size_t length)
{
    size_t used;

    for (used = 0; used < length; used++) {
        enum extension now = (enum extension)guard->extension;

        if (bytes[used] == '\r' && may_end(now)) {
            guard->is_dropping = false;
            guard_await_crlf(guard, on_chunk_line);
            return used;
        }
        now = next_extension(now, bytes[used]);
        if (now == EXTENSION_WRONG) {
            guard_refuse_byte(guard, bytes[used], "a malformed chunk extension");
            return used;
        }
        guard->extension = (unsigned char)now;
    }
    return used;
}
