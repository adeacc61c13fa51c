/* The resolver's cache on a clock of its own: what may be given, and when to ask anew. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fanout/clock.h"
#include "fanout/mem.h"
#include "fanout/resolver_cache.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECOND ((uint64_t)1000000)
#define START  (1000 * SECOND)

static const struct resolver_settings settings = {
    .min_ttl_us = 2 * SECOND,
    .max_ttl_us = 100 * SECOND,
    .stale_us = 1000 * SECOND,
    .failure_ttl_us = 5 * SECOND,
};

static struct resolver_answer *make_answer(size_t count)
{
    struct resolver_answer *answer = mem_zalloc(sizeof *answer + count * sizeof answer->targets[0]);

    answer->references = 1;
    answer->count = count;
    return answer;
}

static int setup(void **state)
{
    struct resolver_cache *cache = mem_alloc(sizeof *cache);

    resolver_cache_init(cache, &settings);
    *state = cache;
    return 0;
}

static int teardown(void **state)
{
    resolver_cache_release(*state);
    free(*state);
    return 0;
}

static struct resolver_entry *find(struct resolver_cache *cache, const char *host, uint64_t now_us)
{
    const char *message = NULL;
    struct resolver_entry *entry =
        resolver_cache_find(cache, host, RESOLVER_HOST, now_us, &message);

    assert_non_null(entry);
    return entry;
}

/* An entry with one address, stored at START. */
static struct resolver_entry *stored(struct resolver_cache *cache, const char *host, uint64_t ttl)
{
    struct resolver_entry *entry = find(cache, host, START);

    resolver_cache_store(cache, entry, make_answer(1), ttl * SECOND, START);
    return entry;
}

static void assert_advice(struct resolver_cache *cache, struct resolver_entry *entry,
                          uint64_t now_us, enum resolver_advice advice)
{
    assert_int_equal(resolver_cache_advise(cache, entry, now_us), advice);
}

static void assert_fails_with(struct resolver_entry *entry, const char *expected)
{
    struct resolver_answer *answer = NULL;
    const char *message = NULL;

    assert_false(resolver_cache_take(entry, &answer, &message));
    assert_null(answer);
    assert_string_equal(message, expected);
}

static void assert_gives(struct resolver_entry *entry)
{
    struct resolver_answer *answer = NULL;
    const char *message = NULL;

    assert_true(resolver_cache_take(entry, &answer, &message));
    assert_ptr_equal(answer, entry->answer);
    resolver_answer_release(answer);
}

static void names_are_the_same_in_any_case_but_not_with_a_dot_at_the_end(void **state)
{
    struct resolver_cache *cache = *state;
    struct resolver_entry *entry = find(cache, "Users.Internal", START);

    assert_string_equal(entry->name, "users.internal");
    entry->holds = 1;
    assert_ptr_equal(find(cache, "users.internal", START), entry);
    assert_ptr_equal(find(cache, "USERS.INTERNAL", START), entry);
    assert_ptr_not_equal(find(cache, "users.internal.", START), entry);
    assert_int_equal(cache->count, 2);
}

static void a_service_is_not_a_host_of_the_same_name(void **state)
{
    struct resolver_entry *host = stored(*state, "_api._tcp.a.test", 10);
    const char *message = NULL;
    struct resolver_entry *service =
        resolver_cache_find(*state, "_api._tcp.a.test", RESOLVER_SERVICE, START, &message);

    assert_ptr_not_equal(service, host);
    assert_null(service->answer);
    assert_ptr_equal(find(*state, "_api._tcp.a.test", START), host);
}

static void what_is_no_host_name_is_refused(void **state)
{
    static const char *const rows[] = {
        "", "a b", "a\nb", "a\"b", "a/b", "::1", "a\\.b", "na\xc3\xafve", "a\x7f", "a%b",
    };
    char name[RESOLVER_MAX_NAME_LENGTH + 2];
    const char *message = NULL;
    struct resolver_cache *cache = *state;

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_null(resolver_cache_find(cache, rows[i], RESOLVER_HOST, START, &message));
        assert_string_equal(message, "not a host name");
    }
    memset(name, 'a', sizeof name);
    name[RESOLVER_MAX_NAME_LENGTH + 1] = '\0';
    assert_null(resolver_cache_find(cache, name, RESOLVER_HOST, START, &message));
    name[RESOLVER_MAX_NAME_LENGTH] = '\0';
    assert_non_null(resolver_cache_find(cache, name, RESOLVER_HOST, START, &message));
}

