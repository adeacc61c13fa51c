/* Demo upstreams: one row each. */
#include "service/demo.h"

#include "fanout/mem.h"
#include "service/reply.h"
#include "service/worker.h"

#include <event2/event.h>
#include <stdlib.h>
#include <string.h>

#define SLOW_SECONDS 2

static const struct demo {
    const char *path;
    unsigned status;
    time_t delay_s;
    const char *body;
} demos[] = {
    {"/users", 200, 0, "{\"id\":42,\"name\":\"Ada Lovelace\",\"member_since\":1843}"},
    {"/orders", 200, 0,
     "{\"orders\":[{\"id\":9007199254740993,\"total\":\"129.90\"},{\"id\":9007199254740994,"
     "\"total\":\"8.00\"}]}"},
    {"/weather", 200, 0, "{\"city\":\"London\",\"celsius\":11.5,\"sky\":\"rain\"}"},
    {"/slow", 200, SLOW_SECONDS, "{\"recommended\":[\"patience\"]}"},
    {"/failing", 503, 0, "{\"error\":\"down for maintenance\"}"},
};

/* An answer that waits for its time. */
struct delayed {
    struct call *call;
    const struct demo *demo;
    struct event *timer;
};

static void answer(struct call *call, const struct demo *demo)
{
    struct buf body;

    buf_init(&body, BUF_UNLIMITED);
    buf_append_text(&body, demo->body);
    reply_json(call, demo->status, &body);
}

static void on_gone(void *arg)
{
    struct delayed *delayed = arg;

    event_free(delayed->timer);
    free(delayed);
}

static void on_time(void *arg)
{
    struct delayed *delayed = arg;

    answer(delayed->call, delayed->demo);
    on_gone(delayed);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    on_time(arg);
}

static void answer_later(struct worker *worker, struct call *call, const struct demo *demo)
{
    struct timeval delay = {.tv_sec = demo->delay_s};
    struct delayed *delayed = mem_zalloc(sizeof *delayed);

    delayed->call = call;
    delayed->demo = demo;
    delayed->timer = evtimer_new(worker_base(worker), on_timer, delayed);
    call->hooks = (struct call_hooks){.on_gone = on_gone, .on_stop = on_time, .arg = delayed};
    event_add(delayed->timer, &delay);
}

void demo_answer(struct worker *worker, struct call *call)
{
    struct problem problem;

    for (size_t i = 0; i < sizeof demos / sizeof demos[0]; i++) {
        if (strcmp(demos[i].path, call->path) != 0)
            continue;
        if (demos[i].delay_s > 0)
            answer_later(worker, call, &demos[i]);
        else
            answer(call, &demos[i]);
        return;
    }
    problem_set(&problem, 404, "the demo serves /users, /orders, /weather, /slow and /failing");
    reply_problem(call, &problem);
}
