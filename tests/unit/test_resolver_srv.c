/* SRV records out of DNS messages: what is read, what is left out, what is malformed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fanout/mem.h"
#include "fanout/resolver_srv.h"
#include "tests/unit/scripted_dns.h"

#define MESSAGE_SIZE 65535
#define ROUNDS       200000

/* A message that is written piece by piece. */
struct message {
    unsigned char bytes[MESSAGE_SIZE];
    unsigned char *end;
    unsigned records;
};

static const char question[] = "_api._tcp.users.test";

static int setup(void **state)
{
    struct message *message = mem_zalloc(sizeof *message);

    dns_put16(message->bytes + 4, 1);
    message->end = dns_put_name(message->bytes + 12, question);
    message->end = dns_put16(message->end, DNS_SRV);
    message->end = dns_put16(message->end, 1);
    *state = message;
    return 0;
}

static int teardown(void **state)
{
    free(*state);
    return 0;
}

static void count_record(struct message *message)
{
    dns_put16(message->bytes + 6, ++message->records);
}

static void add_srv(struct message *message, uint32_t ttl, struct dns_service service)
{
    struct dns_name asked = {.name = question};

    message->end = dns_put_service(message->end, &asked, ttl, &service);
    count_record(message);
}

/* A record whose host is written by the caller, in the format of names. */
static void add_raw(struct message *message, const void *host, size_t length)
{
    message->end = dns_put_head(message->end, NULL, DNS_SRV, 60);
    message->end = dns_put16(message->end, (unsigned)(6 + length));
    memset(message->end, 0, 5);
    message->end[5] = 80;
    memcpy(message->end + 6, host, length);
    message->end += 6 + length;
    count_record(message);
}

/* From a block of just its size, so that reading behind it is noticed. */
static bool parse_bytes(const unsigned char *bytes, size_t length, struct resolver_srv_list *list)
{
    unsigned char *copy = mem_alloc(length > 0 ? length : 1);
    bool is_good;

    memcpy(copy, bytes, length);
    is_good = resolver_srv_parse(copy, length, list);
    free(copy);
    return is_good;
}

static bool parse(const struct message *message, struct resolver_srv_list *list)
{
    return parse_bytes(message->bytes, (size_t)(message->end - message->bytes), list);
}

static void assert_host(struct message *message, const char *expected)
{
    struct resolver_srv_list list;

    assert_true(parse(message, &list));
    assert_int_equal(list.count, 1);
    assert_string_equal(list.items[0].host, expected);
    resolver_srv_release(&list);
}

static void records_are_read_and_ordered_by_priority(void **state)
{
    struct message *message = *state;
    struct resolver_srv_list list;

    add_srv(message, 60, (struct dns_service){20, 1, 8082, "b.users.test"});
    add_srv(message, 60, (struct dns_service){10, 65535, 8081, "A.users.test"});
    add_srv(message, 60, (struct dns_service){20, 0, 65535, "c.test"});
    assert_true(parse(message, &list));
    assert_int_equal(list.count, 3);
    assert_string_equal(list.items[0].host, "a.users.test.");
    assert_int_equal(list.items[0].priority, 10);
    assert_int_equal(list.items[0].weight, 65535);
    assert_int_equal(list.items[0].port, 8081);
    assert_string_equal(list.items[1].host, "b.users.test.");
    assert_string_equal(list.items[2].host, "c.test.");
    assert_int_equal(list.items[2].port, 65535);
    resolver_srv_release(&list);
}

static void the_smallest_ttl_counts_that_of_an_alias_too(void **state)
{
    struct dns_name aliased = {.name = question, .alias = "real.test", .alias_ttl = 30};
    struct message *message = *state;
    struct resolver_srv_list list;

    add_srv(message, 60, (struct dns_service){1, 1, 80, "a.test"});
    add_srv(message, 50, (struct dns_service){1, 1, 80, "b.test"});
    assert_true(parse(message, &list));
    assert_int_equal(list.ttl_s, 50);
    resolver_srv_release(&list);
    message->end = dns_put_alias(message->end, &aliased);
    count_record(message);
    assert_true(parse(message, &list));
    assert_int_equal(list.ttl_s, 30);
    assert_int_equal(list.count, 2);
    resolver_srv_release(&list);
}

static void a_ttl_with_the_highest_bit_is_none(void **state)
{
    struct resolver_srv_list list;

    add_srv(*state, 0x80000000u, (struct dns_service){1, 1, 80, "a.test"});
    assert_true(parse(*state, &list));
    assert_int_equal(list.ttl_s, 0);
    resolver_srv_release(&list);
}

