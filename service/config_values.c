/* The types of single values: how each is read from a text and written again. */
#include "fanout/clock.h"
#include "fanout/mem.h"
#include "service/config_internal.h"
#include "service/nearest.h"

#include <inttypes.h>
#include <sched.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* A pointer to the option's member of the object. */
#define MEMBER(type, value) ((type *)(void *)((char *)(value)->object + (value)->option->offset))
#define CONST_MEMBER(type, object, option)                                                         \
    ((const type *)(const void *)((const char *)(object) + (option)->offset))

struct unit {
    const char *name;
    uint64_t size;
};

/* From the smallest to the largest. */
static const struct unit time_units[] = {
    {"us", 1}, {"ms", 1000}, {"s", 1000000}, {"m", 60000000}, {"h", UINT64_C(3600000000)},
};
static const struct unit byte_units[] = {
    {"", 1},
    {"k", 1024},
    {"m", 1024 * 1024},
    {"g", 1024 * 1024 * 1024},
};

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

/* Digits at the front of text; false: there are none. Too large a number becomes UINT64_MAX. */
static bool take_digits(const char **text, uint64_t *number)
{
    const char *at = *text;

    *number = 0;
    for (; *at >= '0' && *at <= '9'; at++) {
        uint64_t digit = (uint64_t)(*at - '0');

        *number = *number > (UINT64_MAX - digit) / 10 ? UINT64_MAX : *number * 10 + digit;
    }
    if (at == *text)
        return false;
    *text = at;
    return true;
}

bool config_read_number(struct config_value *value, uint64_t *number)
{
    const struct config_option *option = value->option;
    const char *text = value->text;

    if (!take_digits(&text, number) || *text != '\0')
        return config_refuse(value, "must be a whole number from %" PRIu64 " to %" PRIu64,
                             option->least, option->most);
    if (*number < option->least || *number > option->most)
        return config_refuse(value, "must be from %" PRIu64 " to %" PRIu64, option->least,
                             option->most);
    return true;
}

static const char *text_in_units(uint64_t number, const struct unit *units, size_t count,
                                 char text[32])
{
    size_t unit = count - 1;

    while (unit > 0 && number % units[unit].size != 0)
        unit--;
    /* Zero divides by everything: one unit that reads well. */
    if (number == 0)
        unit = count > 2 && units == time_units ? 2 : 0;
    snprintf(text, 32, "%" PRIu64 "%s", number / units[unit].size, units[unit].name);
    return text;
}

static bool refuse_range(struct config_value *value, const struct unit *units, size_t count)
{
    char least[32];
    char most[32];

    return config_refuse(value, "must be from %s to %s",
                         text_in_units(value->option->least, units, count, least),
                         text_in_units(value->option->most, units, count, most));
}

/* A whole number with one of the units; `shape` says how it must look. */
static bool read_in_units(struct config_value *value, const struct unit *units, size_t count,
                          const char *shape, uint64_t *number)
{
    const char *text = value->text;
    size_t unit = 0;

    if (!take_digits(&text, number))
        return config_refuse(value, "must be %s", shape);
    while (unit < count && strcmp(units[unit].name, text) != 0)
        unit++;
    if (unit == count && *text == '\0')
        return config_refuse(value, "a unit is missing, it must be %s", shape);
    if (unit == count)
        return config_refuse(value, "must be %s", shape);
    if (*number > value->option->most / units[unit].size)
        return refuse_range(value, units, count);
    *number *= units[unit].size;
    return *number >= value->option->least || refuse_range(value, units, count);
}

static bool read_duration(struct config_value *value)
{
    return read_in_units(value, time_units, COUNT(time_units),
                         "a whole number and us, ms, s, m or h, like 250ms",
                         MEMBER(uint64_t, value));
}

static void print_duration(const struct config_option *option, const void *object,
                           const struct config *config, FILE *out)
{
    char text[32];

    (void)config;
    fputs(
        text_in_units(*CONST_MEMBER(uint64_t, object, option), time_units, COUNT(time_units), text),
        out);
}

static bool read_duration_or_none(struct config_value *value)
{
    if (strcmp(value->text, "none") == 0) {
        *MEMBER(uint64_t, value) = CLOCK_NEVER;
        return true;
    }
    return read_in_units(value, time_units, COUNT(time_units),
                         "none, or a whole number and us, ms, s, m or h, like 250ms",
                         MEMBER(uint64_t, value));
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

    if (!read_in_units(value, byte_units, COUNT(byte_units),
                       "a whole number of bytes, or of k, m or g, like 64k", &number))
        return false;
    *MEMBER(size_t, value) = (size_t)number;
    return true;
}

static void print_size(const struct config_option *option, const void *object,
                       const struct config *config, FILE *out)
{
    char text[32];

    (void)config;
    fputs(text_in_units(*CONST_MEMBER(size_t, object, option), byte_units, COUNT(byte_units), text),
          out);
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

/* The cores that this process may run on, not all that there are. */
static unsigned usable_cores(uint64_t most)
{
    cpu_set_t set;
    long count = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set)
                                                             : sysconf(_SC_NPROCESSORS_ONLN);

    if (count < 1)
        return 1;
    return (uint64_t)count < most ? (unsigned)count : (unsigned)most;
}

static bool read_workers(struct config_value *value)
{
    const struct config_option *option = value->option;

    if (strcmp(value->text, "auto") == 0) {
        *MEMBER(unsigned, value) = usable_cores(option->most);
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
const struct config_type config_long_count = {false, read_long_count, print_long_count};
const struct config_type config_size = {false, read_size, print_size};
const struct config_type config_flag = {false, read_flag, print_flag};
const struct config_type config_choice = {false, read_choice, print_choice};
const struct config_type config_workers = {false, read_workers, print_count};
const struct config_type config_demo_address = {false, read_demo_address, print_demo_address};
const struct config_type config_url = {false, read_url, print_url};
const struct config_type config_require = {false, read_require, print_require};
