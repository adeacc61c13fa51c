/* Wrong configuration files: each is refused, with the line, what was found and what is valid. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/config_file.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* A good upstream, on one line, for files whose error is elsewhere. */
#define GOOD "upstream a { url = http://h/ }\n"

static void unknown_names_are_refused_and_the_nearest_is_offered(void **state)
{
    static const struct wrong_file files[] = {
        {GOOD "lissen = \"0.0.0.0:80\"",
         "t.conf:2: unknown option 'lissen' (did you mean 'listen'?)\n"},
        {GOOD "resource = 3", "t.conf:2: unknown option 'resource'\n"},
        {GOOD "retries = 3", "t.conf:2: unknown option 'retries' (it belongs into an upstream)\n"},
        {GOOD "upstreem b { url = http://h/ }",
         "t.conf:2: unknown option 'upstreem' (did you mean 'upstream'?)\n"},
        {GOOD "resolver { timout = 1s\n tri = 2 }",
         "t.conf:2: resolver: unknown option 'timout' (did you mean 'timeout'?)\n"
         "t.conf:3: resolver: unknown option 'tri'\n"},
        {"upstream users {\n  url = http://h/\n\n  timout = 5s\n}",
         "t.conf:4: upstream users: unknown option 'timout' (did you mean 'timeout'?)\n"},
        {GOOD "timeout = 1s", "t.conf:2: unknown option 'timeout' (it belongs into an upstream)\n"},
        {GOOD "tries = 1", "t.conf:2: unknown option 'tries' (it belongs into resolver)\n"},
        {GOOD "require = 1", "t.conf:2: unknown option 'require' (it belongs into an endpoint)\n"},
        {"upstream a { url = http://h/ workers = 1 }",
         "t.conf:1: upstream a: unknown option 'workers' (it belongs outside of sections)\n"},
        {"upstream a { url = http://h/\nupstream b { url = http://h/ }\n",
         "t.conf:2: upstream a: unknown option 'upstream' (is the '}' of upstream a missing?)\n"
         "t.conf:1: this '{' is never closed: a '}' is missing\n"},
        {GOOD "endpoint \"/x\" { upstreams = { a, usres } }\nupstream users { url = http://h/ }",
         "t.conf:2: endpoint /x: unknown upstream 'usres' (did you mean 'users'?)\n"},
        {GOOD "log_level = inof",
         "t.conf:2: log_level 'inof': must be error, warn, info or debug (did you mean 'info'?)\n"},
        {GOOD "endpoint \"/x\" { shape = mapp }",
         "t.conf:2: endpoint /x: shape 'mapp': must be list or map (did you mean 'map'?)\n"},
        {GOOD "endpoint \"/x\" { require = al }",
         "t.conf:2: endpoint /x: require 'al': must be any, all, none, or a number of upstreams "
         "from 1 (did you mean 'all'?)\n"},
        {"upstream a { url = http://h/ allow_methods = { get } }",
         "t.conf:1: upstream a: allow_methods 'get': must be one of GET, HEAD, POST, PUT, PATCH, "
         "DELETE, OPTIONS (did you mean 'GET'?)\n"},
        {GOOD "resolver|tries = 3", "t.conf:2: unexpected '|': put a value that holds it in double "
                                    "quotes\n"},
    };

    (void)state;
    config_refuse_all(files, COUNT(files));
}

