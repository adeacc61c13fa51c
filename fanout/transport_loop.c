/*
 * libcurl's multi handles on libevent.
 *
 * A connection stays registered with epoll between two transfers: libcurl
 * says CURL_POLL_REMOVE after each, and we act on that only if something
 * arrives while nobody waits for it, or when the socket is closed. A socket
 * that is still connecting is different: libcurl 7.88 closes it without a
 * word to CURLOPT_CLOSESOCKETFUNCTION, so it must not stay registered, and its
 * watch is freed when the descriptor comes back.
 */
#include "fanout/transport_loop.h"

#include "fanout/clock.h"
#include "fanout/mem.h"

#include <assert.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define USEC_PER_MSEC 1000u

/* One socket of libcurl's, from open to close. */
struct watch {
    struct event event;
    struct multi *multi; /* NULL: between two transfers */
    int wanted;          /* CURL_POLL_IN, _OUT, _INOUT that the event is registered for; 0: none */
    curl_socket_t fd;
    int local_port;                /* 0: not noted yet */
    struct address address;        /* of the other side, once the port is noted */
    LIST_ENTRY(watch) same_bucket; /* once the port is noted */
    bool is_kept_open;             /* its close by libcurl only hands it over */
};

static void act(struct multi *multi, curl_socket_t fd, int flags)
{
    CURLMsg *message;
    int running, left;

    curl_multi_socket_action(multi->handle, fd, flags, &running);
    while ((message = curl_multi_info_read(multi->handle, &left)) != NULL)
        if (message->msg == CURLMSG_DONE)
            multi->loop->on_end(message->easy_handle, message->data.result);
}

static void on_timer(void *arg)
{
    act(arg, CURL_SOCKET_TIMEOUT, 0);
}

static int on_timer_change(CURLM *handle, long delay_ms, void *arg)
{
    struct multi *multi = arg;

    (void)handle;
    if (delay_ms < 0)
        timer_stop(multi->loop->timers, &multi->timer);
    else
        timer_start(multi->loop->timers, &multi->timer,
                    clock_now_us() + (uint64_t)delay_ms * USEC_PER_MSEC);
    return 0;
}

static void watch_stop(struct watch *watch)
{
    if (watch->wanted != 0)
        event_del(&watch->event);
    watch->wanted = 0;
}

/*
 * Something came while nobody waited for it. libcurl finds out by itself that an upstream has
 * closed; but bytes that are no answer to anything libcurl 7.88 would take for the next answer. A
 * socket that is shut down it finds dead.
 */
static void spoil(curl_socket_t fd)
{
    char nowhere[4096];
    bool is_stray = false;

    while (recv(fd, nowhere, sizeof nowhere, MSG_DONTWAIT) > 0)
        is_stray = true;
    if (is_stray)
        shutdown(fd, SHUT_RDWR);
}

static void on_socket_event(evutil_socket_t fd, short what, void *arg)
{
    struct watch *watch = arg;
    int flags = ((what & EV_READ) != 0 ? CURL_CSELECT_IN : 0) |
                ((what & EV_WRITE) != 0 ? CURL_CSELECT_OUT : 0);

    if (watch->multi != NULL) {
        act(watch->multi, fd, flags);
        return;
    }
    watch_stop(watch);
    spoil(fd);
}

static void watch_start(struct watch *watch, struct event_base *base, curl_socket_t fd, int wanted)
{
    short events = (short)(EV_PERSIST | ((wanted & CURL_POLL_IN) != 0 ? EV_READ : 0) |
                           ((wanted & CURL_POLL_OUT) != 0 ? EV_WRITE : 0));

    if (watch->wanted == wanted)
        return;
    watch_stop(watch);
    event_assign(&watch->event, base, fd, events, on_socket_event, watch);
    event_add(&watch->event, NULL);
    watch->wanted = wanted;
}

static int on_socket_change(CURL *easy, curl_socket_t fd, int wanted, void *arg, void *socket_arg)
{
    struct multi *multi = arg;
    struct watch *watch = multi->loop->watches[fd];

    (void)easy, (void)socket_arg;
    assert(watch != NULL);
    if (wanted == CURL_POLL_REMOVE) {
        watch->multi = NULL;
        if (watch->wanted != CURL_POLL_IN) /* maybe still connecting */
            watch_stop(watch);
        return 0;
    }
    watch->multi = multi;
    watch_start(watch, multi->loop->base, fd, wanted);
    return 0;
}

static void watch_free(struct transport_loop *loop, curl_socket_t fd)
{
    struct watch *watch = loop->watches[fd];

    watch_stop(watch);
    if (watch->local_port != 0)
        LIST_REMOVE(watch, same_bucket);
    free(watch);
    loop->watches[fd] = NULL;
}

