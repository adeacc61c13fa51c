/*
 * The only sender. The head of an answer is made here, not by evhttp, which
 * prints field by field, and leaves with the body in one write.
 */
#include "service/reply.h"

#include "fanout/clock.h"
#include "fanout/decimal.h"
#include "fanout/mem.h"
#include "service/connection.h"
#include "service/log.h"
#include "service/pieces.h"

#include <assert.h>
#include <string.h>
#include <time.h>

#define DATE_SIZE        32
#define MAX_CONTENT_TYPE 64
#define JSON             "application/json"
/* Status line, Date, Content-Type, Content-Length, X-Request-Id, Connection. */
#define HEAD_SIZE (64 + DATE_SIZE + MAX_CONTENT_TYPE + DECIMAL_SIZE + REQUEST_ID_SIZE + 128)

void reply_header(struct call *call, const char *name, const char *value)
{
    char shown[LOG_VALUE_SIZE];

    if (strpbrk(value, "\r\n") != NULL) {
        log_event(TRACE_WARN, call->id, "event=bad_reply_header name=%s value=%s", name,
                  log_value(value, shown));
        return;
    }
    buf_append_text(&call->fields, name);
    buf_append_text(&call->fields, ": ");
    buf_append_text(&call->fields, value);
    buf_append_text(&call->fields, "\r\n");
}

/* ---- the log ---- */

static enum trace_level level_of(const struct call *call, unsigned status)
{
    return status >= 500 && call->log_level == TRACE_INFO ? TRACE_WARN : call->log_level;
}

bool reply_is_logged(const struct call *call, unsigned status)
{
    return log_on(level_of(call, status));
}

static void log_reply(const struct call *call, unsigned status, size_t bytes)
{
    char path[LOG_VALUE_SIZE], elapsed[DECIMAL_MS_SIZE + 1];

    *decimal_write_ms(elapsed, clock_now_us() - call->started_us) = '\0';
    log_event(level_of(call, status), call->id,
              "event=answer method=%s path=%s status=%u bytes=%zu elapsed_ms=%s%s", call->method,
              log_value(call->path, path), status, bytes, elapsed, call->note);
}

/* ---- the head ---- */

/* IMF-fixdate (RFC 9110, section 5.6.7), made once a second. */
static const char *date(void)
{
    static _Thread_local char text[DATE_SIZE];
    static _Thread_local time_t made_at = -1;
    time_t now = time(NULL);
    struct tm utc;

    if (now != made_at) {
        gmtime_r(&now, &utc);
        strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S GMT", &utc);
        made_at = now;
    }
    return text;
}

static char *put_connection(char *to, const struct call *call, bool is_last)
{
    if (is_last)
        return stpcpy(to, "Connection: close\r\n");
    return call->is_http_1_0 ? stpcpy(to, "Connection: keep-alive\r\n") : to;
}

/* All but the fields of this one answer. */
static size_t write_head(char head[HEAD_SIZE], const struct call *call, unsigned status,
                         const char *content_type, size_t body_length)
{
    char *to = stpcpy(head, call->is_http_1_0 ? "HTTP/1.0 " : "HTTP/1.1 ");

    assert(strlen(content_type) < MAX_CONTENT_TYPE);
    to = decimal_write(to, status);
    *to++ = ' ';
    to = stpcpy(to, http_phrase(status));
    to = stpcpy(to, "\r\nDate: ");
    to = stpcpy(to, date());
    to = stpcpy(to, "\r\nContent-Type: ");
    to = stpcpy(to, content_type);
    to = stpcpy(to, "\r\nContent-Length: ");
    to = decimal_write(to, body_length);
    to = stpcpy(to, "\r\nX-Request-Id: ");
    to = stpcpy(to, call->id);
    to = stpcpy(to, "\r\n");
    to = put_connection(to, call, connection_closes_after(call));
    return (size_t)(to - head);
}

/* ---- sending ---- */

static void send_pieces(struct call *call, unsigned status, const char *content_type,
                        struct pieces *body)
{
    char head[HEAD_SIZE];
    size_t body_length = pieces_length(body);
    size_t length = write_head(head, call, status, content_type, body_length);

    if (!buf_append_text(&call->fields, "\r\n") || body->text.has_failed)
        mem_abort(); /* half an answer must not leave */
    if (reply_is_logged(call, status))
        log_reply(call, status, body_length);
    if (call->is_head)
        pieces_release(body);
    connection_answer(call, head, length, body);
}

void reply_send(struct call *call, unsigned status, const char *content_type, struct buf *body)
{
    struct pieces pieces;

    pieces_init_text(&pieces, body);
    send_pieces(call, status, content_type, &pieces);
}

void reply_json(struct call *call, unsigned status, struct buf *body)
{
    reply_send(call, status, JSON, body);
}

void reply_pieces(struct call *call, unsigned status, struct pieces *body)
{
    send_pieces(call, status, JSON, body);
}

void reply_problem(struct call *call, const struct problem *problem)
{
    struct buf body;

    buf_init(&body, BUF_UNLIMITED);
    problem_write(problem, call->id, &body);
    reply_send(call, problem->status, "application/problem+json", &body);
}