static void what_is_given_twice_or_not_at_all_is_refused(void **state)
{
    static const struct wrong_file files[] = {
        {GOOD "workers = 1\n\nworkers = 2", "t.conf:4: workers is given twice (first in line 2)\n"},
        {GOOD "listen = { 0.0.0.0:1 }\nlisten = 0.0.0.0:2",
         "t.conf:3: listen is given twice (first in line 2)\n"},
        {"upstream a {\n url = http://h/\n url = http://h/\n}",
         "t.conf:3: upstream a: url is given twice (first in line 2)\n"},
        {GOOD GOOD, "t.conf:2: upstream a: the section is given twice (first in line 1)\n"},
        {GOOD "upstream a { }",
         "t.conf:2: upstream a: the section is given twice (first in line 1)\n"
         "t.conf:2: upstream a: url is missing (where it is, like "
         "http://users.internal:8081/v1/me)\n"},
        {GOOD "resolver { }\nresolver { }",
         "t.conf:3: resolver: the section is given twice (first in line 2)\n"},
        {GOOD "endpoint \"/x\" { }\nendpoint \"/x\" { }",
         "t.conf:3: endpoint /x: the section is given twice (first in line 2)\n"},
        {GOOD "endpoint \"/x\" { upstreams = { a,\n a } }",
         "t.conf:3: endpoint /x: upstream 'a' is listed twice\n"},
        {GOOD "listen = { 0.0.0.0:1, 0.0.0.0:1 }", "t.conf:2: listen '0.0.0.0:1': listed twice\n"},
        {"upstream a { url = http://h/ allow_methods = { GET, GET } forward_headers = { A, a } }",
         "t.conf:1: upstream a: allow_methods 'GET': listed twice\n"
         "t.conf:1: upstream a: forward_headers 'a': listed twice\n"},
        {"# nothing\n\nupstream a {\n}", "t.conf:3: upstream a: url is missing (where it is, like "
                                         "http://users.internal:8081/v1/me)\n"},
        {"", "t.conf: an upstream is missing, like: upstream users { url = "
             "\"http://users.internal:8081/\" }\n"},
        {"workers = 1", "t.conf: an upstream is missing, like: upstream users { url = "
                        "\"http://users.internal:8081/\" }\n"},
        {GOOD "listen = {}", "t.conf:2: listen must not be empty\n"},
        {GOOD "listen = { # none\n}", "t.conf:3: listen must not be empty\n"},
        {"upstream a { url = http://h/ success = {} allow_methods = { } }",
         "t.conf:1: upstream a: success must not be empty\n"
         "t.conf:1: upstream a: allow_methods must not be empty\n"},
    };

    (void)state;
    config_refuse_all(files, COUNT(files));
}

#define DURATION "a whole number and us, ms, s, m or h, like 250ms\n"
#define SIZE     "a whole number of bytes, or of k, m or g, like 64k\n"

