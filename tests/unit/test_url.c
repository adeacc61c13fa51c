/* URLs: what is taken apart, what is refused, and what may be appended below one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fanout/dice.h"
#include "fanout/mem.h"
#include "fanout/url.h"

#include <stdlib.h>
#include <string.h>

/* More of them for a long run: -DROUNDS=100000000. */
#ifndef ROUNDS
#define ROUNDS 300000
#endif

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static void good_urls_are_taken_apart(void **state)
{
    static const struct {
        const char *text;
        const char *host;
        const char *authority;
        const char *path;
        const char *query;
        uint16_t port;
        bool tls;
        bool host_is_ip;
    } cases[] = {
        {"http://users.internal:8081/v1/me", "users.internal", "users.internal:8081", "/v1/me",
         NULL, 8081, false, false},
        {"https://example.com", "example.com", "example.com", "/", NULL, 443, true, false},
        {"http://example.com", "example.com", "example.com", "/", NULL, 80, false, false},
        {"http://example.com/", "example.com", "example.com", "/", NULL, 80, false, false},
        {"HTTPS://EXAMPLE.Com/A?B=C", "example.com", "example.com", "/A", "B=C", 443, true, false},
        {"http://example.com?x=1", "example.com", "example.com", "/", "x=1", 80, false, false},
        {"http://example.com/?", "example.com", "example.com", "/", NULL, 80, false, false},
        {"http://h/a?b?c/d@e", "h", "h", "/a", "b?c/d@e", 80, false, false},
        {"http://127.0.0.1:80/", "127.0.0.1", "127.0.0.1:80", "/", NULL, 80, false, true},
        {"http://[::1]:80/x", "::1", "[::1]:80", "/x", NULL, 80, false, true},
        {"http://[2001:DB8:0:0::1]", "2001:db8::1", "[2001:db8::1]", "/", NULL, 80, false, true},
        {"https://[::ffff:1.2.3.4]:8443", "::ffff:1.2.3.4", "[::ffff:1.2.3.4]:8443", "/", NULL,
         8443, true, true},
        {"http://user_service:00081/", "user_service", "user_service:81", "/", NULL, 81, false,
         false},
        {"http://a.b.:65535/", "a.b.", "a.b.:65535", "/", NULL, 65535, false, false},
        {"http://1.2.3.example/", "1.2.3.example", "1.2.3.example", "/", NULL, 80, false, false},
        {"http://0xg/", "0xg", "0xg", "/", NULL, 80, false, false},
        {"http://h/a%20b//c;v=1/.../%7e", "h", "h", "/a%20b//c;v=1/.../%7e", NULL, 80, false,
         false},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct url url;

        assert_null(url_parse(cases[i].text, &url));
        assert_string_equal(url.host, cases[i].host);
        assert_string_equal(url.authority, cases[i].authority);
        assert_string_equal(url.path, cases[i].path);
        if (cases[i].query == NULL)
            assert_null(url.query);
        else
            assert_string_equal(url.query, cases[i].query);
        assert_int_equal(url.port, cases[i].port);
        assert_int_equal(url.tls, cases[i].tls);
        assert_int_equal(url.host_is_ip, cases[i].host_is_ip);
        url_release(&url);
    }
}

static void a_service_is_taken_apart_from_the_domain_that_it_is_of(void **state)
{
    static const struct {
        const char *text;
        const char *srv_name;
        const char *host;
        const char *plain;
        bool tls;
    } cases[] = {
        {"http+srv://_api._tcp.users.internal/v1?a=b", "_api._tcp.users.internal", "users.internal",
         "http://users.internal/v1?a=b", false},
        {"HTTPS+SRV://_API._TCP.Users", "_api._tcp.users", "users", "https://users/", true},
        {"http+srv://_a._b.c./", "_a._b.c.", "c.", "http://c./", false},
        {"http+srv://_a._b._c/", "_a._b._c", "_c", "http://_c/", false},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct url url;
        char *plain;

        assert_null(url_parse(cases[i].text, &url));
        assert_true(url.is_srv);
        assert_string_equal(url.srv_name, cases[i].srv_name);
        assert_string_equal(url.host, cases[i].host);
        assert_string_equal(url.authority, cases[i].host);
        assert_int_equal(url.port, cases[i].tls ? 443 : 80);
        assert_int_equal(url.tls, cases[i].tls);
        assert_false(url.host_is_ip);
        plain = url_plain(&url);
        assert_string_equal(plain, cases[i].plain);
        free(plain);
        url_release(&url);
    }
}

