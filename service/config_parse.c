/*
 * libConfuse as a source of events: a section begins, an option has a value, a section ends, each
 * at a known line. Its own tree of values holds no lines, so nothing is kept there.
 *
 * What makes it one: all options are CFGT_PTR with our callback; every section has a hidden
 * option whose default is "parsed" when a section begins; unknown options are reported and then
 * taken by CFGF_KEYSTRVAL, so that the reading goes on and finds more. Its lexer is global:
 * only one thread may read a configuration.
 */
#include "fanout/mem.h"
#include "service/config_internal.h"

#include <confuse.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define BEGIN_OPTION      "\002begin"
#define MAX_INCLUDE_DEPTH 8

static char begin_default[] = "{x}";

/* libConfuse's callbacks carry no argument of ours. */
static struct config_loader *loading;

static struct config_frame *open_frame(void)
{
    return &loading->frames[loading->in_section ? loading->frame_count - 1 : 0];
}

static void take_place(const cfg_t *cfg)
{
    loading->spot.line = cfg->line;
}

static bool has_variable(const char *text)
{
    return strchr(text, CONFIG_VARIABLE_MARK) != NULL;
}

static void report_double(const struct config_frame *frame, const char *what,
                          struct config_spot first)
{
    if (first.file == loading->spot.file)
        config_report(loading, loading->spot, frame, "%s is given twice (first in line %d)", what,
                      first.line);
    else
        config_report(loading, loading->spot, frame, "%s is given twice (first in %s:%d)", what,
                      first.file, first.line);
}

/* first: of an assignment; further ones are items of the same list. */
static void on_value_read(const struct config_option *option, const char *text, bool first)
{
    struct config_frame *frame =
        &loading->frames[loading->in_section ? loading->frame_count - 1 : 0];
    size_t number = (size_t)(option - config_section(frame->kind)->options);
    struct config_spot *seen = &frame->seen[number];

    loading->after_unknown = false;
    if (first && seen->line > 0)
        report_double(frame, option->name, *seen);
    if (seen->line == 0)
        *seen = loading->spot;
    if (text[0] != CONFIG_VARIABLE_MARK || text[1] != '\0')
        config_frame_read(loading, frame, option, text);
    else if (option->least > 0)
        config_report(loading, loading->spot, frame, "%s must not be empty", option->name);
}

static int on_value(cfg_t *cfg, cfg_opt_t *opt, const char *text, void *result)
{
    const struct config_option *option = config_section_find(open_frame()->kind, opt->name);

    *(void **)result = NULL;
    take_place(cfg);
    if (option != NULL)
        on_value_read(option, text, opt->nvalues == 1);
    return 0;
}

static void check_path(const struct config_frame *frame)
{
    static const char *const built_in[] = {"/livez",     "/readyz",       "/metrics",
                                           "/upstreams", "/openapi.json", "/docs"};
    const char *wrong = url_check_path(frame->title, strlen(frame->title));

    if (wrong != NULL)
        config_report(loading, frame->begin, frame, "not a path: %s", wrong);
    for (size_t i = 0; i < sizeof built_in / sizeof built_in[0]; i++)
        if (strcmp(frame->title, built_in[i]) == 0)
            config_report(loading, frame->begin, frame, "this path is built in");
}

static void check_title(const struct config_frame *frame)
{
    if (has_variable(frame->title))
        config_report(loading, frame->begin, frame, "a variable can't stand here");
    else if (frame->kind == SECTION_ENDPOINT)
        check_path(frame);
    else if (frame->kind == SECTION_UPSTREAM && !config_is_upstream_name(frame->title))
        config_report(loading, frame->begin, frame,
                      "a name is 1 to 64 letters, digits, '_', '.' and '-'");
}

static bool same_title(const char *left, const char *right)
{
    return left == right || (left != NULL && right != NULL && strcmp(left, right) == 0);
}

static void check_double(const struct config_frame *frame)
{
    for (size_t i = 0; i + 1 < loading->frame_count; i++) {
        const struct config_frame *other = &loading->frames[i];

        if (other->kind == frame->kind && same_title(other->title, frame->title)) {
            report_double(frame, "the section", other->begin);
            return;
        }
    }
}

/* The default of the hidden option is "parsed": its section begins here. */
static int on_begin(cfg_t *cfg, cfg_opt_t *opt, const char *text, void *result)
{
    enum config_section_kind kind = SECTION_RESOLVER;
    const struct config_frame *frame;

    (void)opt;
    (void)text;
    *(void **)result = NULL;
    take_place(cfg);
    while (kind + 1 < SECTION_COUNT && strcmp(config_section(kind)->name, cfg->name) != 0)
        kind++;
    frame = config_frame_begin(loading, kind, cfg->title);
    loading->in_section = true;
    loading->after_unknown = false;
    if (frame->title != NULL)
        check_title(frame);
    check_double(frame);
    return 0;
}

