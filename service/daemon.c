/*
 * The running service.
 *
 * Every thread blocks every signal; the main thread takes them from a
 * signalfd, next to an eventfd by which the workers say that they have ended.
 */
#include "service/daemon.h"

#include "fanout/address.h"
#include "fanout/fanout.h"
#include "fanout/mem.h"
#include "service/admission.h"
#include "service/allocator.h"
#include "service/config.h"
#include "service/confine.h"
#include "service/demo.h"
#include "service/listener.h"
#include "service/log.h"
#include "service/routes.h"
#include "service/worker.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define OTHER_DESCRIPTORS 256 /* of the workers, the log, and what is being resolved */

struct daemon {
    const struct config *config;
    struct service service;
    struct worker **workers; /* the demo's is the last */
    size_t worker_count;
    size_t running;
    int signal_fd;
    int ended_fd;
};

/* ---- sockets ---- */

static bool open_address(const struct address *wanted, int *sockets, size_t count,
                         const char *event)
{
    struct address address = *wanted;
    char text[ADDRESS_TEXT_SIZE], reason[LOG_VALUE_SIZE];

    if (!listener_open(&address, sockets, count)) {
        log_event(TRACE_ERROR, NULL, "event=listen_failed address=%s reason=%s",
                  address_print(&address, text), log_value(strerror(errno), reason));
        return false;
    }
    log_event(TRACE_INFO, NULL, "event=%s address=%s", event, address_print(&address, text));
    return true;
}

/* Each connection takes a descriptor, and the usual soft limit of 1024 is soon reached. */
static size_t raise_descriptor_limit(void)
{
    struct rlimit limit = {.rlim_cur = 1024};

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
    return limit.rlim_cur;
}

/* As many as are asked for, but never so many that fetches would lack descriptors. */
static size_t max_connections(const struct config *config)
{
    size_t limit = raise_descriptor_limit();
    size_t others = (size_t)config->max_in_flight * 2 + OTHER_DESCRIPTORS;
    size_t most = limit > 2 * others ? limit - others : limit / 2;

    if (config->max_connections <= most)
        return config->max_connections;
    log_event(TRACE_WARN, NULL, "event=connections_limited max_connections=%zu descriptors=%zu",
              most, limit);
    return most;
}

/* ---- workers ---- */

static void on_worker_end(void *arg)
{
    struct daemon *daemon = arg;

    eventfd_write(daemon->ended_fd, 1);
}

static bool add_worker(struct daemon *daemon, const int *sockets, size_t socket_count, bool is_demo,
                       void (*on_call)(struct worker *worker, struct call *call))
{
    struct worker *worker = worker_new(&(struct worker_settings){
        .service = &daemon->service,
        .sockets = sockets,
        .socket_count = socket_count,
        .is_demo = is_demo,
        .on_call = on_call,
        .on_end = on_worker_end,
        .arg = daemon,
    });

    if (worker == NULL)
        return false;
    daemon->workers[daemon->worker_count++] = worker;
    return true;
}

/* sockets: one row for each address, one column for each worker. */
static bool make_workers(struct daemon *daemon, int *sockets)
{
    const struct config *config = daemon->config;
    int *column = mem_array(config->listen_count, sizeof column[0]);
    bool ok = true;

    for (size_t i = 0; i < config->listen_count && ok; i++)
        ok = open_address(&config->listen[i], &sockets[i * config->workers], config->workers,
                          "listening");
    for (size_t worker = 0; worker < config->workers && ok; worker++) {
        for (size_t i = 0; i < config->listen_count; i++)
            column[i] = sockets[i * config->workers + worker];
        ok = add_worker(daemon, column, config->listen_count, false, route);
    }
    free(column);
    return ok;
}

static bool make_demo(struct daemon *daemon)
{
    int socket;

    if (!daemon->config->has_demo_listen)
        return true;
    return open_address(&daemon->config->demo_listen, &socket, 1, "demo_listening") &&
           add_worker(daemon, &socket, 1, true, demo_answer);
}

static bool start_workers(struct daemon *daemon)
{
    for (; daemon->running < daemon->worker_count; daemon->running++)
        if (!worker_start(daemon->workers[daemon->running]))
            return false;
    return true;
}

/* ---- signals and the end ---- */

