/*
 * The file's text, made safe and exact before libConfuse sees it. Its lexer ends the process on a
 * directory, keeps its state over to the next file after an open string, skips characters that it
 * doesn't know, takes an unset variable for an empty one, counts a comment as three lines and
 * allows none within a list. So comments are taken out here, and all the rest is an error.
 */
#include "service/config_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_FILE_BYTES  (1024 * 1024)
#define MAX_BRACE_DEPTH 8 /* a list in a section is 2 */

struct scan {
    struct config_loader *loader;
    const char *at;
    const char *end;
    struct buf *out;
    char last; /* of the characters that are not blank; any token counts as 'x' */
    char before_last;
    int brace_lines[MAX_BRACE_DEPTH];
    size_t brace_depth;
    bool ok;
};

static bool is_name_character(char c, bool first)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
           (!first && c >= '0' && c <= '9');
}

static void wrong(struct scan *scan, const char *message)
{
    config_report(scan->loader, scan->loader->spot, NULL, "%s", message);
    scan->ok = false;
}

static void wrong_character(struct scan *scan, char c)
{
    if ((unsigned char)c < 0x20 || c == 0x7f)
        config_report(scan->loader, scan->loader->spot, NULL,
                      "a control byte (0x%02x): this should be text", (unsigned)c & 0xff);
    else
        config_report(scan->loader, scan->loader->spot, NULL,
                      "unexpected '%c': put a value that holds it in double quotes", c);
    scan->ok = false;
}

static void put(struct scan *scan, char c)
{
    buf_append(scan->out, &c, 1);
}

static void put_token(struct scan *scan, char kind)
{
    scan->before_last = scan->last;
    scan->last = kind;
}

static bool starts(const struct scan *scan, const char *text)
{
    size_t length = strlen(text);

    return (size_t)(scan->end - scan->at) >= length && memcmp(scan->at, text, length) == 0;
}

static void skip_line_comment(struct scan *scan)
{
    const char *newline = memchr(scan->at, '\n', (size_t)(scan->end - scan->at));

    scan->at = newline != NULL ? newline : scan->end;
}

static void skip_block_comment(struct scan *scan)
{
    struct config_spot start = scan->loader->spot;

    put(scan, ' ');
    for (scan->at += 2; scan->at < scan->end; scan->at++) {
        if (starts(scan, "*/")) {
            scan->at += 2;
            return;
        }
        if (*scan->at == '\n') {
            put(scan, '\n');
            scan->loader->spot.line++;
        }
    }
    scan->loader->spot = start;
    wrong(scan, "this comment is never closed: '*/' is missing");
}

/* At "${" in double quotes: takes "${NAME}", or of "${NAME:-default}" all before the default. */
static bool scan_variable(struct scan *scan, bool *in_default)
{
    const char *at = scan->at + 2;
    const char *name = at;

    while (at < scan->end && is_name_character(*at, at == name))
        at++;
    *in_default = scan->end - at > 1 && at[0] == ':' && at[1] == '-';
    if (at == name || at == scan->end || (*at != '}' && !*in_default)) {
        wrong(scan, "a variable is written ${NAME} or ${NAME:-default}");
        return false;
    }
    at += *in_default ? 2 : 1;
    put(scan, CONFIG_VARIABLE_MARK);
    buf_append(scan->out, scan->at + 1, (size_t)(at - scan->at - 1));
    scan->at = at;
    return true;
}

static bool scan_escape(struct scan *scan)
{
    if (scan->end - scan->at < 2 || strchr("\"\\$t", scan->at[1]) == NULL) {
        wrong(scan, "unknown escape in a string (there are \\\", \\\\, \\$ and \\t)");
        return false;
    }
    buf_append(scan->out, scan->at, 2);
    scan->at += 2;
    return true;
}

/* One character, escape or variable in double quotes. */
static bool scan_string_part(struct scan *scan, bool *in_default)
{
    if (*scan->at == '\\')
        return scan_escape(scan);
    if (starts(scan, "${")) {
        if (!*in_default)
            return scan_variable(scan, in_default);
        wrong(scan, "a variable can't stand in another one's default");
        return false;
    }
    if (((unsigned char)*scan->at < 0x20 && *scan->at != '\t') || *scan->at == 0x7f) {
        wrong_character(scan, *scan->at);
        return false;
    }
    if (*scan->at == '}')
        *in_default = false;
    put(scan, *scan->at++);
    return true;
}

