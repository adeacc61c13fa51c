/*
 * Callers of a service, and how long each answer took them.
 *
 *     callers [-b] [-g GIVE_UP_MS] [-s SEED] PORT TARGET SECONDS GROUP...
 *
 * A GROUP is ADDRESS,rate=N: N requests a second on average, whatever becomes of those before
 * (exponential gaps); or ADDRESS,busy=N: N connections that ask again as soon as they have an
 * answer. ADDRESS is the group's own, of 127.0.0.0/8.
 *
 * Prints a line for each request, with the time when it was to be sent, from the start on:
 * GROUP AT_US LATENCY_US STATUS COMPLETE, and the body of what is not complete, with -b of all.
 * STATUS is "late" where the caller gave up, "broken" where the connection ended. Latency is from
 * the time when it was to be sent: a caller who could not be in time must not make the service
 * look faster.
 */
#include "callers.h"

#include <arpa/inet.h>
#include <errno.h>
#include <math.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { EVENTS_AT_ONCE = 512, MOST_GROUPS = 64 };

struct caller {
    TAILQ_ENTRY(caller) link; // of those that ask, or of those that are idle
    struct group *group;
    int fd; // -1: none
    bool is_asking;
    bool is_sent; // the request
    uint64_t intended_us;
    struct answer answer;
};

TAILQ_HEAD(callers, caller);

struct group {
    struct sockaddr_in address;
    double rate; // 0: they are busy
    unsigned busy;
    uint64_t next_us;      // by the rate
    struct callers asking; // by the time when they were to send
    struct callers idle;
};

static struct group groups[MOST_GROUPS];
static size_t group_count;
static int epoll;
static bool prints_bodies;
static uint64_t give_up_us = 10000000;
static struct sockaddr_in service;
static char request[1024];
static size_t request_length;
static uint64_t start_us, end_us;
static size_t asking_count;

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static uint64_t clock_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

// The request follows as soon as the connection stands.
static void connect_caller(struct caller *caller)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
                                .data.ptr = caller};
    caller->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (caller->fd < 0)
        fail("socket");
    setsockopt(caller->fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    setsockopt(caller->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &(int){1}, sizeof(int));
    if (bind(caller->fd, (struct sockaddr *)&caller->group->address, sizeof service) != 0)
        fail("bind");
    if (connect(caller->fd, (struct sockaddr *)&service, sizeof service) != 0 &&
        errno != EINPROGRESS)
        fail("connect");
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, caller->fd, &event) != 0)
        fail("epoll_ctl");
}

// One that is broken is seen when it is read.
static void send_request(struct caller *caller)
{
    send(caller->fd, request, request_length, MSG_NOSIGNAL);
    caller->is_sent = true;
}

static struct caller *new_caller(struct group *group)
{
    struct caller *caller = calloc(1, sizeof *caller);
    if (caller == NULL)
        fail("calloc");
    caller->group = group;
    caller->fd = -1;
    return caller;
}

// One that is kept, else a new one.
static void ask(struct group *group, uint64_t intended_us)
{
    struct caller *caller = TAILQ_FIRST(&group->idle);
    if (caller != NULL)
        TAILQ_REMOVE(&group->idle, caller, link);
    else
        caller = new_caller(group);
    caller->is_asking = true;
    caller->intended_us = intended_us;
    asking_count++;
    TAILQ_INSERT_TAIL(&group->asking, caller, link);
    answer_reset(&caller->answer);
    caller->is_sent = false;
    if (caller->fd < 0)
        connect_caller(caller);
    else
        send_request(caller);
}

static void print_body(const struct answer *answer)
{
    putchar(' ');
    for (size_t i = 0; i < answer->body_length; i++) {
        char byte = answer->bytes[answer->body_at + i];
        putchar_unlocked(byte == '\n' ? ' ' : byte);
    }
}

static void report(const struct caller *caller, const char *status)
{
    printf("%td %lu %lu %s %d", caller->group - groups, caller->intended_us - start_us,
           clock_us() - caller->intended_us, status, caller->answer.is_complete);
    if (caller->answer.body_at > 0 && (prints_bodies || !caller->answer.is_complete))
        print_body(&caller->answer);
    putchar('\n');
}

// `status`: what is printed. A connection that is not kept is made anew for the next request.
static void end_call(struct caller *caller, const char *status, bool is_kept)
{
    struct group *group = caller->group;

    report(caller, status);
    caller->is_asking = false;
    asking_count--;
    TAILQ_REMOVE(&group->asking, caller, link);
    TAILQ_INSERT_HEAD(&group->idle, caller, link);
    if (!is_kept) {
        close(caller->fd);
        caller->fd = -1;
    }
    uint64_t now = clock_us();
    if (group->busy > 0 && now < end_us)
        ask(group, now);
}

