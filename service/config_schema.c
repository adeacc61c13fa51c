/*
 * The tables: a new option is a new row here and a member in the section's struct. Reading,
 * checking, suggestions and -t all go by them.
 */
#include "fanout/json.h"
#include "service/config_internal.h"

#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

#define TOP(member)      offsetof(struct config, member)
#define RESOLVER(member) offsetof(struct resolver_settings, member)
#define UPSTREAM(member) offsetof(struct upstream_settings, member)
#define ENDPOINT(member) offsetof(struct config_endpoint, member)

#define MS      (CONFIG_SECOND / 1000)
#define MINUTE  (UINT64_C(60) * CONFIG_SECOND)
#define DAY     (CONFIG_SECOND * 3600 * 24)
#define WEEK    (DAY * 7)
#define MIB     (UINT64_C(1) << 20)
#define GIB     (UINT64_C(1) << 30)
#define MILLION UINT64_C(1000000)

static const char *const log_levels[] = {"error", "warn", "info", "debug", NULL};
static const char *const certificate_labels[] = {"CERTIFICATE", "X509 CERTIFICATE",
                                                 "TRUSTED CERTIFICATE", NULL};
static const char *const key_labels[] = {"PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY",
                                         "ENCRYPTED PRIVATE KEY", NULL};
static const char *const transports[] = {"auto", "curl", NULL};
static const char *const shapes[] = {"list", "map", NULL};
static const char *const priorities[] = {"high", "normal", "low", NULL};

/* For lists, `least` is the least number of items. */
/* clang-format off */
static const struct config_option top[] = {
    {"listen", &config_addresses, TOP(listen), "0.0.0.0:8080", 1, 0, NULL,
     "where to serve; several as a list; port 0: any free one"},
    {"workers", &config_workers, TOP(workers), "auto", 1, 256, NULL,
     "event loops, one thread each; auto: one for each usable core"},
    {"max_in_flight", &config_count, TOP(max_in_flight), "256", 1, MILLION, NULL,
     "the semaphore: fetches at once, over all callers and threads"},
    {"max_queue", &config_count, TOP(max_queue), "4096", 0, MILLION * 10, NULL,
     "fetches that may wait for a slot; more are refused at once"},
    {"fair_by", &config_fair_by, TOP(fair_by), "address", 0, 0, NULL,
     "between whom turns are taken: address, request, \"header NAME\""},
    {"shed_target", &config_duration_or_none, TOP(shed_target_us), "none", 1, DAY, NULL,
     "load shedding (CoDel): the longest wait in a standing queue; none: off"},
    {"shed_interval", &config_duration, TOP(shed_interval_us), "100ms", 1, DAY, NULL,
     "a queue that stood for longer is no burst"},
    {"deadline", &config_duration, TOP(deadline_us), "2s", 1, DAY, NULL,
     "an answer is sent by then, whatever is missing"},
    {"drain_timeout", &config_duration, TOP(drain_timeout_us), "8s", 0, DAY, NULL,
     "how long a stop waits for answers that are under way"},
    {"max_request_body", &config_size, TOP(max_request_bytes), "1m", 1, GIB, NULL,
     "largest body of a POST"},
    {"max_requests", &config_long_count, TOP(max_requests), "1000", 1, 100000, NULL,
     "most fetches in one POST"},
    {"max_id", &config_size, TOP(max_id_bytes), "256", 1, 64 * 1024, NULL,
     "longest id of a fetch"},
    {"max_request_depth", &config_count, TOP(max_request_depth), "128", 4, JSON_DEPTH_LIMIT, NULL,
     "deepest nesting of a POST's document"},
    {"max_memory", &config_size, TOP(max_memory_bytes), "512m", MIB, GIB * 1024, NULL,
     "bytes of answers held at once; what would be more is refused with 503"},
    {"max_target", &config_size, TOP(max_target_bytes), "8k", 64, MIB, NULL,
     "longest target of a caller's request"},
    {"max_header", &config_size, TOP(max_header_bytes), "32k", 256, MIB * 16, NULL,
     "largest header section of a caller's request"},
    {"max_header_count", &config_long_count, TOP(max_header_count), "100", 1, 10000, NULL,
     "most fields in it"},
    {"max_pipelined", &config_long_count, TOP(max_pipelined), "64", 1, 100000, NULL,
     "requests of one connection that wait for their answers"},
    {"max_connections", &config_long_count, TOP(max_connections), "16000", 1, MILLION, NULL,
     "callers connected at once"},
    {"max_connections_per_client", &config_long_count, TOP(max_connections_per_client), "16000", 1,
     MILLION, NULL, "and from one address"},
    {"idle_timeout", &config_duration, TOP(idle_timeout_us), "1m", MS, DAY, NULL,
     "how long a caller's connection may be idle"},
    {"header_timeout", &config_duration, TOP(header_timeout_us), "10s", MS, DAY, NULL,
     "how long its header section may take, from the first byte"},
    {"body_timeout", &config_duration, TOP(body_timeout_us), "30s", MS, DAY, NULL,
     "how long its body may take"},
    {"write_timeout", &config_duration, TOP(write_timeout_us), "30s", MS, DAY, NULL,
     "how long it may read nothing of an answer"},
    {"transport", &config_choice, TOP(transport), "auto", 0, 0, transports,
     "curl: all exchanges by libcurl alone; auto: only what needs it"},
    {"log_level", &config_choice, TOP(log_level), "info", 0, 0, log_levels,
     "error, warn, info or debug"},
    {"confine", &config_flag, TOP(confine), "true", 0, 0, NULL,
     "while serving: start no program, write no file, read few"},
    {"deny_addresses", &config_denied, TOP(denied), "169.254.0.0/16 fe80::/10 fd00:ec2::254", 0,
     0, NULL, "never connected to, but if a url has that very address"},
    {"demo_listen", &config_demo_address, TOP(demo_listen), "none", 0, 0, NULL,
     "serves made-up upstreams to try out; loopback only"},
};

