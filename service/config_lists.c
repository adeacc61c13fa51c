/* The types of lists: each item is read on its own and appended. */
#include "fanout/mem.h"
#include "service/config_internal.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

void config_print_comma(size_t index, FILE *out)
{
    fputs(index > 0 ? ", " : " ", out);
}

static bool read_address(struct config_value *value)
{
    struct config *config = value->object;
    struct address address;

    if (address_parse_ip(value->text, 0, &address))
        return config_refuse(value, "a port is missing, like 0.0.0.0:8080 or [::]:8080");
    if (!address_parse(value->text, &address))
        return config_refuse(value, "must be a numeric address and a port, "
                                    "like 0.0.0.0:8080 or [::]:8080");
    for (size_t i = 0; i < config->listen_count; i++)
        if (address_port(&address) != 0 && address_equals(&address, &config->listen[i]))
            return config_refuse(value, "listed twice");
    config->listen =
        mem_realloc(config->listen, (config->listen_count + 1) * sizeof config->listen[0]);
    config->listen[config->listen_count++] = address;
    return true;
}

static void print_addresses(const struct config_option *option, const void *object,
                            const struct config *config, FILE *out)
{
    char text[ADDRESS_TEXT_SIZE];

    (void)option;
    (void)object;
    fputc('{', out);
    for (size_t i = 0; i < config->listen_count; i++) {
        config_print_comma(i, out);
        fprintf(out, "\"%s\"", address_print(&config->listen[i], text));
    }
    fputs(" }", out);
}

/* Kept as one text, which is how c-ares takes them. */
static bool read_server(struct config_value *value)
{
    struct resolver_settings *resolver = value->object;
    char text[ADDRESS_TEXT_SIZE];
    struct address address;
    char *servers;

    if ((!address_parse_ip(value->text, 53, &address) && !address_parse(value->text, &address)) ||
        address_port(&address) == 0)
        return config_refuse(value, "must be a numeric address, with or without a port, "
                                    "like 127.0.0.53 or 127.0.0.1:5353");
    address_print(&address, text);
    servers =
        resolver->servers == NULL ? mem_strdup(text) : mem_printf("%s,%s", resolver->servers, text);
    free((char *)resolver->servers);
    resolver->servers = servers;
    return true;
}

static void print_servers(const struct config_option *option, const void *object,
                          const struct config *config, FILE *out)
{
    const char *at = config->resolver.servers;

    (void)option;
    (void)object;
    fputc('{', out);
    for (size_t i = 0; at != NULL && *at != '\0'; i++) {
        size_t length = strcspn(at, ",");

        config_print_comma(i, out);
        fprintf(out, "\"%.*s\"", (int)length, at);
        at += length + (at[length] == ',');
    }
    fputs(" }", out);
}

static bool read_denied(struct config_value *value)
{
    struct config *config = value->object;
    struct address_range range;
    const char *wrong = deny_parse(value->text, &range);

    if (wrong != NULL)
        return config_refuse(value, "%s", wrong);
    deny_list_add(&config->denied, &range);
    return true;
}

static void print_denied(const struct config_option *option, const void *object,
                         const struct config *config, FILE *out)
{
    char text[DENY_TEXT_SIZE];

    (void)option;
    (void)object;
    fputc('{', out);
    for (size_t i = 0; i < config->denied.count; i++) {
        config_print_comma(i, out);
        fprintf(out, "\"%s\"", deny_print(&config->denied.ranges[i], text));
    }
    fputs(" }", out);
}

bool config_check_header_name(struct config_value *value, const char *name)
{
    if (!header_name_is_valid(name, strlen(name)))
        return config_refuse(value, "not a header name");
    if (header_is_reserved(name))
        return config_refuse(value, "%s is ours to send: it can't be set", name);
    return true;
}

static bool read_header(struct config_value *value)
{
    struct upstream_settings *upstream = value->object;
    const char *colon = strchr(value->text, ':');
    char *name;
    char *content;
    size_t length;
    bool ok;

    if (colon == NULL)
        return config_refuse(value, "must be written \"Name: value\"");
    content = mem_strdup(colon + 1 + strspn(colon + 1, " \t"));
    for (length = strlen(content);
         length > 0 && (content[length - 1] == ' ' || content[length - 1] == '\t'); length--)
        content[length - 1] = '\0';
    name = mem_strndup(value->text, (size_t)(colon - value->text));
    ok = config_check_header_name(value, name);
    if (ok && !header_value_is_valid(content, length))
        ok = config_refuse(value, "the value of %s holds a control byte", name);
    else if (ok && header_list_find(&upstream->headers, name) != NULL)
        ok = config_refuse(value, "%s is listed twice", name);
    else if (ok)
        header_list_add(&upstream->headers, name, content);
    free(name);
    free(content);
    return ok;
}

static void print_headers(const struct config_option *option, const void *object,
                          const struct config *config, FILE *out)
{
    const struct upstream_settings *upstream = object;

    (void)option;
    (void)config;
    fputc('{', out);
    for (size_t i = 0; i < upstream->headers.count; i++) {
        const struct header *header = &upstream->headers.items[i];
        char *text = mem_printf("%s: %s", header->name, header->value);

        config_print_comma(i, out);
        config_print_quoted(text, out);
        free(text);
    }
    fputs(" }", out);
}

static bool is_status(const char *text, unsigned *status)
{
    if (strspn(text, "0123456789") < 3)
        return false;
    *status = (unsigned)(text[0] - '0') * 100 + (unsigned)(text[1] - '0') * 10 +
              (unsigned)(text[2] - '0');
    return *status >= 100 && *status <= 599;
}