static void numbers_out_of_their_range_or_shape_are_refused(void **state)
{
    static const struct wrong_file files[] = {
        {GOOD "deadline = 5", "t.conf:2: deadline '5': a unit is missing, it must be " DURATION},
        {GOOD "deadline = 5sec", "t.conf:2: deadline '5sec': must be " DURATION},
        {GOOD "deadline = 1.5s", "t.conf:2: deadline '1.5s': must be " DURATION},
        {GOOD "deadline = -1s", "t.conf:2: deadline '-1s': must be " DURATION},
        {GOOD "deadline = s", "t.conf:2: deadline 's': must be " DURATION},
        {GOOD "deadline = \"\"", "t.conf:2: deadline '': must be " DURATION},
        {GOOD "deadline = \" 2s\"", "t.conf:2: deadline ' 2s': must be " DURATION},
        {GOOD "deadline = 0s", "t.conf:2: deadline '0s': must be from 1us to 24h\n"},
        {GOOD "deadline = 25h", "t.conf:2: deadline '25h': must be from 1us to 24h\n"},
        {GOOD "deadline = 18446744073709551616us",
         "t.conf:2: deadline '18446744073709551616us': must be from 1us to 24h\n"},
        {GOOD "deadline = 5124095576030432h", /* times the unit, 3,600,000,000 modulo 2^64 */
         "t.conf:2: deadline '5124095576030432h': must be from 1us to 24h\n"},
        {GOOD "drain_timeout = 99999999999999999999s",
         "t.conf:2: drain_timeout '99999999999999999999s': must be from 0s to 24h\n"},
        {"upstream a { url = http://h/ queue_timeout = never }",
         "t.conf:1: upstream a: queue_timeout 'never': must be none, or " DURATION},
        {"upstream a { url = http://h/ timeout = 0s idle_timeout = 0ms connect_timeout = 0us }",
         "t.conf:1: upstream a: timeout '0s': must be from 1us to 24h\n"
         "t.conf:1: upstream a: idle_timeout '0ms': must be from 1us to 24h\n"
         "t.conf:1: upstream a: connect_timeout '0us': must be from 1us to 24h\n"},
        {GOOD "max_request_body = 1kb", "t.conf:2: max_request_body '1kb': must be " SIZE},
        {GOOD "max_request_body = 0", "t.conf:2: max_request_body '0': must be from 1 to 1g\n"},
        {GOOD "max_request_body = 17179869184g",
         "t.conf:2: max_request_body '17179869184g': must be from 1 to 1g\n"},
        {GOOD "max_in_flight = 0", "t.conf:2: max_in_flight '0': must be from 1 to 1000000\n"},
        {GOOD "max_in_flight = 1000001",
         "t.conf:2: max_in_flight '1000001': must be from 1 to 1000000\n"},
        {GOOD "max_queue = 4294967296",
         "t.conf:2: max_queue '4294967296': must be from 0 to 10000000\n"},
        {GOOD "max_queue = 18446744073709551617",
         "t.conf:2: max_queue '18446744073709551617': must be from 0 to 10000000\n"},
        {GOOD "max_requests = 0x10",
         "t.conf:2: max_requests '0x10': must be a whole number from 1 to 100000\n"},
        {GOOD "workers = 0", "t.conf:2: workers '0': must be auto, or a number from 1 to 256\n"},
        {GOOD "workers = many",
         "t.conf:2: workers 'many': must be auto, or a number from 1 to 256\n"},
        {"upstream a { url = http://h/ max_json_depth = 1025 }",
         "t.conf:1: upstream a: max_json_depth '1025': must be from 1 to 1024\n"},
        {"upstream a { url = http://h/ allow_path = maybe }",
         "t.conf:1: upstream a: allow_path 'maybe': must be true or false\n"},
        {GOOD "endpoint \"/x\" { require = 2 }",
         "t.conf:2: endpoint /x: require 2 can't be met by 1 upstream\n"},
        {GOOD "endpoint \"/x\" { require = 0 }",
         "t.conf:2: endpoint /x: require '0': must be any, all, none, or a number of upstreams "
         "from 1\n"},
        {GOOD "resolver { max_ttl = 1 }", /* which says nothing about min_ttl */
         "t.conf:2: resolver: max_ttl '1': a unit is missing, it must be " DURATION},
        {GOOD "resolver {\n max_ttl = 1s\n min_ttl = 2s\n}",
         "t.conf:4: resolver: min_ttl must not be longer than max_ttl\n"},
    };

    (void)state;
    config_refuse_all(files, COUNT(files));
}

#define LONG_NAME "abcdefghabcdefghabcdefghabcdefghabcdefghabcdefghabcdefghabcdefgh"
#define LISTEN    "must be a numeric address and a port, like 0.0.0.0:8080 or [::]:8080\n"
#define DEMO      "must be none, or a loopback address and a port, like 127.0.0.1:8081\n"
#define SERVER                                                                                     \
    "must be a numeric address, with or without a port, like 127.0.0.53 or 127.0.0.1:5353\n"
#define STATUS "must be like 2xx, 404 or 200-299, from 100 to 599\n"

