/* What a body is: by its media type, and by its bytes. */
#include "fanout/body.h"

#include "fanout/json.h"

#include <string.h>
#include <strings.h>

enum media { MEDIA_UNKNOWN, MEDIA_JSON, MEDIA_TEXT, MEDIA_BINARY };

static const struct {
    const char *pattern; /* "*" at one end stands for anything */
    enum media media;
} media_types[] = {
    {"application/json", MEDIA_JSON},
    {"text/json", MEDIA_JSON},
    {"*+json", MEDIA_JSON},
    {"text/*", MEDIA_TEXT},
    {"application/xml", MEDIA_TEXT},
    {"*+xml", MEDIA_TEXT},
    {"application/javascript", MEDIA_TEXT},
    {"application/yaml", MEDIA_TEXT},
    {"application/x-ndjson", MEDIA_TEXT},
    {"application/x-www-form-urlencoded", MEDIA_TEXT},
    {"*", MEDIA_BINARY},
};

static bool matches(const char *pattern, const char *type, size_t length)
{
    size_t fixed = strlen(pattern);

    if (pattern[0] == '*')
        return length >= fixed - 1 &&
               strncasecmp(type + length - (fixed - 1), pattern + 1, fixed - 1) == 0;
    if (pattern[fixed - 1] == '*')
        return length >= fixed - 1 && strncasecmp(type, pattern, fixed - 1) == 0;
    return length == fixed && strncasecmp(type, pattern, fixed) == 0;
}

/* The media type without its parameters. */
static enum media media_of(const char *content_type)
{
    size_t length, i = 0;

    if (content_type == NULL)
        return MEDIA_UNKNOWN;
    if (strcmp(content_type, media_types[0].pattern) == 0) /* which most say */
        return media_types[0].media;
    length = strcspn(content_type, "; \t");
    if (length == 0)
        return MEDIA_UNKNOWN;
    while (!matches(media_types[i].pattern, content_type, length))
        i++;
    return media_types[i].media;
}

static enum body_kind text_or_binary(const struct buf *body)
{
    return json_utf8_prefix(body->data, body->len) == body->len ? BODY_TEXT : BODY_BINARY;
}

static struct body_judgement judge_json(const struct buf *body, enum media media,
                                        unsigned max_json_depth)
{
    struct json_error error;

    if (json_validate(body->data, body->len, max_json_depth, &error))
        return (struct body_judgement){.kind = BODY_JSON};
    return (struct body_judgement){
        .kind = text_or_binary(body),
        .is_broken_json = media == MEDIA_JSON,
        .offset = error.offset,
        .message = error.message,
    };
}

struct body_judgement body_judge(const struct buf *body, const char *content_type,
                                 unsigned max_json_depth)
{
    enum media media = media_of(content_type);

    if (body->len == 0)
        return (struct body_judgement){.kind = BODY_NONE};
    if (media == MEDIA_JSON || media == MEDIA_UNKNOWN)
        return judge_json(body, media, max_json_depth);
    return (struct body_judgement){.kind = media == MEDIA_TEXT ? BODY_TEXT : BODY_BINARY};
}
