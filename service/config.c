/*
 * The configuration: reads a file into one immutable snapshot, and looks up what stands elsewhere
 * in it when the whole file is known.
 */
#include "service/config_internal.h"

#include "fanout/mem.h"

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

void config_report_unknown_upstream(struct config_loader *loader, struct config_spot spot,
                                    const struct config_frame *frame, const char *name)
{
    const struct config *config = loader->config;
    const char **names = mem_array(config->upstream_count + 1, sizeof names[0]);
    struct buf hint;
    size_t count = 0;

    buf_init(&hint, BUF_UNLIMITED);
    for (size_t i = 0; i < config->upstream_count; i++)
        if (frame->kind != SECTION_UPSTREAM || i != frame->index) /* nobody means itself */
            names[count++] = config->upstreams[i].name;
    config_suggest(&hint, name, names);
    config_report(loader, spot, frame, "unknown upstream '%.80s'%.*s", name, (int)hint.len,
                  hint.len > 0 ? hint.data : "");
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
        config_report_unknown_upstream(loader, reference->spot, frame, reference->name);
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

/* The sections that nobody wrote. */
static void add_missing_sections(struct config_loader *loader)
{
    if (config_frame_first(loader, SECTION_RESOLVER) == NULL)
        config_frame_begin(loader, SECTION_RESOLVER, NULL);
    if (loader->config->endpoint_count == 0)
        config_frame_begin(loader, SECTION_ENDPOINT, DEFAULT_ENDPOINT);
}

static void finish(struct config_loader *loader)
{
    add_missing_sections(loader);
    if (loader->config->upstream_count == 0)
        config_report(loader, loader->spot, NULL,
                      "an upstream is missing, like: upstream users { url = "
                      "\"http://users.internal:8081/\" }");
    config_frames_fill(loader);
    for (size_t i = 0; i < loader->frame_count; i++) {
        if (loader->frames[i].kind == SECTION_ENDPOINT)
            fill_endpoint(loader, &loader->frames[i]);
        else if (loader->frames[i].kind == SECTION_UPSTREAM)
            config_link_fallback(loader, &loader->frames[i]);
    }
    force_transport(loader->config);
    config_check(loader);
}

static void loader_release(struct config_loader *loader)
{
    for (size_t i = 0; i < loader->files.count; i++)
        free(loader->files.items[i]);
    free(loader->files.items);
    config_frames_release(loader);
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
    free(config->fair_header);
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
