/*
 * What the parts of the configuration reader share, and nobody else includes.
 *
 *   config_text     the file as text, made safe and exact for libConfuse
 *   config_parse    libConfuse's events: sections and options, with their places
 *   config_schema   the tables: every option is one row
 *   config_values   the types of single values,  config_lists  those of lists,
 *   config_pem      that of certificates and keys,  config_policies  those of policies
 *   config_frames   what each section was given, and what it takes from defaults
 *   config_checks   what one option says against another
 *   config          puts it together
 *   config_print    writes it out again
 */
#ifndef SERVICE_CONFIG_INTERNAL_H
#define SERVICE_CONFIG_INTERNAL_H

#include "fanout/buf.h"
#include "service/config.h"

/* The most options that a section may have. */
#define CONFIG_MAX_OPTIONS 64

/* Stands in a text for the '$' of ${NAME}, so that a '$' that is just one is told apart. */
#define CONFIG_VARIABLE_MARK '\001'

#define CONFIG_SECOND UINT64_C(1000000)

enum config_section_kind {
    SECTION_TOP,
    SECTION_RESOLVER,
    SECTION_DEFAULTS,
    SECTION_UPSTREAM,
    SECTION_ENDPOINT,
    SECTION_COUNT,
};

struct cfg_t;
struct config_loader;
struct config_option;

/* A value as the file has it, variables and all; kept of lists and of what holds variables. */
struct config_written {
    const struct config_option *option;
    size_t index; /* of the section's object */
    char *text;
};

/* A place in a file. line 0: the file as a whole. */
struct config_spot {
    const char *file; /* owned by the loader */
    int line;
};

/* One value while it is read. */
struct config_value {
    struct config_loader *loader;
    const struct config_option *option;
    void *object;     /* what the section fills: a struct config, upstream_settings, … */
    const char *text; /* variables replaced */
    struct buf why;   /* set by config_refuse */
};

struct config_type {
    bool is_list; /* then read is called for each item, and appends */
    bool (*read)(struct config_value *value);
    /* In the file's syntax. */
    void (*print)(const struct config_option *option, const void *object,
                  const struct config *config, FILE *out);
};

/* A pointer to the option's member of the object. */
#define MEMBER(type, value) ((type *)(void *)((char *)(value)->object + (value)->option->offset))
#define CONST_MEMBER(type, object, option)                                                         \
    ((const type *)(const void *)((const char *)(object) + (option)->offset))

/* One row of a section's table. */
struct config_option {
    const char *name;
    const struct config_type *type;
    size_t offset;        /* of the member in the section's object */
    const char *fallback; /* as in a file; NULL: the option is required; "": left zero; the items
                             of a list have spaces between them */
    uint64_t least;
    uint64_t most;
    const char *const *choices; /* ended by NULL, in the order of the enum; labels in PEM files */
    const char *help;
};

struct config_section {
    const char *name;
    const struct config_option *options;
    size_t option_count;
    bool has_title;
};

const struct config_section *config_section(enum config_section_kind kind);
/* NULL: no such option. */
const struct config_option *config_section_find(enum config_section_kind kind, const char *name);
/* Of an upstream's options: whether it is for https:// alone. */
bool config_is_for_tls(const struct config_option *option);
/* The index-th object of a kind: &config->upstreams[index], … */
void *config_object(struct config *config, enum config_section_kind kind, size_t index);

extern const struct config_type config_duration;         /* uint64_t, in us */
extern const struct config_type config_duration_or_none; /* CLOCK_NEVER for none */
extern const struct config_type config_count;            /* unsigned */
extern const struct config_type config_long_count;       /* size_t */
extern const struct config_type config_size;             /* size_t, in bytes */
extern const struct config_type config_flag;             /* bool */
extern const struct config_type config_choice;           /* an enum */
extern const struct config_type config_workers;
extern const struct config_type config_demo_address;
extern const struct config_type config_url;
extern const struct config_type config_require;
extern const struct config_type config_count_or_none; /* unsigned, 0 for none */
extern const struct config_type config_header_name;   /* char *; NULL for none */
extern const struct config_type config_hedge;         /* struct hedge_settings */
extern const struct config_type config_fallback;      /* struct fallback_settings, no index yet */
extern const struct config_type config_fair_by;
extern const struct config_type config_pem; /* char *, a path; NULL for the fallback's word */

extern const struct config_type config_addresses;
extern const struct config_type config_servers;
extern const struct config_type config_denied;
extern const struct config_type config_headers;
extern const struct config_type config_statuses;
extern const struct config_type config_methods;
extern const struct config_type config_header_names;
extern const struct config_type config_upstream_names;
extern const struct config_type config_retry_on; /* struct retry_settings: two members of it */

