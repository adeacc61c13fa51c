/*
 * What the validator, the walker and the writers share: finding what is special
 * in a string, 16 bytes at a time, and reading one UTF-8 sequence. For
 * fanout/json*.c only. Nothing here reads at or behind `end`.
 */
#ifndef FANOUT_JSON_SCAN_H
#define FANOUT_JSON_SCAN_H

#include <endian.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#define JSON_WINDOW        64
#define JSON_BLOCK         16
#define JSON_WORD          8
#define JSON_WORD_OF(byte) (0x0101010101010101u * (byte))

/* The first byte becomes the lowest one, so that the lowest bit found is the first in the text. */
static inline uint64_t json_word(const unsigned char *at)
{
    uint64_t word;

    memcpy(&word, at, JSON_WORD);
    return le64toh(word);
}

static inline const unsigned char *json_word_found(const unsigned char *at, uint64_t high_bits)
{
    return at + (__builtin_ctzll(high_bits) >> 3);
}

static inline bool json_is_space(unsigned char c)
{
    static const bool is_space[256] = {[' '] = true, ['\n'] = true, ['\t'] = true, ['\r'] = true};

    return is_space[c];
}

static inline bool json_is_digit(unsigned char c)
{
    return c >= '0' && c <= '9';
}

/* Whether a byte may stand in a string as it is and is ASCII. */
static inline bool json_is_plain(unsigned char c)
{
    return c >= 0x20 && c < 0x80 && c != '"' && c != '\\';
}

/* The high bit of each byte that is not plain. Of the low seven bits, whatever is not a control
 * byte, a quote or a backslash reaches the eighth by a sum, and none goes beyond it. */
static inline uint64_t json_not_plain(uint64_t word)
{
    uint64_t low = word & JSON_WORD_OF(0x7f);
    uint64_t no_control = low + JSON_WORD_OF(0x80 - 0x20);
    uint64_t no_quote = (low ^ JSON_WORD_OF('"')) + JSON_WORD_OF(0x7f);
    uint64_t no_backslash = (low ^ JSON_WORD_OF('\\')) + JSON_WORD_OF(0x7f);

    return (word | ~(no_control & no_quote & no_backslash)) & JSON_WORD_OF(0x80);
}

/* A bit for each of the next 16 bytes, the lowest for the first: whether it is not plain. x86-64
 * always has SSE2; elsewhere the portable version does, which the tests hold against the other. */
static inline unsigned json_special_16_portable(const unsigned char *at)
{
    unsigned special = 0;

    for (unsigned i = 0; i < JSON_BLOCK; i += JSON_WORD) {
        uint64_t high_bits = json_not_plain(json_word(at + i));

        /* each 0x80 times the 1 that brings it to its place in the highest byte */
        special |= (unsigned)((high_bits >> 7) * 0x0102040810204080u >> 56) << i;
    }
    return special;
}

#ifdef __SSE2__
/* Bytes from 0x80 on are below zero here, and with that bit flipped a quote is below 0x21, where
 * else only the control bytes are. */
static inline unsigned json_special_16(const unsigned char *at)
{
    __m128i bytes = _mm_loadu_si128((const __m128i *)at);
    __m128i flipped = _mm_xor_si128(bytes, _mm_set1_epi8('"' ^ ' '));
    __m128i special = _mm_or_si128(_mm_cmplt_epi8(flipped, _mm_set1_epi8(' ' + 1)),
                                   _mm_cmpeq_epi8(bytes, _mm_set1_epi8('\\')));

    return (unsigned)_mm_movemask_epi8(special);
}
#else
#define json_special_16 json_special_16_portable
#endif

/* The same for the next 64. */
static inline uint64_t json_special_64(const unsigned char *at)
{
    return json_special_16(at) | (uint64_t)json_special_16(at + 16) << 16 |
           (uint64_t)json_special_16(at + 32) << 32 | (uint64_t)json_special_16(at + 48) << 48;
}

/* The first byte that is not plain, or end. */
static inline const unsigned char *json_plain_end(const unsigned char *at, const unsigned char *end)
{
    while (end - at >= JSON_BLOCK) {
        unsigned special = json_special_16(at);

        if (special != 0)
            return at + __builtin_ctz(special);
        at += JSON_BLOCK;
    }
    while (at < end && json_is_plain(*at))
        at++;
    return at;
}

static inline const unsigned char *json_skip_space(const unsigned char *at,
                                                   const unsigned char *end)
{
    while (at < end && json_is_space(*at))
        at++;
    return at;
}

enum json_utf8_state {
    JSON_UTF8_WHOLE,
    JSON_UTF8_CUT,    /* good so far, but the text ends */
    JSON_UTF8_BROKEN, /* a byte that can't follow, or can't begin */
};

struct json_utf8 {
    size_t length; /* of the sequence, or of its maximal ill-formed part: at least 1 */
    enum json_utf8_state state;
};

/* How many bytes follow a lead byte; 0 when no sequence begins with it. */
static inline size_t json_utf8_following(unsigned char lead)
{
    if (lead < 0xc2 || lead > 0xf4)
        return 0;
    return lead < 0xe0 ? 1 : lead < 0xf0 ? 2 : 3;
}

/* Reads the sequence at `at`, which is before end and not ASCII (Unicode, table 3-7). */
static inline struct json_utf8 json_utf8_read(const unsigned char *at, const unsigned char *end)
{
    unsigned char lowest = *at == 0xe0 ? 0xa0 : *at == 0xf0 ? 0x90 : 0x80;
    unsigned char highest = *at == 0xed ? 0x9f : *at == 0xf4 ? 0x8f : 0xbf;
    size_t following = json_utf8_following(*at);
    size_t length = 1;

    if (following == 0)
        return (struct json_utf8){1, JSON_UTF8_BROKEN};
    for (; length <= following; length++) {
        if (at + length == end)
            return (struct json_utf8){length, JSON_UTF8_CUT};
        if (at[length] < lowest || at[length] > highest)
            return (struct json_utf8){length, JSON_UTF8_BROKEN};
        lowest = 0x80;
        highest = 0xbf;
    }
    return (struct json_utf8){length, JSON_UTF8_WHOLE};
}

static inline bool json_utf8_follows(unsigned char c)
{
    return c >> 6 == 2;
}

/* The length of most sequences that there are; 0: json_utf8_read knows. */
static inline size_t json_utf8_common(const unsigned char *at, const unsigned char *end)
{
    if (end - at < 3 || !json_utf8_follows(at[1]))
        return 0;
    if (*at >= 0xc2 && *at < 0xe0)
        return 2;
    return *at > 0xe0 && *at < 0xf0 && *at != 0xed && json_utf8_follows(at[2]) ? 3 : 0;
}

/*
 * Reads from the sequence at *at as long as one follows the other, as in most of the world's
 * scripts. Returns the last one: whole when *at is at ASCII or the end, else *at is where it is.
 */
static inline struct json_utf8 json_utf8_run(const unsigned char **at, const unsigned char *end)
{
    struct json_utf8 sequence;

    do {
        sequence = (struct json_utf8){json_utf8_common(*at, end), JSON_UTF8_WHOLE};
        if (sequence.length == 0)
            sequence = json_utf8_read(*at, end);
        if (sequence.state != JSON_UTF8_WHOLE)
            break;
        *at += sequence.length;
    } while (*at < end && **at >= 0x80);
    return sequence;
}

#endif
