/* What one option says against another, once every one is filled in; only good values are
 * compared. */
#include "fanout/clock.h"
#include "fanout/mem.h"
#include "service/config_internal.h"

#include <stdlib.h>

static size_t number_of(const struct config_frame *frame, const char *name)
{
    return (size_t)(config_section_find(frame->kind, name) - config_section(frame->kind)->options);
}

/* Where an option of a section was given; where the section begins if it was not. */
static struct config_spot spot_of(const struct config_frame *frame, const char *name)
{
    struct config_spot seen = frame->seen[number_of(frame, name)];

    return seen.line > 0 ? seen : frame->begin;
}

/* In the section itself. */
static bool is_own(const struct config_frame *frame, const char *name)
{
    size_t number = number_of(frame, name);

    return frame->seen[number].line > 0 && !frame->is_inherited[number];
}

/* Where one of two options that clash was given, better in the section itself. One of them was:
 * what the tables say goes together. */
static struct config_spot spot_of_either(const struct config_frame *frame, const char *one,
                                         const char *other)
{
    bool takes_other = is_own(frame, other) && !is_own(frame, one);

    if (!is_own(frame, one) && frame->seen[number_of(frame, one)].line == 0)
        takes_other = true;
    return spot_of(frame, takes_other ? other : one);
}

/* The section whose fault a clash is: that of `defaults` where an upstream gives neither. NULL:
 * that was said of another upstream already. */
static const struct config_frame *at_fault(struct config_loader *loader,
                                           const struct config_frame *frame, const char *one,
                                           const char *other)
{
    bool *is_blamed = &loader->is_default_blamed[number_of(frame, one)];

    if (frame->kind != SECTION_UPSTREAM || is_own(frame, one) || is_own(frame, other))
        return frame;
    if (*is_blamed)
        return NULL;
    *is_blamed = true;
    return config_frame_first(loader, SECTION_DEFAULTS);
}

static void report_clash(struct config_loader *loader, const struct config_frame *frame,
                         const char *one, const char *other, const char *message)
{
    const struct config_frame *section = at_fault(loader, frame, one, other);

    if (section != NULL)
        config_report(loader, spot_of_either(frame, one, other), section, "%s", message);
}

static void check_order(struct config_loader *loader, const struct config_frame *frame,
                        const char *shorter, uint64_t shorter_us, const char *longer,
                        uint64_t longer_us)
{
    char *message;

    if (shorter_us <= longer_us)
        return;
    message = mem_printf("%s must not be shorter than %s", longer, shorter);
    report_clash(loader, frame, longer, shorter, message);
    free(message);
}

static void check_top(struct config_loader *loader, const struct config_frame *frame)
{
    const struct config *config = loader->config;
    uint16_t port = config->has_demo_listen ? address_port(&config->demo_listen) : 0;

    for (size_t i = 0; i < config->listen_count && port != 0; i++)
        if (address_port(&config->listen[i]) == port)
            config_report(loader, spot_of(frame, "demo_listen"), NULL,
                          "demo_listen needs another port than listen has");
    if (config->shed_target_us != CLOCK_NEVER)
        check_order(loader, frame, "shed_target", config->shed_target_us, "shed_interval",
                    config->shed_interval_us);
}

static void check_resolver(struct config_loader *loader, const struct config_frame *frame)
{
    if (loader->config->resolver.min_ttl_us > loader->config->resolver.max_ttl_us)
        config_report(loader, spot_of(frame, "min_ttl"), frame,
                      "min_ttl must not be longer than max_ttl");
}

static void check_endpoint(struct config_loader *loader, const struct config_frame *frame)
{
    const struct config_endpoint *endpoint = &loader->config->endpoints[frame->index];

    if (endpoint->require.kind == REQUIRE_COUNT &&
        endpoint->require.count > endpoint->upstream_count)
        config_report(loader, spot_of(frame, "require"), frame,
                      "require %zu can't be met by %zu upstream%s", endpoint->require.count,
                      endpoint->upstream_count, endpoint->upstream_count == 1 ? "" : "s");
    if (endpoint->soft_deadline_us != CLOCK_NEVER &&
        endpoint->soft_deadline_us >= endpoint->deadline_us)
        config_report(loader, spot_of(frame, "soft_deadline"), frame,
                      "soft_deadline must be shorter than the deadline");
}

/* ---- upstreams ---- */

static void check_tls_option(struct config_loader *loader, const struct config_frame *frame,
                             const char *name, bool is_set)
{
    if (is_set)
        config_report(loader, spot_of(frame, name), frame,
                      "%s is for https:// upstreams, and the url is http://", name);
}

static void check_tls(struct config_loader *loader, const struct config_frame *frame,
                      const struct upstream_settings *upstream)
{
    if (!upstream->url.tls) {
        check_tls_option(loader, frame, "ca", upstream->ca != NULL);
        check_tls_option(loader, frame, "cert", upstream->cert != NULL);
        check_tls_option(loader, frame, "key", upstream->key != NULL);
        check_tls_option(loader, frame, "tls_verify", !upstream->tls_verify);
        return;
    }
    if (upstream->cert != NULL && upstream->key == NULL)
        report_clash(loader, frame, "cert", "key",
                     "cert needs key as well (it may be the same file)");
    if (upstream->key != NULL && upstream->cert == NULL)
        report_clash(loader, frame, "key", "cert",
                     "key needs cert as well (it may be the same file)");
}

