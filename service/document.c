/*
 * The answer document:
 *
 *   {"status":"partial","elapsed_ms":41.8,
 *    "results":[{"id":…,"ok":…,"status":…,"elapsed_ms":…,"attempts":…,"via":…,"body":…}, …],
 *    "errors":[{"id":…,"code":…,"message":…,"retryable":…}, …]}
 *
 * JSON bodies are spliced in as they came, byte for byte: large ones as pieces of their own.
 */
#include "service/document.h"

#include "fanout/json.h"
#include "fanout/mem.h"
#include "fanout/upstream.h"
#include "service/pieces.h"
#include "service/plan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BYTES_PER_RESULT 320 /* what stands around a body, about */

struct document {
    const struct plan *plan;
    size_t ok_count;
    size_t timeout_count; /* failures by what they make of the HTTP status */
    size_t shed_count;
    size_t abandoned_count; /* neither ok nor failures */
    bool lacks_required;    /* a result of an upstream that is required is not ok */
    struct document_result {
        enum outcome outcome;
        unsigned status;
        unsigned attempts;
        uint64_t elapsed_us;
        bool retryable;
        enum fetch_via via;
        enum body_kind body_kind;
        struct buf body;
        char *content_type; /* NULL: none */
        char *message;      /* NULL when ok */
    } results[];
};

struct document *document_new(const struct plan *plan)
{
    struct document *document =
        mem_zalloc(sizeof *document + plan->count * sizeof document->results[0]);

    document->plan = plan;
    return document;
}

void document_free(struct document *document)
{
    for (size_t i = 0; i < document->plan->count; i++) {
        buf_release(&document->results[i].body);
        mem_free(document->results[i].content_type);
        mem_free(document->results[i].message);
    }
    free(document);
}

static bool shows_content_type(enum body_kind kind)
{
    return kind == BODY_TEXT || kind == BODY_BINARY;
}

void document_add(struct document *document, size_t index, struct fetch_result *result)
{
    struct document_result *kept = &document->results[index];

    kept->outcome = result->outcome;
    kept->status = result->status;
    kept->attempts = result->attempts;
    kept->elapsed_us = result->elapsed_us;
    kept->retryable = result->retryable;
    kept->via = result->via;
    kept->body_kind = result->body_kind;
    buf_move(&kept->body, &result->body);
    if (shows_content_type(result->body_kind))
        kept->content_type = mem_strdup(result->content_type);
    if (result->outcome != OUTCOME_OK)
        kept->message = mem_strdup(result->message);
    document->ok_count += result->outcome == OUTCOME_OK;
    document->timeout_count += outcome_info(result->outcome)->kind == OUTCOME_CLASS_TIMEOUT;
    document->shed_count += outcome_info(result->outcome)->kind == OUTCOME_CLASS_SHED;
    document->abandoned_count += result->outcome == OUTCOME_ABANDONED;
    if (result->outcome != OUTCOME_OK &&
        document->plan->fetches[index].upstream->settings->required)
        document->lacks_required = true;
}

bool document_is_complete(const struct document *document)
{
    return document->ok_count == document->plan->count;
}

unsigned document_http_status(const struct document *document)
{
    size_t failed = document->plan->count - document->ok_count - document->abandoned_count;

    if (document->ok_count >= plan_needed(document->plan) && !document->lacks_required)
        return 200;
    if (document->timeout_count == failed)
        return 504;
    return document->shed_count == failed ? 503 : 502;
}

static bool has_failed(const struct document_result *result)
{
    return result->outcome != OUTCOME_OK && result->outcome != OUTCOME_ABANDONED;
}

void document_summarise(const struct document *document, char *out, size_t size)
{
    size_t count = document->plan->count, first = 0;
    size_t length = (size_t)snprintf(out, size, " ok=%zu failed=%zu", document->ok_count,
                                     count - document->ok_count - document->abandoned_count);

    if (document->abandoned_count > 0)
        length += (size_t)snprintf(out + length, size - length, " abandoned=%zu",
                                   document->abandoned_count);
    while (first < count && !has_failed(&document->results[first]))
        first++;
    if (first < count)
        snprintf(out + length, size - length, " first_failure=%s:%s",
                 document->plan->fetches[first].upstream->settings->name,
                 outcome_info(document->results[first].outcome)->name);
}

/* ---- writing ---- */

static const char *status_word(const struct document *document)
{
    if (document_is_complete(document))
        return "ok";
    return document->ok_count > 0 ? "partial" : "failed";
}

static void write_text(struct buf *out, const char *text)
{
    json_write_string(out, text, strlen(text));
}

/* An upstream's name has nothing in it that would have to be escaped. */
static void write_id(const struct document *document, size_t index, struct buf *out)
{
    const struct plan_entry *entry = &document->plan->entries[index];

    if (entry->own_id != NULL) {
        write_text(out, entry->own_id);
        return;
    }
    buf_append(out, "\"", 1);
    buf_append_text(out, entry->id);
    buf_append(out, "\"", 1);
}

