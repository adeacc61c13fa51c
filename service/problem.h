/*
 * What is wrong with a request (RFC 9457, application/problem+json): the
 * exact place, what was found and what would have been right.
 */
#ifndef SERVICE_PROBLEM_H
#define SERVICE_PROBLEM_H

#include "fanout/buf.h"

#include <stdbool.h>
#include <stddef.h>

#define PROBLEM_DETAIL_SIZE 512
#define PROBLEM_PLACE_SIZE  384

struct problem {
    unsigned status; /* 0: none */
    char detail[PROBLEM_DETAIL_SIZE];
    char pointer[PROBLEM_PLACE_SIZE];   /* into the document (RFC 6901); empty: none */
    char parameter[PROBLEM_PLACE_SIZE]; /* of the query; empty: none */
};

/* Sets status and detail; returns false, so that a check can end with it. */
bool problem_set(struct problem *problem, unsigned status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* The place, for a problem that is set. */
void problem_at_parameter(struct problem *problem, const char *name);
void problem_at_pointer(struct problem *problem, const char *pointer);

/* Adds one step to a JSON pointer, with '~' and '/' escaped; what does not fit is cut. */
void problem_pointer_add(char pointer[PROBLEM_PLACE_SIZE], const char *name);

/* Adds ` (did you mean "x"?)` where one of the names is near enough to `wrong`. */
void problem_suggest(struct problem *problem, const char *wrong, const char *const *names,
                     size_t count);

/* The standard phrase of a status that we send (RFC 9110, section 15). */
const char *http_phrase(unsigned status);

void problem_write(const struct problem *problem, const char *request_id, struct buf *out);

#endif
