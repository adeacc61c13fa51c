/* A call: what evhttp says of its request. */
#include "service/call.h"

#include "fanout/clock.h"

#include <event2/buffer.h>
#include <event2/http.h>
#include <event2/http_struct.h>

static const struct {
    enum evhttp_cmd_type type;
    const char *name;
} methods[] = {
    {EVHTTP_REQ_GET, "GET"},         {EVHTTP_REQ_HEAD, "HEAD"},     {EVHTTP_REQ_POST, "POST"},
    {EVHTTP_REQ_PUT, "PUT"},         {EVHTTP_REQ_DELETE, "DELETE"}, {EVHTTP_REQ_PATCH, "PATCH"},
    {EVHTTP_REQ_OPTIONS, "OPTIONS"}, {EVHTTP_REQ_TRACE, "TRACE"},   {EVHTTP_REQ_CONNECT, "CONNECT"},
};

static const char *method_of(struct evhttp_request *request)
{
    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++)
        if (methods[i].type == evhttp_request_get_command(request))
            return methods[i].name;
    return "?";
}

void call_init(struct call *call, struct evhttp_request *request)
{
    const struct evhttp_uri *uri = evhttp_request_get_evhttp_uri(request);

    *call = (struct call){
        .request = request,
        .method = method_of(request),
        .is_head = evhttp_request_get_command(request) == EVHTTP_REQ_HEAD,
        .is_http_1_0 = request->minor == 0,
        .path = evhttp_uri_get_path(uri) != NULL ? evhttp_uri_get_path(uri) : "",
        .query = evhttp_uri_get_query(uri),
        .started_us = clock_now_us(),
    };
    buf_init(&call->fields, BUF_UNLIMITED);
    request_id_take(call->id, call_header(call, "X-Request-Id"));
}

void call_release(struct call *call)
{
    buf_release(&call->fields);
}

const char *call_header(const struct call *call, const char *name)
{
    return evhttp_find_header(evhttp_request_get_input_headers(call->request), name);
}

const char *call_body(struct call *call, size_t *length)
{
    struct evbuffer *body = evhttp_request_get_input_buffer(call->request);

    *length = evbuffer_get_length(body);
    return *length > 0 ? (const char *)evbuffer_pullup(body, -1) : "";
}
