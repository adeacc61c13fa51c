/* The head of a request to an upstream. */
#include "fanout/http_request.h"

#include "fanout/mem.h"
#include "fanout/upstream.h"

#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name;
    const char *value;
} defaults[] = {
    {"User-Agent", "fanoutd/" FANOUTD_VERSION},
    {"Accept", "*/*"},
    {"Accept-Encoding", "identity"}, /* what comes coded anyway is decoded */
};

#define DEFAULT_COUNT (sizeof defaults / sizeof defaults[0])

static bool has(const struct header_list *list, const char *name)
{
    return list != NULL && header_list_find(list, name) != NULL;
}

void http_request_each_field(const struct upstream_settings *settings,
                             const struct header_list *own,
                             void (*on_field)(void *arg, const char *name, const char *value),
                             void *arg)
{
    const struct header_list *fixed = &settings->headers;

    for (size_t i = 0; i < DEFAULT_COUNT; i++)
        if (!has(fixed, defaults[i].name) && !has(own, defaults[i].name))
            on_field(arg, defaults[i].name, defaults[i].value);
    for (size_t i = 0; i < fixed->count; i++)
        if (!has(own, fixed->items[i].name))
            on_field(arg, fixed->items[i].name, fixed->items[i].value);
    for (size_t i = 0; own != NULL && i < own->count; i++)
        on_field(arg, own->items[i].name, own->items[i].value);
}

bool http_request_replaces(const struct upstream_settings *settings, const struct header_list *own)
{
    for (size_t i = 0; i < own->count; i++) {
        if (has(&settings->headers, own->items[i].name))
            return true;
        for (size_t j = 0; j < DEFAULT_COUNT; j++)
            if (header_name_equals(defaults[j].name, own->items[i].name))
                return true;
    }
    return false;
}

static void write_field(void *arg, const char *name, const char *value)
{
    struct buf *out = arg;

    buf_append_text(out, name);
    buf_append(out, ": ", 2);
    buf_append_text(out, value);
    buf_append(out, "\r\n", 2);
}

static void write_host(const struct upstream_settings *settings, struct buf *out)
{
    buf_append_text(out, " HTTP/1.1\r\n");
    write_field(out, "Host", settings->url.authority);
}

void http_request_template_init(struct http_request_template *template,
                                const struct upstream_settings *settings)
{
    struct buf rest;

    buf_init(&rest, BUF_UNLIMITED);
    write_host(settings, &rest);
    http_request_each_field(settings, NULL, write_field, &rest);
    if (rest.has_failed)
        mem_abort();
    *template = (struct http_request_template){
        .settings = settings,
        .target = url_target(&settings->url, NULL, NULL),
        .rest = rest.data, /* kept for good */
        .rest_length = rest.len,
    };
    template->target_length = strlen(template->target);
}

void http_request_template_release(struct http_request_template *template)
{
    free(template->target);
    free(template->rest);
}

static void write_first_line(const struct http_request_template *template,
                             const struct http_request *request, struct buf *out)
{
    buf_append_text(out, method_name(request->method));
    buf_append(out, " ", 1);
    if (request->target != NULL)
        buf_append_text(out, request->target);
    else
        buf_append(out, template->target, template->target_length);
}

static void write_fields(const struct http_request_template *template,
                         const struct header_list *own, struct buf *out)
{
    if (own != NULL && http_request_replaces(template->settings, own)) {
        write_host(template->settings, out);
        http_request_each_field(template->settings, own, write_field, out);
        return;
    }
    buf_append(out, template->rest, template->rest_length);
    for (size_t i = 0; own != NULL && i < own->count; i++)
        write_field(out, own->items[i].name, own->items[i].value);
}

uint64_t http_request_left_ms(uint64_t left_us)
{
    return left_us < 1000 ? 1 : left_us / 1000;
}

static void write_number(struct buf *out, const char *name, uint64_t number)
{
    buf_append_text(out, name);
    buf_append(out, ": ", 2);
    buf_append_unsigned(out, number);
    buf_append(out, "\r\n", 2);
}

void http_request_write(const struct http_request_template *template,
                        const struct http_request *request, struct buf *out)
{
    const char *deadline_header = template->settings->deadline_header;

    write_first_line(template, request, out);
    write_fields(template, request->headers, out);
    if (request->has_length)
        write_number(out, "Content-Length", request->body_length);
    if (deadline_header != NULL)
        write_number(out, deadline_header, http_request_left_ms(request->left_us));
    buf_append(out, "\r\n", 2);
}

bool http_request_has_length(enum method method, bool has_body)
{
    return has_body || method == METHOD_POST || method == METHOD_PUT || method == METHOD_PATCH;
}