static void write_bool(struct buf *out, bool value)
{
    buf_append_text(out, value ? "true" : "false");
}

static void write_body(struct document_result *result, struct pieces *pieces)
{
    struct buf *body = &result->body;
    struct buf *out = &pieces->text;

    if (shows_content_type(result->body_kind)) {
        buf_append_text(out, ",\"content_type\":");
        if (result->content_type != NULL)
            write_text(out, result->content_type);
        else
            buf_append_text(out, "null");
    }
    if (result->body_kind == BODY_BINARY)
        buf_append_text(out, ",\"encoding\":\"base64\"");
    buf_append_text(out, ",\"body\":");
    switch (result->body_kind) {
    case BODY_NONE:
        buf_append_text(out, "null");
        break;
    case BODY_JSON:
        pieces_add_body(pieces, body);
        break;
    case BODY_TEXT:
        json_write_string(out, body->data, body->len);
        break;
    case BODY_BINARY:
        json_write_base64(out, body->data, body->len);
        break;
    }
}

static void write_error(const struct document_result *result, struct buf *out)
{
    buf_append_text(out, "\"code\":\"");
    buf_append_text(out, outcome_info(result->outcome)->name);
    buf_append_text(out, "\",\"message\":");
    write_text(out, result->message);
    buf_append_text(out, ",\"retryable\":");
    write_bool(out, result->retryable);
}

static void write_result(struct document *document, size_t index, struct pieces *pieces)
{
    struct document_result *result = &document->results[index];
    struct buf *out = &pieces->text;

    if (document->plan->shape == SHAPE_MAP) {
        write_id(document, index, out);
        buf_append_text(out, ":");
    }
    buf_append_text(out, "{\"id\":");
    write_id(document, index, out);
    buf_append_text(out, ",\"ok\":");
    write_bool(out, result->outcome == OUTCOME_OK);
    buf_append_text(out, ",\"status\":");
    if (result->status != 0)
        buf_append_unsigned(out, result->status);
    else
        buf_append_text(out, "null");
    buf_append_text(out, ",\"elapsed_ms\":");
    buf_append_ms(out, result->elapsed_us);
    buf_append_text(out, ",\"attempts\":");
    buf_append_unsigned(out, result->attempts);
    if (result->via != FETCH_VIA_FIRST) {
        buf_append_text(out, ",\"via\":\"");
        buf_append_text(out, fetch_via_name(result->via));
        buf_append_text(out, "\"");
    }
    write_body(result, pieces);
    if (result->outcome != OUTCOME_OK) {
        buf_append_text(out, ",\"error\":{");
        write_error(result, out);
        buf_append_text(out, "}");
    }
    buf_append_text(out, "}");
}

static void write_results(struct document *document, struct pieces *pieces)
{
    bool is_map = document->plan->shape == SHAPE_MAP;
    struct buf *out = &pieces->text;

    buf_append_text(out, is_map ? "{" : "[");
    for (size_t i = 0; i < document->plan->count; i++) {
        buf_append_text(out, i > 0 ? ",\n" : "\n");
        write_result(document, i, pieces);
    }
    buf_append_text(out, is_map ? "}" : "]");
}

static void write_errors(const struct document *document, struct buf *out)
{
    const char *separator = "\n";

    buf_append_text(out, "[");
    for (size_t i = 0; i < document->plan->count; i++) {
        if (document->results[i].outcome == OUTCOME_OK)
            continue;
        buf_append_text(out, separator);
        buf_append_text(out, "{\"id\":");
        write_id(document, i, out);
        buf_append_text(out, ",");
        write_error(&document->results[i], out);
        buf_append_text(out, "}");
        separator = ",\n";
    }
    buf_append_text(out, "]");
}

static size_t bytes_to_copy(const struct document_result *result)
{
    bool is_piece = result->body_kind == BODY_JSON && result->body.len >= PIECES_LEAST_BYTES;

    return is_piece ? 0 : result->body.len;
}

/* One allocation is enough where no body needs escaping. */
static bool reserve(const struct document *document, struct buf *out)
{
    size_t bytes = 128;

    for (size_t i = 0; i < document->plan->count; i++)
        bytes += BYTES_PER_RESULT + bytes_to_copy(&document->results[i]);
    return buf_reserve(out, bytes);
}

bool document_write(struct document *document, uint64_t elapsed_us, struct pieces *pieces)
{
    struct buf *out = &pieces->text;

    if (!reserve(document, out))
        return false;
    buf_append_text(out, "{\"status\":\"");
    buf_append_text(out, status_word(document));
    buf_append_text(out, "\",\"elapsed_ms\":");
    buf_append_ms(out, elapsed_us);
    buf_append_text(out, ",\n\"results\":");
    write_results(document, pieces);
    buf_append_text(out, ",\n\"errors\":");
    write_errors(document, out);
    return buf_append(out, "}\n", 2);
}
