/*
 * What the parts of the load generator share: an answer as it arrives.
 */
#ifndef CALLERS_H
#define CALLERS_H

#include <stdbool.h>
#include <stddef.h>

enum { ANSWER_BYTES = 1 << 20 };

enum progress { PROGRESS_PARTIAL, PROGRESS_DONE, PROGRESS_WRONG };

struct answer {
    char *bytes; // ANSWER_BYTES and one, once something came
    size_t length;
    size_t body_at; // 0: the head is not whole
    size_t body_length;
    int status;
    bool is_complete; // X-Fanout-Complete: true
    bool closes;
};

void answer_reset(struct answer *answer);

/* Reads what has come; DONE: the answer is whole. WRONG: the connection ended, or what came is not
 * HTTP with a Content-Length. */
enum progress answer_read(struct answer *answer, int fd);

#endif
