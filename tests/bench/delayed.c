/*
 * An upstream that takes its time, and next to no processor time.
 *
 *     delayed PORT [SEED]
 *
 * GET /MS/WHATEVER is answered after MS milliseconds (8 s at most), and /MS,SLOW,N/WHATEVER too,
 * but one in N, at random, after SLOW milliseconds; /fail/WHATEVER at once with 503;
 * /hang/WHATEVER never; /status at once with the number of the requests so far. Requests wait in
 * a wheel of slots of one millisecond.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { WHEEL_SLOTS = 8192, EVENTS_AT_ONCE = 512, MOST_SOCKETS = 65536, HEAD_BYTES = 4096 };

static const char body[] =
    "{\"path\":\"/delayed\",\"user\":{\"id\":9007199254740993,\"name\":\"Ada Lovelace\","
    "\"active\":true},\"scores\":[12.5,7,300],\"tags\":[\"first\",\"second\"],"
    "\"note\":\"about as long as a small answer of a service is\"}";

static int epoll;
static unsigned long requests;
static int wheel[WHEEL_SLOTS];     // the first descriptor of a slot; 0: none
static int next_one[MOST_SOCKETS]; // and the one after each
static bool is_waiting[MOST_SOCKETS];
static bool is_gone[MOST_SOCKETS]; // its peer, while it waited
static size_t waiting;
static uint64_t turned_to_ms;
static char answer[1024];
static size_t answer_length;
static uint64_t dice = 1; // its state: the seed, at first

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static uint64_t clock_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void watch(int fd)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP | EPOLLET, .data.fd = fd};
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) != 0)
        fail("epoll_ctl");
}

static void send_status(int fd)
{
    char text[256];
    int length = snprintf(text, sizeof text, " 0 0 %lu \n", requests);
    dprintf(fd, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", length, text);
}

static void send_failure(int fd)
{
    static const char text[] = "HTTP/1.1 503 Service Unavailable\r\n"
                               "Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}";
    send(fd, text, sizeof text - 1, MSG_NOSIGNAL);
}

// SplitMix64.
static uint64_t throw_dice(void)
{
    uint64_t mixed = dice += 0x9e3779b97f4a7c15;
    mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9;
    mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111eb;
    return mixed ^ (mixed >> 31);
}

// What a target asks for: MS, or MS,SLOW,N.
static uint64_t choose_delay_ms(const char *text)
{
    char *rest;
    uint64_t delay_ms = strtoul(text, &rest, 10);
    if (*rest == ',') {
        uint64_t slow_ms = strtoul(rest + 1, &rest, 10);
        uint64_t one_in = *rest == ',' ? strtoul(rest + 1, NULL, 10) : 0;
        if (one_in > 0 && throw_dice() % one_in == 0)
            delay_ms = slow_ms;
    }
    return delay_ms % (WHEEL_SLOTS - 1);
}

// A millisecond more, as the present one has partly gone.
static void answer_later(int fd, uint64_t delay_ms)
{
    uint64_t due = clock_ms() + delay_ms + 1;
    is_waiting[fd] = true;
    next_one[fd] = wheel[due % WHEEL_SLOTS];
    wheel[due % WHEEL_SLOTS] = fd;
    waiting++;
}

static void end_wait(int fd)
{
    is_waiting[fd] = false;
    if (is_gone[fd])
        close(fd);
    else
        send(fd, answer, answer_length, MSG_NOSIGNAL); // a broken one is seen when it is read
    is_gone[fd] = false;
}

static void turn_wheel(void)
{
    for (uint64_t now = clock_ms(); turned_to_ms < now;) {
        int *slot = &wheel[++turned_to_ms % WHEEL_SLOTS];
        while (*slot != 0) {
            int fd = *slot;
            *slot = next_one[fd];
            waiting--;
            end_wait(fd);
        }
    }
}

static bool starts_with(const char *text, const char *start)
{
    return strncmp(text, start, strlen(start)) == 0;
}

static void on_request(int fd, const char *head)
{
    requests++;
    if (starts_with(head, "GET /status"))
        send_status(fd);
    else if (starts_with(head, "GET /fail/"))
        send_failure(fd);
    else if (!starts_with(head, "GET /hang/"))
        answer_later(fd, choose_delay_ms(head + strlen("GET /")));
}

static void on_readable(int fd)
{
    char head[HEAD_BYTES];
    ssize_t length = recv(fd, head, sizeof head - 1, MSG_DONTWAIT);
    if (length < 0 && errno == EAGAIN)
        return;
    if (length <= 0) {
        is_gone[fd] = is_waiting[fd];
        if (!is_gone[fd])
            close(fd);
        return;
    }
    head[length] = '\0';
    on_request(fd, head);
}

static void accept_all(int listener)
{
    for (int fd; (fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0;)
        if (fd < MOST_SOCKETS)
            watch(fd);
        else
            close(fd);
}

static int listen_on(const char *port)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)atoi(port)),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
    if (bind(listener, (struct sockaddr *)&address, sizeof address) != 0 ||
        listen(listener, 4096) != 0)
        fail(port);
    return listener;
}

static void serve(int listener)
{
    static struct epoll_event events[EVENTS_AT_ONCE];
    watch(listener);
    turned_to_ms = clock_ms();
    for (;;) {
        int count = epoll_wait(epoll, events, EVENTS_AT_ONCE, waiting > 0 ? 1 : -1);
        if (waiting == 0)
            turned_to_ms = clock_ms();
        for (int i = 0; i < count; i++)
            if (events[i].data.fd == listener)
                accept_all(listener);
            else
                on_readable(events[i].data.fd);
        turn_wheel();
    }
}

int main(int count, char **arguments)
{
    if (count != 2 && count != 3) {
        fprintf(stderr, "delayed PORT [SEED]\n");
        return 2;
    }
    if (count == 3)
        dice = strtoull(arguments[2], NULL, 10);
    epoll = epoll_create1(EPOLL_CLOEXEC);
    answer_length = (size_t)snprintf(answer, sizeof answer,
                                     "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                                     "Content-Length: %zu\r\n\r\n%s",
                                     sizeof body - 1, body);
    serve(listen_on(arguments[1]));
}
