/* Chunk sizes and what stands around them, byte by byte. */
#include "fanout/http_chunks.h"

#include <stdbool.h>

#define MAX_SIZE_DIGITS 16
#define MAX_SIZE        ((uint64_t)1 << 60)

static void refuse(struct http_chunks *chunks, const char *reason)
{
    chunks->awaited = HTTP_CHUNKS_NOTHING;
    chunks->reason = reason;
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static void on_size_line(struct http_chunks *chunks)
{
    chunks->awaited = chunks->left > 0 ? HTTP_CHUNKS_DATA : HTTP_CHUNKS_TRAILER;
    chunks->digits = 0;
    chunks->extension_bytes = 0;
}

static void take_digit(struct http_chunks *chunks, int value)
{
    chunks->left = chunks->left << 4 | (unsigned)value;
    if (++chunks->digits > MAX_SIZE_DIGITS || chunks->left > MAX_SIZE)
        refuse(chunks, "a chunk of the answer has a size beyond all measure");
}

static void count_extension(struct http_chunks *chunks)
{
    chunks->extension_bytes++;
    chunks->all_extension_bytes++;
    if (chunks->extension_bytes > HTTP_CHUNKS_MAX_EXTENSION ||
        chunks->all_extension_bytes > HTTP_CHUNKS_MAX_ALL_EXTENSION)
        refuse(chunks, "the chunks of the answer have too long extensions");
}

static void take_in_size(struct http_chunks *chunks, char c)
{
    int value = hex_value(c);

    if (value >= 0)
        take_digit(chunks, value);
    else if (chunks->digits == 0)
        refuse(chunks, "a chunk of the answer has no size");
    else if (c == '\n')
        on_size_line(chunks);
    else if (c == '\r')
        chunks->awaited = HTTP_CHUNKS_SIZE_LF;
    else if (c == ' ' || c == '\t' || c == ';') {
        chunks->awaited = c == ';' ? HTTP_CHUNKS_EXTENSION : HTTP_CHUNKS_SEMICOLON;
        count_extension(chunks);
    } else
        refuse(chunks, "a chunk size of the answer is not a hexadecimal number");
}

static void take_before_semicolon(struct http_chunks *chunks, char c)
{
    if (c == ';')
        chunks->awaited = HTTP_CHUNKS_EXTENSION;
    else if (c != ' ' && c != '\t') {
        refuse(chunks, "a chunk size of the answer is not a hexadecimal number");
        return;
    }
    count_extension(chunks);
}

static void take_in_extension(struct http_chunks *chunks, char c)
{
    if (c == '\n')
        on_size_line(chunks);
    else if (c == '\r')
        chunks->awaited = HTTP_CHUNKS_SIZE_LF;
    else if (c == '\0')
        refuse(chunks, "a chunk extension of the answer has a NUL in it");
    else
        count_extension(chunks);
}

static void take_line_end(struct http_chunks *chunks, char c)
{
    if (c == '\n')
        on_size_line(chunks);
    else
        refuse(chunks, "a line before a chunk of the answer has a CR in it");
}

static void take_behind_data(struct http_chunks *chunks, char c)
{
    if (c == '\n')
        chunks->awaited = HTTP_CHUNKS_SIZE;
    else if (c == '\r' && chunks->awaited == HTTP_CHUNKS_CR)
        chunks->awaited = HTTP_CHUNKS_LF;
    else
        refuse(chunks, "a chunk of the answer is not as long as its size says");
}

/* False: it is none of the framing. */
static bool take(struct http_chunks *chunks, char c)
{
    switch (chunks->awaited) {
    case HTTP_CHUNKS_SIZE:
        take_in_size(chunks, c);
        return true;
    case HTTP_CHUNKS_SEMICOLON:
        take_before_semicolon(chunks, c);
        return true;
    case HTTP_CHUNKS_EXTENSION:
        take_in_extension(chunks, c);
        return true;
    case HTTP_CHUNKS_SIZE_LF:
        take_line_end(chunks, c);
        return true;
    case HTTP_CHUNKS_CR:
    case HTTP_CHUNKS_LF:
        take_behind_data(chunks, c);
        return true;
    case HTTP_CHUNKS_DATA:
    case HTTP_CHUNKS_TRAILER:
    case HTTP_CHUNKS_NOTHING:
        break;
    }
    return false;
}

size_t http_chunks_take(struct http_chunks *chunks, const char *bytes, size_t count)
{
    size_t used = 0;

    while (used < count && take(chunks, bytes[used]))
        used++;
    return used;
}

void http_chunks_took_data(struct http_chunks *chunks, size_t count)
{
    chunks->left -= count;
    if (chunks->left == 0)
        chunks->awaited = HTTP_CHUNKS_CR;
}