static void make_room_for(struct transport_loop *loop, size_t fd)
{
    size_t room = fd * 2 + 64;

    if (fd < loop->watch_room)
        return;
    loop->watches = mem_realloc(loop->watches, room * sizeof loop->watches[0]);
    memset(loop->watches + loop->watch_room, 0,
           (room - loop->watch_room) * sizeof loop->watches[0]);
    loop->watch_room = room;
}

curl_socket_t transport_loop_open_socket(struct transport_loop *loop,
                                         const struct curl_sockaddr *address)
{
    int type = address->socktype | SOCK_NONBLOCK | SOCK_CLOEXEC;
    int fd = socket(address->family, type, address->protocol);

    if (fd < 0)
        return CURL_SOCKET_BAD;
    make_room_for(loop, (size_t)fd);
    if (loop->watches[fd] != NULL)
        watch_free(loop, fd);
    loop->watches[fd] = mem_zalloc(sizeof *loop->watches[fd]);
    loop->watches[fd]->fd = fd;
    return fd;
}

void transport_loop_note_port(struct transport_loop *loop, curl_socket_t fd,
                              const struct address *address, int local_port)
{
    struct watch *watch = loop->watches[fd];

    if (local_port <= 0) /* the kernel did not tell */
        return;
    if (watch->local_port != 0)
        LIST_REMOVE(watch, same_bucket);
    watch->address = *address;
    watch->local_port = local_port;
    LIST_INSERT_HEAD(&loop->by_port[local_port % PORT_BUCKETS], watch, same_bucket);
}

curl_socket_t transport_loop_find(const struct transport_loop *loop, const struct address *address,
                                  int local_port)
{
    const struct watch *watch;

    if (local_port <= 0)
        return CURL_SOCKET_BAD;
    LIST_FOREACH (watch, &loop->by_port[local_port % PORT_BUCKETS], same_bucket)
        if (watch->local_port == local_port && address_equals(&watch->address, address))
            return watch->fd;
    return CURL_SOCKET_BAD;
}

void transport_loop_unwatch(struct transport_loop *loop, curl_socket_t fd)
{
    watch_stop(loop->watches[fd]);
}

void transport_loop_keep_open(struct transport_loop *loop, curl_socket_t fd)
{
    loop->watches[fd]->is_kept_open = true;
}

static int on_close_socket(void *arg, curl_socket_t fd)
{
    struct transport_loop *loop = arg;
    bool is_kept_open = loop->watches[fd]->is_kept_open;

    watch_free(loop, fd);
    return is_kept_open ? 0 : close(fd);
}

void transport_loop_adopt(struct transport_loop *loop, CURL *easy)
{
    curl_easy_setopt(easy, CURLOPT_CLOSESOCKETFUNCTION, on_close_socket);
    curl_easy_setopt(easy, CURLOPT_CLOSESOCKETDATA, loop);
}

static bool multi_init(struct multi *multi, struct transport_loop *loop)
{
    multi->loop = loop;
    timer_init(&multi->timer, on_timer, multi);
    multi->handle = curl_multi_init();
    if (multi->handle == NULL)
        return false;
    curl_multi_setopt(multi->handle, CURLMOPT_SOCKETFUNCTION, on_socket_change);
    curl_multi_setopt(multi->handle, CURLMOPT_SOCKETDATA, multi);
    curl_multi_setopt(multi->handle, CURLMOPT_TIMERFUNCTION, on_timer_change);
    curl_multi_setopt(multi->handle, CURLMOPT_TIMERDATA, multi);
    curl_multi_setopt(multi->handle, CURLMOPT_PIPELINING, (long)CURLPIPE_MULTIPLEX);
    return true;
}

bool transport_loop_init(struct transport_loop *loop, struct event_base *base,
                         struct timers *timers, void (*on_end)(CURL *easy, CURLcode code))
{
    *loop = (struct transport_loop){.base = base, .timers = timers, .on_end = on_end};
    for (size_t i = 0; i < MULTI_COUNT; i++)
        if (!multi_init(&loop->multis[i], loop))
            return false;
    return true;
}

void transport_loop_release(struct transport_loop *loop)
{
    for (size_t i = 0; i < MULTI_COUNT; i++) {
        if (loop->multis[i].handle == NULL)
            continue;
        curl_multi_cleanup(loop->multis[i].handle); /* still calls back */
        timer_stop(loop->timers, &loop->multis[i].timer);
    }
    for (size_t fd = 0; fd < loop->watch_room; fd++)
        if (loop->watches[fd] != NULL)
            watch_free(loop, (curl_socket_t)fd);
    free(loop->watches);
}

void transport_loop_expect_connections(struct transport_loop *loop, long more)
{
    loop->max_connections += more;
    for (size_t i = 0; i < MULTI_COUNT; i++)
        curl_multi_setopt(loop->multis[i].handle, CURLMOPT_MAXCONNECTS, loop->max_connections);
}

struct multi *transport_loop_next_multi(struct transport_loop *loop)
{
    return &loop->multis[loop->next_multi++ % MULTI_COUNT];
}