static void the_root_is_a_dot(void **state)
{
    add_srv(*state, 60, (struct dns_service){0, 0, 0, ""});
    assert_host(*state, ".");
}

static void a_record_with_port_0_is_left_out(void **state)
{
    add_srv(*state, 60, (struct dns_service){1, 1, 0, "a.test"});
    add_srv(*state, 60, (struct dns_service){1, 1, 80, "b.test"});
    assert_host(*state, "b.test.");
}

static void records_of_other_types_are_passed_over(void **state)
{
    struct dns_name asked = {.name = question};
    struct message *message = *state;

    message->end = dns_put_address(message->end, &asked, DNS_A, 60, "127.0.0.1");
    count_record(message);
    add_srv(message, 60, (struct dns_service){1, 1, 80, "b.test"});
    assert_host(message, "b.test.");
}

static void records_of_other_classes_are_passed_over(void **state)
{
    struct message *message = *state;
    unsigned char *start = message->end;

    add_srv(message, 60, (struct dns_service){1, 1, 80, "a.test"});
    start[5] = 3; /* CHAOS */
    add_srv(message, 60, (struct dns_service){1, 1, 80, "b.test"});
    assert_host(message, "b.test.");
}

static void names_may_be_compressed(void **state)
{
    static const char pointer[] = "\1A\xc0\x16"; /* to "users.test" */

    add_raw(*state, pointer, 4);
    assert_host(*state, "a.users.test.");
}

static void what_no_host_name_has_can_not_be_taken_for_one(void **state)
{
    add_raw(*state, "\5a.b\0c\2\xff/", 10);
    assert_host(*state, "a?b?c.??.");
}

static void no_record_gives_an_empty_list(void **state)
{
    struct resolver_srv_list list;

    assert_true(parse(*state, &list));
    assert_int_equal(list.count, 0);
}

static void of_too_many_records_those_with_the_lowest_priority_values_stay(void **state)
{
    struct message *message = *state;
    struct resolver_srv_list list;

    for (unsigned i = 0; i < 3 * ENDPOINTS_MOST; i++)
        add_srv(message, 60, (struct dns_service){3 * ENDPOINTS_MOST - i, i, 80, "a.test"});
    add_srv(message, 60, (struct dns_service){ENDPOINTS_MOST, 9999, 80, "late.test"});
    assert_true(parse(message, &list));
    assert_int_equal(list.count, ENDPOINTS_MOST);
    for (unsigned i = 0; i < ENDPOINTS_MOST; i++)
        assert_int_equal(list.items[i].priority, i + 1);
    assert_string_equal(list.items[ENDPOINTS_MOST - 1].host, "a.test.");
    resolver_srv_release(&list);
}

static void a_name_that_does_not_end_is_malformed(void **state)
{
    static const struct {
        const char *host;
        size_t length;
    } rows[] = {
        {"\xc0\x38", 2},         /* to itself: the record's host is at 56 */
        {"\1a\xc0\x38", 4},      /* to its own front */
        {"\xc0\x3a\xc0\x38", 4}, /* forward, and back */
        {"\xff\xff", 2},         /* behind the end */
        {"\xc0", 1},             /* half a pointer */
        {"\x40", 1},             /* a label of a kind that there is not */
        {"\3ab", 3},             /* a label that ends too early */
        {"", 0},
    };
    unsigned char start[128];
    struct message *message = *state;
    size_t length = (size_t)(message->end - message->bytes);

    memcpy(start, message->bytes, length);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct resolver_srv_list list;

        memcpy(message->bytes, start, length);
        message->end = message->bytes + length;
        message->records = 0;
        add_raw(message, rows[i].host, rows[i].length);
        assert_false(parse(message, &list));
        assert_int_equal(list.count, 0);
    }
}

static void a_name_longer_than_names_may_be_is_malformed(void **state)
{
    struct message *message = *state;
    struct resolver_srv_list list;
    unsigned char name[300];
    size_t length = 0;

    for (unsigned labels = 0; labels < 4; labels++) {
        name[length] = labels < 3 ? 63 : 61;
        memset(name + length + 1, 'a', name[length]);
        length += name[length] + 1u;
    }
    name[length++] = 0; /* 255 bytes in all */
    add_raw(message, name, length);
    assert_true(parse(message, &list));
    assert_int_equal(strlen(list.items[0].host), 254);
    resolver_srv_release(&list);
    name[3 * 64] = 62;
    memset(name + 3 * 64 + 1, 'a', 62);
    name[length++] = 0;
    add_raw(message, name, length);
    assert_false(parse(message, &list));
}