static const struct config_option resolver[] = {
    {"servers", &config_servers, RESOLVER(servers), "", 0, 0, NULL,
     "name servers, numeric; none: the system's"},
    {"timeout", &config_duration, RESOLVER(timeout_us), "1s", MS, MINUTE, NULL,
     "for one query to one server"},
    {"tries", &config_count, RESOLVER(tries), "2", 1, 10, NULL,
     "rounds over the servers"},
    {"min_ttl", &config_duration, RESOLVER(min_ttl_us), "1s", 0, DAY, NULL,
     "answers are kept at least this long"},
    {"max_ttl", &config_duration, RESOLVER(max_ttl_us), "5m", 1, WEEK, NULL,
     "and at most this long"},
    {"stale", &config_duration, RESOLVER(stale_us), "1h", 0, WEEK, NULL,
     "how long past that the last good answer serves while DNS is down"},
    {"failure_ttl", &config_duration, RESOLVER(failure_ttl_us), "1s", 0, DAY, NULL,
     "how long a failed look-up is remembered"},
};

static const struct config_option upstream[] = {
    {"url", &config_url, UPSTREAM(url), NULL, 0, 0, NULL,
     "where it is, like http://users.internal:8081/v1/me"},
    {"timeout", &config_duration, UPSTREAM(timeout_us), "1s", 1, DAY, NULL,
     "from the slot taken to the last byte of the answer"},
    {"connect_timeout", &config_duration, UPSTREAM(connect_timeout_us), "500ms", 1, DAY, NULL,
     "for each address tried, TLS included"},
    {"queue_timeout", &config_duration_or_none, UPSTREAM(queue_timeout_us), "none", 0, DAY, NULL,
     "longest wait for a slot; none: until the deadline"},
    {"attempt_timeout", &config_duration_or_none, UPSTREAM(attempt_timeout_us), "none", 1, DAY,
     NULL, "for each attempt; none: what is left of timeout"},
    {"deadline_header", &config_header_name, UPSTREAM(deadline_header), "X-Request-Deadline-Ms",
     0, 0, NULL, "tells the upstream how many ms are left; none: not told"},
    {"idle_timeout", &config_duration, UPSTREAM(idle_timeout_us), "30s", 1, DAY, NULL,
     "a connection unused for longer is not used again"},
    {"max_in_flight", &config_count, UPSTREAM(max_in_flight), "64", 1, MILLION, NULL,
     "fetches at once from this upstream"},
    {"min_in_flight", &config_count_or_none, UPSTREAM(min_in_flight), "none", 1, MILLION, NULL,
     "adaptive concurrency limit, down to this; none: fixed"},
    {"transport", &config_choice, UPSTREAM(transport), "auto", 0, 0, transports,
     "curl: by libcurl alone; auto: by the lean way where it can be"},
    {"http2", &config_flag, UPSTREAM(http2), "false", 0, 0, NULL,
     "ask for HTTP/2 over TLS; always by libcurl"},
    {"max_response", &config_size, UPSTREAM(max_response_bytes), "8m", 1, GIB, NULL,
     "largest body of an answer"},
    {"max_json_depth", &config_count, UPSTREAM(max_json_depth), "64", 1, JSON_DEPTH_LIMIT, NULL,
     "deepest nesting of JSON in an answer"},
    {"header", &config_headers, UPSTREAM(headers), "", 0, 0, NULL,
     "header fields sent with every request: \"Name: value\""},
    {"success", &config_statuses, UPSTREAM(success), "2xx", 1, 0, NULL,
     "what counts as success: 2xx, 404, 200-299"},
    {"allow_path", &config_flag, UPSTREAM(allow_path), "false", 0, 0, NULL,
     "a caller may append a path to the URL"},
    {"allow_query", &config_flag, UPSTREAM(allow_query), "false", 0, 0, NULL,
     "a caller may add a query"},
    {"allow_methods", &config_methods, UPSTREAM(allow_methods), "GET", 1, 0, NULL,
     "methods that a caller may ask for"},
    {"allow_body", &config_flag, UPSTREAM(allow_body), "false", 0, 0, NULL,
     "a caller may send a body"},
    {"forward_headers", &config_header_names, UPSTREAM(forward_headers), "", 0, 0, NULL,
     "names of header fields that a caller may set"},
    {"coalesce", &config_flag, UPSTREAM(coalesce), "false", 0, 0, NULL,
     "identical GETs at one time are sent once"},
    {"required", &config_flag, UPSTREAM(required), "false", 0, 0, NULL,
     "if it fails, the whole request fails"},
    {"fallback", &config_fallback, UPSTREAM(fallback), "none", 0, 0, NULL,
     "stands in for a failure: a JSON value, or another upstream"},
    {"retries", &config_count, UPSTREAM(retry.most), "0", 0, 10, NULL,
     "attempts after the first one, at most"},
    {"retry_on", &config_retry_on, UPSTREAM(retry),
     "connect_refused connect_timeout connect_failed reset timeout 429 502 503 504", 1, 0, NULL,
     "after which failures: codes and HTTP statuses"},
    {"retry_unsafe", &config_flag, UPSTREAM(retry.unsafe), "false", 0, 0, NULL,
     "also methods that are not idempotent, like POST"},
    {"retry_backoff", &config_duration, UPSTREAM(retry.backoff_us), "25ms", 0, DAY, NULL,
     "longest wait before the first retry, doubled each time; full jitter"},
    {"retry_max_backoff", &config_duration, UPSTREAM(retry.max_backoff_us), "1s", 0, DAY, NULL,
     "and never longer than this"},
    {"retry_budget", &config_count, UPSTREAM(retry.budget_percent), "20", 0, 1000, NULL,
     "retries and hedges, in percent of first attempts"},
    {"retry_budget_floor", &config_count, UPSTREAM(retry.budget_floor), "3", 0, MILLION, NULL,
     "and so many a second besides"},
    {"hedge", &config_hedge, UPSTREAM(hedge), "none", 1, DAY, NULL,
     "a second attempt beside the first, after this long or a quantile: p95"},
    {"breaker", &config_flag, UPSTREAM(has_breaker), "false", 0, 0, NULL,
     "circuit breaker: while it is open, nothing is asked"},
    {"breaker_failure_rate", &config_count, UPSTREAM(breaker.failure_percent), "50", 0, 100, NULL,
     "percent of calls failed that opens it; 0: never by rate"},
    {"breaker_min_calls", &config_count, UPSTREAM(breaker.min_calls), "20", 1, MILLION, NULL,
     "calls in the window before the rate counts"},
    {"breaker_window", &config_duration, UPSTREAM(breaker.window_us), "10s", MS, DAY, NULL,
     "the rolling window of the rate"},
    {"breaker_consecutive", &config_count, UPSTREAM(breaker.max_consecutive), "0", 0, MILLION,
     NULL, "failures in a row that open it; 0: never by them"},
    {"breaker_open", &config_duration, UPSTREAM(breaker.open_us), "1s", 1, DAY, NULL,
     "how long it stays open at first, doubled each time"},
    {"breaker_max_open", &config_duration, UPSTREAM(breaker.max_open_us), "30s", 1, DAY, NULL,
     "and never longer than this"},
    {"breaker_probes", &config_count, UPSTREAM(breaker.max_probes), "1", 1, MILLION, NULL,
     "calls at once while it is half-open"},
    {"breaker_successes", &config_count, UPSTREAM(breaker.close_after), "2", 1, MILLION, NULL,
     "of these that close it"},
    {"eject_failures", &config_count, UPSTREAM(endpoints.max_failures), "5", 0, MILLION, NULL,
     "failures in a row that set an address aside; 0: never"},
    {"eject_time", &config_duration, UPSTREAM(endpoints.base_us), "5s", 1, DAY, NULL,
     "for how long at first, longer each time"},
    {"eject_max_time", &config_duration, UPSTREAM(endpoints.max_us), "1m", 1, DAY, NULL,
     "and never longer than this"},
    {"ca", &config_pem, UPSTREAM(ca), "system", 0, 0, certificate_labels,
     "PEM file of trusted certificates, instead of the system's"},
    {"cert", &config_pem, UPSTREAM(cert), "none", 0, 0, certificate_labels,
     "PEM file of our own certificate, with its chain"},
    {"key", &config_pem, UPSTREAM(key), "none", 0, 0, key_labels,
     "PEM file of its key"},
    {"tls_verify", &config_flag, UPSTREAM(tls_verify), "true", 0, 0, NULL,
     "false: whoever answers is taken for the upstream"},
};

