/*
 * The configuration: reads a file into one immutable snapshot, fills in the defaults, and checks
 * what can be checked only when the whole file is known.
 */
#include "service/config_internal.h"

#include "fanout/mem.h"

#include <assert.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_ENDPOINT   "/fetch-multiple"
#define MAX_ERRORS_WRITTEN 50

static void write_error(struct config_loader *loader, struct config_spot spot,
                        const struct config_frame *frame, const char *message)
{
    const char *name = frame != NULL ? config_section(frame->kind)->name : NULL;
    const char *title = frame != NULL && frame->title != NULL ? frame->title : "";
    char *line;

    if (spot.line > 0)
        line = mem_printf("%s:%d: ", spot.file, spot.line);
    else
        line = mem_printf("%s: ", spot.file);
    fputs(line, loader->errors);
    free(line);
    line = name == NULL
               ? mem_strdup(message)
               : mem_printf("%s%s%.80s: %s", name, title[0] != '\0' ? " " : "", title, message);
    /* What was found in the file may hold anything; an error is one line. */
    for (char *at = line; *at != '\0'; at++) {
        if (*at == CONFIG_VARIABLE_MARK)
            *at = '$';
        else if ((unsigned char)*at < 0x20 || *at == 0x7f)
            *at = '?';
    }
    fprintf(loader->errors, "%s\n", line);
    free(line);
}

void config_report(struct config_loader *loader, struct config_spot spot,
                   const struct config_frame *frame, const char *format, ...)
{
    va_list arguments;
    char *message = NULL;

    if (++loader->error_count > MAX_ERRORS_WRITTEN)
        return;
    va_start(arguments, format);
    if (vasprintf(&message, format, arguments) < 0)
        message = NULL;
    va_end(arguments);
    write_error(loader, spot, frame, message != NULL ? message : "out of memory");
    free(message);
}

const char *config_file_name(struct config_loader *loader, const char *path)
{
    struct string_list *files = &loader->files;

    for (size_t i = 0; i < files->count; i++)
        if (strcmp(files->items[i], path) == 0)
            return files->items[i];
    files->items = mem_realloc(files->items, (files->count + 1) * sizeof files->items[0]);
    files->items[files->count] = mem_strdup(path);
    return files->items[files->count++];
}

static size_t add_upstream(struct config *config, const char *name)
{
    config->upstreams =
        mem_realloc(config->upstreams, (config->upstream_count + 1) * sizeof config->upstreams[0]);
    config->upstreams[config->upstream_count] =
        (struct upstream_settings){.name = mem_strdup(name)};
    return config->upstream_count++;
}

static size_t add_endpoint(struct config *config, const char *path)
{
    config->endpoints =
        mem_realloc(config->endpoints, (config->endpoint_count + 1) * sizeof config->endpoints[0]);
    config->endpoints[config->endpoint_count] = (struct config_endpoint){.path = mem_strdup(path)};
    return config->endpoint_count++;
}

const struct config_frame *config_frame_begin(struct config_loader *loader,
                                              enum config_section_kind kind, const char *title)
{
    struct config_frame *frame;

    loader->frames =
        mem_realloc(loader->frames, (loader->frame_count + 1) * sizeof loader->frames[0]);
    frame = &loader->frames[loader->frame_count++];
    *frame = (struct config_frame){.kind = kind, .title = mem_strdup(title), .begin = loader->spot};
    if (kind == SECTION_UPSTREAM)
        frame->index = add_upstream(loader->config, title);
    if (kind == SECTION_ENDPOINT)
        frame->index = add_endpoint(loader->config, title);
    return frame;
}

static void take_default_item(struct config_loader *loader, const struct config_frame *frame,
                              const struct config_option *option, const char *text)
{
    struct config_value value = {.loader = loader, .option = option, .text = text};
    bool ok;

    value.object = config_object(loader->config, frame->kind, frame->index);
    buf_init(&value.why, BUF_UNLIMITED);
    ok = option->type->read(&value);
    assert(ok); /* the tables hold good defaults */
    (void)ok;
    buf_release(&value.why);
}

static void take_default(struct config_loader *loader, const struct config_frame *frame,
                         const struct config_option *option)
{
    char *text = mem_strdup(option->fallback);
    char *rest = text, *item;

    while ((item = option->type->is_list ? strsep(&rest, " ") : text) != NULL) {
        take_default_item(loader, frame, option, item);
        if (!option->type->is_list)
            break;
    }
    free(text);
}

void config_frame_end(struct config_loader *loader, const struct config_frame *frame)
{
    const struct config_section *section = config_section(frame->kind);

    for (size_t i = 0; i < section->option_count; i++) {
        const struct config_option *option = &section->options[i];

        if (frame->seen[i].line > 0)
            continue;
        if (option->fallback == NULL)
            config_report(loader, frame->begin, frame, "%s is missing (%s)", option->name,
                          option->help);
        else if (option->fallback[0] != '\0')
            take_default(loader, frame, option);
    }
}