static int on_end(cfg_t *cfg, cfg_opt_t *opt)
{
    (void)cfg;
    (void)opt;
    config_frame_end(loading, &loading->frames[loading->frame_count - 1]);
    loading->in_section = false;
    return 0;
}

/* Relative names begin where the file that includes them is. */
static char *path_beside(const char *file, const char *name)
{
    const char *slash = strrchr(file, '/');

    if (name[0] == '/' || slash == NULL)
        return mem_strdup(name);
    return mem_printf("%.*s/%s", (int)(slash - file), file, name);
}

static int on_include(cfg_t *cfg, cfg_opt_t *opt, int count, const char **names)
{
    char *path;

    (void)opt;
    (void)count; /* 1: config_text lets nothing else through */
    take_place(cfg);
    loading->after_unknown = false;
    if (loading->include_depth == MAX_INCLUDE_DEPTH) {
        config_report(loading, loading->spot, NULL, "include '%s': more than %d deep", names[0],
                      MAX_INCLUDE_DEPTH);
    } else if (has_variable(names[0])) {
        config_report(loading, loading->spot, NULL, "include '%s': a variable can't stand here",
                      names[0]);
    } else {
        path = path_beside(loading->spot.file, names[0]);
        loading->include_depth++;
        config_parse_file(loading, path);
        loading->include_depth--;
        free(path);
    }
    return 0;
}

/* Where an option that is unknown here does belong; NULL: nowhere. */
static const char *other_home(enum config_section_kind kind, const char *name)
{
    static const struct {
        enum config_section_kind kind;
        const char *text;
    } homes[] = {
        {SECTION_UPSTREAM, "into an upstream"},
        {SECTION_TOP, "outside of sections"},
        {SECTION_ENDPOINT, "into an endpoint"},
        {SECTION_RESOLVER, "into resolver"},
    };

    for (size_t i = 0; i < sizeof homes / sizeof homes[0]; i++)
        if (homes[i].kind != kind && config_section_find(homes[i].kind, name) != NULL)
            return homes[i].text;
    return NULL;
}

static bool is_section_name(const char *name)
{
    for (enum config_section_kind kind = SECTION_RESOLVER; kind < SECTION_COUNT; kind++)
        if (strcmp(config_section(kind)->name, name) == 0)
            return true;
    return false;
}

static void suggest_option(enum config_section_kind kind, const char *name, struct buf *out)
{
    const char *names[CONFIG_MAX_OPTIONS + SECTION_COUNT + 1] = {NULL};
    const struct config_section *section = config_section(kind);
    size_t count = 0;

    for (size_t i = 0; i < section->option_count; i++)
        names[count++] = section->options[i].name;
    for (enum config_section_kind other = SECTION_RESOLVER;
         kind == SECTION_TOP && other < SECTION_COUNT; other++)
        names[count++] = config_section(other)->name;
    if (kind == SECTION_TOP)
        names[count++] = "include";
    config_suggest(out, name, names);
}

static void report_unknown(const char *name)
{
    const struct config_frame *frame = open_frame();
    enum config_section_kind kind = frame->kind;
    const char *home = other_home(kind, name);
    struct buf hint;

    buf_init(&hint, BUF_UNLIMITED);
    if (kind != SECTION_TOP && is_section_name(name))
        buf_printf(&hint, " (is the '}' of %s%s%s missing?)", config_section(kind)->name,
                   frame->title != NULL ? " " : "", frame->title != NULL ? frame->title : "");
    else if (home != NULL)
        buf_printf(&hint, " (it belongs %s)", home);
    else
        suggest_option(kind, name, &hint);
    config_report(loading, loading->spot, frame, "unknown option '%.80s'%.*s", name, (int)hint.len,
                  hint.len > 0 ? hint.data : "");
    buf_release(&hint);
    loading->after_unknown = true;
}

/* libConfuse's messages, each with one %s or none, in our words around what stands for %s. */
static const struct {
    const char *theirs;
    const char *before;
    const char *after;
} messages[] = {
    {"premature end of file", NULL, "the file ends in the middle of an option"},
    {"unexpected closing brace", NULL, "a '}' without a '{' before it"},
    {"unexpected token '%s'", "unexpected '",
     "' (an option is written NAME = VALUE, a list NAME = { VALUE, VALUE })"},
    {"missing equal sign after option '%s'", "'=' is missing after '", "'"},
    {"missing title for section '%s'", "the name of the ", " is missing"},
    {"missing opening brace for section '%s'", "'{' is missing after the name of the ", ""},
    {"attempt to append to non-list option '%s'", "'", "' is no list: '+=' can't be used"},
    {"missing parenthesis for function '%s'", "write ", "(\"FILE\")"},
};