static void without_the_scheme_a_host_with_underscores_is_a_host(void **state)
{
    struct url url;
    char *plain;

    (void)state;
    assert_null(url_parse("http://_api._tcp.users:81/x", &url));
    assert_false(url.is_srv);
    assert_null(url.srv_name);
    assert_string_equal(url.host, "_api._tcp.users");
    plain = url_plain(&url);
    assert_string_equal(plain, "http://_api._tcp.users:81/x");
    free(plain);
    url_release(&url);
}

static void url_refused_for(const char *text, const char *reason)
{
    struct url url;
    const char *wrong = url_parse(text, &url);

    if (wrong == NULL || strstr(wrong, reason) == NULL)
        fail_msg("'%s': %s", text, wrong != NULL ? wrong : "accepted");
    assert_null(url.host);
    assert_null(url.authority);
    assert_null(url.path);
}

static void bad_urls_are_refused_with_the_reason(void **state)
{
    static const struct {
        const char *reason; /* a part of it */
        const char *urls[16];
    } groups[] = {
        {"http://", {"", "users.internal", "ftp://h/", "http:/h/", "http:h", "//h/", " http://h/"}},
        {"https+srv://", {"srv://_a._b.c/", "ftp+srv://_a._b.c/", "http+srv:/_a._b.c/"}},
        {"_service._proto.domain",
         {"http+srv://users", "http+srv://users.internal/", "http+srv://_api.users/",
          "http+srv://_api._tcp", "http+srv://_api._tcp./", "http+srv://_._tcp.users/",
          "http+srv://_api._.users/", "http+srv://api._tcp.users/", "http+srv://_api.tcp.users/"}},
        {"no port", {"http+srv://_api._tcp.users:80/", "https+srv://_api._tcp.users:0/"}},
        {"no port", {"http+srv://_api._tcp.users:/"}},
        {"user names", {"http+srv://user@_api._tcp.users/"}},
        {"host is missing", {"http+srv://", "https+srv:///x"}},
        {"empty label", {"http+srv://_api._tcp..users/"}},
        {"IPv4", {"http+srv://127.0.0.1.1/", "http+srv://_api._tcp.127.0.0.1/"}},
        {"host may hold", {"http+srv://[::1]/"}},
        {"host is missing", {"http://", "http:///x", "http://:80/", "http://?x", "http://::1/"}},
        {"user names", {"http://user@h/", "http://user:secret@h:80/", "http://h\\@evil/"}},
        {"fragments", {"http://h/#top", "http://h#top", "http://h/?a#top"}},
        {"spaces", {"http://h/a b", "http://h/?a b"}},
        {"host may hold",
         {"http://h /", "http://h\t/", "http://caf\xc3\xa9/", "http://h%41/", "http://h\\x/"}},
        {"control bytes", {"http://h/\r\nX: 1"}},
        {"must be percent-encoded", {"http://h/?\x7f"}},
        {"non-ASCII", {"http://h/caf\xc3\xa9", "http://h/?caf\xc3\xa9"}},
        {"empty label", {"http://a..b/", "http://.a/", "http://./"}},
        {"two hexadecimal", {"http://h/%", "http://h/%4", "http://h/%4g", "http://h/?%zz"}},
        {"percent-encoded", {"http://h/a|b", "http://h/{id}", "http://h/?\""}},
        {"backslashes", {"http://h/a\\b"}},
        {"dot segments",
         {"http://h/.", "http://h/..", "http://h/a/../b", "http://h/a/%2E%2e/b",
          "http://h/a/%252e%252e/b", "http://h/a/..;x/b"}},
        {"port behind ':' is missing", {"http://h:/"}},
        {"port 0", {"http://h:0/"}},
        {"at most 65535", {"http://h:65536/", "http://h:99999999999999999999/"}},
        {"must be a number", {"http://h:80a/", "http://h:-1/", "http://h:80:80/"}},
        {"']' is missing", {"http://[::1/"}},
        {"only ':'", {"http://[::1]x/"}},
        {"IPv6",
         {"http://[]/", "http://[1.2.3.4]/", "http://[::1%25lo]/", "http://[1:2:3:4:5:6:7:8:9]/",
          "http://[0000:0000:0000:0000:0000:0000:0000:0000:0000:0000]/"}},
        {"IPv4",
         {"http://127.1/", "http://256.1.1.1/", "http://1.2.3.4.5/", "http://127.0.0.1./",
          "http://2130706433/", "http://0x7f000001/", "http://0x/", "http://127.0.0.0X1/",
          "http://0177.0.0.1/"}},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(groups); i++)
        for (size_t k = 0; groups[i].urls[k] != NULL; k++)
            url_refused_for(groups[i].urls[k], groups[i].reason);
}

