/* Requests to plans: what a query and a document may say, and what is said back when they err. */
#include "fanout/clock.h"
#include "fanout/fanout.h"
#include "fanout/mem.h"
#include "service/call.h"
#include "service/plan.h"

#include <event2/buffer.h>
#include <event2/http.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static const char configuration[] =
    "max_requests = 5\n"
    "deadline = 2s\n"
    "upstream users { url = \"http://127.0.0.1:1/v1/me\" }\n"
    "upstream open {\n"
    "  url = \"http://127.0.0.1:1/base?key=1\"\n"
    "  allow_path = true  allow_query = true  allow_body = true\n"
    "  allow_methods = { GET, POST, DELETE }\n"
    "  forward_headers = { \"X-A\", \"Authorization\", \"Content-Type\" }\n"
    "}\n"
    "upstream writes { url = \"http://127.0.0.1:1/\" allow_methods = { POST } }\n"
    "upstream elsewhere { url = \"http://127.0.0.1:1/\" }\n"
    "endpoint \"/fetch-multiple\" { upstreams = { users, open, writes } }\n";

static struct config *config;
static struct fanout *fanout;

/* One call and what became of it. */
struct asked {
    struct call call;
    struct plan plan;
    struct problem problem;
    bool ok;
};

static struct asked *ask(const char *method, const char *query, const char *body)
{
    struct asked *asked = mem_zalloc(sizeof *asked);
    struct evhttp_request *request = evhttp_request_new(NULL, NULL);
    struct evkeyvalq *headers = evhttp_request_get_input_headers(request);

    if (body != NULL) {
        evbuffer_add(evhttp_request_get_input_buffer(request), body, strlen(body));
        evhttp_add_header(headers, "Content-Type", "application/json; charset=utf-8");
    }
    evhttp_add_header(headers, "Authorization", "Bearer caller");
    evhttp_add_header(headers, "X-Secret", "not forwarded");
    asked->call.request = request;
    asked->call.method = method;
    asked->call.query = query;
    strcpy(asked->call.id, "id-1");
    asked->ok = plan_make(&asked->plan, &asked->call, config, fanout, &config->endpoints[0],
                          &asked->problem);
    return asked;
}

static void drop(struct asked *asked)
{
    plan_release(&asked->plan);
    evhttp_request_free(asked->call.request);
    free(asked);
}

static const char *header_of(const struct asked *asked, size_t at, const char *name)
{
    const struct header *header = header_list_find(asked->plan.fetches[at].headers, name);

    return header != NULL ? header->value : NULL;
}

static void a_get_asks_every_upstream_of_the_endpoint_in_order(void **state)
{
    struct asked *asked = ask("GET", NULL, NULL);

    (void)state;
    assert_true(asked->ok);
    assert_int_equal(asked->plan.count, 3);
    assert_string_equal(asked->plan.entries[0].id, "users");
    assert_string_equal(asked->plan.entries[1].id, "open");
    assert_string_equal(asked->plan.entries[2].id, "writes");
    assert_int_equal(asked->plan.deadline_us, 2000000);
    assert_null(asked->plan.fetches[0].target);
    assert_int_equal(asked->plan.fetches[0].timeout_us, CLOCK_NEVER);
    drop(asked);
}

static void an_upstream_that_takes_no_get_is_asked_by_its_first_method(void **state)
{
    struct asked *asked = ask("GET", NULL, NULL);

    (void)state;
    assert_int_equal(asked->plan.fetches[1].method, METHOD_GET);
    assert_int_equal(asked->plan.fetches[2].method, METHOD_POST);
    drop(asked);
}

static void a_query_names_a_subset_in_its_own_order(void **state)
{
    struct asked *asked =
        ask("GET", "upstreams=open%2Cusers&shape=map&require=1&timeout=800ms", NULL);

    (void)state;
    assert_true(asked->ok);
    assert_int_equal(asked->plan.count, 2);
    assert_string_equal(asked->plan.entries[0].id, "open");
    assert_string_equal(asked->plan.entries[1].id, "users");
    assert_int_equal(asked->plan.shape, SHAPE_MAP);
    assert_int_equal(asked->plan.require.kind, REQUIRE_COUNT);
    assert_int_equal(asked->plan.deadline_us, 800000);
    drop(asked);
}

