/*
 * Documents that begin valid and are damaged at random, the same ones on every
 * run, and what to do when another parser disagrees about one.
 */
#ifndef TESTS_UNIT_JSON_CORPUS_H
#define TESTS_UNIT_JSON_CORPUS_H

#include "tests/unit/json_check.h"

/* Names that jansson.h has for its own: out of the way while it is read. */
#define json_type   jansson_type
#define JSON_OBJECT JANSSON_OBJECT
#define JSON_ARRAY  JANSSON_ARRAY
#define JSON_STRING JANSSON_STRING
#define JSON_TRUE   JANSSON_TRUE
#define JSON_FALSE  JANSSON_FALSE
#define JSON_NULL   JANSSON_NULL
#include <jansson.h>
#undef json_type
#undef JSON_OBJECT
#undef JSON_ARRAY
#undef JSON_STRING
#undef JSON_TRUE
#undef JSON_FALSE
#undef JSON_NULL

#define ROUNDS        60000
#define MAX_LENGTH    1024 /* no room to nest deeper than allowed */
#define MAX_MUTATIONS 4

static const struct {
    const char *text;
    size_t length;
} seeds[] = {
    {TEXT("{\"id\":42,\"name\":\"Ada\",\"active\":true,\"roles\":[\"admin\",\"author\"],"
          "\"balance\":1234.50,\"address\":{\"city\":\"Z\xc3\xbcrich\",\"zip\":null}}")},
    {TEXT("[1,2,3,[4,[5,[6]]],{\"a\":[{\"b\":[]}]}]")},
    {TEXT("{\"a\":1,\"a\":2,\"\":{},\"b\\u0000c\":\"\\u0000\"}")},
    {TEXT("[0,-0,1,-1,0.5,-0.25,1e5,1E+5,1e-5,-1.5E10,123456789]")},
    {TEXT("[1e308,1e309,-1e400,1e-400,9223372036854775807,9223372036854775808,0.1e-999999]")},
    {TEXT("[\"\\\"\\\\\\/\\b\\f\\n\\r\\t\",\"\\u00e9\\u20AC\",\"\\ud83d\\ude00\\uDBFF\\uDFFF\"]")},
    {TEXT("[\"\\ud800\",\"\\udc00\",\"\\ud800\\udbff\",\"\\ud800x\",\"\\ud800\\n\"]")},
    {TEXT("[\"\xc2\x80\xdf\xbf\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80\xef\xbf\xbf\xf0\x90\x80\x80"
          "\xf4\x8f\xbf\xbf\"]")},
    {TEXT("{\"\xe6\x97\xa5\xe6\x9c\xac\":\"\xe4\xba\xba\xe5\xb7\xa5\xe7\x9f\xa5\xe8\x83\xbd\","
          "\"\xd0\xbf\":\"\xf0\x9f\x8c\x80\"}")},
    {TEXT("[\"\xc0\x80\",\"\xed\xa0\x80\"]")},
    {TEXT("[\"\xf4\x90\x80\x80\",\"\xff\",\"\x80\"]")},
    {TEXT(" \t\r\n{ \"a\" : [ 1 , 2 ] ,\r\n\t\"b\" : { } , \"c\" : [ ] } \n")},
    {TEXT("[true,false,null,true,false,null]")},
    {TEXT("true")},
    {TEXT(" false ")},
    {TEXT("null")},
    {TEXT("\"only a string, longer than sixteen bytes\"")},
    {TEXT("-12.75e+3")},
    {TEXT("0")},
    {TEXT("[]")},
    {TEXT("{}")},
    {TEXT("")},
    {TEXT("[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]")},
    {TEXT("{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":[{\"a\":[{}]}]}}}}}}")},
    {TEXT("[\"/*no comment*/\",\"//\",\"[,]{:}\",\"'\"]")},
    {TEXT("{\"errors\":[{\"code\":\"timeout\",\"message\":\"no answer within 300 ms\","
          "\"retryable\":true}],\"elapsed_ms\":300.4,\"body\":null}")},
    {TEXT("[\"a\x7f z\",\"\xe2\x80\xa8\",\"\xef\xbb\xbf\"]")},
    {TEXT("[{\"x\":1},{\"x\":2},{\"x\":3,\"y\":[true,{\"z\":\"end\"}]}]")},
    {TEXT("{\"k\":\"\\\\\",\"l\":\"\\\"\",\"m\":\"ab\\\\\\\"cd\",\"\\u006b\":\"\\/\"}")},
    {TEXT("[1234567890123456789012345678901234567890,0.00000000000000000000000000001]")},
};

/* Pieces to put in: what the grammar is made of, and what it must refuse. */
static const struct {
    const char *text;
    size_t length;
} pieces[] = {
    {TEXT("\"")},
    {TEXT("\\")},
    {TEXT(",")},
    {TEXT(":")},
    {TEXT("[")},
    {TEXT("]")},
    {TEXT("{")},
    {TEXT("}")},
    {TEXT(" ")},
    {TEXT("\n")},
    {TEXT("\0")},
    {TEXT("\x1f")},
    {TEXT("\x7f")},
    {TEXT("0")},
    {TEXT("1")},
    {TEXT("-")},
    {TEXT("+")},
    {TEXT(".")},
    {TEXT("e")},
    {TEXT("E")},
    {TEXT("1e5")},
    {TEXT("-0")},
    {TEXT("01")},
    {TEXT("1.")},
    {TEXT("true")},
    {TEXT("false")},
    {TEXT("null")},
    {TEXT("\"\"")},
    {TEXT("[]")},
    {TEXT("{}")},
    {TEXT("\"a\":1,")},
    {TEXT(",1")},
    {TEXT("\\u")},
    {TEXT("\\u0041")},
    {TEXT("\\u0000")},
    {TEXT("\\ud83d")},
    {TEXT("\\ude00")},
    {TEXT("\\uDbff")},
    {TEXT("\\n")},
    {TEXT("\\x")},
    {TEXT("/**/")},
    {TEXT("//\n")},
    {TEXT("\xc3")},
    {TEXT("\xc3\xa9")},
    {TEXT("\xe2\x82")},
    {TEXT("\xed\xa0\x80")},
    {TEXT("\xf0\x9f\x98\x80")},
    {TEXT("\xc0\xaf")},
    {TEXT("\x80")},
    {TEXT("\xff")},
    {TEXT("\xef\xbb\xbf")},
    {TEXT("\f")},
};

static uint64_t random_state;

static inline size_t random_below(size_t limit)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (size_t)((random_state >> 11) % limit);
}

struct document {
    size_t length;
    char text[MAX_LENGTH];
};

static inline void replace(struct document *document, size_t at, size_t count, const char *text,
                           size_t length)
{
    if (document->length - count + length > MAX_LENGTH)
        return;
    memmove(document->text + at + length, document->text + at + count,
            document->length - at - count);
    memcpy(document->text + at, text, length);
    document->length = document->length - count + length;
}

static inline void mutate(struct document *document)
{
    size_t at = random_below(document->length + 1);
    size_t count = random_below(document->length - at + 1);
    size_t piece = random_below(COUNT(pieces));
    char copy[MAX_LENGTH];
    char byte;

    switch (random_below(12)) {
    case 0: /* cut the end off */
        document->length = at;
        break;
    case 1: /* take a few bytes out */
        replace(document, at, count < 4 ? count : count % 4, "", 0);
        break;
    case 2: /* double a part, or move it */
        memcpy(copy, document->text + at, count);
        replace(document, random_below(document->length + 1), 0, copy, count);
        break;
    case 3: /* any byte */
        byte = (char)random_below(256);
        replace(document, at, count > 0, &byte, 1);
        break;
    case 4: /* one bit */
        if (at < document->length)
            document->text[at] ^= (char)(1 << random_below(8));
        break;
    case 5:
        replace(document, at, count > 0, pieces[piece].text, pieces[piece].length);
        break;
    default:
        replace(document, at, 0, pieces[piece].text, pieces[piece].length);
    }
}

/* The n-th document is the same whenever it is asked for in order. */
static inline void make_document(struct document *document)
{
    size_t seed = random_below(COUNT(seeds));

    document->length = seeds[seed].length;
    memcpy(document->text, seeds[seed].text, seeds[seed].length);
    for (size_t left = random_below(MAX_MUTATIONS + 1); left > 0; left--)
        mutate(document);
}

struct counts {
    size_t accepted;
    size_t refused;
};

typedef void check(const struct document *document, const struct json_error *error);

/* Runs a check on every document; error is NULL for those that our validator accepts. */
static inline struct counts check_all(check *run)
{
    struct counts counts = {0};
    struct document document;
    struct json_error error;

    random_state = 88172645463325252u;
    for (size_t round = 0; round < ROUNDS; round++) {
        bool valid;

        make_document(&document);
        valid = validate(document.text, document.length, JSON_DEPTH_LIMIT, &error);
        run(&document, valid ? NULL : &error);
        counts.accepted += valid;
        counts.refused += !valid;
    }
    return counts;
}

static inline void disagree(const struct document *document, const struct json_error *error,
                            const char *other)
{
    struct buf shown;

    buf_init(&shown, BUF_UNLIMITED);
    for (size_t i = 0; i < document->length; i++) {
        unsigned char c = (unsigned char)document->text[i];

        assert_true(buf_printf(&shown, c >= 0x20 && c < 0x7f ? "%c" : "<%02x>", c));
    }
    print_error("%.*s\n", (int)shown.len, shown.data);
    buf_release(&shown);
    if (error == NULL)
        fail_msg("we accept it; %s", other);
    fail_msg("we refuse it at %zu: %s; %s", error->offset, error->message, other);
}

#endif
