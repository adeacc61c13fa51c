/*
 * What an attempt came to: from an answer, or a reason why there is none, to
 * an outcome and a message for people.
 */
#ifndef FANOUT_ATTEMPT_RESULT_H
#define FANOUT_ATTEMPT_RESULT_H

#include "fanout/fetch_result.h"

struct address;
struct exchange_response;
struct upstream_settings;

/* Fill the whole result. */
void attempt_result_make(struct fetch_result *result, enum outcome outcome, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void attempt_result_of_denial(struct fetch_result *result, const struct address *address);
/* Takes the response's body over; the result points to its texts. */
void attempt_result_of_answer(struct fetch_result *result, const struct upstream_settings *settings,
                              const struct address *address, struct exchange_response *response);

#endif
