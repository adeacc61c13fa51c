/* Configuration files as files: included ones, unreadable ones, and what is left behind. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/config_file.h"

#include <dirent.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* A good upstream, on one line, for files whose error is elsewhere. */
#define GOOD "upstream a { url = http://h/ }\n"

static void included_files_are_read_in_their_place(void **state)
{
    struct config *config;

    (void)state;
    config_text_write("other.conf", "upstream b { url = http://h/ }\ninclude(\"third.conf\")\n");
    config_text_write("third.conf", "workers = 3\nresolver { tries = 3 }");
    config = config_text_good(GOOD "include(\"other.conf\")\n"
                                   "upstream c { url = http://h/ }\nmax_queue = 5");
    assert_int_equal(config->upstream_count, 3);
    assert_string_equal(config->upstreams[1].name, "b");
    assert_string_equal(config->upstreams[2].name, "c");
    assert_int_equal(config->workers, 3);
    assert_int_equal(config->resolver.tries, 3);
    assert_int_equal(config->max_queue, 5);
    config_free(config);
}

static void relative_includes_begin_beside_the_file_that_has_them(void **state)
{
    char *path;
    char *errors;
    struct config *config;

    (void)state;
    config_text_write(CONFIG_FILE, "include('other.conf')");
    config_text_write("other.conf", GOOD);
    assert_true(asprintf(&path, "%s/%s", config_directory, CONFIG_FILE) > 0);
    assert_int_equal(chdir("/"), 0);
    config = config_file_load(path, &errors);
    assert_string_equal(errors, "");
    assert_int_equal(config->upstream_count, 1);
    config_free(config);
    free(errors);
    free(path);
    assert_int_equal(chdir(config_directory), 0);
}

static void errors_in_an_included_file_name_that_file(void **state)
{
    char *errors;

    (void)state;
    config_text_write("other.conf", "# x\nworkers = 0\nupstream a { }\ninclude(\"third.conf\")");
    config_text_write("third.conf", "\n\ndeadline = 5s\nnonsense = 1\n");
    assert_null(
        config_text_load("deadline = 2s\n" GOOD "include(\"other.conf\")\nmax_queue = x", &errors));
    assert_string_equal(errors,
                        "other.conf:2: workers '0': must be auto, or a number from 1 to 256\n"
                        "other.conf:3: upstream a: the section is given twice (first in t.conf:2)\n"
                        "other.conf:3: upstream a: url is missing (where it is, like "
                        "http://users.internal:8081/v1/me)\n"
                        "third.conf:3: deadline is given twice (first in t.conf:1)\n"
                        "third.conf:4: unknown option 'nonsense'\n"
                        "t.conf:4: max_queue 'x': must be a whole number from 0 to 10000000\n");
    free(errors);
}

static void a_file_that_includes_itself_is_refused(void **state)
{
    char *errors;

    (void)state;
    assert_null(config_text_load(GOOD "include(\"t.conf\")\n", &errors));
    assert_non_null(strstr(errors, "t.conf:2: include 't.conf': more than 8 deep\n"));
    free(errors);
}

static void refused_as_a_whole(const char *path, const char *expected)
{
    char *errors;

    assert_null(config_file_load(path, &errors));
    assert_string_equal(errors, expected);
    free(errors);
}

static void what_is_no_text_file_is_refused(void **state)
{
    size_t size = 1024 * 1024 + 1;
    char *large = malloc(size);
    struct config *config;

    (void)state;
    refused_as_a_whole("nowhere.conf", "nowhere.conf: can't be read: No such file or directory\n");
    refused_as_a_whole(".", ".: can't be read: this is a directory\n");
    refused_as_a_whole("/dev/zero", "/dev/zero: can't be read: this is not a regular file\n");
    config_file_write(CONFIG_FILE, GOOD "\n\0\n", sizeof GOOD + 2);
    refused_as_a_whole(CONFIG_FILE, "t.conf:1: a NUL byte: this is not a text file\n");
    memset(large, '\n', size);
    memcpy(large, GOOD, sizeof GOOD - 1);
    config_file_write(CONFIG_FILE, large, size);
    refused_as_a_whole(CONFIG_FILE, "t.conf: can't be read: larger than 1 MiB\n");
    config_file_write(CONFIG_FILE, large, size - 1);
    config = config_load(CONFIG_FILE, stderr);
    assert_non_null(config);
    config_free(config);
    free(large);
}

static void a_good_file_loads_after_any_wrong_one(void **state)
{
    static const char *const texts[] = {"workers = \"3", "workers = '3",  "/* never", "}",
                                        "upstream a {",  "listen = { \"", "upstream"};

    (void)state;
    for (size_t i = 0; i < COUNT(texts); i++) {
        char *errors;

        assert_null(config_text_load(texts[i], &errors));
        free(errors);
        config_free(config_text_good(GOOD));
    }
}

static size_t open_files(void)
{
    DIR *directory = opendir("/proc/self/fd");
    size_t count = 0;

    while (readdir(directory) != NULL)
        count++;
    closedir(directory);
    return count;
}

static void no_file_stays_open_whatever_is_wrong(void **state)
{
    static const char *const texts[] = {
        GOOD, "x", "workers = \"", "include(\"none\")", "include(\"other.conf\")", "upstream a {"};
    size_t before = open_files();

    (void)state;
    config_text_write("other.conf", "workers = {");
    for (size_t i = 0; i < COUNT(texts); i++) {
        char *errors;

        config_free(config_text_load(texts[i], &errors));
        free(errors);
    }
    refused_as_a_whole(".", ".: can't be read: this is a directory\n");
    assert_int_equal(open_files(), before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(included_files_are_read_in_their_place),
        cmocka_unit_test(relative_includes_begin_beside_the_file_that_has_them),
        cmocka_unit_test(errors_in_an_included_file_name_that_file),
        cmocka_unit_test(a_file_that_includes_itself_is_refused),
        cmocka_unit_test(what_is_no_text_file_is_refused),
        cmocka_unit_test(a_good_file_loads_after_any_wrong_one),
        cmocka_unit_test(no_file_stays_open_whatever_is_wrong),
    };

    return cmocka_run_group_tests(tests, config_file_setup, config_file_teardown);
}