static void on_answer(struct caller *caller)
{
    char status[16];

    switch (answer_read(&caller->answer, caller->fd)) {
    case PROGRESS_PARTIAL:
        break;
    case PROGRESS_DONE:
        snprintf(status, sizeof status, "%d", caller->answer.status);
        end_call(caller, status, !caller->answer.closes);
        break;
    case PROGRESS_WRONG:
        end_call(caller, "broken", false);
        break;
    }
}

static void on_ready(struct caller *caller, uint32_t events)
{
    bool is_over = events & (EPOLLERR | EPOLLHUP | EPOLLRDHUP);

    if (caller->is_asking && !caller->is_sent && !is_over)
        send_request(caller);
    else if (caller->is_asking)
        on_answer(caller);
    else if (is_over && caller->fd >= 0) {
        close(caller->fd);
        caller->fd = -1;
    }
}

static void give_up(struct group *group, uint64_t now)
{
    struct caller *caller;

    while ((caller = TAILQ_FIRST(&group->asking)) != NULL &&
           now - caller->intended_us >= give_up_us)
        end_call(caller, "late", false);
}

static void ask_what_is_due(struct group *group, uint64_t now)
{
    while (group->rate > 0 && group->next_us <= now && group->next_us < end_us) {
        ask(group, group->next_us);
        group->next_us += (uint64_t)(-log(1 - drand48()) / group->rate * 1e6);
    }
}

// When somebody is to be asked, or given up, at the latest.
static uint64_t next_time_us(uint64_t now)
{
    uint64_t next = now + 100000;

    for (struct group *group = groups; group < groups + group_count; group++) {
        struct caller *first = TAILQ_FIRST(&group->asking);
        if (group->rate > 0 && group->next_us < next && group->next_us < end_us)
            next = group->next_us;
        if (first != NULL && first->intended_us + give_up_us < next)
            next = first->intended_us + give_up_us;
    }
    return next > now ? next : now;
}

static void turn(void)
{
    static struct epoll_event events[EVENTS_AT_ONCE];
    uint64_t now = clock_us();
    uint64_t wait_us = next_time_us(now) - now;
    struct timespec wait = {.tv_nsec = (long)wait_us * 1000};
    int count = epoll_pwait2(epoll, events, EVENTS_AT_ONCE, &wait, NULL);

    for (int i = 0; i < count; i++)
        on_ready(events[i].data.ptr, events[i].events);
    for (size_t i = 0; i < group_count; i++) {
        now = clock_us();
        give_up(&groups[i], now);
        ask_what_is_due(&groups[i], now);
    }
}

static void run(double seconds)
{
    start_us = clock_us();
    end_us = start_us + (uint64_t)(seconds * 1e6);
    for (size_t i = 0; i < group_count; i++) {
        groups[i].next_us = start_us;
        for (unsigned n = 0; n < groups[i].busy; n++)
            ask(&groups[i], start_us);
    }
    while (asking_count > 0 || clock_us() < end_us)
        turn();
}

static void add_group(const char *text)
{
    struct group *group = &groups[group_count++];
    char address[INET_ADDRSTRLEN];

    if (group_count > MOST_GROUPS ||
        (sscanf(text, "%15[0-9.],rate=%lf", address, &group->rate) != 2 &&
         sscanf(text, "%15[0-9.],busy=%u", address, &group->busy) != 2) ||
        inet_pton(AF_INET, address, &group->address.sin_addr) != 1) {
        fprintf(stderr, "no group: %s\n", text);
        exit(2);
    }
    group->address.sin_family = AF_INET;
    TAILQ_INIT(&group->asking);
    TAILQ_INIT(&group->idle);
}

static void read_options(int count, char **arguments)
{
    for (int option; (option = getopt(count, arguments, "bg:s:")) != -1;)
        switch (option) {
        case 'b':
            prints_bodies = true;
            break;
        case 'g':
            give_up_us = strtoull(optarg, NULL, 10) * 1000;
            break;
        case 's':
            srand48(atol(optarg));
            break;
        default:
            exit(2);
        }
}

int main(int count, char **arguments)
{
    read_options(count, arguments);
    if (count - optind < 4) {
        fprintf(stderr, "callers [-b] [-g GIVE_UP_MS] [-s SEED] PORT TARGET SECONDS GROUP...\n");
        return 2;
    }
    arguments += optind;
    service = (struct sockaddr_in){.sin_family = AF_INET,
                                   .sin_port = htons((uint16_t)atoi(arguments[0])),
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    request_length = (size_t)snprintf(
        request, sizeof request, "GET %.900s HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", arguments[1]);
    for (char **group = arguments + 3; *group != NULL; group++)
        add_group(*group);
    epoll = epoll_create1(EPOLL_CLOEXEC);
    run(atof(arguments[2]));
    return 0;
}
