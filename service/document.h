/*
 * The answer to a call as one JSON document: a sink for a gathering's results,
 * each kept in its place until all are in.
 */
#ifndef SERVICE_DOCUMENT_H
#define SERVICE_DOCUMENT_H

#include "fanout/fetch.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct document;
struct pieces;
struct plan;

/* The plan must outlive the document. */
struct document *document_new(const struct plan *plan);
void document_free(struct document *document);

/* Takes one result over; each index once. */
void document_add(struct document *document, size_t index, struct fetch_result *result);

/* Both once every result is in. */
bool document_is_complete(const struct document *document); /* every result is ok */
/* 200 where the plan's `require` is met, else 502, 503 or 504 by what failed. */
unsigned document_http_status(const struct document *document);

/* " ok=3 failed=1 abandoned=2 first_failure=ads:timeout": for the log. */
void document_summarise(const struct document *document, char *out, size_t size);

/* Large bodies go from the document to the pieces. False: out of memory. */
bool document_write(struct document *document, uint64_t elapsed_us, struct pieces *pieces);

#endif