static void addresses_urls_and_headers_that_make_no_sense_are_refused(void **state)
{
    static const struct wrong_file files[] = {
        {GOOD "listen = localhost:80", "t.conf:2: listen 'localhost:80': " LISTEN},
        {GOOD "listen = \":80\"", "t.conf:2: listen ':80': " LISTEN},
        {GOOD "listen = 0.0.0.0:65536", "t.conf:2: listen '0.0.0.0:65536': " LISTEN},
        {GOOD "listen = 0.0.0.0",
         "t.conf:2: listen '0.0.0.0': a port is missing, like 0.0.0.0:8080 or [::]:8080\n"},
        {GOOD "demo_listen = 0.0.0.0:81", "t.conf:2: demo_listen '0.0.0.0:81': " DEMO},
        {GOOD "demo_listen = \"[::2]:81\"", "t.conf:2: demo_listen '[::2]:81': " DEMO},
        {GOOD "demo_listen = 127.0.0.1", "t.conf:2: demo_listen '127.0.0.1': " DEMO},
        {GOOD "demo_listen = 127.0.0.1:8080",
         "t.conf:2: demo_listen needs another port than listen has\n"},
        {GOOD "resolver { servers = { dns.internal, 1.2.3.4:0 } }",
         "t.conf:2: resolver: servers 'dns.internal': " SERVER
         "t.conf:2: resolver: servers '1.2.3.4:0': " SERVER},
        {"upstream a { url = ftp://h/ }", "t.conf:1: upstream a: url 'ftp://h/': it must start "
                                          "with http://, https://, http+srv:// or https+srv://\n"},
        {"upstream a { url = \"http://h/../x\" }",
         "t.conf:1: upstream a: url 'http://h/../x': dot segments ('.' and '..') are not "
         "allowed\n"},
        {"upstream a { url = http://h/ header = { X-A } }",
         "t.conf:1: upstream a: header 'X-A': must be written \"Name: value\"\n"},
        {"upstream a { url = http://h/ header = { \"X A: 1\", \": 1\" } }",
         "t.conf:1: upstream a: header 'X A: 1': not a header name\n"
         "t.conf:1: upstream a: header ': 1': not a header name\n"},
        {"upstream a { url = http://h/ header = { \"host: b\" } forward_headers = { TE } }",
         "t.conf:1: upstream a: header 'host: b': host is ours to send: it can't be set\n"
         "t.conf:1: upstream a: forward_headers 'TE': TE is ours to send: it can't be set\n"},
        {"upstream a { url = http://h/ header = { \"X: 1\", \"x: 2\" } }",
         "t.conf:1: upstream a: header 'x: 2': x is listed twice\n"},
        {"upstream a { url = http://h/ header = { \"X: ${TEST_NEWLINE}\" } }",
         "t.conf:1: upstream a: header 'X: ${TEST_NEWLINE}': the value of X holds a control "
         "byte\n"},
        {"upstream a { url = http://h/ success = { 6xx, 99, 600, 300-200, 2x, 099, 20, 200-, 2000 "
         "} }",
         "t.conf:1: upstream a: success '6xx': " STATUS
         "t.conf:1: upstream a: success '99': " STATUS
         "t.conf:1: upstream a: success '600': " STATUS
         "t.conf:1: upstream a: success '300-200': " STATUS
         "t.conf:1: upstream a: success '2x': " STATUS
         "t.conf:1: upstream a: success '099': " STATUS
         "t.conf:1: upstream a: success '20': " STATUS
         "t.conf:1: upstream a: success '200-': " STATUS
         "t.conf:1: upstream a: success '2000': " STATUS},
        {"upstream \"a b\" { url = http://h/ }",
         "t.conf:1: upstream a b: a name is 1 to 64 letters, digits, '_', '.' and '-'\n"},
        {"upstream " LONG_NAME " { url = http://h/ }\nupstream x" LONG_NAME " { url = http://h/ }",
         "t.conf:2: upstream x" LONG_NAME
         ": a name is 1 to 64 letters, digits, '_', '.' and '-'\n"},
        {"upstream \"\" { url = http://h/ }",
         "t.conf:1: upstream: a name is 1 to 64 letters, digits, '_', '.' and '-'\n"},
        {"upstream \"${HOME}\" { url = http://h/ }",
         "t.conf:1: upstream ${HOME}: a variable can't stand here\n"},
        {GOOD "endpoint x { }", "t.conf:2: endpoint x: not a path: it must start with '/'\n"},
        {GOOD "endpoint \"/x?y\" { }",
         "t.conf:2: endpoint /x?y: not a path: a '?' is not allowed in a path\n"},
        {GOOD "endpoint \"/x y\" { }",
         "t.conf:2: endpoint /x y: not a path: spaces must be percent-encoded\n"},
        {GOOD "endpoint /livez { }\nendpoint /openapi.json { }",
         "t.conf:2: endpoint /livez: this path is built in\n"
         "t.conf:3: endpoint /openapi.json: this path is built in\n"},
    };

    (void)state;
    setenv("TEST_NEWLINE", "a\nb", 1);
    config_refuse_all(files, COUNT(files));
}