static void a_timeout_never_raises_the_deadline(void **state)
{
    struct asked *asked = ask("GET", "timeout=1h", NULL);

    (void)state;
    assert_int_equal(asked->plan.deadline_us, 2000000);
    drop(asked);
}

static void only_headers_of_the_list_are_forwarded_and_the_id_always(void **state)
{
    struct asked *asked = ask("GET", NULL, NULL);

    (void)state;
    assert_string_equal(header_of(asked, 1, "authorization"), "Bearer caller");
    assert_null(header_of(asked, 1, "X-Secret"));
    assert_null(header_of(asked, 0, "Authorization"));
    assert_string_equal(header_of(asked, 0, "X-Request-Id"), "id-1");
    assert_string_equal(header_of(asked, 1, "X-Request-Id"), "id-1");
    drop(asked);
}

static void a_document_says_everything_for_each_fetch(void **state)
{
    struct asked *asked =
        ask("POST", "shape=map",
            "{\"requests\":[{\"id\":\"a\",\"upstream\":\"open\",\"path\":\"/42\","
            "\"query\":{\"full\":true,\"q\":\"a b&c\",\"n\":9007199254740993},"
            "\"method\":\"POST\",\"headers\":{\"x-a\":\"b\",\"Authorization\":\"mine\"},"
            "\"body\":{ \"big\" : 9007199254740993 },\"timeout_ms\":300},"
            "{\"upstream\":\"users\"}],\"timeout_ms\":800,\"require\":2}");
    const struct fetch_request *fetch = &asked->plan.fetches[0];

    (void)state;
    assert_true(asked->ok);
    assert_int_equal(asked->plan.count, 2);
    assert_string_equal(asked->plan.entries[0].id, "a");
    assert_string_equal(asked->plan.entries[1].id, "users");
    assert_string_equal(fetch->target, "/base/42?key=1&full=true&q=a%20b%26c&n=9007199254740993");
    assert_int_equal(fetch->method, METHOD_POST);
    assert_string_equal(header_of(asked, 0, "X-A"), "b");
    assert_string_equal(header_of(asked, 0, "Authorization"), "mine");
    assert_string_equal(header_of(asked, 0, "Content-Type"), "application/json");
    assert_int_equal(fetch->timeout_us, 300000);
    assert_int_equal(fetch->body_length, strlen("{ \"big\" : 9007199254740993 }"));
    assert_memory_equal(fetch->body, "{ \"big\" : 9007199254740993 }", fetch->body_length);
    assert_int_equal(asked->plan.deadline_us, 800000);
    assert_int_equal(asked->plan.shape, SHAPE_MAP);
    drop(asked);
}

static void the_type_of_the_document_is_not_forwarded_as_the_type_of_a_body(void **state)
{
    struct asked *asked = ask("POST", NULL, "{\"requests\":[{\"upstream\":\"open\"}]}");

    (void)state;
    assert_true(asked->ok);
    assert_null(header_of(asked, 0, "Content-Type"));
    drop(asked);
}

