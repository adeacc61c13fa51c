/*
 * The only sender: every answer of the service leaves through here, and is
 * logged here.
 */
#ifndef SERVICE_REPLY_H
#define SERVICE_REPLY_H

#include "fanout/buf.h"
#include "service/call.h"
#include "service/problem.h"

struct pieces;

/*
 * Adds a field to the answer. The value must be free of CR and LF; if it is not, it is left out.
 * Date, Content-Type, Content-Length, X-Request-Id and Connection are there without.
 */
void reply_header(struct call *call, const char *name, const char *value);

/* Whether an answer with that status gets a line in the log, which call->note is for. */
bool reply_is_logged(const struct call *call, unsigned status);

/*
 * Sends the answer; the call must not be touched afterwards. The body is taken over. A HEAD
 * gets the length and no body. The content type is one of ours: short, and constant.
 */
void reply_send(struct call *call, unsigned status, const char *content_type, struct buf *body);
void reply_json(struct call *call, unsigned status, struct buf *body);
void reply_pieces(struct call *call, unsigned status, struct pieces *body);
/* With the status that the problem says. */
void reply_problem(struct call *call, const struct problem *problem);

#endif
