/*
 * The guard's loop: one step after the other, as long as all bytes are to be
 * treated alike; what ends a line; and where a request begins and ends.
 */
#include "service/guard.h"

#include "service/guard_internal.h"

#include <assert.h>

#define MAX_EMPTY_LINES 4

const struct guard_limits guard_default_limits = {
    .max_target_bytes = 8192,
    .max_header_bytes = 32 * 1024,
    .max_header_count = 100,
    .max_body_bytes = 1024 * 1024,
    .max_chunk_line_bytes = 400,
    .max_trailer_bytes = 4096,
    .max_trailer_count = 16,
};

static const struct {
    unsigned status;
    const char *reason;
} over_limit[] = {
    [GUARD_HEADER_SECTION] = {431, "the header section is too large"},
    [GUARD_CHUNK_LINE] = {400, "the line before a chunk is too long"},
    [GUARD_TRAILER_SECTION] = {431, "the trailer section is too large"},
};

/* ---- shared by the steps ---- */

bool guard_refuse(struct guard *guard, unsigned status, const char *reason)
{
    guard->status = status;
    guard->reason = reason;
    return false;
}

bool guard_refuse_byte(struct guard *guard, uint8_t byte, const char *reason)
{
    return guard_refuse(guard, 400, byte == '\n' ? "a line ends in LF without CR" : reason);
}

void guard_await_crlf(struct guard *guard, void (*on_line)(struct guard *))
{
    guard->state = GUARD_CR;
    guard->on_line = on_line;
}

void guard_await_lf(struct guard *guard, void (*on_line)(struct guard *))
{
    guard->state = GUARD_LF;
    guard->on_line = on_line;
}

void guard_enter_part(struct guard *guard, enum guard_part part, size_t max_bytes)
{
    guard->part = (unsigned char)part;
    guard->part_left = max_bytes;
}

void guard_end_message(struct guard *guard)
{
    guard->requests_done++;
    guard_enter_part(guard, GUARD_UNLIMITED, SIZE_MAX);
    guard->phase = guard->wants_close ? GUARD_OVER : GUARD_IDLE;
    guard->state = guard->wants_close ? GUARD_END : GUARD_START;
    guard->is_dropping = guard->wants_close;
}

/* ---- steps ---- */

static void on_empty_line(struct guard *guard)
{
    guard->is_dropping = false;
    guard->state = GUARD_START;
}

static size_t read_start(struct guard *guard, const uint8_t *bytes, size_t length)
{
    (void)length;
    if (*bytes == '\r') {
        if (guard->empty_lines++ == MAX_EMPTY_LINES) {
            guard_refuse(guard, 400, "too many empty lines before a request");
            return 0;
        }
        guard->is_dropping = true;
        guard_await_crlf(guard, on_empty_line);
        return 0;
    }
    guard->requests_begun++;
    guard->phase = GUARD_HEAD;
    guard->state = GUARD_METHOD;
    guard->empty_lines = 0;
    guard->text_length = 0;
    guard->message = (struct guard_message){0};
    return 0;
}

static size_t read_cr(struct guard *guard, const uint8_t *bytes, size_t length)
{
    (void)length;
    if (*bytes != '\r') {
        guard_refuse_byte(guard, *bytes, "the data of a chunk are not followed by CRLF");
        return 0;
    }
    guard->state = GUARD_LF;
    return 1;
}

/* The byte is charged before the line gets its meaning, as that may open another part. */
static size_t read_lf(struct guard *guard, const uint8_t *bytes, size_t length)
{
    (void)length;
    if (*bytes != '\n') {
        guard_refuse(guard, 400, "a CR is not followed by LF");
        return 0;
    }
    guard->part_left--;
    guard->on_line(guard);
    return guard->status == 0 ? 1 : 0;
}

static size_t read_end(struct guard *guard, const uint8_t *bytes, size_t length)
{
    (void)guard, (void)bytes;
    return length;
}

static guard_step *const steps[] = {
    [GUARD_START] = read_start,
    [GUARD_METHOD] = guard_read_method,
    [GUARD_TARGET] = guard_read_target,
    [GUARD_VERSION] = guard_read_version,
    [GUARD_FIELD] = guard_read_field,
    [GUARD_NAME] = guard_read_name,
    [GUARD_SPACE] = guard_read_space,
    [GUARD_VALUE] = guard_read_value,
    [GUARD_CONTENT] = guard_read_content,
    [GUARD_SIZE] = guard_read_size,
    [GUARD_EXTENSION] = guard_read_extension,
    [GUARD_CHUNK] = guard_read_chunk,
    [GUARD_CR] = read_cr,
    [GUARD_LF] = read_lf,
    [GUARD_END] = read_end,
};

static size_t take_step(struct guard *guard, const uint8_t *bytes, size_t length)
{
    size_t used;

    if (guard->part_left == 0) {
        guard_refuse(guard, over_limit[guard->part].status, over_limit[guard->part].reason);
        return 0;
    }
    if (guard->state == GUARD_LF)
        return read_lf(guard, bytes, length);
    if (length > guard->part_left)
        length = guard->part_left;
    used = steps[guard->state](guard, bytes, length);
    guard->part_left -= used;
    return used;
}

/* ---- the guard ---- */

void guard_init(struct guard *guard, const struct guard_limits *limits)
{
    assert(limits->max_target_bytes < SIZE_MAX / 4 && limits->max_body_bytes < SIZE_MAX / 4);
    assert(limits->max_header_bytes < SIZE_MAX / 4 && limits->max_trailer_bytes < SIZE_MAX / 4);
    assert(limits->max_chunk_line_bytes < SIZE_MAX / 4);
    *guard = (struct guard){.limits = limits, .state = GUARD_START, .phase = GUARD_IDLE};
    guard_enter_part(guard, GUARD_UNLIMITED, SIZE_MAX);
}

enum guard_verdict guard_feed(struct guard *guard, const void *bytes, size_t length, size_t *taken)
{
    const uint8_t *next = bytes;
    bool is_dropping = guard->is_dropping;
    size_t used = 0;

    while (used < length && guard->status == 0) {
        if (guard->is_dropping != is_dropping && used > 0)
            break;
        is_dropping = guard->is_dropping;
        used += take_step(guard, next + used, length - used);
    }
    guard->offset += used;
    *taken = used;
    if (used == 0 && guard->status != 0)
        return GUARD_REFUSE;
    return is_dropping ? GUARD_DROP : GUARD_PASS;
}