static void a_record_whose_length_is_not_that_of_its_data_is_malformed(void **state)
{
    struct message *message = *state;
    struct resolver_srv_list list;

    add_raw(message, "\1a\0x", 4);
    assert_false(parse(message, &list));
    message->end[-5 - 6] = 8;
    assert_false(parse(message, &list));
}

static void a_label_longer_than_labels_may_be_is_malformed(void **state)
{
    struct resolver_srv_list list;
    unsigned char name[66] = {64};

    memset(name + 1, 'a', 64);
    add_raw(*state, name, sizeof name);
    assert_false(parse(*state, &list));
}

static void a_record_that_goes_on_behind_the_end_is_malformed(void **state)
{
    struct dns_name asked = {.name = question};
    struct message *message = *state;
    struct resolver_srv_list list;

    add_srv(message, 60, (struct dns_service){1, 1, 80, "a.test"});
    message->end = dns_put_address(message->end, &asked, DNS_A, 60, "127.0.0.1") - 1;
    count_record(message);
    assert_false(parse(message, &list));
    message->end++;
    assert_host(message, "a.test.");
}

static void a_header_alone_is_empty_and_half_of_it_is_malformed(void **state)
{
    static const unsigned char header[12] = {0};
    struct resolver_srv_list list;

    (void)state;
    assert_true(parse_bytes(header, 12, &list));
    assert_int_equal(list.count, 0);
    assert_false(parse_bytes(header, 11, &list));
}

static void every_shorter_message_is_malformed(void **state)
{
    struct message *message = *state;
    size_t length;

    add_srv(message, 60, (struct dns_service){1, 1, 80, "a.test"});
    add_srv(message, 60, (struct dns_service){1, 1, 80, "b.test"});
    length = (size_t)(message->end - message->bytes);
    for (size_t i = 0; i < length; i++) {
        struct resolver_srv_list list;

        assert_false(parse_bytes(message->bytes, i, &list));
        assert_int_equal(list.count, 0);
    }
}

static void no_change_of_bytes_makes_it_read_elsewhere_or_without_end(void **state)
{
    struct message *message = *state;
    size_t length;

    add_raw(message, "\1A\xc0\x16", 4);
    add_srv(message, 60, (struct dns_service){1, 1, 80, "b.test"});
    length = (size_t)(message->end - message->bytes);
    srand(11);
    for (unsigned round = 0; round < ROUNDS; round++) {
        unsigned char changed[256];
        struct resolver_srv_list list;

        memcpy(changed, message->bytes, length);
        for (int changes = rand() % 4 + 1; changes > 0; changes--)
            changed[(size_t)rand() % length] = (unsigned char)rand();
        if (!parse_bytes(changed, length, &list))
            continue;
        assert_true(list.count <= ENDPOINTS_MOST);
        for (size_t i = 0; i < list.count; i++)
            assert_int_equal(list.items[i].host[strlen(list.items[i].host) - 1], '.');
        resolver_srv_release(&list);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(records_are_read_and_ordered_by_priority),
        TEST(the_smallest_ttl_counts_that_of_an_alias_too),
        TEST(a_ttl_with_the_highest_bit_is_none),
        TEST(the_root_is_a_dot),
        TEST(a_record_with_port_0_is_left_out),
        TEST(records_of_other_types_are_passed_over),
        TEST(records_of_other_classes_are_passed_over),
        TEST(names_may_be_compressed),
        TEST(what_no_host_name_has_can_not_be_taken_for_one),
        TEST(no_record_gives_an_empty_list),
        TEST(of_too_many_records_those_with_the_lowest_priority_values_stay),
        TEST(a_name_that_does_not_end_is_malformed),
        TEST(a_name_longer_than_names_may_be_is_malformed),
        TEST(a_record_whose_length_is_not_that_of_its_data_is_malformed),
        TEST(a_label_longer_than_labels_may_be_is_malformed),
        TEST(a_record_that_goes_on_behind_the_end_is_malformed),
        TEST(a_header_alone_is_empty_and_half_of_it_is_malformed),
        TEST(every_shorter_message_is_malformed),
        TEST(no_change_of_bytes_makes_it_read_elsewhere_or_without_end),
    };

    return cmocka_run_group_tests_name("resolver_srv", tests, NULL, NULL);
}
