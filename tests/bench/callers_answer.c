/*
 * Reads answers that tell their length, and have no others behind them.
 */
#include "callers.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

void answer_reset(struct answer *answer)
{
    *answer = (struct answer){.bytes = answer->bytes};
}

// The value of a field, or NULL. The head ends with an empty line.
static const char *find_field(const char *head, const char *name)
{
    size_t length = strlen(name);

    for (const char *line = strstr(head, "\r\n"); line != NULL; line = strstr(line, "\r\n")) {
        line += strlen("\r\n");
        if (strncasecmp(line, name, length) == 0 && line[length] == ':')
            return line + length + 1 + strspn(line + length + 1, " ");
    }
    return NULL;
}

static bool has_word(const char *value, const char *word)
{
    return value != NULL && strncasecmp(value, word, strlen(word)) == 0;
}

static bool read_head(struct answer *answer, char *end)
{
    const char *length;

    end[2] = '\0';
    length = find_field(answer->bytes, "Content-Length");
    if (strncmp(answer->bytes, "HTTP/1.1 ", 9) != 0 || length == NULL)
        return false;
    answer->status = atoi(answer->bytes + 9);
    answer->body_length = strtoul(length, NULL, 10);
    answer->body_at = (size_t)(end + 4 - answer->bytes);
    answer->is_complete = has_word(find_field(answer->bytes, "X-Fanout-Complete"), "true");
    answer->closes = has_word(find_field(answer->bytes, "Connection"), "close");
    return true;
}

static enum progress look(struct answer *answer)
{
    if (answer->body_at == 0) {
        char *end = memmem(answer->bytes, answer->length, "\r\n\r\n", 4);
        if (end == NULL)
            return PROGRESS_PARTIAL;
        if (!read_head(answer, end))
            return PROGRESS_WRONG;
    }
    size_t wanted = answer->body_at + answer->body_length;
    return answer->length < wanted    ? PROGRESS_PARTIAL
           : answer->length == wanted ? PROGRESS_DONE
                                      : PROGRESS_WRONG;
}

enum progress answer_read(struct answer *answer, int fd)
{
    if (answer->bytes == NULL && (answer->bytes = malloc(ANSWER_BYTES + 1)) == NULL)
        return PROGRESS_WRONG;
    for (;;) {
        ssize_t count = recv(fd, answer->bytes + answer->length, ANSWER_BYTES - answer->length, 0);
        if (count < 0 && errno == EAGAIN)
            return PROGRESS_PARTIAL;
        if (count <= 0)
            return PROGRESS_WRONG;
        answer->length += (size_t)count;
        enum progress progress = look(answer);
        if (progress != PROGRESS_PARTIAL)
            return progress;
    }
}
