/*
 * The type of options that name a PEM file (RFC 7468). The file is looked at
 * when the configuration is read, as far as one can without a TLS library: it
 * holds what it should, whole, and no key that needs a password.
 */
#include "fanout/mem.h"
#include "service/config_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define LARGEST_FILE (8u << 20) /* the system's own list of authorities is 0.2 MiB */

/* One block, without the lines around it. */
struct block {
    const char *label;
    size_t label_length;
    const char *text;
    size_t length;
};

/* What was decoded, as far as it is looked at. */
struct der {
    unsigned char head[8];
    size_t length;
};

static bool member_path(struct config_value *value, const char *path)
{
    char **member = (char **)(void *)((char *)value->object + value->option->offset);

    free(*member); /* a second one is an error, and reported */
    *member = mem_strdup(path);
    return true;
}

static char *read_stream(FILE *file, size_t size)
{
    char *text = mem_zalloc(size + 1);

    if (fread(text, 1, size, file) == size && memchr(text, '\0', size) == NULL)
        return text;
    free(text);
    return NULL;
}

/* NULL after config_refuse. */
static char *read_file(struct config_value *value)
{
    int fd = open(value->text, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* never waits for a FIFO */
    FILE *file = fd >= 0 ? fdopen(fd, "r") : NULL;
    char *text = NULL;
    struct stat facts;

    if (file == NULL) {
        config_refuse(value, "can't be read: %s", strerror(errno));
        return NULL;
    }
    if (fstat(fileno(file), &facts) != 0 || !S_ISREG(facts.st_mode))
        config_refuse(value, "can't be read: this is not a regular file");
    else if (facts.st_size > LARGEST_FILE)
        config_refuse(value, "can't be read: larger than %u MiB", LARGEST_FILE >> 20);
    else if ((text = read_stream(file, (size_t)facts.st_size)) == NULL)
        config_refuse(value, "not a PEM file (a NUL byte)");
    fclose(file);
    return text;
}

/* The next "-----BEGIN LABEL-----", its text and its end; moves *at behind it. */
static bool next_block(const char **at, struct block *block)
{
    static const char begin[] = "-----BEGIN ", dashes[] = "-----";
    const char *label = strstr(*at, begin);
    const char *label_end;
    char *end_line;

    if (label == NULL)
        return false;
    label += sizeof begin - 1;
    label_end = strstr(label, dashes);
    if (label_end == NULL)
        return false;
    *block = (struct block){label, (size_t)(label_end - label), label_end + sizeof dashes - 1, 0};
    end_line = mem_printf("-----END %.*s-----", (int)block->label_length, label);
    *at = strstr(block->text, end_line);
    free(end_line);
    if (*at == NULL)
        *at = block->text;
    block->length = (size_t)(*at - block->text); /* 0: no end */
    return true;
}

static bool is_one_of(const struct block *block, const char *const *labels)
{
    for (; *labels != NULL; labels++)
        if (strlen(*labels) == block->label_length &&
            memcmp(*labels, block->label, block->label_length) == 0)
            return true;
    return false;
}

/* RFC 4648, section 4, with any white space between. */
static bool decode(const struct block *block, struct der *der)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    unsigned bits = 0, bit_count = 0;
    bool at_end = false;

    *der = (struct der){.length = 0};
    for (size_t i = 0; i < block->length; i++) {
        const char *digit = memchr(digits, block->text[i], sizeof digits - 1);

        if (strchr(" \t\r\n", block->text[i]) != NULL)
            continue;
        at_end = at_end || block->text[i] == '=';
        if (at_end != (block->text[i] == '=') || (!at_end && digit == NULL))
            return false;
        if (at_end)
            continue;
        bits = bits << 6 | (unsigned)(digit - digits);
        bit_count += 6;
        if (bit_count < 8)
            continue;
        bit_count -= 8;
        if (der->length < sizeof der->head)
            der->head[der->length] = (unsigned char)(bits >> bit_count);
        der->length++;
        bits &= (1u << bit_count) - 1;
    }
    return bits == 0;
}

/* A SEQUENCE that is as long as it says (ITU-T X.690, section 8.1.3); certificates with
 * OpenSSL's own trust settings have more behind it. */
static bool is_whole(const struct der *der, bool may_have_more)
{
    size_t at = 2, length = der->head[1];

    if (der->length < 2 || der->head[0] != 0x30)
        return false;
    if (length > 0x80) {
        size_t count = length - 0x80;

        if (count > 4)
            return false;
        for (length = 0; count > 0; count--)
            length = length << 8 | der->head[at++];
    }
    return may_have_more ? der->length > at + length : der->length == at + length;
}

static bool needs_password(const struct block *block)
{
    static const char encrypted[] = "ENCRYPTED ", header[] = "Proc-Type:"; /* RFC 1421 */

    return strncmp(block->label, encrypted, sizeof encrypted - 1) == 0 ||
           memmem(block->text, block->length, header, sizeof header - 1) != NULL;
}

static unsigned line_of(const char *text, const char *at)
{
    unsigned line = 1;

    for (; text < at; text++)
        line += *text == '\n';
    return line;
}

static bool check_block(struct config_value *value, const char *text, const struct block *block)
{
    bool is_trusted = strncmp(block->label, "TRUSTED ", 8) == 0;
    struct der der;

    if (needs_password(block))
        return config_refuse(value, "the key needs a password, and there is nobody to ask for it");
    if (block->length == 0 || !decode(block, &der) || !is_whole(&der, is_trusted))
        return config_refuse(value, "the %.*s that begins in its line %u is damaged",
                             (int)block->label_length, block->label, line_of(text, block->label));
    return true;
}

static bool check_text(struct config_value *value, const char *text)
{
    const char *const *labels = value->option->choices;
    const char *at = text;
    struct block block;
    bool found = false;

    while (next_block(&at, &block)) {
        if (!is_one_of(&block, labels))
            continue;
        if (!check_block(value, text, &block))
            return false;
        found = true;
    }
    return found || config_refuse(value, "has no '-----BEGIN %s-----': not a PEM file of that kind",
                                  labels[0]);
}

static bool read_pem(struct config_value *value)
{
    char *text;
    bool ok;

    if (strcmp(value->text, value->option->fallback) == 0)
        return true;
    if (value->text[0] != '/')
        return config_refuse(value,
                             "must be %s, or a PEM file with its full path, "
                             "like /etc/fanoutd/%s.pem",
                             value->option->fallback, value->option->name);
    text = read_file(value);
    ok = text != NULL && check_text(value, text) && member_path(value, value->text);
    if (text != NULL)
        explicit_bzero(text, strlen(text)); /* it may be a key */
    free(text);
    return ok;
}

static void print_pem(const struct config_option *option, const void *object,
                      const struct config *config, FILE *out)
{
    const char *path = *(char *const *)(const void *)((const char *)object + option->offset);

    (void)config;
    if (path != NULL)
        config_print_quoted(path, out);
    else
        fputs(option->fallback, out);
}

const struct config_type config_pem = {false, read_pem, print_pem};
