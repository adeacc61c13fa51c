/*
 * What the fuzzers of plans share: a service that allows everything, and
 * what must be true of each plan, of each problem, and of the answer to each.
 */
#ifndef TESTS_FUZZ_PLAN_WORLD_H
#define TESTS_FUZZ_PLAN_WORLD_H

#include "fanout/fanout.h"
#include "service/call.h"
#include "service/document.h"
#include "service/pieces.h"
#include "service/plan.h"
#include "tests/fuzz/fuzz.h"

#include <event2/buffer.h>
#include <event2/http.h>

#define MAX_REQUESTS 5

static const char configuration[] =
    "max_requests = 5\n"
    "deadline = 2s\n"
    "upstream open {\n"
    "  url = \"http://127.0.0.1:1/base?key=1\"\n"
    "  allow_path = true  allow_query = true  allow_body = true\n"
    "  allow_methods = { GET, HEAD, POST, PUT, PATCH, DELETE }\n"
    "  forward_headers = { \"X-A\", \"Authorization\", \"Content-Type\" }\n"
    "  fallback = other\n"
    "}\n"
    "upstream other {\n"
    "  url = \"http://127.0.0.1:1/elsewhere\"\n"
    "  allow_path = true  allow_query = true  allow_body = true\n"
    "  allow_methods = { GET, HEAD, POST, PUT, PATCH, DELETE }\n"
    "  forward_headers = { \"X-A\", \"Authorization\", \"Content-Type\" }\n"
    "}\n"
    "upstream root { url = \"http://127.0.0.1:1/\" allow_path = true allow_query = true }\n"
    "upstream shut { url = \"http://127.0.0.1:1/v1/me\" }\n";

static struct config *config;
static struct fanout *fanout;

static inline void set_up(void)
{
    config = config_of(configuration);
    fanout = fanout_new(&(struct fanout_settings){.limiter = {.max_in_flight = 1},
                                                  .upstreams = config->upstreams,
                                                  .upstream_count = config->upstream_count});
}

/* ---- targets ---- */

static inline int hex_value(char c)
{
    const char *digits = "0123456789abcdef", *at = strchr(digits, c | 0x20);

    return c != '\0' && at != NULL ? (int)(at - digits) : -1;
}

/* One round of percent-decoding in place; false: there was nothing to decode. */
static inline bool decode_once(char *text)
{
    char *out = text;
    bool found = false;

    for (const char *at = text; *at != '\0'; at++) {
        if (at[0] == '%' && hex_value(at[1]) >= 0 && hex_value(at[2]) >= 0) {
            *out++ = (char)(hex_value(at[1]) * 16 + hex_value(at[2]));
            at += 2;
            found = true;
        } else {
            *out++ = *at;
        }
        if (out[-1] == '\0')
            return false; /* the claims are made for what stands before */
    }
    *out = '\0';
    return found;
}

static inline void claim_confined(const char *below)
{
    for (const char *at = below; *at != '\0'; at++) {
        size_t segment = strcspn(at, "/");

        claim(!(segment == 1 && at[0] == '.') && !(segment == 2 && memcmp(at, "..", 2) == 0),
              "no dot segment is in a path");
        claim(memchr(at, '\\', segment) == NULL, "no backslash is in a path");
        at += segment;
        if (*at == '\0')
            break;
    }
}

/* However often a server decodes it, it never means a place outside. */
static inline void claim_target(const char *target, const struct url *url)
{
    size_t base = strcmp(url->path, "/") == 0 ? 0 : strlen(url->path);
    size_t length = strcspn(target, "?");
    char *below;

    for (const char *at = target; *at != '\0'; at++)
        claim(*at > ' ' && *at < 0x7f && *at != '#', "a target holds what a request line may");
    claim(length >= base && memcmp(target, url->path, base) == 0, "a target is below the URL");
    claim(length == base || target[base] == '/', "a target does not prolong the last segment");
    below = mem_strndup(target + base, length - base);
    do
        claim_confined(below);
    while (decode_once(below));
    free(below);
}

/* ---- plans ---- */

static inline void claim_headers(const struct header_list *headers)
{
    for (size_t i = 0; headers != NULL && i < headers->count; i++) {
        const struct header *header = &headers->items[i];

        claim(header_name_is_valid(header->name, strlen(header->name)) &&
                  header_value_is_valid(header->value, strlen(header->value)) &&
                  !header_is_reserved(header->name),
              "a header to be sent is a good one");
    }
}