static void a_new_name_has_to_be_queried(void **state)
{
    assert_advice(*state, find(*state, "a.test", START), START, RESOLVER_QUERY);
}

static void an_answer_is_fresh_for_its_ttl_and_refreshed_from_three_quarters_of_it_on(void **state)
{
    struct resolver_entry *entry = stored(*state, "a.test", 40);

    assert_advice(*state, entry, START, RESOLVER_GIVE);
    assert_advice(*state, entry, START + 30 * SECOND - 1, RESOLVER_GIVE);
    assert_advice(*state, entry, START + 30 * SECOND, RESOLVER_GIVE_AND_REFRESH);
    assert_advice(*state, entry, START + 40 * SECOND - 1, RESOLVER_GIVE_AND_REFRESH);
    assert_advice(*state, entry, START + 40 * SECOND, RESOLVER_QUERY);
}

static void the_ttl_is_kept_between_the_two_limits(void **state)
{
    struct resolver_entry *brief = stored(*state, "brief.test", 0);
    struct resolver_entry *lasting = stored(*state, "lasting.test", 86400);

    assert_int_equal(brief->answer->expires_us, START + 2 * SECOND);
    assert_int_equal(lasting->answer->expires_us, START + 100 * SECOND);
}

static void an_answer_lives_on_with_whoever_holds_it(void **state)
{
    struct resolver_entry *entry = stored(*state, "a.test", 10);
    struct resolver_answer *answer;
    const char *message;

    assert_true(resolver_cache_take(entry, &answer, &message));
    resolver_cache_store(*state, entry, make_answer(2), 10 * SECOND, START);
    assert_ptr_not_equal(entry->answer, answer);
    assert_int_equal(answer->references, 1);
    assert_int_equal(answer->count, 1);
    resolver_answer_release(answer);
}

static void an_expired_answer_serves_only_after_dns_has_failed(void **state)
{
    struct resolver_entry *entry = stored(*state, "a.test", 40);
    uint64_t expired = START + 40 * SECOND;

    assert_advice(*state, entry, expired, RESOLVER_QUERY);
    assert_false(resolver_cache_is_stale(entry, expired));
    resolver_cache_fail(*state, entry, "the DNS server failed", expired);
    assert_true(resolver_cache_is_stale(entry, expired));
    assert_advice(*state, entry, expired, RESOLVER_GIVE);
    assert_gives(entry);
}

static void
while_dns_fails_it_is_tried_again_no_more_often_than_failures_are_remembered(void **state)
{
    struct resolver_entry *entry = stored(*state, "a.test", 40);
    uint64_t failed = START + 50 * SECOND;

    resolver_cache_fail(*state, entry, "the DNS server failed", failed);
    assert_advice(*state, entry, failed + 5 * SECOND - 1, RESOLVER_GIVE);
    assert_advice(*state, entry, failed + 5 * SECOND, RESOLVER_GIVE_AND_REFRESH);
    resolver_cache_fail(*state, entry, "the DNS server failed", failed + 5 * SECOND);
    assert_advice(*state, entry, failed + 10 * SECOND - 1, RESOLVER_GIVE);
}

static void a_failed_refresh_is_not_repeated_at_once_and_leaves_the_answer_fresh(void **state)
{
    struct resolver_entry *entry = stored(*state, "a.test", 40);
    uint64_t failed = START + 32 * SECOND;

    resolver_cache_fail(*state, entry, "the DNS server failed", failed);
    assert_false(resolver_cache_is_stale(entry, failed));
    assert_advice(*state, entry, failed + SECOND, RESOLVER_GIVE);
    assert_advice(*state, entry, failed + 5 * SECOND, RESOLVER_GIVE_AND_REFRESH);
    assert_gives(entry);
}

