/*
 * A growing run of bytes with a cap: for everything whose size an outsider
 * controls. An append that would pass the cap, or for which there is no memory
 * or no budget, fails and leaves the buffer as it was; so does every later one, and
 * it is enough to look at the last.
 */
#ifndef FANOUT_BUF_H
#define FANOUT_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define BUF_UNLIMITED ((size_t)-1)

struct budget;

struct buf {
    char *data; /* len bytes, not ended by NUL; NULL while nothing was reserved */
    size_t len;
    size_t room; /* bytes allocated, max_bytes at most */
    size_t max_bytes;
    struct budget *budget; /* that the room is taken from; NULL: none */
    bool has_failed;       /* an append did, so every other will: nothing is ever left out */
};

/* Work in place; init allocates nothing, release may be called at any time after it. */
void buf_init(struct buf *buf, size_t max_bytes);
/* Its room counts against a budget, which must outlive it, until it is released. */
void buf_init_budgeted(struct buf *buf, size_t max_bytes, struct budget *budget);
void buf_release(struct buf *buf);
/* Empties it, and keeps its room. */
void buf_clear(struct buf *buf);

/* Makes room for `more` bytes behind len. False: over the cap, no memory or no budget. */
bool buf_reserve(struct buf *buf, size_t more);

/* The short way where the room is there. */
static inline bool buf_append(struct buf *buf, const void *bytes, size_t count)
{
    if ((count > buf->room - buf->len || buf->has_failed) && !buf_reserve(buf, count))
        return false;
    if (count > 0)
        memcpy(buf->data + buf->len, bytes, count);
    buf->len += count;
    return true;
}

static inline bool buf_append_text(struct buf *buf, const char *text)
{
    return buf_append(buf, text, strlen(text));
}

bool buf_append_unsigned(struct buf *buf, uint64_t number);
/* "41.8" (decimal.h) */
bool buf_append_ms(struct buf *buf, uint64_t time_us);
bool buf_printf(struct buf *buf, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Moves the content to `to`, which must be empty or released; `from` is empty afterwards. */
void buf_move(struct buf *to, struct buf *from);

#endif