/* A string ends on its line, so that a missing quote is found where it is missing. */
static bool scan_string(struct scan *scan)
{
    char quote = *scan->at;
    bool in_default = false;
    bool ok = true;

    put(scan, *scan->at++);
    put_token(scan, 'x');
    while (ok && scan->at < scan->end && *scan->at != quote && *scan->at != '\n' &&
           !starts(scan, "\r\n")) {
        if (quote == '"')
            ok = scan_string_part(scan, &in_default);
        else if ((unsigned char)*scan->at >= 0x20 && *scan->at != '\\')
            put(scan, *scan->at++);
        else {
            wrong(scan, "control bytes and backslashes can't stand in single quotes");
            ok = false;
        }
    }
    if (ok && (scan->at == scan->end || *scan->at != quote)) {
        wrong(scan, "the closing quote of a string is missing");
        ok = false;
    } else if (ok && in_default) {
        wrong(scan, "the '}' of a variable is missing");
        ok = false;
    }
    if (ok)
        put(scan, *scan->at++);
    else
        skip_line_comment(scan);
    return ok;
}

static void skip_blanks(struct scan *scan)
{
    while (scan->at < scan->end && (*scan->at == ' ' || *scan->at == '\t'))
        scan->at++;
}

/* Parentheses are for include("file") alone: libConfuse leaks on anything but strings there. */
static void scan_call(struct scan *scan)
{
    put_token(scan, '(');
    put(scan, *scan->at++);
    skip_blanks(scan);
    if (scan->at < scan->end && (*scan->at == '"' || *scan->at == '\'') && !scan_string(scan))
        return;
    skip_blanks(scan);
    if (scan->last == 'x' && scan->at < scan->end && *scan->at == ')') {
        put(scan, *scan->at++);
        return;
    }
    wrong(scan, "parentheses are for include(\"FILE\")");
    skip_line_comment(scan);
}

static void scan_brace(struct scan *scan)
{
    if (*scan->at == '{') {
        if (scan->brace_depth < MAX_BRACE_DEPTH)
            scan->brace_lines[scan->brace_depth] = scan->loader->spot.line;
        scan->brace_depth++;
    } else {
        /* libConfuse tells nobody of an empty list: a lone mark stands for it. */
        if (scan->last == '{' && scan->before_last == '=')
            buf_printf(scan->out, "\"%c\"", CONFIG_VARIABLE_MARK);
        if (scan->brace_depth > 0)
            scan->brace_depth--;
    }
    put_token(scan, *scan->at);
    put(scan, *scan->at++);
}

/* What libConfuse takes for a word without quotes. */
static bool is_word_character(char c)
{
    return (unsigned char)c > 0x20 && c != 0x7f && strchr("#\"'={}()+,*|", c) == NULL;
}

static void scan_word(struct scan *scan)
{
    if (starts(scan, "${")) {
        wrong(scan, "put a value with ${NAME} in it in double quotes");
        skip_line_comment(scan);
        return;
    }
    put_token(scan, 'x');
    while (scan->at < scan->end && is_word_character(*scan->at) && !starts(scan, "${"))
        put(scan, *scan->at++);
}

static void scan_next(struct scan *scan)
{
    char c = *scan->at;

    if (c == '\n') {
        put(scan, *scan->at++);
        scan->loader->spot.line++;
    } else if (c == ' ' || c == '\t' || c == '\r') {
        put(scan, ' ');
        scan->at++;
    } else if (c == '#' || starts(scan, "//")) {
        skip_line_comment(scan);
    } else if (starts(scan, "/*")) {
        skip_block_comment(scan);
    } else if (c == '"' || c == '\'') {
        scan_string(scan);
    } else if (c == '{' || c == '}') {
        scan_brace(scan);
    } else if (c == '(') {
        scan_call(scan);
    } else if (c == '=' || c == ',') {
        put_token(scan, c);
        put(scan, *scan->at++);
    } else if (starts(scan, "+=")) {
        put_token(scan, '=');
        buf_append_text(scan->out, "+=");
        scan->at += 2;
    } else if (is_word_character(c)) {
        scan_word(scan);
    } else {
        wrong_character(scan, c);
        scan->at++;
    }
}

