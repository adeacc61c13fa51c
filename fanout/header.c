/* Header fields: lists, and what may stand in one. */
#include "fanout/header.h"

#include "fanout/mem.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define MAX_NAME_LENGTH 256

static const char *const reserved[] = {
    "Connection",
    "Content-Length",
    "Expect",
    "Host",
    "HTTP2-Settings",
    "Keep-Alive",
    "Proxy-Authenticate",
    "Proxy-Authorization",
    "Proxy-Connection",
    "TE",
    "Trailer",
    "Transfer-Encoding",
    "Upgrade",
};

bool header_name_is_valid(const char *name, size_t length)
{
    static const char token[] = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz"
                                "ABCDEFGHIJKLMNOPQRSTUVWXYZ";

    if (length == 0 || length > MAX_NAME_LENGTH)
        return false;
    for (size_t i = 0; i < length; i++)
        if (name[i] == '\0' || strchr(token, name[i]) == NULL)
            return false;
    return true;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

bool header_value_is_valid(const char *value, size_t length)
{
    if (length > 0 && (is_blank(value[0]) || is_blank(value[length - 1])))
        return false;
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)value[i];

        if ((c < 0x20 && c != '\t') || c == 0x7f)
            return false;
    }
    return true;
}

bool header_is_reserved(const char *name)
{
    for (size_t i = 0; i < sizeof reserved / sizeof reserved[0]; i++)
        if (strcasecmp(reserved[i], name) == 0)
            return true;
    return false;
}

/* Most names differ in their first letter already. */
static struct header *find(const struct header_list *list, const char *name)
{
    for (size_t i = 0; i < list->count; i++)
        if (header_name_equals(list->items[i].name, name))
            return &list->items[i];
    return NULL;
}

const struct header *header_list_find(const struct header_list *list, const char *name)
{
    return find(list, name);
}

void header_list_add(struct header_list *list, const char *name, const char *value)
{
    if (list->count == list->room) {
        list->room = list->room > 0 ? list->room * 2 : 4;
        list->items = mem_realloc(list->items, list->room * sizeof list->items[0]);
    }
    list->items[list->count++] = (struct header){mem_strdup(name), mem_strdup(value)};
}

void header_list_set(struct header_list *list, const char *name, const char *value)
{
    struct header *header = find(list, name);

    if (header == NULL) {
        header_list_add(list, name, value);
        return;
    }
    free(header->value);
    header->value = mem_strdup(value);
}

void header_list_release(struct header_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        free(list->items[i].name);
        free(list->items[i].value);
    }
    mem_free(list->items);
    *list = (struct header_list){0};
}