static void stale_answers_end(void **state)
{
    struct resolver_entry *entry = stored(*state, "a.test", 40);
    uint64_t last = START + 1040 * SECOND - 1;

    resolver_cache_fail(*state, entry, "the DNS server failed", last);
    assert_advice(*state, entry, last, RESOLVER_GIVE);
    assert_gives(entry);
    assert_advice(*state, entry, last + 1, RESOLVER_GIVE);
    assert_fails_with(entry, "the DNS server failed");
    assert_advice(*state, entry, last + 5 * SECOND, RESOLVER_QUERY);
}

static void a_failure_that_comes_after_the_stale_time_leaves_nothing(void **state)
{
    struct resolver_entry *entry = stored(*state, "a.test", 40);
    uint64_t after = START + 1040 * SECOND;

    assert_advice(*state, entry, after, RESOLVER_QUERY);
    resolver_cache_fail(*state, entry, "no answer from the DNS server", after);
    assert_advice(*state, entry, after, RESOLVER_GIVE);
    assert_fails_with(entry, "no answer from the DNS server");
}

static void dns_that_works_again_makes_an_answer_fresh_again(void **state)
{
    struct resolver_entry *entry = stored(*state, "a.test", 40);
    uint64_t back = START + 60 * SECOND;

    resolver_cache_fail(*state, entry, "the DNS server failed", START + 50 * SECOND);
    resolver_cache_store(*state, entry, make_answer(1), 40 * SECOND, back);
    assert_false(resolver_cache_is_stale(entry, back));
    assert_advice(*state, entry, back + 29 * SECOND, RESOLVER_GIVE);
    assert_advice(*state, entry, back + 40 * SECOND, RESOLVER_QUERY);
}

static void a_denied_name_loses_its_answer_at_once_even_a_fresh_one(void **state)
{
    struct resolver_entry *entry = stored(*state, "a.test", 40);

    resolver_cache_deny(*state, entry, "no such name", START + 31 * SECOND);
    assert_advice(*state, entry, START + 31 * SECOND, RESOLVER_GIVE);
    assert_fails_with(entry, "no such name");
}

static void a_failure_is_remembered_for_its_time_and_then_asked_again(void **state)
{
    struct resolver_entry *entry = find(*state, "a.test", START);

    resolver_cache_fail(*state, entry, "the DNS server refused", START);
    assert_advice(*state, entry, START + 5 * SECOND - 1, RESOLVER_GIVE);
    assert_fails_with(entry, "the DNS server refused");
    assert_advice(*state, entry, START + 5 * SECOND, RESOLVER_QUERY);
}

static void times_without_end_do_not_overflow(void **state)
{
    struct resolver_settings endless = {
        .max_ttl_us = UINT64_MAX, .stale_us = UINT64_MAX, .failure_ttl_us = UINT64_MAX};
    struct resolver_cache *cache = mem_alloc(sizeof *cache);
    struct resolver_entry *entry;

    (void)state;
    resolver_cache_init(cache, &endless);
    entry = find(cache, "a.test", START);
    resolver_cache_store(cache, entry, make_answer(1), 10 * SECOND, START);
    resolver_cache_fail(cache, entry, "the DNS server failed", START + 20 * SECOND);
    assert_advice(cache, entry, CLOCK_NEVER - 1, RESOLVER_GIVE);
    assert_gives(entry);
    resolver_cache_store(cache, entry, make_answer(1), UINT64_MAX, START);
    assert_advice(cache, entry, START, RESOLVER_GIVE);
    assert_int_equal(entry->answer->expires_us, CLOCK_NEVER);
    resolver_cache_release(cache);
    free(cache);
}

