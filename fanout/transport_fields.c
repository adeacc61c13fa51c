/*
 * Lists of header lines for libcurl. It only reads them, so each node is one
 * block with its line, where curl_slist_append would take two and copy.
 */
#include "fanout/transport_fields.h"

#include "fanout/decimal.h"
#include "fanout/http_request.h"
#include "fanout/mem.h"
#include "fanout/upstream.h"

#include <stdlib.h>
#include <string.h>

struct growing_list {
    struct curl_slist *first;
    struct curl_slist **end;
};

static struct curl_slist *new_line(size_t length)
{
    struct curl_slist *node = mem_alloc(sizeof *node + length + 1);

    node->data = (char *)(node + 1);
    node->next = NULL;
    return node;
}

static void add_line(struct growing_list *list, const char *name, const char *separator,
                     const char *value)
{
    struct curl_slist *node = new_line(strlen(name) + strlen(separator) + strlen(value));

    strcpy(stpcpy(stpcpy(node->data, name), separator), value);
    *list->end = node;
    list->end = &node->next;
}

/* A line less, as libcurl formats each byte by byte and searches all of them a dozen times. */
static bool libcurl_sends(const char *name, const char *value)
{
    return header_name_equals(name, "Accept") && strcmp(value, "*/*") == 0;
}

static void add_field(void *arg, const char *name, const char *value)
{
    if (libcurl_sends(name, value))
        return;
    add_line(arg, name, value[0] != '\0' ? ": " : ";", value);
}

/* With a body, nothing of libcurl's own: it shall never wait for 100, and name no type. */
static void add_refusals(struct growing_list *list, const struct fields *fields,
                         const struct header_list *own)
{
    add_line(list, "Expect", ":", "");
    if (header_list_find(&fields->settings->headers, "Content-Type") == NULL &&
        (own == NULL || header_list_find(own, "Content-Type") == NULL))
        add_line(list, "Content-Type", ":", "");
}

static bool replaces(const struct fields *fields, const struct header_list *own, bool has_body)
{
    return http_request_replaces(fields->settings, own) ||
           (has_body && header_list_find(own, "Content-Type") != NULL);
}

void fields_init(struct fields *fields, const struct upstream_settings *settings)
{
    struct growing_list common = {.end = &common.first}, with_body = {.end = &with_body.first};

    *fields = (struct fields){.settings = settings};
    http_request_each_field(settings, NULL, add_field, &common);
    add_refusals(&with_body, fields, NULL);
    *with_body.end = common.first;
    fields->common = common.first;
    fields->with_body = with_body.first;
}

void fields_give_back(const struct fields *fields, struct curl_slist *list)
{
    while (list != NULL && list != fields->common && list != fields->with_body) {
        struct curl_slist *next = list->next;

        free(list);
        list = next;
    }
}

void fields_release(struct fields *fields)
{
    struct curl_slist *common = fields->common, *with_body = fields->with_body;

    fields->with_body = NULL;
    fields_give_back(fields, with_body);
    fields->common = NULL;
    fields_give_back(fields, common);
}

struct curl_slist *fields_take(const struct fields *fields, const struct header_list *own,
                               bool has_body)
{
    struct growing_list list = {.end = &list.first};

    if (own != NULL && replaces(fields, own, has_body)) {
        if (has_body)
            add_refusals(&list, fields, own);
        http_request_each_field(fields->settings, own, add_field, &list);
        return list.first;
    }
    for (size_t i = 0; own != NULL && i < own->count; i++)
        add_field(&list, own->items[i].name, own->items[i].value);
    *list.end = has_body ? fields->with_body : fields->common;
    return list.first;
}

struct curl_slist *fields_new_time_left(const struct fields *fields)
{
    const char *name = fields->settings->deadline_header;

    return name != NULL ? new_line(strlen(name) + strlen(": ") + DECIMAL_SIZE) : NULL;
}

void fields_tell_time_left(const struct fields *fields, struct curl_slist *line, uint64_t left_us)
{
    char *to = stpcpy(stpcpy(line->data, fields->settings->deadline_header), ": ");

    *decimal_write(to, http_request_left_ms(left_us)) = '\0';
}