/* Where an option of a section stands; where the section does if it is not given. */
static struct config_spot spot_of(const struct config_frame *frame, const char *name)
{
    const struct config_option *option = config_section_find(frame->kind, name);
    struct config_spot seen = frame->seen[option - config_section(frame->kind)->options];

    return seen.line > 0 ? seen : frame->begin;
}

static void report_unknown_upstream(struct config_loader *loader,
                                    const struct config_reference *reference,
                                    const struct config_frame *frame)
{
    const struct config *config = loader->config;
    const char **names = mem_array(config->upstream_count + 1, sizeof names[0]);
    struct buf hint;

    buf_init(&hint, BUF_UNLIMITED);
    for (size_t i = 0; i < config->upstream_count; i++)
        names[i] = config->upstreams[i].name;
    config_suggest(&hint, reference->name, names);
    config_report(loader, reference->spot, frame, "unknown upstream '%.80s'%.*s", reference->name,
                  (int)hint.len, hint.len > 0 ? hint.data : "");
    buf_release(&hint);
    free(names);
}

static void append_upstream(struct config_endpoint *endpoint, size_t index)
{
    size_t *upstreams = mem_realloc((size_t *)endpoint->upstreams,
                                    (endpoint->upstream_count + 1) * sizeof upstreams[0]);

    upstreams[endpoint->upstream_count++] = index;
    endpoint->upstreams = upstreams;
}

static void resolve(struct config_loader *loader, const struct config_reference *reference,
                    const struct config_frame *frame)
{
    struct config *config = loader->config;
    struct config_endpoint *endpoint = &config->endpoints[reference->endpoint];
    const struct upstream_settings *upstream = config_upstream(config, reference->name);
    size_t index;

    if (upstream == NULL) {
        report_unknown_upstream(loader, reference, frame);
        return;
    }
    index = (size_t)(upstream - config->upstreams);
    for (size_t i = 0; i < endpoint->upstream_count; i++) {
        if (endpoint->upstreams[i] == index) {
            config_report(loader, reference->spot, frame, "upstream '%s' is listed twice",
                          reference->name);
            return;
        }
    }
    append_upstream(endpoint, index);
}

static void fill_endpoint(struct config_loader *loader, const struct config_frame *frame)
{
    struct config *config = loader->config;
    struct config_endpoint *endpoint = &config->endpoints[frame->index];
    bool has_references = false;

    for (size_t i = 0; i < loader->reference_count; i++) {
        if (loader->references[i].endpoint == frame->index) {
            resolve(loader, &loader->references[i], frame);
            has_references = true;
        }
    }
    for (size_t i = 0; i < config->upstream_count && !has_references; i++)
        append_upstream(endpoint, i);
    if (endpoint->deadline_us == 0)
        endpoint->deadline_us = config->deadline_us;
}

static void force_transport(struct config *config)
{
    for (size_t i = 0; i < config->upstream_count && config->transport == TRANSPORT_CURL; i++)
        config->upstreams[i].transport = TRANSPORT_CURL;
}

static void check_endpoint(struct config_loader *loader, const struct config_frame *frame)
{
    const struct config_endpoint *endpoint = &loader->config->endpoints[frame->index];

    if (endpoint->require.kind == REQUIRE_COUNT &&
        endpoint->require.count > endpoint->upstream_count)
        config_report(loader, spot_of(frame, "require"), frame,
                      "require %zu can't be met by %zu upstream%s", endpoint->require.count,
                      endpoint->upstream_count, endpoint->upstream_count == 1 ? "" : "s");
}

static void check_top(struct config_loader *loader, const struct config_frame *frame)
{
    const struct config *config = loader->config;
    uint16_t port = config->has_demo_listen ? address_port(&config->demo_listen) : 0;

    for (size_t i = 0; i < config->listen_count && port != 0; i++)
        if (address_port(&config->listen[i]) == port)
            config_report(loader, spot_of(frame, "demo_listen"), NULL,
                          "demo_listen needs another port than listen has");
}

static void check_resolver(struct config_loader *loader, const struct config_frame *frame)
{
    if (loader->config->resolver.min_ttl_us > loader->config->resolver.max_ttl_us)
        config_report(loader, spot_of(frame, "min_ttl"), frame,
                      "min_ttl must not be longer than max_ttl");
}

static void check_tls_option(struct config_loader *loader, const struct config_frame *frame,
                             const char *name, bool is_set)
{
    if (is_set)
        config_report(loader, spot_of(frame, name), frame,
                      "%s is for https:// upstreams, and the url is http://", name);
}