static void names_that_nobody_asks_for_are_dropped_once_they_can_serve_no_more(void **state)
{
    struct resolver_cache *cache = *state;
    uint64_t useless = START + (40 + 1000) * SECOND;

    stored(cache, "old.test", 40);
    resolver_cache_store(cache, find(cache, "new.test", START), make_answer(1), 41 * SECOND, START);
    find(cache, "new.test", useless - 1);
    assert_int_equal(cache->count, 2);
    find(cache, "new.test", useless);
    assert_int_equal(cache->count, 1);
}

static void a_name_that_is_asked_for_or_held_is_not_dropped(void **state)
{
    struct resolver_cache *cache = *state;
    struct resolver_entry *asked = stored(cache, "asked.test", 40);
    uint64_t much_later = START + 100000 * SECOND;
    struct resolver_entry *held;

    assert_ptr_equal(find(cache, "asked.test", much_later), asked);
    held = stored(cache, "held.test", 40);
    held->holds = 1;
    assert_ptr_equal(find(cache, "asked.test", much_later), asked);
    assert_ptr_equal(find(cache, "held.test", much_later), held);
}

static void fill(struct resolver_cache *cache, unsigned count, unsigned holds)
{
    for (unsigned i = 0; i < count; i++) {
        char name[32];

        snprintf(name, sizeof name, "n%u.test", i);
        stored(cache, name, 40)->holds = holds;
    }
}

static void a_full_cache_drops_the_name_unused_for_longest(void **state)
{
    struct resolver_cache *cache = *state;
    struct resolver_entry *first;

    fill(cache, RESOLVER_MAX_NAMES, 0);
    first = find(cache, "n0.test", START);
    stored(cache, "one-more.test", 40);
    assert_int_equal(cache->count, RESOLVER_MAX_NAMES);
    assert_ptr_equal(find(cache, "n0.test", START), first);
    assert_advice(cache, first, START, RESOLVER_GIVE);
    assert_advice(cache, find(cache, "n2.test", START), START, RESOLVER_GIVE);
    assert_advice(cache, find(cache, "n1.test", START), START, RESOLVER_QUERY);
}

static void a_cache_full_of_names_in_use_refuses_one_more(void **state)
{
    struct resolver_cache *cache = *state;
    const char *message = NULL;

    fill(cache, RESOLVER_MAX_NAMES, 1);
    assert_null(resolver_cache_find(cache, "one-more.test", RESOLVER_HOST, START, &message));
    assert_string_equal(message, "too many names are being looked up");
    find(cache, "n7.test", START)->holds = 0;
    assert_non_null(resolver_cache_find(cache, "one-more.test", RESOLVER_HOST, START, &message));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(names_are_the_same_in_any_case_but_not_with_a_dot_at_the_end),
        TEST(a_service_is_not_a_host_of_the_same_name),
        TEST(what_is_no_host_name_is_refused),
        TEST(a_new_name_has_to_be_queried),
        TEST(an_answer_is_fresh_for_its_ttl_and_refreshed_from_three_quarters_of_it_on),
        TEST(the_ttl_is_kept_between_the_two_limits),
        TEST(an_answer_lives_on_with_whoever_holds_it),
        TEST(an_expired_answer_serves_only_after_dns_has_failed),
        TEST(while_dns_fails_it_is_tried_again_no_more_often_than_failures_are_remembered),
        TEST(a_failed_refresh_is_not_repeated_at_once_and_leaves_the_answer_fresh),
        TEST(stale_answers_end),
        TEST(a_failure_that_comes_after_the_stale_time_leaves_nothing),
        TEST(dns_that_works_again_makes_an_answer_fresh_again),
        TEST(a_denied_name_loses_its_answer_at_once_even_a_fresh_one),
        TEST(a_failure_is_remembered_for_its_time_and_then_asked_again),
        TEST(times_without_end_do_not_overflow),
        TEST(names_that_nobody_asks_for_are_dropped_once_they_can_serve_no_more),
        TEST(a_name_that_is_asked_for_or_held_is_not_dropped),
        TEST(a_full_cache_drops_the_name_unused_for_longest),
        TEST(a_cache_full_of_names_in_use_refuses_one_more),
    };

    return cmocka_run_group_tests_name("resolver_cache", tests, NULL, NULL);
}