static const struct config_option endpoint[] = {
    {"upstreams", &config_upstream_names, ENDPOINT(upstreams), "", 0, 0, NULL,
     "whom it asks, in this order; none: every upstream"},
    {"require", &config_require, ENDPOINT(require), "any", 1, MILLION, NULL,
     "how many must succeed for a 200: any, all, none or a number"},
    {"shape", &config_choice, ENDPOINT(shape), "list", 0, 0, shapes,
     "results as a list, or as a map by id"},
    {"deadline", &config_duration, ENDPOINT(deadline_us), "", 1, DAY, NULL,
     "if not the deadline above"},
    {"soft_deadline", &config_duration_or_none, ENDPOINT(soft_deadline_us), "none", 1, DAY, NULL,
     "from then on, what require asks for is enough"},
    {"early", &config_flag, ENDPOINT(early), "false", 0, 0, NULL,
     "what require asks for is enough at any time"},
    {"fail_fast", &config_flag, ENDPOINT(fail_fast), "false", 0, 0, NULL,
     "answer as soon as require can't be met any more"},
    {"priority", &config_choice, ENDPOINT(priority), "normal", 0, 0, priorities,
     "who gets a slot sooner: high, normal or low"},
};
/* clang-format on */

_Static_assert(COUNT(upstream) <= CONFIG_MAX_OPTIONS && COUNT(top) <= CONFIG_MAX_OPTIONS,
               "a frame has room for every option");

