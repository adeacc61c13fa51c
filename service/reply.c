/* The only sender. */
#include "service/reply.h"

#include "fanout/clock.h"
#include "fanout/mem.h"
#include "service/connection.h"
#include "service/log.h"

#include <event2/buffer.h>
#include <event2/http.h>
#include <stdio.h>
#include <stdlib.h>

void reply_header(struct call *call, const char *name, const char *value)
{
    char shown[LOG_VALUE_SIZE];

    if (evhttp_add_header(evhttp_request_get_output_headers(call->request), name, value) != 0)
        log_event(TRACE_WARN, call->id, "event=bad_reply_header name=%s value=%s", name,
                  log_value(value, shown));
}

static void log_reply(const struct call *call, unsigned status, size_t bytes)
{
    enum trace_level level = call->log_level;
    char path[LOG_VALUE_SIZE];

    if (status >= 500 && level == TRACE_INFO)
        level = TRACE_WARN;
    log_event(level, call->id,
              "event=answer method=%s path=%s status=%u bytes=%zu elapsed_ms=%.1f%s", call->method,
              log_value(call->path, path), status, bytes,
              (double)(clock_now_us() - call->started_us) / 1000, call->note);
}

static void on_body_sent(const void *data, size_t length, void *arg)
{
    (void)data, (void)length;
    buf_release(arg);
    free(arg);
}

/* Hands the bytes over without a copy; they count against their budget until they are sent. */
static struct evbuffer *to_evbuffer(struct buf *body)
{
    struct evbuffer *out = evbuffer_new();
    struct buf *kept = mem_alloc(sizeof *kept);

    buf_move(kept, body);
    if (out == NULL || kept->len == 0 ||
        evbuffer_add_reference(out, kept->data, kept->len, on_body_sent, kept) != 0)
        on_body_sent(NULL, 0, kept);
    return out;
}

void reply_send(struct call *call, unsigned status, const char *content_type, struct buf *body)
{
    struct evhttp_request *request = call->request;
    struct evbuffer *out = NULL;
    char length[24];

    reply_header(call, "Content-Type", content_type);
    reply_header(call, "X-Request-Id", call->id);
    if (connection_send(call))
        reply_header(call, "Connection", "close");
    log_reply(call, status, body->len);
    if (call->is_head) {
        snprintf(length, sizeof length, "%zu", body->len);
        reply_header(call, "Content-Length", length);
        buf_release(body);
    } else {
        out = to_evbuffer(body);
    }
    evhttp_send_reply(request, (int)status, http_phrase(status), out);
    if (out != NULL)
        evbuffer_free(out);
}

void reply_json(struct call *call, unsigned status, struct buf *body)
{
    reply_send(call, status, "application/json", body);
}

void reply_problem(struct call *call, const struct problem *problem)
{
    struct buf body;

    buf_init(&body, BUF_UNLIMITED);
    problem_write(problem, call->id, &body);
    reply_send(call, problem->status, "application/problem+json", &body);
}