__attribute__((format(printf, 2, 0))) static void on_error(cfg_t *cfg, const char *format,
                                                           va_list arguments)
{
    char text[256];
    size_t i = 0;

    take_place(cfg);
    if (strcmp(format, "no such option '%s'") == 0) {
        report_unknown(va_arg(arguments, const char *));
        return;
    }
    if (loading->after_unknown)
        return;
    while (i < sizeof messages / sizeof messages[0] && strcmp(messages[i].theirs, format) != 0)
        i++;
    if (i == sizeof messages / sizeof messages[0])
        vsnprintf(text, sizeof text, format, arguments);
    else if (messages[i].before == NULL)
        snprintf(text, sizeof text, "%s", messages[i].after);
    else
        snprintf(text, sizeof text, "%s%.80s%s", messages[i].before,
                 va_arg(arguments, const char *), messages[i].after);
    config_report(loading, loading->spot, open_frame(), "%s", text);
}

/* Fills in libConfuse's rows for one section; libConfuse copies them. */
static void make_options(const struct config_section *section, cfg_opt_t *rows)
{
    size_t count = 0;

    for (size_t i = 0; i < section->option_count; i++) {
        const struct config_option *option = &section->options[i];

        rows[count++] = (cfg_opt_t){
            .name = option->name,
            .type = CFGT_PTR,
            .flags = CFGF_NODEFAULT | (option->type->is_list ? CFGF_LIST : 0),
            .parsecb = on_value,
        };
    }
    if (section->name != NULL)
        rows[count++] = (cfg_opt_t){.name = BEGIN_OPTION,
                                    .type = CFGT_PTR,
                                    .flags = CFGF_LIST,
                                    .def.parsed = begin_default,
                                    .parsecb = on_begin};
}

static cfg_t *make_parser(void)
{
    cfg_opt_t rows[SECTION_COUNT][CONFIG_MAX_OPTIONS + SECTION_COUNT + 1] = {0};
    size_t count = config_section(SECTION_TOP)->option_count;
    cfg_t *cfg;

    for (enum config_section_kind kind = SECTION_TOP; kind < SECTION_COUNT; kind++)
        make_options(config_section(kind), rows[kind]);
    for (enum config_section_kind kind = SECTION_RESOLVER; kind < SECTION_COUNT; kind++)
        rows[SECTION_TOP][count++] = (cfg_opt_t){
            .name = config_section(kind)->name,
            .type = CFGT_SEC,
            .flags = CFGF_MULTI | (config_section(kind)->has_title ? CFGF_TITLE : 0),
            .subopts = rows[kind],
            .validcb = on_end,
        };
    rows[SECTION_TOP][count++] =
        (cfg_opt_t){.name = "include", .type = CFGT_FUNC, .func = on_include};
    cfg = cfg_init(rows[SECTION_TOP], CFGF_KEYSTRVAL);
    if (cfg != NULL)
        cfg_set_error_function(cfg, on_error);
    return cfg;
}

/* cfg_free ends the lexer for all: no parser is freed while an outer file is being read. */
static void keep_parser(struct config_loader *loader, cfg_t *cfg)
{
    loader->parsers =
        mem_realloc(loader->parsers, (loader->parser_count + 1) * sizeof loader->parsers[0]);
    loader->parsers[loader->parser_count++] = cfg;
}

static void free_parsers(struct config_loader *loader)
{
    for (size_t i = 0; i < loader->parser_count; i++)
        cfg_free(loader->parsers[i]);
    free(loader->parsers);
    loader->parsers = NULL;
    loader->parser_count = 0;
}

static void feed(struct config_loader *loader, const struct buf *text)
{
    size_t errors_before = loader->error_count;
    cfg_t *cfg = make_parser();
    FILE *file = fmemopen(text->data, text->len, "r");

    if (text->has_failed || cfg == NULL || file == NULL)
        mem_abort();
    loading = loader;
    errno = 0;
    if (cfg_parse_fp(cfg, file) != CFG_SUCCESS) {
        if (errno == ENOMEM)
            mem_abort(); /* what libConfuse leaves behind then can't even be freed */
        loader->broken = true;
        if (loader->error_count == errors_before)
            config_report(loader, loader->spot, NULL, "this can't be read on");
    }
    fclose(file);
    keep_parser(loader, cfg);
    if (loader->include_depth == 0)
        free_parsers(loader);
}

void config_parse_file(struct config_loader *loader, const char *path)
{
    struct config_spot outer = loader->spot;
    struct buf text;
    int open_line = 0;

    buf_init(&text, BUF_UNLIMITED);
    if (config_text_read(loader, path, &text, &open_line))
        feed(loader, &text);
    else
        loader->broken = true;
    loader->in_section = false;
    if (open_line > 0) {
        loader->broken = true;
        loader->spot.line = open_line;
        config_report(loader, loader->spot, NULL, "this '{' is never closed: a '}' is missing");
    }
    loader->spot = outer;
    buf_release(&text);
}
