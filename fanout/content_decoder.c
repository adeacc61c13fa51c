/* One inflater for each coding; each gives what comes out of it to the next. */
#include "fanout/content_decoder.h"

#include "fanout/mem.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <zlib.h>

#define WINDOW_BYTES      (8 * 1024) /* on the stack, for each stage */
#define PIECE_BYTES       ((size_t)1 << 20)
#define GZIP_WINDOW_BITS  (MAX_WBITS + 16)
#define ZLIB_HEADER_BYTES 2

static const char not_decodable[] = "the body of the answer is not coded as it says";
static const char behind_the_end[] = "there is something behind the end of the answer's coding";
static const char cut_short[] = "the body of the answer stops before the end of its coding";

struct stage {
    enum content_coding coding;
    bool is_set_up; /* the inflater is there */
    bool has_ended;
    size_t held_count;
    uint8_t held[ZLIB_HEADER_BYTES]; /* until they tell how a deflate is wrapped */
    z_stream zlib;
};

struct content_decoder {
    struct buf *out;
    bool has_begun;
    size_t stage_count;
    struct stage stages[CONTENT_CODINGS_MAX]; /* the first undoes what was put on last */
};

/* ---- names ---- */

static const struct {
    const char *name;
    enum content_coding coding;
} names[] = {
    {"gzip", CONTENT_GZIP},
    {"x-gzip", CONTENT_GZIP},
    {"deflate", CONTENT_DEFLATE},
    {"identity", CONTENT_IDENTITY},
};

static const char *add(struct content_codings *codings, const char *name, size_t length)
{
    if (codings->count == CONTENT_CODINGS_MAX)
        return "the answer has too many content codings";
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strlen(names[i].name) == length && strncasecmp(names[i].name, name, length) == 0) {
            codings->items[codings->count++] = names[i].coding;
            return NULL;
        }
    return "the answer has an unknown content coding";
}

/* An empty element of a list is no element (RFC 9110, section 5.6.1.2). */
const char *content_codings_add(struct content_codings *codings, const char *value, size_t length)
{
    const char *end = value + length, *reason = NULL;

    while (reason == NULL && value < end) {
        const char *comma = memchr(value, ',', (size_t)(end - value));
        const char *name_end = comma != NULL ? comma : end;

        while (value < name_end && (*value == ' ' || *value == '\t'))
            value++;
        while (value < name_end && (name_end[-1] == ' ' || name_end[-1] == '\t'))
            name_end--;
        if (value < name_end)
            reason = add(codings, value, (size_t)(name_end - value));
        value = comma != NULL ? comma + 1 : end;
    }
    return reason;
}

/* ---- set up ---- */

static void *on_zlib_alloc(void *arg, uInt count, uInt size)
{
    (void)arg;
    return mem_library_array(count, size);
}

static void on_zlib_free(void *arg, void *block)
{
    (void)arg;
    free(block);
}

static bool set_up(struct stage *stage, int window_bits)
{
    stage->zlib.zalloc = on_zlib_alloc;
    stage->zlib.zfree = on_zlib_free;
    stage->is_set_up = inflateInit2(&stage->zlib, window_bits) == Z_OK;
    return stage->is_set_up;
}

struct content_decoder *content_decoder_new(const struct content_codings *codings, struct buf *out)
{
    struct content_decoder *decoder = NULL;

    for (unsigned i = codings->count; i-- > 0;) {
        if (codings->items[i] == CONTENT_IDENTITY)
            continue;
        if (decoder == NULL) {
            decoder = mem_zalloc(sizeof *decoder);
            decoder->out = out;
        }
        decoder->stages[decoder->stage_count++].coding = codings->items[i];
    }
    return decoder;
}

void content_decoder_free(struct content_decoder *decoder)
{
    if (decoder == NULL)
        return;
    for (size_t i = 0; i < decoder->stage_count; i++)
        if (decoder->stages[i].is_set_up)
            inflateEnd(&decoder->stages[i].zlib);
    free(decoder);
}

/* ---- the way through the stages ---- */

static enum outcome give(struct content_decoder *decoder, size_t at, const uint8_t *bytes,
                         size_t count, const char **reason);

static enum outcome refuse(const char *why, const char **reason)
{
    *reason = why;
    return OUTCOME_PROTOCOL_ERROR;
}

static enum outcome put_out(struct buf *out, const uint8_t *bytes, size_t count)
{
    if (buf_append(out, bytes, count))
        return OUTCOME_OK;
    return count > out->max_bytes - out->len ? OUTCOME_RESPONSE_TOO_LARGE : OUTCOME_QUEUE_FULL;
}