static const struct config_section sections[SECTION_COUNT] = {
    [SECTION_TOP] = {NULL, top, COUNT(top), false},
    [SECTION_RESOLVER] = {"resolver", resolver, COUNT(resolver), false},
    /* All but the url, which is the first. */
    [SECTION_DEFAULTS] = {"defaults", upstream + 1, COUNT(upstream) - 1, false},
    [SECTION_UPSTREAM] = {"upstream", upstream, COUNT(upstream), true},
    [SECTION_ENDPOINT] = {"endpoint", endpoint, COUNT(endpoint), true},
};

const struct config_section *config_section(enum config_section_kind kind)
{
    return &sections[kind];
}

const struct config_option *config_section_find(enum config_section_kind kind, const char *name)
{
    const struct config_section *section = &sections[kind];

    for (size_t i = 0; i < section->option_count; i++)
        if (strcmp(section->options[i].name, name) == 0)
            return &section->options[i];
    return NULL;
}

bool config_is_for_tls(const struct config_option *option)
{
    return option->offset == UPSTREAM(ca) || option->offset == UPSTREAM(cert) ||
           option->offset == UPSTREAM(key) || option->offset == UPSTREAM(tls_verify);
}

void *config_object(struct config *config, enum config_section_kind kind, size_t index)
{
    switch (kind) {
    case SECTION_RESOLVER:
        return &config->resolver;
    case SECTION_UPSTREAM:
        return &config->upstreams[index];
    case SECTION_ENDPOINT:
        return &config->endpoints[index];
    default:
        return config;
    }
}
