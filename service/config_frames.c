/*
 * Sections as they stand in the file, and what fills each option of their objects: its own value,
 * or for an upstream that of `defaults`, or the table's. What `defaults` gives is read at its place
 * to be checked, and again for each upstream, so that no two settings share memory.
 */
#include "fanout/mem.h"
#include "service/config_internal.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

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

void config_frame_end(struct config_loader *loader, const struct config_frame *frame)
{
    const struct config_section *section = config_section(frame->kind);

    for (size_t i = 0; i < section->option_count; i++)
        if (section->options[i].fallback == NULL && frame->seen[i].line == 0)
            config_report(loader, frame->begin, frame, "%s is missing (%s)",
                          section->options[i].name, section->options[i].help);
}

const struct config_frame *config_frame_first(const struct config_loader *loader,
                                              enum config_section_kind kind)
{
    for (size_t i = 0; i < loader->frame_count; i++)
        if (loader->frames[i].kind == kind)
            return &loader->frames[i];
    return NULL;
}

/* ---- one value ---- */

/* What was written, to be printed as it was: secrets come by variables. */
static void keep_written(struct config *config, const struct config_frame *frame,
                         const struct config_option *option, const char *text)
{
    config->written =
        mem_realloc(config->written, (config->written_count + 1) * sizeof config->written[0]);
    config->written[config->written_count++] =
        (struct config_written){.option = option, .index = frame->index, .text = mem_strdup(text)};
}

static void keep_default(struct config_loader *loader, const struct config_option *option,
                         const char *text)
{
    loader->defaults =
        mem_realloc(loader->defaults, (loader->default_count + 1) * sizeof loader->defaults[0]);
    loader->defaults[loader->default_count++] =
        (struct config_default){.option = option, .text = mem_strdup(text), .spot = loader->spot};
}

static void *object_of(struct config_loader *loader, const struct config_frame *frame)
{
    if (frame->kind == SECTION_DEFAULTS)
        return &loader->defaults_object;
    return config_object(loader->config, frame->kind, frame->index);
}

static void report_value(struct config_value *value, const struct config_frame *frame,
                         const char *text)
{
    config_report(value->loader, value->loader->spot, frame, "%s '%.80s': %.*s",
                  value->option->name, text, (int)value->why.len, value->why.data);
}

void config_frame_read(struct config_loader *loader, const struct config_frame *frame,
                       const struct config_option *option, const char *text)
{
    struct config_value value = {.loader = loader, .option = option};
    struct buf expanded;

    value.object = object_of(loader, frame);
    buf_init(&value.why, BUF_UNLIMITED);
    buf_init(&expanded, BUF_UNLIMITED);
    if (frame->kind != SECTION_DEFAULTS &&
        (option->type->is_list || strchr(text, CONFIG_VARIABLE_MARK) != NULL))
        keep_written(loader->config, frame, option, text);
    if (config_text_expand(&value, text, &expanded)) {
        if (!buf_append(&expanded, "", 1))
            mem_abort();
        value.text = expanded.data;
        option->type->read(&value);
    }
    if (value.why.len > 0)
        report_value(&value, frame, text);
    else if (frame->kind == SECTION_DEFAULTS)
        keep_default(loader, option, text);
    buf_release(&expanded);
    buf_release(&value.why);
}

/* ---- what is not given ---- */

static void take_table_item(struct config_loader *loader, const struct config_frame *frame,
                            const struct config_option *option, const char *text)
{
    struct config_value value = {.loader = loader, .option = option, .text = text};
    bool ok;

    value.object = object_of(loader, frame);
    buf_init(&value.why, BUF_UNLIMITED);
    ok = option->type->read(&value);
    assert(ok); /* the tables hold good defaults */
    (void)ok;
    buf_release(&value.why);
}

static void take_from_table(struct config_loader *loader, const struct config_frame *frame,
                            const struct config_option *option)
{
    char *text = mem_strdup(option->fallback);
    char *rest = text, *item;

    while ((item = option->type->is_list ? strsep(&rest, " ") : text) != NULL) {
        take_table_item(loader, frame, option, item);
        if (!option->type->is_list)
            break;
    }
    free(text);
}

/* Where `defaults` gives an option that holds for this upstream; line 0: it does not. What is for
 * TLS says nothing to the others, and nobody stands in for itself. */
static struct config_spot default_spot(const struct config_loader *loader,
                                       const struct config_frame *frame,
                                       const struct config_option *option)
{
    const struct config_frame *defaults = config_frame_first(loader, SECTION_DEFAULTS);
    const struct config_option *options = config_section(SECTION_DEFAULTS)->options;
    const struct upstream_settings *upstream = &loader->config->upstreams[frame->index];
    const char *stand_in = loader->defaults_object.fallback.upstream;

    if (defaults == NULL || option < options || (config_is_for_tls(option) && !upstream->url.tls) ||
        (option->type == &config_fallback && stand_in != NULL &&
         strcmp(stand_in, upstream->name) == 0))
        return (struct config_spot){0};
    return defaults->seen[option - options];
}

static void take_from_defaults(struct config_loader *loader, const struct config_frame *frame,
                               const struct config_option *option)
{
    struct config_spot before = loader->spot;

    for (size_t i = 0; i < loader->default_count; i++) {
        if (loader->defaults[i].option != option)
            continue;
        loader->spot = loader->defaults[i].spot;
        config_frame_read(loader, frame, option, loader->defaults[i].text);
    }
    loader->spot = before;
}

static void fill_option(struct config_loader *loader, struct config_frame *frame, size_t number)
{
    const struct config_option *option = &config_section(frame->kind)->options[number];
    struct config_spot spot = {0};

    if (frame->seen[number].line > 0 || option->fallback == NULL)
        return;
    if (frame->kind == SECTION_UPSTREAM)
        spot = default_spot(loader, frame, option);
    if (spot.line > 0)
        take_from_defaults(loader, frame, option);
    else if (option->fallback[0] != '\0')
        take_from_table(loader, frame, option);
    frame->seen[number] = spot;
    frame->is_inherited[number] = spot.line > 0;
}

void config_frames_fill(struct config_loader *loader)
{
    for (size_t i = 0; i < loader->frame_count; i++) {
        struct config_frame *frame = &loader->frames[i];

        for (size_t j = 0;
             frame->kind != SECTION_DEFAULTS && j < config_section(frame->kind)->option_count; j++)
            fill_option(loader, frame, j);
    }
}

void config_frames_release(struct config_loader *loader)
{
    for (size_t i = 0; i < loader->frame_count; i++)
        free(loader->frames[i].title);
    free(loader->frames);
    for (size_t i = 0; i < loader->default_count; i++)
        free(loader->defaults[i].text);
    free(loader->defaults);
    upstream_settings_release(&loader->defaults_object);
}