bool config_parse_statuses(const char *text, struct status_range *range)
{
    if (text[0] >= '1' && text[0] <= '5' && strcmp(text + 1, "xx") == 0) {
        range->low = (unsigned)(text[0] - '0') * 100;
        range->high = range->low + 99;
        return true;
    }
    if (!is_status(text, &range->low))
        return false;
    range->high = range->low;
    if (text[3] == '\0')
        return true;
    return text[3] == '-' && is_status(text + 4, &range->high) && text[7] == '\0' &&
           range->low <= range->high;
}

static bool read_success(struct config_value *value)
{
    struct upstream_settings *upstream = value->object;
    struct status_range range;

    if (!config_parse_statuses(value->text, &range))
        return config_refuse(value, "must be like 2xx, 404 or 200-299, from 100 to 599");
    upstream->success =
        mem_realloc(upstream->success, (upstream->success_count + 1) * sizeof range);
    upstream->success[upstream->success_count++] = range;
    return true;
}

void config_print_statuses(const struct status_range *range, FILE *out)
{
    if (range->low == range->high)
        fprintf(out, "%u", range->low);
    else if (range->low % 100 == 0 && range->high == range->low + 99)
        fprintf(out, "%uxx", range->low / 100);
    else
        fprintf(out, "%u-%u", range->low, range->high);
}

static void print_success(const struct config_option *option, const void *object,
                          const struct config *config, FILE *out)
{
    const struct upstream_settings *upstream = object;

    (void)option;
    (void)config;
    fputc('{', out);
    for (size_t i = 0; i < upstream->success_count; i++) {
        config_print_comma(i, out);
        config_print_statuses(&upstream->success[i], out);
    }
    fputs(" }", out);
}

static bool read_method(struct config_value *value)
{
    struct upstream_settings *upstream = value->object;
    const char *names[METHOD_COUNT + 1] = {NULL};
    enum method method;
    unsigned bit;

    for (unsigned i = 0; i < METHOD_COUNT; i++)
        names[i] = method_name((enum method)i);
    if (!method_parse(value->text, strlen(value->text), &method)) {
        config_refuse(value, "must be one of");
        for (unsigned i = 0; i < METHOD_COUNT; i++)
            config_refuse(value, "%s %s", i > 0 ? "," : "", names[i]);
        config_suggest(&value->why, value->text, names);
        return false;
    }
    bit = 1u << method;
    if ((upstream->allow_methods & bit) != 0)
        return config_refuse(value, "listed twice");
    upstream->allow_methods |= bit;
    return true;
}

static void print_methods(const struct config_option *option, const void *object,
                          const struct config *config, FILE *out)
{
    const struct upstream_settings *upstream = object;
    size_t count = 0;

    (void)option;
    (void)config;
    fputc('{', out);
    for (unsigned i = 0; i < METHOD_COUNT; i++) {
        if ((upstream->allow_methods >> i & 1) == 0)
            continue;
        config_print_comma(count++, out);
        fputs(method_name((enum method)i), out);
    }
    fputs(" }", out);
}

static bool read_header_name(struct config_value *value)
{
    struct upstream_settings *upstream = value->object;
    struct string_list *list = &upstream->forward_headers;

    if (!config_check_header_name(value, value->text))
        return false;
    for (size_t i = 0; i < list->count; i++)
        if (strcasecmp(list->items[i], value->text) == 0)
            return config_refuse(value, "listed twice");
    list->items = mem_realloc(list->items, (list->count + 1) * sizeof list->items[0]);
    list->items[list->count++] = mem_strdup(value->text);
    return true;
}

static void print_header_names(const struct config_option *option, const void *object,
                               const struct config *config, FILE *out)
{
    const struct upstream_settings *upstream = object;

    (void)option;
    (void)config;
    fputc('{', out);
    for (size_t i = 0; i < upstream->forward_headers.count; i++) {
        config_print_comma(i, out);
        config_print_quoted(upstream->forward_headers.items[i], out);
    }
    fputs(" }", out);
}

/* The upstreams may stand further down in the file: names are looked up at its end. */
static bool read_upstream_name(struct config_value *value)
{
    struct config_loader *loader = value->loader;
    const struct config_endpoint *endpoint = value->object;

    loader->references = mem_realloc(loader->references,
                                     (loader->reference_count + 1) * sizeof loader->references[0]);
    loader->references[loader->reference_count++] = (struct config_reference){
        .endpoint = (size_t)(endpoint - loader->config->endpoints),
        .name = mem_strdup(value->text),
        .spot = loader->spot,
    };
    return true;
}

static void print_upstream_names(const struct config_option *option, const void *object,
                                 const struct config *config, FILE *out)
{
    const struct config_endpoint *endpoint = object;

    (void)option;
    fputc('{', out);
    for (size_t i = 0; i < endpoint->upstream_count; i++) {
        config_print_comma(i, out);
        fputs(config->upstreams[endpoint->upstreams[i]].name, out);
    }
    fputs(" }", out);
}

const struct config_type config_addresses = {true, read_address, print_addresses};
const struct config_type config_servers = {true, read_server, print_servers};
const struct config_type config_denied = {true, read_denied, print_denied};
const struct config_type config_headers = {true, read_header, print_headers};
const struct config_type config_statuses = {true, read_success, print_success};
const struct config_type config_methods = {true, read_method, print_methods};
const struct config_type config_header_names = {true, read_header_name, print_header_names};
const struct config_type config_upstream_names = {true, read_upstream_name, print_upstream_names};
