/* Writing strings: what came in as any bytes goes out as valid JSON. */
#include "fanout/json.h"

#include "fanout/json_scan.h"

#define REPLACEMENT "\xef\xbf\xbd" /* U+FFFD */

/* Where what can go out as it is ends: plain ASCII and whole UTF-8 sequences. */
static const unsigned char *clean_end(const unsigned char *at, const unsigned char *end)
{
    at = json_plain_end(at, end);
    while (at < end && *at >= 0x80 && json_utf8_run(&at, end).state == JSON_UTF8_WHOLE)
        at = json_plain_end(at, end);
    return at;
}

static bool write_escape(struct buf *out, unsigned char c)
{
    static const char letters[0x80] = {['"'] = '"',  ['\\'] = '\\', ['\b'] = 'b', ['\f'] = 'f',
                                       ['\n'] = 'n', ['\r'] = 'r',  ['\t'] = 't'};
    static const char hex[] = "0123456789abcdef";
    char text[] = {'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]};

    if (letters[c] == '\0')
        return buf_append(out, text, sizeof text);
    text[1] = letters[c];
    return buf_append(out, text, 2);
}

static bool write_inside(struct buf *out, const unsigned char *at, const unsigned char *end)
{
    for (;;) {
        const unsigned char *run = at;
        bool done;

        at = clean_end(run, end);
        if (!buf_append(out, run, (size_t)(at - run)))
            return false;
        if (at == end)
            return true;
        if (*at < 0x80) {
            done = write_escape(out, *at);
            at++;
        } else {
            done = buf_append_text(out, REPLACEMENT);
            at += json_utf8_read(at, end).length;
        }
        if (!done)
            return false;
    }
}

bool json_write_string(struct buf *out, const char *bytes, size_t length)
{
    const unsigned char *start = (const unsigned char *)(length > 0 ? bytes : "");
    size_t before = out->len;

    if (buf_append(out, "\"", 1) && write_inside(out, start, start + length) &&
        buf_append(out, "\"", 1))
        return true;
    out->len = before;
    return false;
}

static void encode_group(const unsigned char *bytes, size_t count, char *out)
{
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    uint32_t group = (uint32_t)bytes[0] << 16;

    if (count > 1)
        group |= (uint32_t)bytes[1] << 8;
    if (count > 2)
        group |= bytes[2];
    out[0] = alphabet[group >> 18];
    out[1] = alphabet[group >> 12 & 63];
    out[2] = count > 1 ? alphabet[group >> 6 & 63] : '=';
    out[3] = count > 2 ? alphabet[group & 63] : '=';
}

bool json_write_base64(struct buf *out, const void *bytes, size_t length)
{
    const unsigned char *at = bytes;
    size_t groups = length / 3 + (length % 3 > 0);
    char *to;

    if (groups > (SIZE_MAX - 2) / 4 || !buf_reserve(out, groups * 4 + 2))
        return false;
    to = out->data + out->len;
    *to++ = '"';
    for (; length >= 3; length -= 3, at += 3, to += 4)
        encode_group(at, 3, to);
    if (length > 0) {
        encode_group(at, length, to);
        to += 4;
    }
    *to = '"';
    out->len += groups * 4 + 2;
    return true;
}