static void hosts_and_urls_of_excessive_length_are_refused(void **state)
{
    char label[] = "http://aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa/";
    char *text = mem_zalloc(9000);
    struct url url;

    (void)state;
    assert_non_null(strstr(url_parse(label, &url), "63 bytes"));
    memcpy(text, "http://", 7);
    for (size_t i = 0; i < 254; i++)
        text[7 + i] = i % 2 == 0 ? 'a' : '.';
    assert_non_null(strstr(url_parse(text, &url), "253 bytes"));
    text[7 + 252] = '\0';
    assert_null(url_parse(text, &url));
    url_release(&url);
    memcpy(text, "http://h/", 9);
    memset(text + 9, 'x', 8900);
    assert_non_null(strstr(url_parse(text, &url), "8192 bytes"));
    free(text);
}

static void a_path_that_stays_below_is_accepted(void **state)
{
    /* clang-format off */
    static const char *const paths[] = {
        "/", "/42", "/a/b/", "/a%20b", "/a;v=1", "/a:b@c,d", "/group%2Fproject", "/caf%C3%A9",
        "/...", "/..a", "/a..", "/.a", "/a.b/c..d", "/a;..", "/%2541", "/100%25", "/%25zz",
        "/!$&'()*+,;=:@-._~", "/a;/b", "/;v=1", "/a%2F", "/%F0%9F%98%80", "/a%3Fb%23c", "/....;x",
        "/%25%25", "/a/%2e%2e%2e", "/%20", "/a/;",
    };
    /* clang-format on */

    (void)state;
    for (size_t i = 0; i < COUNT(paths); i++) {
        const char *wrong = url_check_path(paths[i], strlen(paths[i]));

        if (wrong != NULL)
            fail_msg("'%s': %s", paths[i], wrong);
    }
}

static void refused_for(const char *path, const char *reason)
{
    const char *wrong = url_check_path(path, strlen(path));

    if (wrong == NULL || strstr(wrong, reason) == NULL)
        fail_msg("'%s': %s", path, wrong != NULL ? wrong : "accepted");
}

