/*
 * A circuit breaker (Nygard, "Release It!"): stops asking an upstream that
 * fails, so that callers hear at once and the upstream can recover.
 *
 *   CLOSED ──► OPEN ──► HALF_OPEN ──► CLOSED     all calls / none / a few probes
 *                ▲          │
 *                ╰──────────╯ a probe failed
 *
 * It opens when, of at least min_calls in the rolling window, failure_percent
 * failed, or when max_consecutive failed in a row; only a failure opens it. It
 * stays open for open_us, twice as long each time that it opens again without
 * having been closed for a whole window in between, up to max_open_us. Then
 * calls are let through as probes, max_probes at once; close_after successes
 * close it, one failure opens it.
 *
 * What was asked before the state last changed says nothing about the upstream
 * now: such a report gives a probe's place back and counts for nothing else.
 *
 * Shared by all threads. While it is closed, breaker_admit is one atomic load;
 * all else holds a mutex, for some 20 ns, since state, window and run are
 * judged together and a report changes all three.
 */
#ifndef FANOUT_BREAKER_H
#define FANOUT_BREAKER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define BREAKER_BUCKETS   10u
#define BREAKER_TEXT_SIZE 160

struct breaker_settings {
    unsigned failure_percent; /* 1 to 100; 0: the rate opens nothing */
    unsigned min_calls;       /* in the window, before the rate says anything; at least 1 */
    unsigned max_consecutive; /* 0: a run of failures opens nothing */
    uint64_t window_us;       /* at least BREAKER_BUCKETS */
    uint64_t open_us;         /* at least 1 */
    uint64_t max_open_us;     /* at least open_us */
    unsigned max_probes;      /* at least 1 */
    unsigned close_after;     /* at least 1 */
};

enum breaker_state { BREAKER_CLOSED, BREAKER_OPEN, BREAKER_HALF_OPEN };

enum breaker_admission {
    BREAKER_REFUSED, /* no call; nothing to report */
    BREAKER_ADMITTED,
    BREAKER_PROBE,
};

/* Leave to call once. Whoever was not refused owes one breaker_report. */
struct breaker_pass {
    enum breaker_admission admission;
    unsigned era; /* the state changes there had been */
};

enum breaker_verdict {
    BREAKER_SUCCESS,
    BREAKER_FAILURE, /* the upstream's fault */
    BREAKER_IGNORED, /* says nothing about the upstream, or was cancelled */
};

struct breaker_bucket {
    uint64_t number; /* which part of the window's length since the start it counts for */
    unsigned calls;
    unsigned failures;
};

struct breaker {
    struct breaker_settings settings;
    atomic_uint era_and_state; /* era * 4 + state; written under the mutex */
    pthread_mutex_t mutex;     /* of all below */
    struct breaker_bucket buckets[BREAKER_BUCKETS];
    unsigned consecutive; /* failures since the last success, while closed */
    unsigned probes_out;  /* of all eras */
    unsigned successes;   /* of this half-open era's probes */
    unsigned repeats;     /* times in a row that it opened again too soon */
    uint64_t changed_us;  /* when the state last changed */
    uint64_t judged_us;   /* when it was last opened out of CLOSED: by what the window said then */
    uint64_t open_until_us; /* while open */
    uint64_t times_opened;
};

/* For logs, metrics and the status page. */
struct breaker_view {
    enum breaker_state state;
    uint64_t opens_probes_in_us; /* while open: 0 if the next call is a probe */
    unsigned calls;              /* counted in the window; when not closed, as it was on opening */
    unsigned failures;
    unsigned consecutive;
    unsigned probes_out;
    unsigned successes;
    uint64_t times_opened;
};

/* Works in place; copies the settings. */
void breaker_init(struct breaker *breaker, const struct breaker_settings *settings,
                  uint64_t now_us);
void breaker_release(struct breaker *breaker);

/* Whether a call may be made. Any thread. */
struct breaker_pass breaker_admit(struct breaker *breaker, uint64_t now_us);

/* How the call ended; nothing happens for a refused one. True: the state changed by it, which is
 * worth a line in the log. Any thread. */
bool breaker_report(struct breaker *breaker, struct breaker_pass pass, enum breaker_verdict verdict,
                    uint64_t now_us);

void breaker_look(struct breaker *breaker, uint64_t now_us, struct breaker_view *view);

/* "closed", "open", "half-open". */
const char *breaker_state_name(enum breaker_state state);

/* "open for 1.4 s more: 12 of 20 calls failed (60 %), the last 3 in a row"; returns text. */
const char *breaker_print(const struct breaker_view *view, char text[BREAKER_TEXT_SIZE]);

#endif
