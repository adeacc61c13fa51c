/*
 * What the two files of the floor share: an aggregation under way, its callers and connections.
 */
#ifndef TESTS_BENCH_FLOOR_H
#define TESTS_BENCH_FLOOR_H

#include <arpa/inet.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

enum {
    MOST_UPSTREAMS = 500, // two pieces of an answer for each, and no more than IOV_MAX
    CHUNK_BYTES = 65536,  // read at once
    SMALL_BODY = 4096,    // up to here copying is cheaper than keeping the chunk
    HEAD_ROOM = 128,      // before a document, for the head of its answer
    ENTRY_ROOM = 96,      // for the numbers and brackets of an entry
    EVENTS_AT_ONCE = 512,
};

struct pool {
    struct sockaddr_in address;
    struct connection *idle; // the last used first: its memory is warm
    struct pool *next;
};

struct upstream {
    char *request;
    size_t request_length;
    char *id; // how its entry begins
    size_t id_length;
    struct pool *pool;
};

struct slot {
    int status; // 0: failed
    int64_t elapsed_ns;
    char *body; // NULL: small, and in the arena
    size_t length;
    size_t offset; // in the arena
    bool is_chunk; // the body lies in a chunk, at an offset
};

struct aggregation {
    struct caller *caller; // NULL: it left
    struct aggregation *next;
    int64_t start_ns;
    size_t pending;
    bool has_failed; // one of its fetches
    char *arena;     // small bodies, in the order of their coming
    size_t arena_used, arena_size;
    struct iovec *unsent; // what the socket did not take
    size_t unsent_first, unsent_count;
    char *text;
    struct slot slots[];
};

enum kind { LISTENER, CALLER, CONNECTION, GONE };

struct caller {
    enum kind kind;
    int fd;
    struct aggregation *aggregation; // NULL: none under way
    char *partial;                   // of a head
    size_t partial_length;
};

struct connection {
    enum kind kind;
    int fd;
    struct pool *pool;
    struct connection *next;
    struct aggregation *aggregation; // NULL: idle
    uint32_t slot;
    bool is_unsent; // the request, as it is not connected yet
    bool is_dead;   // while idle
    char *body;     // of a large answer, as far as it came; or of a head in pieces
    size_t have, length;
    bool has_head;
};

extern struct upstream floor_upstreams[MOST_UPSTREAMS];
extern size_t floor_upstream_count;
extern int64_t floor_now_ns; // read once a turn

// Both end the program where there is no memory, or what errno says.
void *floor_must(void *memory);
void floor_fail(const char *what);

char *floor_take_chunk(void);
struct aggregation *floor_aggregation_new(struct caller *caller);
void floor_keep_small_body(struct aggregation *aggregation, struct slot *slot, const char *body);
void floor_aggregation_free(struct aggregation *old);
void floor_caller_free(struct caller *caller);

// Every fetch has ended: the answer, as far as the socket takes it; and the rest, when it can.
// Either may free the caller, if it left.
void floor_send_answer(struct aggregation *aggregation);
void floor_send_rest(struct caller *caller);

#endif