static void a_path_that_could_leave_is_refused(void **state)
{
    static const struct {
        const char *reason; /* a part of it */
        const char *paths[12];
    } groups[] = {
        {"start with '/'", {"", "a", "%2fa", "../x"}},
        {"dot segments",
         {"/..", "/.", "/../", "/./a", "/a/..", "/a/../b", "/%2e%2e", "/%2E%2E/", "/.%2e/",
          "/%2e./x"}},
        {"dot segments",
         {"/%2e", "/%252e%252e", "/%252e%252e/a", "/%25252e%25252e/a", "/%2525252525252e./a",
          "/%25%32%65%2e", "/%252%65./", "/%252%2565./", "/%25%2532%2565.", "/%25%32e./"}},
        {"dot segments",
         {"/..;/", "/..;x=1/a", "/.;/a", "/..%3b/", "/..%3Bx/", "/..%253b/", "/%2e%2e;/", "/..%20/",
          "/%20../", "/..%2520;x/"}},
        {"dot segments",
         {"/%2e%2e%2f", "/..%2f", "/a%2f..%2fb", "/a%2f%2e%2e%2fb", "/a%252f..%252fb", "/a%2f.",
          "/a%2f./b"}},
        {"two hexadecimal",
         {"/%2%35%32%65.", "/%252%65%2%65", "/%zz", "/%", "/a%", "/a%2", "/%u002e%u002e/", "/%-1",
          "/%+1", "/% 1"}},
        {"backslashes", {"/%5c", "/..%5c", "/a%5C..%5Cb", "/a%255c..", "/\\", "/..\\"}},
        {"empty segments",
         {"//", "//a", "/a//b", "/a//", "/%2f", "/%2Fetc", "/%252Fetc", "/a%2f/b", "/a%2f%2fb"}},
        {"control bytes",
         {"/%00", "/a%00b", "/%2500", "/%0d%0aX:%201", "/%0a", "/%09", "/%1f", "/%7f", "/%257F",
          "/\r\n"}},
        {"must be percent-encoded", {"/\x7f"}},
        {"UTF-8",
         {"/%c0%ae", "/%c0%ae%c0%ae/", "/%25c0%25ae", "/%c0%af", "/%e0%80%af", "/%ff", "/%80",
          "/%C3", "/%C3/%A9", "/%ed%a0%80", "/%f4%90%80%80"}},
        {"non-ASCII", {"/caf\xc3\xa9", "/\xff"}},
        {"'?'", {"/a?b"}},
        {"fragments", {"/a#b"}},
        {"spaces", {"/a b"}},
        {"percent-encoded", {"/a\"b", "/<a>", "/{a}", "/a|b", "/a^b", "/a`b", "/[a]"}},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(groups); i++)
        for (size_t k = 0; groups[i].paths[k] != NULL; k++)
            refused_for(groups[i].paths[k], groups[i].reason);
}

static void a_nul_in_a_path_is_refused(void **state)
{
    (void)state;
    assert_non_null(url_check_path("/a\0b", 4));
    assert_non_null(url_check_path("/\0", 2));
    assert_non_null(url_check_path("\0", 1));
}

static void a_path_of_excessive_length_is_refused_and_a_deep_encoding_takes_no_time(void **state)
{
    char path[8193];

    (void)state;
    memset(path, 'x', sizeof path);
    path[0] = '/';
    assert_null(url_check_path(path, 8192));
    assert_non_null(strstr(url_check_path(path, 8193), "8192 bytes"));
    for (size_t i = 0; i < 8000; i += 2)
        memcpy(path + 2 + i, "25", 2);
    path[1] = '%';
    memcpy(path + 8002, "2e./", 4);
    assert_non_null(strstr(url_check_path(path, 8006), "dot segments"));
}

/* The reference: plain, slow, and looks at every stage of decoding. */

static int reference_hex(char c)
{
    const char *digits = "0123456789abcdef0123456789ABCDEF";
    const char *found = c != '\0' ? strchr(digits, c) : NULL;

    return found != NULL ? (int)((found - digits) % 16) : -1;
}