/* What is wrong, where, and a part of what is said. */
static const struct wrong {
    const char *method;
    const char *query;
    const char *body;
    unsigned status;
    const char *place; /* a pointer, or the name of a parameter */
    const char *says;
} wrongs[] = {
    {"GET", "upstreams=users,opne", NULL, 400, "upstreams", "did you mean \"open\""},
    {"GET", "upstreams=elsewhere", NULL, 400, "upstreams", "no upstream \"elsewhere\""},
    {"GET", "upstreams=users,users", NULL, 400, "upstreams", "given twice"},
    {"GET", "upstreams=", NULL, 400, "upstreams", "no upstream \"\""},
    {"GET", "upstreams=users,", NULL, 400, "upstreams", "no upstream \"\""},
    {"GET", "upstreams=users,open,writes,users", NULL, 400, "upstreams", "given twice"},
    {"GET", "upstreams=users,open,writes,users,open,x,y,z,,,,", NULL, 400, "upstreams", "twice"},
    {"GET", "upstreams=%00", NULL, 400, "", "NUL"},
    {"GET", "timeuot=1s", NULL, 400, "timeuot", "did you mean \"timeout\""},
    {"GET", "timeout=1", NULL, 400, "timeout", "like 250ms"},
    {"GET", "timeout=0s", NULL, 400, "timeout", "like 250ms"},
    {"GET", "timeout=-1s", NULL, 400, "timeout", "not a duration"},
    {"GET", "timeout=99999999999999999999s", NULL, 400, "timeout", "not a duration"},
    {"GET", "timeout=1s&timeout=1s", NULL, 400, "timeout", "given twice"},
    {"GET", "require=some", NULL, 400, "require", "any"},
    {"GET", "require=0", NULL, 400, "require", "number of results"},
    {"GET", "require=4", NULL, 400, "require", "4 results are required of 3"},
    {"GET", "shape=lst", NULL, 400, "shape", "did you mean \"list\""},
    {"POST", NULL, NULL, 415, "", "application/json"},
    {"POST", "upstreams=users", "{\"requests\":[{\"upstream\":\"users\"}]}", 400, "upstreams",
     "in the document"},
    {"POST", NULL, "", 400, "", "at byte 0"},
    {"POST", NULL, "{\"requests\":[{\"upstream\":\"users\"},]}", 400, "", "at byte 34"},
    {"POST", NULL, "[]", 400, "", "an array where an object was expected"},
    {"POST", NULL, "{}", 400, "", "needs \"requests\""},
    {"POST", NULL, "{\"requests\":{}}", 400, "/requests", "an object where an array"},
    {"POST", NULL, "{\"requests\":[]}", 400, "/requests", "found 0 requests"},
    {"POST", NULL, "{\"requests\":[1,2,3,4,5,6]}", 400, "/requests", "1 to 5"},
    {"POST", NULL, "{\"requests\":[1]}", 400, "/requests/0", "a number where an object"},
    {"POST", NULL, "{\"reqests\":[]}", 400, "/reqests", "did you mean \"requests\""},
    {"POST", NULL, "{\"require\":\"any\",\"require\":\"any\"}", 400, "/require", "given twice"},
    {"POST", NULL, "{\"timeout_ms\":1.5}", 400, "/timeout_ms", "whole number"},
    {"POST", NULL, "{\"timeout_ms\":0}", 400, "/timeout_ms", "from 1"},
    {"POST", NULL, "{\"timeout_ms\":\"1\"}", 400, "/timeout_ms", "whole number"},
    {"POST", NULL, "{\"shape\":1}", 400, "/shape", "a number where a string"},
    {"POST", NULL, "{\"requests\":[{\"id\":\"a\"}]}", 400, "/requests/0", "needs an \"upstream\""},
    {"POST", NULL, "{\"requests\":[{\"upstream\":\"users\"},{\"upstream\":\"user\"}]}", 400,
     "/requests/1/upstream", "did you mean \"users\""},
    {"POST", NULL, "{\"requests\":[{\"upstream\":\"users\"},{\"upstream\":\"users\"}]}", 400,
     "/requests/1", "given twice"},
    {"POST", NULL,
     "{\"requests\":[{\"upstream\":\"users\"},{\"upstream\":\"open\",\"id\":\"users\"}]}", 400,
     "/requests/1/id", "given twice"},
    {"POST", NULL, "{\"requests\":[{\"upstream\":\"users\",\"id\":\"\"}]}", 400, "/requests/0/id",
     "1 to 256"},
    {"POST", NULL, "{\"requests\":[{\"upstream\":\"users\",\"id\":\"a\\u0000b\"}]}", 400,
     "/requests/0/id", "NUL"},
    {"POST", NULL, "{\"requests\":[{\"upstream\":\"users\",\"path\":\"/1\"}]}", 400,
     "/requests/0/path", "allow_path"},
    {"POST", NULL, "{\"requests\":[{\"upstream\":\"users\",\"query\":{}}]}", 400,
     "/requests/0/query", "allow_query"},
    {"POST", NULL, "{\"requests\":[{\"upstream\":\"users\",\"body\":1}]}", 400, "/requests/0/body",
     "allow_body"},
    {"POST", NULL, "{\"requests\":[{\"upstream\":\"users\",\"method\":\"POST\"}]}", 400,
     "/requests/0/method", "allow_methods"},
    {"POST", NULL, "{\"requests\":[{\"upstream\":\"users\",\"headers\":{\"X-A\":\"b\"}}]}", 400,
     "/requests/0/headers/X-A", "forward_headers"},
    {"POST", NULL, "{\"requests\":[{\"upstream\":\"open\",\"headers\":{\"Ho/st~\":\"b\"}}]}", 400,
     "/requests/0/headers/Ho~1st~0", "forward_headers"},
    {"POST", NULL, "{\"requests\":[{\"upstream\":\"open\",\"headers\":{\"X-A\":\"b\\r\\nC: d\"}}]}",
     400, "/requests/0/headers/X-A", "control"},
    {"POST", NULL, "{\"requests\":[{\"upstream\":\"open\",\"headers\":{\"X-A\":1}}]}", 400,
     "/requests/0/headers/X-A", "a number where a string"},
    {"POST", NULL, "{\"requests\":[{\"upstream\":\"open\",\"headers\":[]}]}", 400,
     "/requests/0/headers", "an array where an object"},
    {"POST", NULL, "{\"requests\":[{\"upstream\":\"open\",\"query\":{\"a\":[1]}}]}", 400,
     "/requests/0/query/a", "string, number or boolean"},
    {"POST", NULL, "{\"requests\":[{\"upstream\":\"open\",\"path\":\"/a/%2e%2e/b\"}]}", 400,
     "/requests/0/path", ""},
    {"POST", NULL, "{\"requests\":[{\"upstream\":\"open\",\"method\":\"TRACE\"}]}", 400,
     "/requests/0/method", "TRACE"},
    {"POST", NULL, "{\"requests\":[{\"upstream\":\"open\",\"body\":1}]}", 400, "/requests/0/body",
     "a GET has no body"},
    {"POST", NULL, "{\"requests\":[{\"upstream\":\"open\",\"timeout_ms\":-1}]}", 400,
     "/requests/0/timeout_ms", "whole number"},
    {"POST", NULL, "{\"requests\":[{\"upstream\":\"open\",\"bdy\":1}]}", 400, "/requests/0/bdy",
     "did you mean \"body\""},
};

