/* SRV records out of DNS messages. Nothing is believed: lengths, pointers, counts. */
#include "fanout/resolver_srv.h"

#include "fanout/mem.h"
#include "fanout/resolver_cache.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#define HEADER_LENGTH 12
#define LABEL_MOST    63u
#define POINTER       0xc0u
#define CLASS_IN      1u
#define TYPE_SRV      33u
#define TTL_MOST      0x7fffffffu /* larger ones are 0 (RFC 2181, section 8) */

#define NAME_SIZE (RESOLVER_MAX_NAME_LENGTH + 1)

struct reader {
    const unsigned char *bytes;
    size_t length;
    size_t at;
    bool is_broken; /* it ended too early, or a name is none: what was read is worth nothing */
};

static unsigned take8(struct reader *reader)
{
    if (reader->at < reader->length)
        return reader->bytes[reader->at++];
    reader->is_broken = true;
    return 0;
}

static unsigned take16(struct reader *reader)
{
    unsigned high = take8(reader);

    return high << 8 | take8(reader);
}

static uint32_t take32(struct reader *reader)
{
    uint32_t high = take16(reader);

    return high << 16 | take16(reader);
}

static void skip(struct reader *reader, size_t count)
{
    if (reader->length - reader->at < count)
        reader->is_broken = true;
    else
        reader->at += count;
}

/* ---- names ---- */

/* A dot inside a label would look like one between labels. */
static char host_character(unsigned byte)
{
    if (byte < 0x80 && (isalnum((int)byte) || byte == '-' || byte == '_'))
        return (char)tolower((int)byte);
    return '?';
}

static size_t take_label(struct reader *reader, unsigned length, char *name, size_t used)
{
    if (length > LABEL_MOST || used + length + 2 > NAME_SIZE) {
        reader->is_broken = true;
        return used;
    }
    for (unsigned i = 0; i < length; i++)
        name[used++] = host_character(take8(reader));
    name[used++] = '.';
    return used;
}

/* Each pointer leads further to the front than all before it, so that names end. */
static void take_name(struct reader *reader, char name[NAME_SIZE])
{
    struct reader part = *reader;
    size_t lowest = reader->at, used = 0;
    bool has_jumped = false;
    unsigned head;

    while ((head = take8(&part)) != 0 && !part.is_broken) {
        if (head < POINTER) {
            used = take_label(&part, head, name, used);
            continue;
        }
        head = (head & ~POINTER) << 8 | take8(&part);
        if (!has_jumped)
            reader->at = part.at;
        has_jumped = true;
        part.is_broken = part.is_broken || head >= lowest;
        part.at = lowest = head;
    }
    if (!has_jumped)
        reader->at = part.at;
    if (used == 0)
        name[used++] = '.';
    name[used] = '\0';
    reader->is_broken = reader->is_broken || part.is_broken;
}

/* ---- records ---- */

static void insert(struct resolver_srv_list *list, struct resolver_srv record)
{
    size_t place = list->count;

    while (place > 0 && list->items[place - 1].priority > record.priority)
        place--;
    if (place == ENDPOINTS_MOST) {
        free(record.host);
        return;
    }
    if (list->count == ENDPOINTS_MOST)
        free(list->items[--list->count].host);
    memmove(&list->items[place + 1], &list->items[place],
            (list->count - place) * sizeof list->items[0]);
    list->items[place] = record;
    list->count++;
}

static void take_srv(struct reader *reader, struct resolver_srv_list *list)
{
    struct resolver_srv record;
    char host[NAME_SIZE];

    record.priority = (uint16_t)take16(reader);
    record.weight = (uint16_t)take16(reader);
    record.port = (uint16_t)take16(reader);
    take_name(reader, host);
    if (reader->is_broken || (record.port == 0 && strcmp(host, ".") != 0))
        return;
    record.host = mem_strdup(host);
    insert(list, record);
}

static void take_record(struct reader *reader, struct resolver_srv_list *list)
{
    char owner[NAME_SIZE];
    unsigned type, class;
    uint32_t ttl_s;
    size_t length, start;

    take_name(reader, owner);
    type = take16(reader);
    class = take16(reader);
    ttl_s = take32(reader);
    length = take16(reader);
    start = reader->at;
    if (ttl_s > TTL_MOST)
        ttl_s = 0;
    if (ttl_s < list->ttl_s)
        list->ttl_s = ttl_s;
    if (type != TYPE_SRV || class != CLASS_IN) {
        skip(reader, length);
        return;
    }
    take_srv(reader, list);
    if (reader->at != start + length)
        reader->is_broken = true;
}

static void take_question(struct reader *reader)
{
    char name[NAME_SIZE];

    take_name(reader, name);
    skip(reader, 4);
}

bool resolver_srv_parse(const unsigned char *message, size_t length, struct resolver_srv_list *list)
{
    struct reader reader = {.bytes = message, .length = length, .at = 4};
    unsigned questions = take16(&reader);
    unsigned answers = take16(&reader);

    list->ttl_s = TTL_MOST;
    list->count = 0;
    reader.at = HEADER_LENGTH;
    reader.is_broken = length < HEADER_LENGTH;
    while (questions-- > 0 && !reader.is_broken)
        take_question(&reader);
    while (answers-- > 0 && !reader.is_broken)
        take_record(&reader, list);
    if (reader.is_broken)
        resolver_srv_release(list);
    return !reader.is_broken;
}

void resolver_srv_release(struct resolver_srv_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->items[i].host);
    list->count = 0;
}
