/* The types of single values: how each is read from a text and written again. */
#include "fanout/clock.h"
#include "fanout/mem.h"
#include "service/config_internal.h"
#include "service/cores.h"
#include "service/nearest.h"
#include "service/units.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

bool config_refuse(struct config_value *value, const char *format, ...)
{
    va_list arguments;
    char *text = NULL;

    va_start(arguments, format);
    if (vasprintf(&text, format, arguments) >= 0)
        buf_append_text(&value->why, text);
    va_end(arguments);
    free(text);
    return false;
}

bool config_is_upstream_name(const char *name)
{
    size_t length = strlen(name);

    return length >= 1 && length <= 64 &&
           strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-") ==
               length;
}

void config_suggest(struct buf *out, const char *wrong, const char *const *names)
{
    size_t count = 0;
    const char *nearest;

    while (names[count] != NULL)
        count++;
    nearest = nearest_name(wrong, names, count);
    if (nearest != NULL)
        buf_printf(out, " (did you mean '%s'?)", nearest);
}

bool config_read_number(struct config_value *value, uint64_t *number)
{
    const struct config_option *option = value->option;
    const char *text = value->text;

    if (!units_take_digits(&text, number) || *text != '\0')
        return config_refuse(value, "must be a whole number from %" PRIu64 " to %" PRIu64,
                             option->least, option->most);
    if (*number < option->least || *number > option->most)
        return config_refuse(value, "must be from %" PRIu64 " to %" PRIu64, option->least,
                             option->most);
    return true;
}

static bool refuse_range(struct config_value *value, const struct units *units)
{
    char least[UNITS_TEXT_SIZE];
    char most[UNITS_TEXT_SIZE];

    return config_refuse(value, "must be from %s to %s",
                         units_print(units, value->option->least, least),
                         units_print(units, value->option->most, most));
}

/* otherwise: what else the value may be, for messages: "none, or ". */
static bool read_in_units(struct config_value *value, const struct units *units,
                          const char *otherwise, uint64_t *number)
{
    switch (units_parse(units, value->text, number)) {
    case UNITS_OK:
        return (*number >= value->option->least && *number <= value->option->most) ||
               refuse_range(value, units);
    case UNITS_TOO_LARGE:
        return refuse_range(value, units);
    case UNITS_MISSING:
        return config_refuse(value, "a unit is missing, it must be %s%s", otherwise, units->shape);
    case UNITS_WRONG:
        break;
    }
    return config_refuse(value, "must be %s%s", otherwise, units->shape);
}

bool config_read_duration(struct config_value *value, const char *otherwise, uint64_t *duration_us)
{
    return read_in_units(value, &units_of_time, otherwise, duration_us);
}

static bool read_duration(struct config_value *value)
{
    return config_read_duration(value, "", MEMBER(uint64_t, value));
}

static void print_duration(const struct config_option *option, const void *object,
                           const struct config *config, FILE *out)
{
    char text[UNITS_TEXT_SIZE];

    (void)config;
    fputs(units_print(&units_of_time, *CONST_MEMBER(uint64_t, object, option), text), out);
}

static bool read_duration_or_none(struct config_value *value)
{
    if (strcmp(value->text, "none") == 0) {
        *MEMBER(uint64_t, value) = CLOCK_NEVER;
        return true;
    }
    return config_read_duration(value, "none, or ", MEMBER(uint64_t, value));
}

static void print_duration_or_none(const struct config_option *option, const void *object,
                                   const struct config *config, FILE *out)
{
    if (*CONST_MEMBER(uint64_t, object, option) == CLOCK_NEVER)
        fputs("none", out);
    else
        print_duration(option, object, config, out);
}

static bool read_size(struct config_value *value)
{
    uint64_t number;

    if (!read_in_units(value, &units_of_bytes, "", &number))
        return false;
    *MEMBER(size_t, value) = (size_t)number;
    return true;
}

static void print_size(const struct config_option *option, const void *object,
                       const struct config *config, FILE *out)
{
    char text[UNITS_TEXT_SIZE];

    (void)config;
    fputs(units_print(&units_of_bytes, *CONST_MEMBER(size_t, object, option), text), out);
}

static bool read_count(struct config_value *value)
{
    uint64_t number;

    if (!config_read_number(value, &number))
        return false;
    *MEMBER(unsigned, value) = (unsigned)number;
    return true;
}

static void print_count(const struct config_option *option, const void *object,
                        const struct config *config, FILE *out)
{
    (void)config;
    fprintf(out, "%u", *CONST_MEMBER(unsigned, object, option));
}

static bool read_count_or_none(struct config_value *value)
{
    if (strcmp(value->text, "none") == 0) {
        *MEMBER(unsigned, value) = 0;
        return true;
    }
    if (read_count(value))
        return true;
    value->why.len = 0;
    return config_refuse(value, "must be none, or a number from %" PRIu64 " to %" PRIu64,
                         value->option->least, value->option->most);
}

static void print_count_or_none(const struct config_option *option, const void *object,
                                const struct config *config, FILE *out)
{
    if (*CONST_MEMBER(unsigned, object, option) == 0)
        fputs("none", out);
    else
        print_count(option, object, config, out);
}

static bool read_long_count(struct config_value *value)
{
    uint64_t number;

    if (!config_read_number(value, &number))
        return false;
    *MEMBER(size_t, value) = (size_t)number;
    return true;
}

static void print_long_count(const struct config_option *option, const void *object,
                             const struct config *config, FILE *out)
{
    (void)config;
    fprintf(out, "%zu", *CONST_MEMBER(size_t, object, option));
}