static bool scan_text(struct config_loader *loader, const struct buf *text, struct buf *out,
                      int *open_line)
{
    static const char byte_order_mark[] = "\xef\xbb\xbf";
    struct scan scan = {.loader = loader, .at = text->data, .out = out, .ok = true};
    size_t depth;

    scan.end = scan.at + text->len;
    if (memchr(scan.at, '\0', text->len) != NULL) {
        wrong(&scan, "a NUL byte: this is not a text file");
        return false;
    }
    if (starts(&scan, byte_order_mark))
        scan.at += strlen(byte_order_mark);
    while (scan.at < scan.end)
        scan_next(&scan);
    buf_append_text(out, "\n");
    depth = scan.brace_depth < MAX_BRACE_DEPTH ? scan.brace_depth : MAX_BRACE_DEPTH;
    *open_line = scan.ok && depth > 0 ? scan.brace_lines[depth - 1] : 0;
    return scan.ok;
}

/* 0, or an errno; EFBIG: over the limit. */
static int read_all(int file, struct buf *text)
{
    for (;;) {
        ssize_t count;

        if (!buf_reserve(text, 1))
            return EFBIG;
        count = read(file, text->data + text->len, text->room - text->len);
        if (count < 0 && errno != EINTR)
            return errno;
        if (count == 0)
            return 0;
        if (count > 0)
            text->len += (size_t)count;
    }
}

/* Anything but a regular file could block, or have no end. */
static const char *read_file(const char *path, struct buf *text)
{
    int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat status;
    int error;

    if (file < 0)
        return strerror(errno);
    if (fstat(file, &status) != 0 || !S_ISREG(status.st_mode)) {
        close(file);
        return S_ISDIR(status.st_mode) ? "this is a directory" : "this is not a regular file";
    }
    error = read_all(file, text);
    close(file);
    if (error == EFBIG || text->len > MAX_FILE_BYTES)
        return "larger than 1 MiB";
    return error != 0 ? strerror(error) : NULL;
}

bool config_text_read(struct config_loader *loader, const char *path, struct buf *out,
                      int *open_line)
{
    struct buf text;
    const char *message;
    bool ok = false;

    buf_init(&text, MAX_FILE_BYTES + 4096);
    message = read_file(path, &text);
    if (message != NULL && loader->spot.line > 0) {
        config_report(loader, loader->spot, NULL, "include '%s': %s", path, message);
    } else if (message != NULL) {
        config_report(loader, loader->spot, NULL, "can't be read: %s", message);
    } else {
        loader->spot = (struct config_spot){config_file_name(loader, path), 1};
        ok = scan_text(loader, &text, out, open_line);
    }
    buf_release(&text);
    return ok;
}

bool config_text_expand(struct config_value *value, const char *text, struct buf *out)
{
    static const char mark[] = {CONFIG_VARIABLE_MARK, '\0'};

    while (*text != '\0') {
        size_t plain = strcspn(text, mark);
        const char *name = text + plain + 2;
        size_t length;
        char *variable;
        const char *found;
        bool has_default;

        buf_append(out, text, plain);
        if (text[plain] == '\0')
            break;
        length = strcspn(name, ":}");
        text = name + strcspn(name, "}") + 1;
        variable = strndup(name, length);
        found = variable != NULL ? getenv(variable) : NULL;
        free(variable);
        has_default = name[length] == ':';
        if (found == NULL && !has_default)
            return config_refuse(value, "the environment variable %.*s is not set", (int)length,
                                 name);
        /* As in the shell, a default also stands in for an empty value. */
        if (found != NULL && (found[0] != '\0' || !has_default))
            buf_append_text(out, found);
        else
            buf_append(out, name + length + 2, (size_t)(text - 1 - (name + length + 2)));
    }
    return true;
}
