/* Configuration files for tests: in a directory of their own, where the tests then run. */
#ifndef TESTS_CONFIG_FILE_H
#define TESTS_CONFIG_FILE_H

#include "service/config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CONFIG_FILE "t.conf"

static char config_directory[] = "/tmp/test_config_XXXXXX";

/* Whole, with NUL behind; freed by the caller. NULL: can't be read. */
static inline char *config_file_read(const char *path)
{
    FILE *file = fopen(path, "r");
    char *text = NULL;
    size_t room = 0;

    if (file == NULL)
        return NULL;
    if (getdelim(&text, &room, '\0', file) < 0) {
        free(text);
        text = NULL;
    }
    fclose(file);
    return text;
}

static inline void config_file_write(const char *path, const void *bytes, size_t length)
{
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, length, file), length);
    fclose(file);
}

static inline void config_text_write(const char *path, const char *text)
{
    config_file_write(path, text, strlen(text));
}

static inline int config_file_setup(void **state)
{
    (void)state;
    return mkdtemp(config_directory) == NULL || chdir(config_directory) != 0;
}

static inline int config_file_teardown(void **state)
{
    static const char *const files[] = {CONFIG_FILE, "other.conf", "third.conf", "printed.conf"};

    (void)state;
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
        unlink(files[i]);
    return chdir("/") != 0 || rmdir(config_directory) != 0;
}

/* *errors is freed by the caller. */
static inline struct config *config_file_load(const char *path, char **errors)
{
    size_t length;
    FILE *stream = open_memstream(errors, &length);
    struct config *config = config_load(path, stream);

    fclose(stream);
    return config;
}

static inline struct config *config_text_load(const char *text, char **errors)
{
    config_text_write(CONFIG_FILE, text);
    return config_file_load(CONFIG_FILE, errors);
}

/* A file that must be good; freed by config_free. */
static inline struct config *config_text_good(const char *text)
{
    char *errors;
    struct config *config = config_text_load(text, &errors);

    if (config == NULL || errors[0] != '\0')
        fail_msg("%s\n%s", text, errors);
    free(errors);
    return config;
}

/* Freed by the caller. */
static inline char *config_printed(const struct config *config)
{
    FILE *file = fopen("printed.conf", "w");

    assert_non_null(file);
    config_print(config, file);
    fclose(file);
    return config_file_read("printed.conf");
}

/* Prints it, loads that, and prints again: both must be the same. Gives the print. */
static inline char *config_round_trip(const char *text)
{
    struct config *config = config_text_good(text);
    char *first = config_printed(config);
    struct config *again = config_text_good(first);
    char *second = config_printed(again);

    assert_string_equal(first, second);
    free(second);
    config_free(again);
    config_free(config);
    return first;
}

struct wrong_file {
    const char *text;
    const char *errors; /* all that is said of it */
};

static inline void config_refuse_all(const struct wrong_file *files, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        char *errors;
        struct config *config = config_text_load(files[i].text, &errors);

        if (config != NULL || strcmp(errors, files[i].errors) != 0)
            fail_msg("%s--- gives\n%s--- and should\n%s", files[i].text, errors, files[i].errors);
        free(errors);
    }
}

#endif
