/* Numeric addresses: what is one, what is not, and that printing one gives it back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fanout/address.h"

#include <arpa/inet.h>
#include <string.h>

static void a_numeric_ip_is_parsed_with_or_without_brackets(void **state)
{
    static const struct {
        const char *text;
        int family;
        const char *printed;
    } rows[] = {
        {"127.0.0.1", AF_INET, "127.0.0.1"},
        {"0.0.0.0", AF_INET, "0.0.0.0"},
        {"255.255.255.255", AF_INET, "255.255.255.255"},
        {"::1", AF_INET6, "::1"},
        {"[::1]", AF_INET6, "::1"},
        {"::", AF_INET6, "::"},
        {"2001:DB8:0:0::7", AF_INET6, "2001:db8::7"},
        {"::ffff:192.0.2.1", AF_INET6, "::ffff:192.0.2.1"},
        {"ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255", AF_INET6,
         "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"},
        {"[fe80::1%lo]", AF_INET6, "fe80::1%lo"},
        {"fe80::1%1", AF_INET6, "fe80::1%lo"},
        {"fe80::1%4000000000", AF_INET6, "fe80::1%4000000000"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct address address;
        char text[ADDRESS_TEXT_SIZE];

        assert_true(address_parse_ip(rows[i].text, 443, &address));
        assert_int_equal(address.any.sa_family, rows[i].family);
        assert_int_equal(address_port(&address), 443);
        assert_string_equal(address_print_ip(&address, text), rows[i].printed);
    }
}

static void what_is_no_numeric_ip_is_refused_and_leaves_the_address_alone(void **state)
{
    static const char *const rows[] = {
        "",
        " ",
        "localhost",
        "127.0.0",
        "127.0.0.1.",
        "127.0.0.256",
        "127.0.0.01",
        "0x7f.0.0.1",
        "2130706433",
        " 127.0.0.1",
        "127.0.0.1 ",
        "127.0.0.1:80",
        "127.0.0.1,127.0.0.2",
        "127.0.0.1%lo",
        "[127.0.0.1]",
        "[",
        "]",
        "[]",
        "[[::1]]",
        "[::1",
        "::1]",
        "[::1]:80",
        ":::",
        "1::2::3",
        "::g",
        "1:2:3:4:5:6:7",
        "1:2:3:4:5:6:7:8:9",
        "fe80::1%",
        "fe80::1%0",
        "fe80::1%no-such-link",
        "fe80::1%-1",
        "fe80::1%1x",
        "fe80::1%4294967296",
        "fe80::1%99999999999999999999999",
        "%lo",
        "11111111111111111111111111111111111111111111111111111111111111111111111111111111111111",
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct address address;
        struct address before;

        memset(&address, 0x5a, sizeof address);
        before = address;
        if (address_parse_ip(rows[i], 80, &address))
            fail_msg("taken for an address: \"%s\"", rows[i]);
        assert_memory_equal(&address, &before, sizeof address);
    }
}

static void an_address_with_its_port_prints_back_to_the_same_text(void **state)
{
    static const char *const rows[] = {
        "127.0.0.1:8080",
        "127.0.0.1:0",
        "10.1.2.3:65535",
        "[::1]:53",
        "[2001:db8::7]:1",
        "[fe80::1%lo]:443",
        "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535",
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct address address;
        char text[ADDRESS_TEXT_SIZE];

        assert_true(address_parse(rows[i], &address));
        assert_string_equal(address_print(&address, text), rows[i]);
    }
}

static void an_address_needs_a_good_port_and_ipv6_its_brackets(void **state)
{
    static const char *const rows[] = {
        "",           ":",           ":80",           "127.0.0.1",     "127.0.0.1:",
        "::1",        "::1:80",      "[::1]",         "[::1]:",        "[::1]80",
        "[::1]:x",    "::1]:80",     "127.0.0.1:-1",  "127.0.0.1:+80", "127.0.0.1: 80",
        "1.2.3.4:8a", "[1.2.3.4]:1", "1.2.3.4:65536", "1.2.3.4:99999", "1.2.3.4:000080",
        "host:80",
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct address address;

        if (address_parse(rows[i], &address))
            fail_msg("taken for an address with a port: \"%s\"", rows[i]);
    }
}

static void a_port_can_be_set_on_either_family(void **state)
{
    struct address v4;
    struct address v6;

    (void)state;
    assert_true(address_parse("127.0.0.1:1", &v4));
    assert_true(address_parse("[::1]:1", &v6));
    address_set_port(&v4, 8080);
    address_set_port(&v6, 8081);
    assert_int_equal(v4.v4.sin_port, htons(8080));
    assert_int_equal(v6.v6.sin6_port, htons(8081));
    assert_int_equal(address_port(&v4), 8080);
    assert_int_equal(address_port(&v6), 8081);
}

static void the_length_is_the_one_of_the_family(void **state)
{
    struct address address;

    (void)state;
    assert_true(address_parse("127.0.0.1:1", &address));
    assert_int_equal(address_length(&address), sizeof(struct sockaddr_in));
    assert_true(address_parse("[::1]:1", &address));
    assert_int_equal(address_length(&address), sizeof(struct sockaddr_in6));
}

static bool equal(const char *left, const char *right)
{
    struct address one;
    struct address other;

    /* What is not part of the address must not count. */
    memset(&one, 0x11, sizeof one);
    memset(&other, 0x22, sizeof other);
    assert_true(address_parse(left, &one));
    assert_true(address_parse(right, &other));
    if (one.any.sa_family == AF_INET6)
        one.v6.sin6_flowinfo = 7;
    return address_equals(&one, &other);
}

static void addresses_are_equal_by_family_ip_port_and_scope(void **state)
{
    (void)state;
    assert_true(equal("127.0.0.1:80", "127.0.0.1:80"));
    assert_false(equal("127.0.0.1:80", "127.0.0.2:80"));
    assert_false(equal("127.0.0.1:80", "127.0.0.1:81"));
    assert_true(equal("[::1]:80", "[0:0::1]:80"));
    assert_false(equal("[::1]:80", "[::2]:80"));
    assert_false(equal("[::1]:80", "[::1]:81"));
    assert_true(equal("[fe80::1%lo]:80", "[fe80::1%1]:80"));
    assert_false(equal("[fe80::1%5]:80", "[fe80::1%6]:80"));
    assert_false(equal("0.0.0.0:80", "[::]:80"));
    assert_false(equal("127.0.0.1:80", "[::ffff:127.0.0.1]:80"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_numeric_ip_is_parsed_with_or_without_brackets),
        cmocka_unit_test(what_is_no_numeric_ip_is_refused_and_leaves_the_address_alone),
        cmocka_unit_test(an_address_with_its_port_prints_back_to_the_same_text),
        cmocka_unit_test(an_address_needs_a_good_port_and_ipv6_its_brackets),
        cmocka_unit_test(a_port_can_be_set_on_either_family),
        cmocka_unit_test(the_length_is_the_one_of_the_family),
        cmocka_unit_test(addresses_are_equal_by_family_ip_port_and_scope),
    };

    return cmocka_run_group_tests_name("address", tests, NULL, NULL);
}