static sigset_t our_signals(void)
{
    sigset_t signals;

    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGHUP);
    return signals;
}

void daemon_hold_signals(void)
{
    sigset_t signals = our_signals();

    pthread_sigmask(SIG_BLOCK, &signals, NULL);
}

static bool take_signals(struct daemon *daemon)
{
    sigset_t signals = our_signals();

    signal(SIGPIPE, SIG_IGN); /* a caller that left must not end us */
    daemon->signal_fd = signalfd(-1, &signals, SFD_NONBLOCK | SFD_CLOEXEC);
    daemon->ended_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    return daemon->signal_fd >= 0 && daemon->ended_fd >= 0;
}

static void drain_workers(struct daemon *daemon)
{
    for (size_t i = 0; i < daemon->running; i++)
        worker_drain(daemon->workers[i]);
}

static void on_signal(struct daemon *daemon, bool *is_draining)
{
    struct signalfd_siginfo info;

    if (read(daemon->signal_fd, &info, sizeof info) != sizeof info)
        return;
    if (info.ssi_signo == SIGHUP) {
        log_event(TRACE_WARN, NULL,
                  "event=signal_ignored signal=HUP "
                  "reason=\"restart to read the configuration again\"");
        return;
    }
    if (*is_draining) {
        log_event(TRACE_WARN, NULL, "event=stopped reason=\"second signal\"");
        _exit(128 + (int)info.ssi_signo);
    }
    *is_draining = true;
    log_event(TRACE_INFO, NULL, "event=draining signal=%s",
              info.ssi_signo == SIGTERM ? "TERM" : "INT");
    drain_workers(daemon);
}

/* Until every worker has ended. */
static void watch(struct daemon *daemon)
{
    size_t left = daemon->running;
    bool is_draining = false;
    eventfd_t ended;

    while (left > 0) {
        struct pollfd fds[] = {{.fd = daemon->signal_fd, .events = POLLIN},
                               {.fd = daemon->ended_fd, .events = POLLIN}};

        if (poll(fds, 2, -1) < 0)
            continue;
        if (fds[0].revents != 0)
            on_signal(daemon, &is_draining);
        if (fds[1].revents != 0 && eventfd_read(daemon->ended_fd, &ended) == 0)
            left -= ended;
    }
}

static int serve(struct daemon *daemon)
{
    const struct config *config = daemon->config;
    int *sockets = mem_array(config->listen_count * config->workers, sizeof sockets[0]);
    bool ok = make_workers(daemon, sockets) && make_demo(daemon);

    free(sockets);
    if (ok) {
        confine_process(config);
        allocator_give_back_when_idle(); /* by a thread that is confined, too */
    }
    if (!ok || !start_workers(daemon)) {
        drain_workers(daemon);
        return 1;
    }
    log_event(TRACE_INFO, NULL,
              "event=ready workers=%u upstreams=%zu max_in_flight=%u version=" FANOUTD_VERSION,
              config->workers, config->upstream_count, config->max_in_flight);
    watch(daemon);
    log_event(TRACE_INFO, NULL, "event=stopped");
    return 0;
}

int daemon_run(const struct config *config)
{
    struct daemon daemon = {.config = config, .signal_fd = -1, .ended_fd = -1};
    int code = 1;

    daemon.service.admission =
        admission_new(max_connections(config), config->max_connections_per_client);
    daemon.workers = mem_array(config->workers + 1, sizeof daemon.workers[0]);
    daemon.service.config = config;
    daemon.service.fanout = fanout_new(&(struct fanout_settings){
        .limiter = {.max_in_flight = config->max_in_flight,
                    .max_queue = config->max_queue,
                    .shed_target_us = config->shed_target_us,
                    .shed_interval_us = config->shed_interval_us},
        .max_memory_bytes = config->max_memory_bytes,
        .upstreams = config->upstreams,
        .upstream_count = config->upstream_count,
        .resolver = &config->resolver,
    });
    if (take_signals(&daemon))
        code = serve(&daemon);
    for (size_t i = 0; i < daemon.worker_count; i++)
        worker_free(daemon.workers[i]);
    fanout_free(daemon.service.fanout);
    admission_free(daemon.service.admission);
    free(daemon.workers);
    close(daemon.signal_fd);
    close(daemon.ended_fd);
    return code;
}
