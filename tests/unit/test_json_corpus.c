/*
 * The validator against two other parsers, yajl and jansson, on a corpus of
 * damaged documents. Where the parsers differ by design, the difference has a
 * name here and is allowed for nothing but its own case; all else is a failure.
 */
#include "tests/unit/json_corpus.h"

#include <yajl/yajl_parse.h>

/* yajl */

static bool yajl_takes(const char *text, size_t length, const char *then, bool complete)
{
    yajl_handle yajl = yajl_alloc(NULL, NULL, NULL);
    yajl_status status = yajl_parse(yajl, (const unsigned char *)text, length);

    if (status == yajl_status_ok)
        status = yajl_parse(yajl, (const unsigned char *)then, strlen(then));
    if (status == yajl_status_ok && complete)
        status = yajl_complete_parse(yajl);
    yajl_free(yajl);
    return status == yajl_status_ok;
}

/* yajl decodes surrogates that are not in pairs to question marks. */
static bool yajl_allows_lone_surrogates(const struct json_error *error)
{
    return strstr(error->message, "surrogate") != NULL;
}

/*
 * yajl looks at the high bits of each byte alone, so it takes overlong forms, surrogates and too
 * large code points; and it notices what it does not take a byte or more behind the first.
 */
static bool yajl_allows_loose_utf8(const struct json_error *error)
{
    return strcmp(error->message, "expected valid UTF-8") == 0;
}

/* To yajl form feed and vertical tab are white space. */
static bool yajl_allows_more_white_space(char wrong, const struct json_error *error)
{
    return (wrong == '\f' || wrong == '\v') && strstr(error->message, "string") == NULL;
}

static bool yajl_may_allow(const struct document *document, const struct json_error *error)
{
    return yajl_allows_lone_surrogates(error) || yajl_allows_loose_utf8(error) ||
           yajl_allows_more_white_space(document->text[error->offset], error);
}

/*
 * The first wrong byte by yajl, which reads as a stream: it must take all before the byte, and
 * not the byte itself. yajl speaks up only when a token ends, so a wrong quote is closed again.
 */
static void check_against_yajl(const struct document *document, const struct json_error *error)
{
    const char *text = document->text;

    if (error == NULL) {
        if (!yajl_takes(text, document->length, "", true))
            disagree(document, error, "yajl refuses it");
        return;
    }
    if (!yajl_takes(text, error->offset, "", false))
        disagree(document, error, "yajl refuses it before");
    if (error->offset == document->length) {
        if (yajl_takes(text, document->length, "", true))
            disagree(document, error, "yajl accepts it as complete");
        return;
    }
    if (yajl_takes(text, error->offset + 1, text[error->offset] == '"' ? "\" " : " ", false) &&
        !yajl_may_allow(document, error))
        disagree(document, error, "yajl accepts what stands there");
}

static void yajl_finds_the_same_documents_valid_and_the_same_bytes_wrong(void **state)
{
    struct counts counts = check_all(check_against_yajl);

    (void)state;
    assert_true(counts.accepted > ROUNDS / 8);
    assert_true(counts.refused > ROUNDS / 2);
}

/* jansson */

/* jansson keeps numbers as a long long or a double, and keys as C strings. */
static bool jansson_has_no_room(const json_error_t *why)
{
    enum json_error_code code = json_error_code(why);

    return code == json_error_numeric_overflow || code == json_error_null_byte_in_key;
}

/* jansson overlooks a zero byte right behind a number or a word. */
static bool jansson_overlooks_zero(const struct document *document, const struct json_error *error)
{
    const char *wrong = document->text + error->offset;

    return error->offset > 0 && error->offset < document->length && *wrong == '\0' &&
           strchr("0123456789el", wrong[-1]) != NULL;
}

static void check_against_jansson(const struct document *document, const struct json_error *error)
{
    json_error_t why;
    json_t *root =
        json_loadb(document->text, document->length, JSON_DECODE_ANY | JSON_ALLOW_NUL, &why);
    bool accepted = root != NULL;

    json_decref(root);
    if (error == NULL && !accepted && !jansson_has_no_room(&why))
        disagree(document, error, why.text);
    if (error != NULL && accepted && !jansson_overlooks_zero(document, error))
        disagree(document, error, "jansson accepts it");
}

static void jansson_finds_the_same_documents_valid(void **state)
{
    (void)state;
    check_all(check_against_jansson);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(yajl_finds_the_same_documents_valid_and_the_same_bytes_wrong),
        cmocka_unit_test(jansson_finds_the_same_documents_valid),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