static void broken_syntax_is_reported_where_it_is(void **state)
{
    static const struct wrong_file files[] = {
        {GOOD "/* a\n # b\n */ // c\n# d\nworkers = 0 # e",
         "t.conf:6: workers '0': must be auto, or a number from 1 to 256\n"},
        {"upstream a {\n url = http://h/\n", "t.conf:1: this '{' is never closed: a '}' is "
                                             "missing\n"},
        {"upstream a { url = http://h/ header = { \"A: 1\"\n timeout = 1s\n}",
         "t.conf:2: upstream a: unexpected 'timeout' (an option is written NAME = VALUE, a list "
         "NAME = { VALUE, VALUE })\n"
         "t.conf:1: this '{' is never closed: a '}' is missing\n"},
        {GOOD "}", "t.conf:2: a '}' without a '{' before it\n"},
        {GOOD "workers", "t.conf:3: the file ends in the middle of an option\n"},
        {GOOD "workers 3", "t.conf:2: '=' is missing after 'workers'\n"},
        {GOOD "workers = { 3 }", "t.conf:2: unexpected '{' (an option is written NAME = VALUE, a "
                                 "list NAME = { VALUE, VALUE })\n"},
        {GOOD "workers += 3", "t.conf:2: 'workers' is no list: '+=' can't be used\n"},
        {GOOD "upstream { }", "t.conf:2: the name of the upstream is missing\n"},
        {GOOD "upstream b url = x", "t.conf:2: '{' is missing after the name of the upstream\n"},
        {GOOD "workers = \"3\ndeadline = 5",
         "t.conf:2: the closing quote of a string is missing\n"},
        {GOOD "workers = '3", "t.conf:2: the closing quote of a string is missing\n"},
        {"/*\n*/\n" GOOD "workers = 4*",
         "t.conf:4: unexpected '*': put a value that holds it in double quotes\n"},
        {GOOD "\n/* never\n\n", "t.conf:3: this comment is never closed: '*/' is missing\n"},
        {GOOD "workers = 4*", "t.conf:2: unexpected '*': put a value that holds it in double "
                              "quotes\n"},
        {GOOD "workers = +4\nworkers = \x02", "t.conf:2: unexpected '+': put a value that holds it "
                                              "in double quotes\n"
                                              "t.conf:3: a control byte (0x02): this should be "
                                              "text\n"},
        {GOOD "workers = \"\\9\"", "t.conf:2: unknown escape in a string (there are \\\", \\\\, "
                                   "\\$ and \\t)\n"},
        {GOOD "workers = '\\9'", "t.conf:2: control bytes and backslashes can't stand in single "
                                 "quotes\n"},
        {GOOD "workers = \"\x1b\"", "t.conf:2: a control byte (0x1b): this should be text\n"},
        {GOOD "workers = (3)", "t.conf:2: parentheses are for include(\"FILE\")\n"},
        {GOOD "include(\"a\" \"b\")", "t.conf:2: parentheses are for include(\"FILE\")\n"},
        {GOOD "include()", "t.conf:2: parentheses are for include(\"FILE\")\n"},
        {GOOD "include(\"a", "t.conf:2: the closing quote of a string is missing\n"},
        {GOOD "include \"a\"", "t.conf:2: write include(\"FILE\")\n"},
        {GOOD "include(\"none.conf\")",
         "t.conf:2: include 'none.conf': No such file or directory\n"},
        {GOOD "include(\"/\")", "t.conf:2: include '/': this is a directory\n"},
        {GOOD "include(\"${HOME}\")", "t.conf:2: include '${HOME}': a variable can't stand here\n"},
    };

    (void)state;
    config_refuse_all(files, COUNT(files));
}