static size_t reference_decode(const char *from, size_t length, char *to)
{
    size_t count = 0;
    size_t i = 0;

    while (i < length) {
        if (from[i] == '%' && i + 2 < length && reference_hex(from[i + 1]) >= 0 &&
            reference_hex(from[i + 2]) >= 0) {
            to[count++] = (char)(reference_hex(from[i + 1]) << 4 | reference_hex(from[i + 2]));
            i += 3;
        } else {
            to[count++] = from[i++];
        }
    }
    return count;
}

static bool reference_is_utf8(const unsigned char *text, size_t length)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};

    for (size_t i = 0; i < length;) {
        size_t size = text[i] < 0x80   ? 1
                      : text[i] < 0xc0 ? 0
                      : text[i] < 0xe0 ? 2
                      : text[i] < 0xf0 ? 3
                      : text[i] < 0xf8 ? 4
                                       : 0;
        uint32_t point = size == 1 ? text[i] : text[i] & (0xffu >> (size + 1));

        if (size == 0 || size > length - i)
            return false;
        for (size_t k = 1; k < size; k++) {
            if ((text[i + k] & 0xc0) != 0x80)
                return false;
            point = point << 6 | (text[i + k] & 0x3fu);
        }
        if (point < least[size] || point > 0x10ffff || (point >= 0xd800 && point < 0xe000))
            return false;
        i += size;
    }
    return true;
}

static bool reference_stage_is_safe(const char *text, size_t length)
{
    size_t start = 1;

    for (size_t i = 0; i < length; i++)
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f || text[i] == '\\')
            return false;
    for (size_t i = 1; i <= length; i++) {
        size_t from = start;
        size_t to = start;

        if (i < length && text[i] != '/')
            continue;
        if (i == start && i < length)
            return false;
        while (to < i && text[to] != ';')
            to++;
        while (from < to && text[from] == ' ')
            from++;
        while (to > from && text[to - 1] == ' ')
            to--;
        if ((to - from == 1 || to - from == 2) && memcmp(text + from, "..", to - from) == 0)
            return false;
        start = i + 1;
    }
    return true;
}

static bool reference_accepts(const char *path, size_t length)
{
    char stages[2][64];
    size_t now = 0;
    bool first = true;

    if (length == 0 || path[0] != '/')
        return false;
    for (size_t i = 0; i < length; i++)
        if (path[i] == '%' &&
            (i + 2 >= length || reference_hex(path[i + 1]) < 0 || reference_hex(path[i + 2]) < 0))
            return false;
    memcpy(stages[0], path, length);
    for (;;) {
        size_t next = reference_decode(stages[now], length, stages[1 - now]);
        bool last = next == length;

        now = 1 - now;
        length = next;
        if (!reference_stage_is_safe(stages[now], length))
            return false;
        if ((first || last) && !reference_is_utf8((const unsigned char *)stages[now], length))
            return false;
        if (last)
            return true;
        first = false;
    }
}

static struct dice dice = {7};

static size_t random_below(size_t limit)
{
    return (size_t)dice_below(&dice, limit);
}

static size_t random_path(char path[64])
{
    static const char *const pieces[] = {
        "/",   "/",   ".",   ".",   "..",  "%",   "%2e", "%2f", "%25", "%25", "%32",
        "%35", "25",  "2e",  "2f",  "2",   "5",   "e",   "f",   ";",   "%3b", "3b",
        "%5c", "5c",  "%00", "00",  "%20", "20",  "a",   "%C3", "%A9", "c3",  "a9",
        "%c0", "%ae", "%61", "%65", "%45", "%ff", "0",   "%30", "%2E", "%46", "%66",
    };
    size_t count = random_below(12);
    size_t length = 0;

    path[length++] = '/';
    while (count-- > 0) {
        const char *piece = pieces[random_below(COUNT(pieces))];

        memcpy(path + length, piece, strlen(piece));
        length += strlen(piece);
    }
    return length;
}