static void check_upstream(struct config_loader *loader, const struct config_frame *frame)
{
    struct upstream_settings *upstream = &loader->config->upstreams[frame->index];

    upstream->denied = &loader->config->denied;
    if (!upstream->url.tls) {
        check_tls_option(loader, frame, "ca", upstream->ca != NULL);
        check_tls_option(loader, frame, "cert", upstream->cert != NULL);
        check_tls_option(loader, frame, "key", upstream->key != NULL);
        check_tls_option(loader, frame, "tls_verify", !upstream->tls_verify);
        return;
    }
    if (upstream->cert != NULL && upstream->key == NULL)
        config_report(loader, spot_of(frame, "cert"), frame,
                      "cert needs key as well (it may be the same file)");
    if (upstream->key != NULL && upstream->cert == NULL)
        config_report(loader, spot_of(frame, "key"), frame,
                      "key needs cert as well (it may be the same file)");
}

/* What one option says against another; only good values are compared. */
static void check_frame(struct config_loader *loader, const struct config_frame *frame)
{
    switch (frame->kind) {
    case SECTION_TOP:
        check_top(loader, frame);
        break;
    case SECTION_RESOLVER:
        check_resolver(loader, frame);
        break;
    case SECTION_UPSTREAM:
        check_upstream(loader, frame);
        break;
    case SECTION_ENDPOINT:
        check_endpoint(loader, frame);
        break;
    default:
        break;
    }
}

/* The sections that nobody wrote. */
static void add_missing_sections(struct config_loader *loader)
{
    struct config *config = loader->config;
    bool has_resolver = false;

    for (size_t i = 0; i < loader->frame_count; i++)
        has_resolver = has_resolver || loader->frames[i].kind == SECTION_RESOLVER;
    if (!has_resolver)
        config_frame_end(loader, config_frame_begin(loader, SECTION_RESOLVER, NULL));
    if (config->endpoint_count == 0)
        config_frame_end(loader, config_frame_begin(loader, SECTION_ENDPOINT, DEFAULT_ENDPOINT));
}

static void finish(struct config_loader *loader)
{
    config_frame_end(loader, &loader->frames[0]);
    add_missing_sections(loader);
    if (loader->config->upstream_count == 0)
        config_report(loader, loader->spot, NULL,
                      "an upstream is missing, like: upstream users { url = "
                      "\"http://users.internal:8081/\" }");
    for (size_t i = 0; i < loader->frame_count; i++)
        if (loader->frames[i].kind == SECTION_ENDPOINT)
            fill_endpoint(loader, &loader->frames[i]);
    force_transport(loader->config);
    for (size_t i = 0; i < loader->frame_count && loader->error_count == 0; i++)
        check_frame(loader, &loader->frames[i]);
}

static void loader_release(struct config_loader *loader)
{
    for (size_t i = 0; i < loader->files.count; i++)
        free(loader->files.items[i]);
    free(loader->files.items);
    for (size_t i = 0; i < loader->frame_count; i++)
        free(loader->frames[i].title);
    free(loader->frames);
    for (size_t i = 0; i < loader->reference_count; i++)
        free(loader->references[i].name);
    free(loader->references);
}

struct config *config_load(const char *file, FILE *errors)
{
    struct config_loader loader = {.config = mem_zalloc(sizeof(struct config)), .errors = errors};
    struct config *config = loader.config;

    config->file = mem_strdup(file);
    loader.spot.file = config_file_name(&loader, file);
    config_frame_begin(&loader, SECTION_TOP, NULL);
    config_parse_file(&loader, file);
    /* Where a part was not read, the rest can't be judged by it. */
    if (!loader.broken)
        finish(&loader);
    if (loader.error_count > MAX_ERRORS_WRITTEN)
        fprintf(errors, "%s: and %zu errors more\n", file, loader.error_count - MAX_ERRORS_WRITTEN);
    if (loader.error_count > 0) {
        config_free(config);
        config = NULL;
    }
    loader_release(&loader);
    return config;
}

void config_free(struct config *config)
{
    if (config == NULL)
        return;
    for (size_t i = 0; i < config->upstream_count; i++)
        upstream_settings_release(&config->upstreams[i]);
    for (size_t i = 0; i < config->endpoint_count; i++) {
        free(config->endpoints[i].path);
        free((size_t *)config->endpoints[i].upstreams);
    }
    for (size_t i = 0; i < config->written_count; i++)
        free(config->written[i].text);
    free(config->upstreams);
    free(config->endpoints);
    free(config->written);
    free((char *)config->resolver.servers);
    deny_list_release(&config->denied);
    free(config->listen);
    free(config->file);
    free(config);
}

const struct upstream_settings *config_upstream(const struct config *config, const char *name)
{
    for (size_t i = 0; i < config->upstream_count; i++)
        if (strcmp(config->upstreams[i].name, name) == 0)
            return &config->upstreams[i];
    return NULL;
}

const struct config_endpoint *config_endpoint(const struct config *config, const char *path)
{
    for (size_t i = 0; i < config->endpoint_count; i++)
        if (strcmp(config->endpoints[i].path, path) == 0)
            return &config->endpoints[i];
    return NULL;
}
