/* The types of what policies ask for: retries, hedging, fallbacks, turns. */
#include "fanout/clock.h"
#include "fanout/json.h"
#include "fanout/mem.h"
#include "service/config_internal.h"
#include "service/units.h"

#include <stdlib.h>
#include <string.h>

/* ---- a header's name ---- */

static bool read_header_name(struct config_value *value)
{
    char **name = MEMBER(char *, value);

    free(*name);
    *name = NULL;
    if (strcmp(value->text, "none") == 0)
        return true;
    if (!config_check_header_name(value, value->text))
        return false;
    *name = mem_strdup(value->text);
    return true;
}

static void print_header_name(const struct config_option *option, const void *object,
                              const struct config *config, FILE *out)
{
    const char *name = *CONST_MEMBER(char *, object, option);

    (void)config;
    if (name != NULL)
        config_print_quoted(name, out);
    else
        fputs("none", out);
}

/* ---- after what a fetch is tried again ---- */

/* Of a failure that is no fault of the upstream's, another attempt can't do better. http_status is
 * said by the statuses themselves. */
static bool may_be_retried(enum outcome outcome)
{
    return outcome_info(outcome)->upstream_fault && outcome != OUTCOME_HTTP_STATUS;
}

static bool add_outcome(struct config_value *value, enum outcome outcome)
{
    struct retry_settings *retry = MEMBER(struct retry_settings, value);
    unsigned bit = 1u << outcome;

    if (outcome == OUTCOME_HTTP_STATUS)
        return config_refuse(value, "write the statuses themselves, like 503, 5xx or 500-599");
    if (!may_be_retried(outcome))
        return config_refuse(value, "is no fault of the upstream's: it is never tried again");
    if ((retry->outcomes & bit) != 0)
        return config_refuse(value, "listed twice");
    retry->outcomes |= bit;
    return true;
}

static bool refuse_retry(struct config_value *value)
{
    const char *names[OUTCOME_COUNT + 1] = {NULL};
    size_t count = 0;

    for (unsigned i = 0; i < OUTCOME_COUNT; i++)
        if (may_be_retried((enum outcome)i))
            names[count++] = outcome_info((enum outcome)i)->name;
    config_refuse(value, "must be a status from 100 to 599, like 503, 5xx or 500-599, or one of");
    for (size_t i = 0; i < count; i++)
        config_refuse(value, "%s %s", i > 0 ? "," : "", names[i]);
    config_suggest(&value->why, value->text, names);
    return false;
}

static bool read_retry_on(struct config_value *value)
{
    struct retry_settings *retry = MEMBER(struct retry_settings, value);
    struct status_range range;

    for (unsigned i = 0; i < OUTCOME_COUNT; i++)
        if (strcmp(outcome_info((enum outcome)i)->name, value->text) == 0)
            return add_outcome(value, (enum outcome)i);
    if (!config_parse_statuses(value->text, &range))
        return refuse_retry(value);
    retry->statuses = mem_realloc(retry->statuses, (retry->status_count + 1) * sizeof range);
    retry->statuses[retry->status_count++] = range;
    return true;
}

static void print_retry_on(const struct config_option *option, const void *object,
                           const struct config *config, FILE *out)
{
    const struct retry_settings *retry = CONST_MEMBER(struct retry_settings, object, option);
    size_t count = 0;

    (void)config;
    fputc('{', out);
    for (unsigned i = 0; i < OUTCOME_COUNT; i++) {
        if ((retry->outcomes >> i & 1) == 0)
            continue;
        config_print_comma(count++, out);
        fputs(outcome_info((enum outcome)i)->name, out);
    }
    for (size_t i = 0; i < retry->status_count; i++) {
        config_print_comma(count++, out);
        config_print_statuses(&retry->statuses[i], out);
    }
    fputs(" }", out);
}

/* ---- when a second attempt goes beside the first ---- */

/* "p95" or "p99.5", in tenths of a percent. */
static bool parse_quantile(const char *text, unsigned *tenths)
{
    const char *digits = "0123456789";

    if (text[0] != 'p' || strspn(text + 1, digits) != 2)
        return false;
    *tenths = (unsigned)(text[1] - '0') * 100 + (unsigned)(text[2] - '0') * 10;
    if (text[3] == '\0')
        return true;
    if (text[3] != '.' || strspn(text + 4, digits) != 1 || text[5] != '\0')
        return false;
    *tenths += (unsigned)(text[4] - '0');
    return true;
}

