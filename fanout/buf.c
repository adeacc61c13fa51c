/* A growing, capped run of bytes. */
#include "fanout/buf.h"

#include "fanout/budget.h"
#include "fanout/decimal.h"
#include "fanout/mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define SMALLEST_ROOM 256

void buf_init(struct buf *buf, size_t max_bytes)
{
    *buf = (struct buf){.max_bytes = max_bytes};
}

void buf_init_budgeted(struct buf *buf, size_t max_bytes, struct budget *budget)
{
    *buf = (struct buf){.max_bytes = max_bytes, .budget = budget};
}

void buf_release(struct buf *buf)
{
    mem_free(buf->data);
    if (buf->budget != NULL)
        budget_give(buf->budget, buf->room);
    buf_init_budgeted(buf, buf->max_bytes, buf->budget);
}

void buf_clear(struct buf *buf)
{
    buf->len = 0;
    buf->has_failed = false;
}

static bool set_room(struct buf *buf, size_t room)
{
    size_t more = room - buf->room;
    char *data;

    if (buf->budget != NULL && !budget_take(buf->budget, more))
        return false;
    data = realloc(buf->data, room);
    if (data == NULL) {
        if (buf->budget != NULL)
            budget_give(buf->budget, more);
        return false;
    }
    buf->data = data;
    buf->room = room;
    return true;
}

bool buf_reserve(struct buf *buf, size_t more)
{
    size_t room = buf->room > 0 ? buf->room : SMALLEST_ROOM;

    if (buf->has_failed)
        return false;
    if (more <= buf->max_bytes - buf->len) {
        if (more <= buf->room - buf->len)
            return true;
        while (room - buf->len < more)
            room = room > buf->max_bytes / 2 ? buf->len + more : room * 2;
        if (set_room(buf, room < buf->max_bytes ? room : buf->max_bytes))
            return true;
    }
    buf->has_failed = true;
    return false;
}

/* Straight to its place where there is room for the longest number; as much need not be there. */
static bool append_decimal(struct buf *buf, uint64_t number, char *write(char *to, uint64_t number))
{
    char text[DECIMAL_SIZE];

    if (buf->room - buf->len < DECIMAL_SIZE || buf->has_failed)
        return buf_append(buf, text, (size_t)(write(text, number) - text));
    buf->len = (size_t)(write(buf->data + buf->len, number) - buf->data);
    return true;
}

bool buf_append_unsigned(struct buf *buf, uint64_t number)
{
    return append_decimal(buf, number, decimal_write);
}

bool buf_append_ms(struct buf *buf, uint64_t time_us)
{
    return append_decimal(buf, time_us, decimal_write_ms);
}

__attribute__((format(printf, 2, 0))) static bool vprintf_into(struct buf *buf, const char *format,
                                                               va_list args)
{
    va_list again;
    int length;

    va_copy(again, args);
    length = vsnprintf(NULL, 0, format, again);
    va_end(again);
    if (length < 0 || !buf_reserve(buf, (size_t)length + 1))
        return false;
    vsnprintf(buf->data + buf->len, (size_t)length + 1, format, args);
    buf->len += (size_t)length;
    return true;
}

bool buf_printf(struct buf *buf, const char *format, ...)
{
    va_list args;
    bool done;

    va_start(args, format);
    done = vprintf_into(buf, format, args);
    va_end(args);
    return done;
}

void buf_move(struct buf *to, struct buf *from)
{
    *to = *from;
    buf_init_budgeted(from, from->max_bytes, from->budget);
}