static inline void claim_fetch(const struct fetch_request *fetch)
{
    const struct upstream_settings *settings = fetch->upstream->settings;

    claim(upstream_settings_allow_method(settings, fetch->method), "a method is allowed");
    claim(fetch->target == NULL || settings->allow_path || settings->allow_query,
          "a target was allowed");
    if (fetch->target != NULL)
        claim_target(fetch->target, &settings->url);
    claim(fetch->body == NULL || settings->allow_body, "a body was allowed");
    claim(fetch->body == NULL ||
              json_validate(fetch->body, fetch->body_length, JSON_DEPTH_LIMIT, NULL),
          "a body is JSON");
    claim(fetch->timeout_us > 0, "a timeout is more than nothing");
    claim_headers(fetch->headers);
}

/* What stands in is asked the same, below its own URL. */
static inline void claim_fallback(const struct fetch_request *fetch)
{
    const struct fetch_request *fallback = fetch->fallback;

    claim((fallback != NULL) == (fetch->upstream->settings->fallback.upstream != NULL),
          "who has a fallback has it");
    if (fallback == NULL)
        return;
    claim_fetch(fallback);
    claim(fallback->fallback == NULL && fallback->upstream != fetch->upstream &&
              fallback->method == fetch->method && fallback->body == fetch->body &&
              fallback->headers == fetch->headers &&
              (fallback->target == NULL) == (fetch->target == NULL),
          "a fallback is asked the same");
}

static inline void claim_plan(const struct plan *plan, size_t most)
{
    claim(plan->count >= 1 && plan->count <= most, "a plan has fetches, and not too many");
    claim(plan->deadline_us > 0 && plan->deadline_us <= config->deadline_us,
          "a deadline is only lowered");
    claim(plan->require.kind != REQUIRE_COUNT ||
              (plan->require.count >= 1 && plan->require.count <= plan->count),
          "what is required can be met");
    for (size_t i = 0; i < plan->count; i++) {
        claim(plan->entries[i].id[0] != '\0', "an id is not empty");
        for (size_t j = 0; j < i; j++)
            claim(strcmp(plan->entries[i].id, plan->entries[j].id) != 0, "ids are unique");
        claim_fetch(&plan->fetches[i]);
        claim_fallback(&plan->fetches[i]);
    }
}

/* The answer if every fetch failed or brought these bytes. */
static inline void claim_answer(const struct plan *plan, const char *bytes, size_t length)
{
    struct document *document = document_new(plan);
    struct pieces pieces;
    struct buf out;

    for (size_t i = 0; i < plan->count; i++) {
        struct fetch_result result = {.outcome = (enum outcome)(i % OUTCOME_COUNT),
                                      .body_kind = i % 2 == 0 ? BODY_TEXT : BODY_BINARY,
                                      .content_type = "text/\"x\""};

        buf_init(&result.body, BUF_UNLIMITED);
        buf_append(&result.body, bytes, length);
        snprintf(result.message, sizeof result.message, "%.*s", (int)length, bytes);
        document_add(document, i, &result);
        buf_release(&result.body);
    }
    pieces_init(&pieces, NULL);
    claim(document_write(document, 1, &pieces), "an answer can be written");
    buf_init(&out, BUF_UNLIMITED);
    for (size_t i = 0; i < pieces_count(&pieces); i++) {
        struct iovec piece = pieces_at(&pieces, i);

        buf_append(&out, piece.iov_base, piece.iov_len);
    }
    claim_json(&out, "an answer is JSON");
    buf_release(&out);
    pieces_release(&pieces);
    document_free(document);
}

static inline void claim_problem(const struct problem *problem)
{
    struct buf out;

    claim(problem->status >= 400 && problem->status < 500, "a problem is the caller's");
    claim(problem->detail[0] != '\0', "a problem says what is wrong");
    claim(problem->pointer[0] == '\0' || problem->pointer[0] == '/', "a pointer is one");
    buf_init(&out, BUF_UNLIMITED);
    problem_write(problem, "id-1", &out);
    claim_json(&out, "a problem document is JSON");
    buf_release(&out);
}

/* Makes the plan, checks it, and lets go of it. */
static inline void check_call(struct call *call, size_t most, const char *bytes, size_t length)
{
    struct problem problem = {0};
    struct plan plan;

    strcpy(call->id, "id-1");
    if (plan_make(&plan, call, config, fanout, &config->endpoints[0], &problem)) {
        claim_plan(&plan, most);
        claim_answer(&plan, bytes, length);
    } else {
        claim_problem(&problem);
    }
    plan_release(&plan);
}

#endif