static bool read_flag(struct config_value *value)
{
    static const char *const names[] = {"false", "true", "no", "yes", "off", "on"};

    for (size_t i = 0; i < COUNT(names); i++) {
        if (strcmp(value->text, names[i]) == 0) {
            *MEMBER(bool, value) = i % 2 == 1;
            return true;
        }
    }
    return config_refuse(value, "must be true or false");
}

static void print_flag(const struct config_option *option, const void *object,
                       const struct config *config, FILE *out)
{
    (void)config;
    fputs(*CONST_MEMBER(bool, object, option) ? "true" : "false", out);
}

/* The enums that are read as choices are stored as unsigned int by every compiler we know. */
_Static_assert(sizeof(enum shape) == sizeof(unsigned) &&
                   sizeof(enum trace_level) == sizeof(unsigned),
               "enums must be as wide as unsigned int");

static bool read_choice(struct config_value *value)
{
    const char *const *choices = value->option->choices;

    for (unsigned i = 0; choices[i] != NULL; i++) {
        if (strcmp(value->text, choices[i]) == 0) {
            *MEMBER(unsigned, value) = i;
            return true;
        }
    }
    config_refuse(value, "must be ");
    for (unsigned i = 0; choices[i] != NULL; i++)
        config_refuse(value, "%s%s",
                      i == 0                   ? ""
                      : choices[i + 1] == NULL ? " or "
                                               : ", ",
                      choices[i]);
    config_suggest(&value->why, value->text, choices);
    return false;
}

static void print_choice(const struct config_option *option, const void *object,
                         const struct config *config, FILE *out)
{
    (void)config;
    fputs(option->choices[*CONST_MEMBER(unsigned, object, option)], out);
}

static bool read_workers(struct config_value *value)
{
    const struct config_option *option = value->option;

    if (strcmp(value->text, "auto") == 0) {
        unsigned cores = cores_usable();

        *MEMBER(unsigned, value) = cores < option->most ? cores : (unsigned)option->most;
        return true;
    }
    if (read_count(value))
        return true;
    value->why.len = 0;
    return config_refuse(value, "must be auto, or a number from %" PRIu64 " to %" PRIu64,
                         option->least, option->most);
}

static bool is_loopback(const struct address *address)
{
    if (address->any.sa_family == AF_INET)
        return ntohl(address->v4.sin_addr.s_addr) >> 24 == 127;
    return IN6_IS_ADDR_LOOPBACK(&address->v6.sin6_addr);
}

/* The demo upstreams are for trying out: nobody else should reach them. */
static bool read_demo_address(struct config_value *value)
{
    struct config *config = value->object;

    config->has_demo_listen = strcmp(value->text, "none") != 0;
    if (!config->has_demo_listen)
        return true;
    if (!address_parse(value->text, &config->demo_listen) || !is_loopback(&config->demo_listen))
        return config_refuse(value, "must be none, or a loopback address and a port, "
                                    "like 127.0.0.1:8081");
    return true;
}

static void print_demo_address(const struct config_option *option, const void *object,
                               const struct config *config, FILE *out)
{
    char text[ADDRESS_TEXT_SIZE];

    (void)option;
    (void)object;
    if (config->has_demo_listen)
        fprintf(out, "\"%s\"", address_print(&config->demo_listen, text));
    else
        fputs("none", out);
}

static bool read_url(struct config_value *value)
{
    struct upstream_settings *upstream = value->object;
    const char *wrong;

    /* A second one is an error, and reported; there may still be one. */
    url_release(&upstream->url);
    free(upstream->url_text);
    upstream->url_text = mem_strdup(value->text);
    wrong = url_parse(value->text, &upstream->url);
    return wrong == NULL || config_refuse(value, "%s", wrong);
}

static void print_url(const struct config_option *option, const void *object,
                      const struct config *config, FILE *out)
{
    const struct upstream_settings *upstream = object;

    (void)option;
    (void)config;
    config_print_quoted(upstream->url_text, out);
}

static bool read_require(struct config_value *value)
{
    static const char *const names[] = {"any", "all", "none", NULL};
    struct require *require = MEMBER(struct require, value);
    uint64_t number;

    for (unsigned i = 0; names[i] != NULL; i++) {
        if (strcmp(value->text, names[i]) == 0) {
            *require = (struct require){.kind = (enum require_kind)i};
            return true;
        }
    }
    if (!config_read_number(value, &number)) {
        value->why.len = 0;
        config_refuse(value, "must be any, all, none, or a number of upstreams from 1");
        config_suggest(&value->why, value->text, names);
        return false;
    }
    *require = (struct require){REQUIRE_COUNT, (size_t)number};
    return true;
}

static void print_require(const struct config_option *option, const void *object,
                          const struct config *config, FILE *out)
{
    static const char *const names[] = {"any", "all", "none"};
    const struct require *require = CONST_MEMBER(struct require, object, option);

    (void)config;
    if (require->kind == REQUIRE_COUNT)
        fprintf(out, "%zu", require->count);
    else
        fputs(names[require->kind], out);
}

const struct config_type config_duration = {false, read_duration, print_duration};
const struct config_type config_duration_or_none = {false, read_duration_or_none,
                                                    print_duration_or_none};
const struct config_type config_count = {false, read_count, print_count};
const struct config_type config_count_or_none = {false, read_count_or_none, print_count_or_none};
const struct config_type config_long_count = {false, read_long_count, print_long_count};
const struct config_type config_size = {false, read_size, print_size};
const struct config_type config_flag = {false, read_flag, print_flag};
const struct config_type config_choice = {false, read_choice, print_choice};
const struct config_type config_workers = {false, read_workers, print_count};
const struct config_type config_demo_address = {false, read_demo_address, print_demo_address};
const struct config_type config_url = {false, read_url, print_url};
const struct config_type config_require = {false, read_require, print_require};