static void random_paths_are_judged_as_by_a_plain_reference(void **state)
{
    size_t accepted = 0;

    (void)state;
    for (size_t i = 0; i < ROUNDS; i++) {
        char path[64];
        size_t length = random_path(path);
        bool expected = reference_accepts(path, length);

        if ((url_check_path(path, length) == NULL) != expected)
            fail_msg("'%.*s' should be %s", (int)length, path, expected ? "good" : "bad");
        accepted += expected;
    }
    assert_in_range(accepted, ROUNDS / 100, ROUNDS / 100 * 99);
}

static void a_target_is_joined_from_the_urls_parts_and_the_callers(void **state)
{
    static const struct {
        const char *url;
        const char *path;
        const char *query;
        const char *target;
    } cases[] = {
        {"http://h", NULL, NULL, "/"},
        {"http://h", "/42", NULL, "/42"},
        {"http://h/", "/42", NULL, "/42"},
        {"http://h/v1/me", NULL, NULL, "/v1/me"},
        {"http://h/v1/me", "", "", "/v1/me"},
        {"http://h/v1/me", "/", NULL, "/v1/me/"},
        {"http://h/v1/me", "/42", NULL, "/v1/me/42"},
        {"http://h/v1/", "/42", NULL, "/v1/42"},
        {"http://h/v1/", NULL, NULL, "/v1/"},
        {"http://h/v1/", "/", NULL, "/v1/"},
        {"http://h/v1?a=1", NULL, NULL, "/v1?a=1"},
        {"http://h/v1?a=1", "/42", NULL, "/v1/42?a=1"},
        {"http://h/v1", NULL, "b=2", "/v1?b=2"},
        {"http://h/v1?a=1", NULL, "b=2", "/v1?a=1&b=2"},
        {"http://h/v1?a=1", "/x%20y", "b=2&c", "/v1/x%20y?a=1&b=2&c"},
        {"http://h/v1?", NULL, "b=2", "/v1?b=2"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct url url;
        char *target;

        assert_null(url_parse(cases[i].url, &url));
        target = url_target(&url, cases[i].path, cases[i].query);
        assert_string_equal(target, cases[i].target);
        free(target);
        url_release(&url);
    }
}

static void a_query_grows_by_encoded_pairs(void **state)
{
    char *query = url_query_add(NULL, "full", 4, "1", 1);

    (void)state;
    assert_string_equal(query, "full=1");
    query = url_query_add(query, "a&b=c", 5, "x y/?#+%", 8);
    assert_string_equal(query, "full=1&a%26b%3Dc=x%20y%2F%3F%23%2B%25");
    query = url_query_add(query, "n\0l", 3, "caf\xc3\xa9", 5);
    assert_string_equal(query, "full=1&a%26b%3Dc=x%20y%2F%3F%23%2B%25&n%00l=caf%C3%A9");
    query = url_query_add(query, "", 0, "", 0);
    assert_string_equal(query + strlen(query) - 2, "&=");
    query = url_query_add(query, "-._~", 4, "AZaz09", 6);
    assert_string_equal(query + strlen(query) - 12, "&-._~=AZaz09");
    free(query);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_urls_are_taken_apart),
        cmocka_unit_test(a_service_is_taken_apart_from_the_domain_that_it_is_of),
        cmocka_unit_test(without_the_scheme_a_host_with_underscores_is_a_host),
        cmocka_unit_test(bad_urls_are_refused_with_the_reason),
        cmocka_unit_test(hosts_and_urls_of_excessive_length_are_refused),
        cmocka_unit_test(a_path_that_stays_below_is_accepted),
        cmocka_unit_test(a_path_that_could_leave_is_refused),
        cmocka_unit_test(a_nul_in_a_path_is_refused),
        cmocka_unit_test(a_path_of_excessive_length_is_refused_and_a_deep_encoding_takes_no_time),
        cmocka_unit_test(random_paths_are_judged_as_by_a_plain_reference),
        cmocka_unit_test(a_target_is_joined_from_the_urls_parts_and_the_callers),
        cmocka_unit_test(a_query_grows_by_encoded_pairs),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