/* What came out before something was found wrong is given on first, so that it does not matter in
 * which pieces the bytes come. */
static enum outcome inflate_some(struct content_decoder *decoder, size_t at, const char **reason)
{
    struct stage *stage = &decoder->stages[at];
    uint8_t window[WINDOW_BYTES];
    enum outcome outcome;
    int code;

    stage->zlib.next_out = window;
    stage->zlib.avail_out = sizeof window;
    code = inflate(&stage->zlib, Z_NO_FLUSH);
    outcome = give(decoder, at + 1, window, sizeof window - stage->zlib.avail_out, reason);
    if (outcome != OUTCOME_OK)
        return outcome;
    stage->has_ended = code == Z_STREAM_END;
    if (stage->has_ended && stage->zlib.avail_in > 0)
        return refuse(behind_the_end, reason);
    if (code != Z_OK && code != Z_STREAM_END && code != Z_BUF_ERROR)
        return code == Z_MEM_ERROR ? OUTCOME_QUEUE_FULL : refuse(not_decodable, reason);
    return OUTCOME_OK;
}

static enum outcome inflate_all(struct content_decoder *decoder, size_t at, const uint8_t *bytes,
                                size_t count, const char **reason)
{
    struct stage *stage = &decoder->stages[at];
    enum outcome outcome = OUTCOME_OK;

    if (stage->has_ended && count > 0)
        return refuse(behind_the_end, reason);
    stage->zlib.next_in = (z_const Bytef *)bytes;
    stage->zlib.avail_in = (uInt)count;
    while (outcome == OUTCOME_OK && !stage->has_ended &&
           (stage->zlib.avail_in > 0 || stage->zlib.avail_out == 0))
        outcome = inflate_some(decoder, at, reason);
    return outcome;
}

/* RFC 1950, section 2.2 */
static bool is_zlib_header(const uint8_t *bytes)
{
    return (bytes[0] & 0x0f) == Z_DEFLATED && bytes[0] >> 4 <= 7 &&
           (bytes[0] << 8 | bytes[1]) % 31 == 0;
}

/* Some servers send a bare deflate (RFC 1951) where one in zlib's wrapping is due. */
static enum outcome begin_deflate(struct content_decoder *decoder, size_t at, const char **reason)
{
    struct stage *stage = &decoder->stages[at];

    if (!set_up(stage, is_zlib_header(stage->held) ? MAX_WBITS : -MAX_WBITS))
        return OUTCOME_QUEUE_FULL;
    return inflate_all(decoder, at, stage->held, ZLIB_HEADER_BYTES, reason);
}

/* What comes out of the stage before this one; behind the last, it is the body. */
static enum outcome give(struct content_decoder *decoder, size_t at, const uint8_t *bytes,
                         size_t count, const char **reason)
{
    struct stage *stage = &decoder->stages[at];
    enum outcome outcome = OUTCOME_OK;

    if (at == decoder->stage_count)
        return put_out(decoder->out, bytes, count);
    if (!stage->is_set_up && stage->coding == CONTENT_GZIP && !set_up(stage, GZIP_WINDOW_BITS))
        return OUTCOME_QUEUE_FULL;
    while (!stage->is_set_up && count > 0) {
        stage->held[stage->held_count++] = *bytes++;
        count--;
        if (stage->held_count == ZLIB_HEADER_BYTES)
            outcome = begin_deflate(decoder, at, reason);
    }
    if (outcome != OUTCOME_OK || count == 0)
        return outcome;
    return inflate_all(decoder, at, bytes, count, reason);
}

enum outcome content_decoder_take(struct content_decoder *decoder, const char *bytes, size_t count,
                                  const char **reason)
{
    enum outcome outcome = OUTCOME_OK;

    decoder->has_begun = decoder->has_begun || count > 0;
    while (outcome == OUTCOME_OK && count > 0) {
        size_t piece = count < PIECE_BYTES ? count : PIECE_BYTES; /* zlib counts in 32 bits */

        outcome = give(decoder, 0, (const uint8_t *)bytes, piece, reason);
        bytes += piece;
        count -= piece;
    }
    return outcome;
}

const char *content_decoder_end(const struct content_decoder *decoder)
{
    for (size_t i = 0; decoder->has_begun && i < decoder->stage_count; i++)
        if (!decoder->stages[i].has_ended)
            return cut_short;
    return NULL;
}
