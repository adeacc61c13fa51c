/* Ranges of addresses that are never connected to. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fanout/deny.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static bool is_in(const char *range_text, const char *address_text)
{
    struct address_range range;
    struct deny_list list = {0};
    struct address address;
    bool found;

    assert_null(deny_parse(range_text, &range));
    assert_true(address_parse_ip(address_text, 80, &address));
    deny_list_add(&list, &range);
    found = deny_list_has(&list, &address);
    deny_list_release(&list);
    return found;
}

static void a_range_holds_its_addresses_and_no_others(void **state)
{
    static const struct {
        const char *range, *inside, *outside;
    } rows[] = {
        {"169.254.0.0/16", "169.254.0.0", "169.253.255.255"},
        {"169.254.0.0/16", "169.254.255.255", "169.255.0.0"},
        {"10.0.0.0/9", "10.127.255.255", "10.128.0.0"},
        {"10.0.0.4/30", "10.0.0.7", "10.0.0.8"},
        {"10.0.0.6/31", "10.0.0.7", "10.0.0.5"},
        {"127.0.0.1", "127.0.0.1", "127.0.0.0"},
        {"127.0.0.1/32", "127.0.0.1", "127.0.0.2"},
        {"0.0.0.0/0", "255.255.255.255", "::1"},
        {"fe80::/10", "febf:ffff::1", "fec0::"},
        {"fe80::/10", "fe80::", "fe7f::"},
        {"fd00:ec2::254", "fd00:ec2::254", "fd00:ec2::255"},
        {"::/0", "ffff::1", "1.2.3.4"},
        {"::/1", "7fff::", "8000::"},
        {"[::1]", "::1", "::"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        assert_true(is_in(rows[i].range, rows[i].inside));
        assert_false(is_in(rows[i].range, rows[i].outside));
    }
}

static void a_mapped_address_is_the_ipv4_address_it_holds(void **state)
{
    (void)state;
    assert_true(is_in("169.254.0.0/16", "::ffff:169.254.169.254"));
    assert_true(is_in("169.254.0.0/16", "::ffff:a9fe:a9fe"));
    assert_true(is_in("0.0.0.0/0", "::ffff:1.2.3.4"));
    assert_true(is_in("::ffff:169.254.0.0/112", "169.254.169.254"));
    assert_true(is_in("::ffff:0:0/96", "1.2.3.4"));
    assert_true(is_in("::/0", "::ffff:1.2.3.4"));
    assert_false(is_in("169.254.0.0/16", "::ffff:169.253.0.1"));
    assert_false(is_in("169.254.0.0/16", "::169.254.169.254"));
}

static void a_scope_and_a_port_change_nothing(void **state)
{
    (void)state;
    assert_true(is_in("fe80::/10", "fe80::1%1"));
    assert_true(is_in("fe80::1", "fe80::1%1"));
}

static void what_is_no_range_is_refused(void **state)
{
    static const char *const texts[] = {
        "",
        "/",
        "/8",
        "10.0.0.0/",
        "10.0.0.0/33",
        "10.0.0.0/-1",
        "10.0.0.0/+8",
        "10.0.0.0/8 ",
        "10.0.0.0/0x8",
        "10.0.0.0/8/8",
        "10.0.0/8",
        "10.1.0.0/8",
        "10.0.0.1/31",
        "::/129",
        "fe80::1/10",
        "::1%1",
        "h",
        "127.0.0.1:80",
        "[::1]:80",
        "10.0.0.0/0000008",
    };
    struct address_range range;

    (void)state;
    for (size_t i = 0; i < COUNT(texts); i++)
        if (deny_parse(texts[i], &range) == NULL)
            fail_msg("taken: %s", texts[i]);
}

static void a_range_is_printed_as_it_can_be_read(void **state)
{
    static const char *const texts[] = {"169.254.0.0/16", "fe80::/10", "fd00:ec2::254",
                                        "127.0.0.1",      "0.0.0.0/0", "::/0"};
    char text[DENY_TEXT_SIZE];
    struct address_range range;

    (void)state;
    for (size_t i = 0; i < COUNT(texts); i++) {
        assert_null(deny_parse(texts[i], &range));
        assert_string_equal(deny_print(&range, text), texts[i]);
    }
}

static void an_empty_list_holds_nothing(void **state)
{
    const struct deny_list list = {0};
    struct address address;

    (void)state;
    assert_true(address_parse_ip("127.0.0.1", 1, &address));
    assert_false(deny_list_has(&list, &address));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_range_holds_its_addresses_and_no_others),
        cmocka_unit_test(a_mapped_address_is_the_ipv4_address_it_holds),
        cmocka_unit_test(a_scope_and_a_port_change_nothing),
        cmocka_unit_test(what_is_no_range_is_refused),
        cmocka_unit_test(a_range_is_printed_as_it_can_be_read),
        cmocka_unit_test(an_empty_list_holds_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
