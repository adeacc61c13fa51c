/* What a body is, by its media type and its bytes. */
#include "fanout/body.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const struct {
    const char *type;
    const char *body;
    enum body_kind kind;
    bool is_broken_json;
} cases[] = {
    {"application/json", "{\"a\":1}", BODY_JSON, false},
    {"APPLICATION/JSON;charset=utf-8", " [1] \n", BODY_JSON, false},
    {"application/problem+json", "{}", BODY_JSON, false},
    {"application/vnd.api+JSON; x=y", "{}", BODY_JSON, false},
    {"text/json", "1", BODY_JSON, false},
    {"application/json", "", BODY_NONE, false},
    {"text/plain", "", BODY_NONE, false},
    {"application/json", "{\"a\":1", BODY_TEXT, true},
    {"application/json", "NaN", BODY_TEXT, true},
    {"application/json", "\"\xff\"", BODY_BINARY, true},
    {"application/jsonx", "{}", BODY_BINARY, false},
    {"application/json-seq", "{}", BODY_BINARY, false},
    {"text/plain", "{\"a\":1}", BODY_TEXT, false},
    {"text/html; charset=iso-8859-1", "\xe9", BODY_TEXT, false},
    {"application/xml", "<a/>", BODY_TEXT, false},
    {"image/svg+xml", "<svg/>", BODY_TEXT, false},
    {"application/x-ndjson", "{}\n{}\n", BODY_TEXT, false},
    {"image/png", "\x89PNG", BODY_BINARY, false},
    {"application/octet-stream", "text", BODY_BINARY, false},
    {"nonsense", "text", BODY_BINARY, false},
    {NULL, "{\"a\":1}", BODY_JSON, false},
    {"", "[1,2]", BODY_JSON, false},
    {NULL, "hello", BODY_TEXT, false},
    {NULL, "\xff\xfe", BODY_BINARY, false},
};

static void the_type_decides_and_without_one_the_bytes(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct buf body;
        struct body_judgement judgement;

        buf_init(&body, BUF_UNLIMITED);
        buf_append_text(&body, cases[i].body);
        judgement = body_judge(&body, cases[i].type, 64);
        buf_release(&body);
        if (judgement.kind != cases[i].kind || judgement.is_broken_json != cases[i].is_broken_json)
            fail_msg("case %zu (%s): kind %d broken %d", i, cases[i].type, judgement.kind,
                     judgement.is_broken_json);
    }
}

static void broken_json_is_told_with_its_place(void **state)
{
    struct buf body;
    struct body_judgement judgement;

    (void)state;
    buf_init(&body, BUF_UNLIMITED);
    buf_append_text(&body, "{\"a\":1,}");
    judgement = body_judge(&body, "application/json", 64);
    assert_true(judgement.is_broken_json);
    assert_int_equal(judgement.offset, 7);
    assert_non_null(judgement.message);
    buf_release(&body);
}

static void nesting_over_the_limit_is_broken_json(void **state)
{
    struct buf body;

    (void)state;
    buf_init(&body, BUF_UNLIMITED);
    buf_append_text(&body, "[[[]]]");
    assert_false(body_judge(&body, "application/json", 3).is_broken_json);
    assert_true(body_judge(&body, "application/json", 2).is_broken_json);
    buf_release(&body);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_type_decides_and_without_one_the_bytes),
        cmocka_unit_test(broken_json_is_told_with_its_place),
        cmocka_unit_test(nesting_over_the_limit_is_broken_json),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
