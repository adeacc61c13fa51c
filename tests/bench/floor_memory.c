/*
 * What the floor keeps for the next time: aggregations, and the chunks that large bodies lie in.
 */
#include "floor.h"

#include <stdlib.h>
#include <string.h>

static struct aggregation *spare_aggregations;
static char **spare_chunks;
static size_t spare_chunk_count, spare_chunk_size;

char *floor_take_chunk(void)
{
    return spare_chunk_count > 0 ? spare_chunks[--spare_chunk_count]
                                 : floor_must(malloc(CHUNK_BYTES));
}

static void give_chunk(char *used)
{
    if (spare_chunk_count == spare_chunk_size) {
        spare_chunk_size = 2 * spare_chunk_size + 64;
        spare_chunks = floor_must(realloc(spare_chunks, spare_chunk_size * sizeof *spare_chunks));
    }
    spare_chunks[spare_chunk_count++] = used;
}

struct aggregation *floor_aggregation_new(struct caller *caller)
{
    struct aggregation *new = spare_aggregations;
    if (new != NULL)
        spare_aggregations = new->next;
    else
        new = floor_must(calloc(1, sizeof *new + floor_upstream_count * sizeof *new->slots));
    new->caller = caller;
    new->start_ns = floor_now_ns;
    new->pending = floor_upstream_count;
    new->arena_used = 0;
    new->has_failed = false;
    return new;
}

static void free_bodies(struct aggregation *aggregation)
{
    for (size_t i = 0; i < floor_upstream_count; i++) {
        struct slot *slot = &aggregation->slots[i];
        if (slot->is_chunk)
            give_chunk(slot->body);
        else
            free(slot->body);
        slot->body = NULL;
        slot->is_chunk = false;
    }
}

void floor_aggregation_free(struct aggregation *old)
{
    free_bodies(old);
    free(old->unsent);
    free(old->text);
    old->unsent = NULL;
    old->text = NULL;
    old->next = spare_aggregations;
    spare_aggregations = old;
}

void floor_keep_small_body(struct aggregation *aggregation, struct slot *slot, const char *body)
{
    size_t needed = aggregation->arena_used + slot->length;
    if (needed > aggregation->arena_size) {
        aggregation->arena_size = needed + needed / 2 + 256;
        aggregation->arena = floor_must(realloc(aggregation->arena, aggregation->arena_size));
    }
    slot->offset = aggregation->arena_used;
    memcpy(aggregation->arena + slot->offset, body, slot->length);
    aggregation->arena_used = needed;
}