static void variables_that_are_unset_or_misspelt_are_refused_by_name(void **state)
{
    static const struct wrong_file files[] = {
        {"upstream a {\n url = http://h/\n header = { \"X-Api-Key: ${TEST_UNSET}\" } }",
         "t.conf:3: upstream a: header 'X-Api-Key: ${TEST_UNSET}': the environment variable "
         "TEST_UNSET is not set\n"},
        {GOOD "workers = \"${TEST_SECRET}\"", /* what is in it is not shown */
         "t.conf:2: workers '${TEST_SECRET}': must be auto, or a number from 1 to 256\n"},
        {GOOD "workers = ${HOME}", "t.conf:2: put a value with ${NAME} in it in double quotes\n"},
        {"upstream a { url = http://${HOME}/ }",
         "t.conf:1: put a value with ${NAME} in it in double quotes\n"},
        {GOOD "workers = \"${}\"", "t.conf:2: a variable is written ${NAME} or "
                                   "${NAME:-default}\n"},
        {GOOD "workers = \"${A B}\"", "t.conf:2: a variable is written ${NAME} or "
                                      "${NAME:-default}\n"},
        {GOOD "workers = \"${1A}\"", "t.conf:2: a variable is written ${NAME} or "
                                     "${NAME:-default}\n"},
        {GOOD "workers = \"${A:x}\"", "t.conf:2: a variable is written ${NAME} or "
                                      "${NAME:-default}\n"},
        {GOOD "workers = \"${A\"", "t.conf:2: a variable is written ${NAME} or "
                                   "${NAME:-default}\n"},
        {GOOD "workers = \"${A:-4\"", "t.conf:2: the '}' of a variable is missing\n"},
        {GOOD "workers = \"${A:-${B}}\"", "t.conf:2: a variable can't stand in another one's "
                                          "default\n"},
    };

    (void)state;
    setenv("TEST_SECRET", "hunter2", 1);
    unsetenv("TEST_UNSET");
    config_refuse_all(files, COUNT(files));
}

static void every_error_is_reported_not_only_the_first(void **state)
{
    static const struct wrong_file file = {
        "workers = 0\n"
        "deadline = 5 # no unit\n"
        "upstream users {\n"
        "  timout = 1s\n"
        "  timeout = soon\n"
        "  header = { \"X: 1\", # one\n"
        "             \"nothing\" } # two\n"
        "}\n"
        "endpoint /x { upstreams = { usres } }\n",
        "t.conf:1: workers '0': must be auto, or a number from 1 to 256\n"
        "t.conf:2: deadline '5': a unit is missing, it must be " DURATION
        "t.conf:4: upstream users: unknown option 'timout' (did you mean 'timeout'?)\n"
        "t.conf:5: upstream users: timeout 'soon': must be " DURATION
        "t.conf:7: upstream users: header 'nothing': must be written \"Name: value\"\n"
        "t.conf:3: upstream users: url is missing (where it is, like "
        "http://users.internal:8081/v1/me)\n"
        "t.conf:9: endpoint /x: unknown upstream 'usres' (did you mean 'users'?)\n"};

    (void)state;
    config_refuse_all(&file, 1);
}

static void a_flood_of_errors_is_cut_off(void **state)
{
    char text[2048] = GOOD;
    char *errors;
    size_t lines = 0;

    (void)state;
    for (size_t i = 0; i < 80; i++)
        strcat(text, "workers = 0\n");
    assert_null(config_text_load(text, &errors));
    for (const char *at = errors; *at != '\0'; at++)
        lines += *at == '\n';
    assert_int_equal(lines, 51);
    assert_non_null(strstr(errors, "\nt.conf: and 109 errors more\n"));
    free(errors);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(unknown_names_are_refused_and_the_nearest_is_offered),
        cmocka_unit_test(what_is_given_twice_or_not_at_all_is_refused),
        cmocka_unit_test(numbers_out_of_their_range_or_shape_are_refused),
        cmocka_unit_test(addresses_urls_and_headers_that_make_no_sense_are_refused),
        cmocka_unit_test(broken_syntax_is_reported_where_it_is),
        cmocka_unit_test(variables_that_are_unset_or_misspelt_are_refused_by_name),
        cmocka_unit_test(every_error_is_reported_not_only_the_first),
        cmocka_unit_test(a_flood_of_errors_is_cut_off),
    };

    return cmocka_run_group_tests(tests, config_file_setup, config_file_teardown);
}