static bool read_hedge(struct config_value *value)
{
    struct hedge_settings *hedge = MEMBER(struct hedge_settings, value);
    unsigned tenths;

    *hedge = (struct hedge_settings){.delay_us = CLOCK_NEVER};
    if (strcmp(value->text, "none") == 0)
        return true;
    if (value->text[0] != 'p')
        return config_read_duration(value, "none, a quantile like p95, or ", &hedge->delay_us);
    if (!parse_quantile(value->text, &tenths) || tenths < 500)
        return config_refuse(value, "a quantile is from p50 to p99.9, like p95 or p99.5");
    hedge->part = tenths / 1000.0;
    return true;
}

static void print_hedge(const struct config_option *option, const void *object,
                        const struct config *config, FILE *out)
{
    const struct hedge_settings *hedge = CONST_MEMBER(struct hedge_settings, object, option);
    unsigned tenths = (unsigned)(hedge->part * 1000 + 0.5);
    char text[UNITS_TEXT_SIZE];

    (void)config;
    if (tenths > 0 && tenths % 10 > 0)
        fprintf(out, "p%u.%u", tenths / 10, tenths % 10);
    else if (tenths > 0)
        fprintf(out, "p%u", tenths / 10);
    else if (hedge->delay_us == CLOCK_NEVER)
        fputs("none", out);
    else
        fputs(units_print(&units_of_time, hedge->delay_us, text), out);
}

/* ---- what stands in for a failure ---- */

/* What is JSON is taken as that, also where an upstream has such a name: null, 42. */
static bool read_fallback(struct config_value *value)
{
    struct fallback_settings *fallback = MEMBER(struct fallback_settings, value);
    size_t length = strlen(value->text);
    struct json_error error;
    struct json_span root;

    free(fallback->json);
    free(fallback->upstream);
    *fallback = (struct fallback_settings){0};
    if (strcmp(value->text, "none") == 0)
        return true;
    if (json_validate(value->text, length, JSON_DEPTH_LIMIT, &error)) {
        root = json_root(value->text, length);
        fallback->json = mem_strndup(root.start, root.length);
        return true;
    }
    if (!config_is_upstream_name(value->text))
        return config_refuse(value,
                             "must be none, a JSON value, or the name of another upstream "
                             "(as JSON, %s at byte %zu)",
                             error.message, error.offset + 1);
    fallback->upstream = mem_strdup(value->text);
    return true;
}

static void print_fallback(const struct config_option *option, const void *object,
                           const struct config *config, FILE *out)
{
    const struct fallback_settings *fallback =
        CONST_MEMBER(struct fallback_settings, object, option);

    (void)config;
    if (fallback->json != NULL)
        config_print_quoted(fallback->json, out);
    else
        fputs(fallback->upstream != NULL ? fallback->upstream : "none", out);
}

/* ---- between whom turns are taken ---- */

static bool read_fair_header(struct config_value *value, const char *name)
{
    struct config *config = value->object;

    name += strspn(name, " ");
    if (!header_name_is_valid(name, strlen(name)))
        return config_refuse(value, "must have the name of a header, like \"header X-Tenant\"");
    config->fair_by = FAIR_BY_HEADER;
    config->fair_header = mem_strdup(name);
    return true;
}

static bool read_fair_by(struct config_value *value)
{
    static const char *const names[] = {"address", "request", "header", NULL};
    struct config *config = value->object;
    size_t length = strcspn(value->text, " ");

    free(config->fair_header);
    config->fair_header = NULL;
    for (unsigned i = FAIR_BY_ADDRESS; i < FAIR_BY_HEADER; i++) {
        if (strcmp(value->text, names[i]) == 0) {
            config->fair_by = (enum fair_by)i;
            return true;
        }
    }
    if (length == strlen("header") && strncmp(value->text, "header", length) == 0)
        return read_fair_header(value, value->text + length);
    config_refuse(value, "must be address, request, or \"header NAME\"");
    config_suggest(&value->why, value->text, names);
    return false;
}

static void print_fair_by(const struct config_option *option, const void *object,
                          const struct config *config, FILE *out)
{
    (void)option;
    (void)object;
    if (config->fair_by == FAIR_BY_HEADER)
        fprintf(out, "\"header %s\"", config->fair_header);
    else
        fputs(config->fair_by == FAIR_BY_REQUEST ? "request" : "address", out);
}

const struct config_type config_header_name = {false, read_header_name, print_header_name};
const struct config_type config_retry_on = {true, read_retry_on, print_retry_on};
const struct config_type config_hedge = {false, read_hedge, print_hedge};
const struct config_type config_fallback = {false, read_fallback, print_fallback};
const struct config_type config_fair_by = {false, read_fair_by, print_fair_by};
