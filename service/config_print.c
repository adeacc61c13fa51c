/*
 * The settings in the file's own syntax. Values that came by variables are written as the file
 * has them, so that no secret is shown and the output can be read again.
 */
#include "service/config_internal.h"

#include <stdlib.h>
#include <string.h>

#define HELP_COLUMN 20

struct printing {
    const struct config *config;
    FILE *out;
    bool explained[SECTION_COUNT]; /* the help is shown for the first section of a kind */
};

void config_print_quoted(const char *text, FILE *out)
{
    fputc('"', out);
    for (; *text != '\0'; text++) {
        if (*text == '"' || *text == '\\' || (text[0] == '$' && text[1] == '{'))
            fputc('\\', out);
        fputc(*text == CONFIG_VARIABLE_MARK ? '$' : *text, out);
    }
    fputc('"', out);
}

static bool is_written(const struct config_written *written, const struct config_option *option,
                       size_t index)
{
    return written->option == option && written->index == index;
}

static bool came_by_variable(const struct config *config, const struct config_option *option,
                             size_t index)
{
    for (size_t i = 0; i < config->written_count; i++)
        if (is_written(&config->written[i], option, index) &&
            strchr(config->written[i].text, CONFIG_VARIABLE_MARK) != NULL)
            return true;
    return false;
}

static void print_as_written(const struct config *config, const struct config_option *option,
                             size_t index, FILE *out)
{
    bool first = true;

    if (option->type->is_list)
        fputs("{ ", out);
    for (size_t i = 0; i < config->written_count; i++) {
        if (!is_written(&config->written[i], option, index))
            continue;
        if (!first)
            fputs(", ", out);
        config_print_quoted(config->written[i].text, out);
        first = false;
    }
    if (option->type->is_list)
        fputs(" }", out);
}

/* The value as text, for its width; NULL: no memory. */
static char *value_text(const struct config *config, enum config_section_kind kind, size_t index,
                        const struct config_option *option)
{
    const void *object = config_object((struct config *)config, kind, index);
    char *text = NULL;
    size_t length;
    FILE *out = open_memstream(&text, &length);

    if (out == NULL)
        return NULL;
    if (came_by_variable(config, option, index))
        print_as_written(config, option, index, out);
    else
        option->type->print(option, object, config, out);
    fclose(out);
    return text;
}

static void print_option(struct printing *printing, enum config_section_kind kind, size_t index,
                         const struct config_option *option, int width)
{
    char *text = value_text(printing->config, kind, index, option);

    if (text == NULL)
        return;
    fprintf(printing->out, "%s%-*s = ", kind == SECTION_TOP ? "" : "  ", width, option->name);
    if (printing->explained[kind])
        fprintf(printing->out, "%s\n", text);
    else
        fprintf(printing->out, "%-*s # %s\n", HELP_COLUMN, text, option->help);
    free(text);
}

static void print_options(struct printing *printing, enum config_section_kind kind, size_t index)
{
    const struct config_section *section = config_section(kind);
    int width = 0;

    for (size_t i = 0; i < section->option_count; i++)
        if ((int)strlen(section->options[i].name) > width)
            width = (int)strlen(section->options[i].name);
    for (size_t i = 0; i < section->option_count; i++)
        print_option(printing, kind, index, &section->options[i], width);
    printing->explained[kind] = true;
}

static void print_section(struct printing *printing, enum config_section_kind kind, size_t index)
{
    FILE *out = printing->out;

    fprintf(out, "\n%s ", config_section(kind)->name);
    if (kind == SECTION_UPSTREAM)
        fprintf(out, "%s ", printing->config->upstreams[index].name);
    if (kind == SECTION_ENDPOINT) {
        config_print_quoted(printing->config->endpoints[index].path, out);
        fputc(' ', out);
    }
    fputs("{\n", out);
    print_options(printing, kind, index);
    fputs("}\n", out);
}

void config_print(const struct config *config, FILE *out)
{
    struct printing printing = {.config = config, .out = out};

    print_options(&printing, SECTION_TOP, 0);
    print_section(&printing, SECTION_RESOLVER, 0);
    for (size_t i = 0; i < config->upstream_count; i++)
        print_section(&printing, SECTION_UPSTREAM, i);
    for (size_t i = 0; i < config->endpoint_count; i++)
        print_section(&printing, SECTION_ENDPOINT, i);
}
