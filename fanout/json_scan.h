/*
 * What the validator, the walker and the writers share: running over the plain
 * part of a string 16 bytes at a time, and reading one UTF-8 sequence. For
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
    return c == ' ' || c == '\n' || c == '\t' || c == '\r';
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

/*
 * The high bit of each byte that is not plain. A subtraction borrows only out of a byte that is
 * not plain itself, so bits that are wrong may stand above the lowest one, never alone.
 */
static inline uint64_t json_not_plain(uint64_t word)
{
    uint64_t control = word - JSON_WORD_OF(0x20);
    uint64_t quote = (word ^ JSON_WORD_OF('"')) - JSON_WORD_OF(1);
    uint64_t backslash = (word ^ JSON_WORD_OF('\\')) - JSON_WORD_OF(1);

    return (word | control | quote | backslash) & JSON_WORD_OF(0x80);
}

/* How many of the next 16 bytes are plain before one is not. x86-64 always has SSE2; elsewhere the
 * portable version does, which the tests hold against the other. */
static inline unsigned json_plain_count_portable(const unsigned char *at)
{
    for (unsigned i = 0; i < JSON_BLOCK; i += JSON_WORD) {
        uint64_t found = json_not_plain(json_word(at + i));

        if (found != 0)
            return i + ((unsigned)__builtin_ctzll(found) >> 3);
    }
    return JSON_BLOCK;
}

#ifdef __SSE2__
/* Bytes from 0x80 on are below zero here. */
static inline unsigned json_plain_count(const unsigned char *at)
{
    __m128i bytes = _mm_loadu_si128((const __m128i *)at);
    __m128i found = _mm_cmplt_epi8(bytes, _mm_set1_epi8(0x20));

    found = _mm_or_si128(found, _mm_cmpeq_epi8(bytes, _mm_set1_epi8('"')));
    found = _mm_or_si128(found, _mm_cmpeq_epi8(bytes, _mm_set1_epi8('\\')));
    return (unsigned)__builtin_ctz((unsigned)_mm_movemask_epi8(found) | 1u << JSON_BLOCK);
}
#else
#define json_plain_count json_plain_count_portable
#endif

/* The first byte that is not plain, or end. */
static inline const unsigned char *json_plain_end(const unsigned char *at, const unsigned char *end)
{
    while (end - at >= JSON_BLOCK) {
        unsigned count = json_plain_count(at);

        if (count < JSON_BLOCK)
            return at + count;
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

/*
 * Reads from the sequence at *at as long as one follows the other, as in most of the world's
 * scripts. Returns the last one: whole when *at is at ASCII or the end, else *at is where it is.
 */
static inline struct json_utf8 json_utf8_run(const unsigned char **at, const unsigned char *end)
{
    struct json_utf8 sequence;

    do {
        sequence = json_utf8_read(*at, end);
        if (sequence.state != JSON_UTF8_WHOLE)
            break;
        *at += sequence.length;
    } while (*at < end && **at >= 0x80);
    return sequence;
}

#endif