static void what_is_wrong_is_told_with_its_place(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof wrongs / sizeof wrongs[0]; i++) {
        struct asked *asked = ask(wrongs[i].method, wrongs[i].query, wrongs[i].body);
        const struct problem *problem = &asked->problem;
        const char *place = problem->pointer[0] != '\0' ? problem->pointer : problem->parameter;

        if (asked->ok || problem->status != wrongs[i].status ||
            strcmp(place, wrongs[i].place) != 0 || strstr(problem->detail, wrongs[i].says) == NULL)
            fail_msg("case %zu (%s %s %s): ok %d status %u at \"%s\": %s", i, wrongs[i].method,
                     wrongs[i].query ? wrongs[i].query : "", wrongs[i].body ? wrongs[i].body : "",
                     asked->ok, problem->status, place, problem->detail);
        drop(asked);
    }
}

static int set_up(void **state)
{
    char file[] = "/tmp/fanoutd-test-XXXXXX";
    int fd = mkstemp(file);

    (void)state;
    if (fd < 0 || write(fd, configuration, sizeof configuration - 1) < 0)
        return -1;
    close(fd);
    config = config_load(file, stderr);
    unlink(file);
    if (config == NULL)
        return -1;
    fanout = fanout_new(&(struct fanout_settings){.limiter = {.max_in_flight = 1},
                                                  .upstreams = config->upstreams,
                                                  .upstream_count = config->upstream_count});
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    fanout_free(fanout);
    config_free(config);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_get_asks_every_upstream_of_the_endpoint_in_order),
        cmocka_unit_test(an_upstream_that_takes_no_get_is_asked_by_its_first_method),
        cmocka_unit_test(a_query_names_a_subset_in_its_own_order),
        cmocka_unit_test(a_timeout_never_raises_the_deadline),
        cmocka_unit_test(only_headers_of_the_list_are_forwarded_and_the_id_always),
        cmocka_unit_test(a_document_says_everything_for_each_fetch),
        cmocka_unit_test(the_type_of_the_document_is_not_forwarded_as_the_type_of_a_body),
        cmocka_unit_test(what_is_wrong_is_told_with_its_place),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
