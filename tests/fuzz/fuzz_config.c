/*
 * Configuration files: one that is taken is printed, and what was printed is
 * taken for the same; one that is refused is refused in lines that begin with
 * file and line.
 */
#include "tests/fuzz/fuzz.h"

#include <fcntl.h>

static char directory[] = "/tmp/fanoutd-fuzz-XXXXXX";
static char given[64], printed[64];

static void clean_up(void)
{
    unlink(given);
    unlink(printed);
    rmdir(directory);
}

static void set_up(void)
{
    claim(mkdtemp(directory) != NULL, "there is a place for files");
    snprintf(given, sizeof given, "%s/given.conf", directory);
    snprintf(printed, sizeof printed, "%s/printed.conf", directory);
    atexit(clean_up);
    /* What a file may ask for, and nothing else. */
    clearenv();
    setenv("HOST", "127.0.0.1", 1);
    setenv("EMPTY", "", 1);
}

static void write_file(const char *path, const void *bytes, size_t length)
{
    int file = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

    claim(file >= 0 && write(file, bytes, length) == (ssize_t)length, "a file was written");
    close(file);
}

/* *errors is freed by the caller. */
static struct config *load(const char *path, char **errors)
{
    size_t length;
    FILE *stream = open_memstream(errors, &length);
    struct config *config = config_load(path, stream);

    fclose(stream);
    return config;
}

static char *print(const struct config *config, size_t *length)
{
    char *text;
    FILE *stream = open_memstream(&text, length);

    config_print(config, stream);
    fclose(stream);
    return text;
}

/* "FILE:LINE: …"; the file is another where one was included. */
static bool has_place(const char *line, size_t length)
{
    const char *end = line + length;

    for (const char *at = line; at < end; at++) {
        size_t digits = at[0] == ':' ? strspn(at + 1, "0123456789") : 0;

        if (at > line && digits > 0 && at + digits + 2 < end && at[digits + 1] == ':' &&
            at[digits + 2] == ' ')
            return true;
    }
    return false;
}

/* What is said of the file as a whole has no line. */
static bool is_of_file(const char *line, size_t length)
{
    return length > strlen(given) && memcmp(line, given, strlen(given)) == 0 &&
           (memmem(line, length, " errors more", 12) != NULL ||
            memmem(line, length, ": an upstream is missing", 24) != NULL);
}

static void check_errors(const char *errors)
{
    claim(errors[0] != '\0', "a refusal says why");
    while (*errors != '\0') {
        size_t length = strcspn(errors, "\n");

        claim(errors[length] == '\n', "an error is a whole line");
        claim(has_place(errors, length) || is_of_file(errors, length),
              "an error begins with file and line");
        for (size_t i = 0; i < length; i++)
            claim((unsigned char)errors[i] >= ' ' && errors[i] != 0x7f,
                  "an error holds no control byte");
        errors += length + 1;
    }
}

static void check_good(const struct config *config)
{
    size_t length, again_length;
    char *text = print(config, &length), *again, *errors;
    struct config *other;

    write_file(printed, text, length);
    other = load(printed, &errors);
    if (other == NULL)
        fprintf(stderr, "%s%s", text, errors);
    claim(other != NULL, "what was printed can be read");
    again = print(other, &again_length);
    if (again_length != length || memcmp(again, text, length) != 0)
        fprintf(stderr, "%s---- and again:\n%s", text, again);
    claim(again_length == length && memcmp(again, text, length) == 0,
          "what was printed and read is printed the same");
    config_free(other);
    free(text);
    free(again);
    free(errors);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct config *config;
    char *errors;

    if (given[0] == '\0')
        set_up();
    write_file(given, data, size);
    config = load(given, &errors);
    if (config == NULL)
        check_errors(errors);
    else
        claim(errors[0] == '\0', "a good file has no errors");
    if (config != NULL)
        check_good(config);
    config_free(config);
    free(errors);
    return 0;
}