static void check_min_in_flight(struct config_loader *loader, const struct config_frame *frame,
                                const struct upstream_settings *upstream)
{
    char *message;

    if (upstream->min_in_flight <= upstream->max_in_flight)
        return;
    message = mem_printf("min_in_flight %u is above max_in_flight, which is %u",
                         upstream->min_in_flight, upstream->max_in_flight);
    report_clash(loader, frame, "min_in_flight", "max_in_flight", message);
    free(message);
}

static void check_policies(struct config_loader *loader, const struct config_frame *frame,
                           const struct upstream_settings *upstream)
{
    const struct retry_settings *retry = &upstream->retry;
    const struct breaker_settings *breaker = &upstream->breaker;
    const struct endpoints_settings *eject = &upstream->endpoints;

    check_order(loader, frame, "retry_backoff", retry->backoff_us, "retry_max_backoff",
                retry->max_backoff_us);
    check_order(loader, frame, "breaker_open", breaker->open_us, "breaker_max_open",
                breaker->max_open_us);
    check_order(loader, frame, "eject_time", eject->base_us, "eject_max_time", eject->max_us);
    if (upstream->has_breaker && breaker->failure_percent == 0 && breaker->max_consecutive == 0)
        report_clash(loader, frame, "breaker_failure_rate", "breaker",
                     "the breaker would never open: breaker_failure_rate and breaker_consecutive "
                     "are both 0");
}

/* The field that tells the deadline is ours alone. */
static void check_deadline_header(struct config_loader *loader, const struct config_frame *frame,
                                  const struct upstream_settings *upstream)
{
    const char *name = upstream->deadline_header;
    const char *other = NULL;
    char *message;

    if (name == NULL)
        return;
    if (header_list_find(&upstream->headers, name) != NULL)
        other = "header";
    else if (upstream_settings_forward_header(upstream, name))
        other = "forward_headers";
    if (other == NULL)
        return;
    message =
        mem_printf("%s has %s, which is the deadline_header (and that may be none)", other, name);
    report_clash(loader, frame, other, "deadline_header", message);
    free(message);
}

/* ---- fallbacks ---- */

static void lack(struct buf *lacks, const char *option, const char *item)
{
    buf_printf(lacks, "%s%s%s%s", lacks->len > 0 ? ", " : "", option, item[0] != '\0' ? " " : "",
               item);
}

/* What callers may ask of one upstream and not of the other. */
static void list_lacks(const struct upstream_settings *upstream,
                       const struct upstream_settings *other, struct buf *lacks)
{
    const struct string_list *headers = &upstream->forward_headers;

    if (upstream->allow_path && !other->allow_path)
        lack(lacks, "allow_path", "");
    if (upstream->allow_query && !other->allow_query)
        lack(lacks, "allow_query", "");
    for (unsigned i = 0; i < METHOD_COUNT; i++)
        if (upstream_settings_allow_method(upstream, (enum method)i) &&
            !upstream_settings_allow_method(other, (enum method)i))
            lack(lacks, "allow_methods", method_name((enum method)i));
    if (upstream->allow_body && !other->allow_body)
        lack(lacks, "allow_body", "");
    for (size_t i = 0; i < headers->count; i++)
        if (!upstream_settings_forward_header(other, headers->items[i]))
            lack(lacks, "forward_headers", headers->items[i]);
}

/* What was asked of the one must be fit to be asked of the other. */
static void check_fallback(struct config_loader *loader, const struct config_frame *frame,
                           const struct upstream_settings *upstream)
{
    const struct upstream_settings *other = &loader->config->upstreams[upstream->fallback.index];
    struct buf lacks;

    if (upstream->fallback.upstream == NULL)
        return;
    buf_init(&lacks, BUF_UNLIMITED);
    list_lacks(upstream, other, &lacks);
    if (lacks.len > 0)
        config_report(loader, spot_of(frame, "fallback"), frame,
                      "fallback %s must allow callers what this one does, and lacks %.*s",
                      other->name, (int)lacks.len, lacks.data);
    buf_release(&lacks);
}

void config_link_fallback(struct config_loader *loader, const struct config_frame *frame)
{
    struct config *config = loader->config;
    struct fallback_settings *fallback = &config->upstreams[frame->index].fallback;
    const struct upstream_settings *other;
    const struct config_frame *section;

    if (fallback->upstream == NULL)
        return;
    other = config_upstream(config, fallback->upstream);
    if (other == &config->upstreams[frame->index]) {
        config_report(loader, spot_of(frame, "fallback"), frame,
                      "fallback can't be the upstream itself");
    } else if (other != NULL) {
        fallback->index = (size_t)(other - config->upstreams);
    } else {
        section = at_fault(loader, frame, "fallback", "fallback");
        if (section != NULL)
            config_report_unknown_upstream(loader, spot_of(frame, "fallback"), section,
                                           fallback->upstream);
    }
}

static void check_upstream(struct config_loader *loader, const struct config_frame *frame)
{
    struct upstream_settings *upstream = &loader->config->upstreams[frame->index];

    upstream->denied = &loader->config->denied;
    check_tls(loader, frame, upstream);
    check_min_in_flight(loader, frame, upstream);
    check_policies(loader, frame, upstream);
    check_deadline_header(loader, frame, upstream);
    check_fallback(loader, frame, upstream);
}

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

void config_check(struct config_loader *loader)
{
    if (loader->error_count > 0)
        return;
    for (size_t i = 0; i < loader->frame_count; i++)
        check_frame(loader, &loader->frames[i]);
}