/* Says what is wrong with a value, to follow "OPTION 'TEXT': "; returns false. */
bool config_refuse(struct config_value *value, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* " (did you mean 'x'?)", or nothing; names NULL-ended. */
void config_suggest(struct buf *out, const char *wrong, const char *const *names);
/* A whole number in decimal digits, from the option's least to its most. */
bool config_read_number(struct config_value *value, uint64_t *number);
/* In the option's range and in units; otherwise: what else the value may be, for messages:
 * "none, or ". */
bool config_read_duration(struct config_value *value, const char *otherwise, uint64_t *duration_us);
/* Letters, digits and a few signs. */
bool config_is_upstream_name(const char *name);
/* For what may stand to the left of a ':' or alone, and be sent. */
bool config_check_header_name(struct config_value *value, const char *name);
/* "2xx", "404" or "200-299". */
bool config_parse_statuses(const char *text, struct status_range *range);
void config_print_statuses(const struct status_range *range, FILE *out);
/* What stands between two items. */
void config_print_comma(size_t index, FILE *out);
/* In double quotes, escaped so that it reads back. Marks become ${…} again. */
void config_print_quoted(const char *text, FILE *out);

/* One section as it stands in a file. */
struct config_frame {
    enum config_section_kind kind;
    size_t index; /* of its object */
    char *title;  /* NULL: the section has none */
    struct config_spot begin;
    struct config_spot seen[CONFIG_MAX_OPTIONS]; /* by option; line 0: not given */
    bool is_inherited[CONFIG_MAX_OPTIONS];       /* then that is a place in `defaults` */
};

/* A good value in `defaults`. It is read again for each upstream that it holds for. */
struct config_default {
    const struct config_option *option;
    char *text; /* variables and all */
    struct config_spot spot;
};

/* An upstream's name in an endpoint, looked up when all are known. */
struct config_reference {
    size_t endpoint;
    char *name;
    struct config_spot spot;
};

struct config_loader {
    struct config *config; /* being filled */
    FILE *errors;
    size_t error_count;
    struct string_list files;    /* for the spots */
    struct config_spot spot;     /* now being read */
    struct config_frame *frames; /* the first is the top's */
    size_t frame_count;
    bool in_section; /* the last frame is open, not the first */
    struct config_default *defaults;
    size_t default_count;
    struct upstream_settings defaults_object;   /* they are read into it to be checked */
    bool is_default_blamed[CONFIG_MAX_OPTIONS]; /* for a clash, by an upstream's options */
    struct config_reference *references;
    size_t reference_count;
    struct cfg_t **parsers; /* libConfuse's, one for each file */
    size_t parser_count;
    unsigned include_depth;
    bool broken;        /* a part of the file was not read */
    bool after_unknown; /* a syntax error now is but a consequence */
};

/* One line: "FILE:LINE: upstream users: …". frame may be NULL. */
void config_report(struct config_loader *loader, struct config_spot spot,
                   const struct config_frame *frame, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* A copy that lives as long as the loader. */
const char *config_file_name(struct config_loader *loader, const char *path);

/* A section and its object begin; at the end, what is missing is reported. */
const struct config_frame *config_frame_begin(struct config_loader *loader,
                                              enum config_section_kind kind, const char *title);
void config_frame_end(struct config_loader *loader, const struct config_frame *frame);
/* Takes one value, or one item of a list, at the loader's spot. */
void config_frame_read(struct config_loader *loader, const struct config_frame *frame,
                       const struct config_option *option, const char *text);
/* What sections do not give is taken from `defaults`, or from the tables. */
void config_frames_fill(struct config_loader *loader);
/* The first of a kind; NULL: none. */
const struct config_frame *config_frame_first(const struct config_loader *loader,
                                              enum config_section_kind kind);
void config_frames_release(struct config_loader *loader);

/* An upstream's name that there is not, and the nearest one. */
void config_report_unknown_upstream(struct config_loader *loader, struct config_spot spot,
                                    const struct config_frame *frame, const char *name);
/* Looks up the upstream that stands in for a frame's. */
void config_link_fallback(struct config_loader *loader, const struct config_frame *frame);
/* Once all is filled in, if nothing was wrong so far. */
void config_check(struct config_loader *loader);

/*
 * Reads a file into out as libConfuse is to see it, and sets the spot; false after an error was
 * reported.
 * *open_line is the line of a '{' that is never closed, 0 if there is none.
 */
bool config_text_read(struct config_loader *loader, const char *path, struct buf *out,
                      int *open_line);
/* Appends text with its variables replaced. False after config_refuse. */
bool config_text_expand(struct config_value *value, const char *text, struct buf *out);

/* Feeds the file to libConfuse; every error is reported. */
void config_parse_file(struct config_loader *loader, const char *path);

#endif
