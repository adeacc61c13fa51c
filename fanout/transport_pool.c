/* The open connections to one upstream. */
#include "fanout/transport_pool.h"

#include "fanout/clock.h"
#include "fanout/mem.h"

#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>
#include <sys/socket.h>

/* One address of the upstream; it is there while a connection to it is. */
struct pool_site {
    LIST_ENTRY(pool_site) link;
    struct pool *pool;
    struct address address;
    TAILQ_HEAD(pool_connections, pool_connection) idle; /* the one used last comes first */
    size_t connections;                                 /* idle or in use */
};

static struct pool_site *find_site(const struct pool *pool, const struct address *address)
{
    struct pool_site *site;

    LIST_FOREACH (site, &pool->sites, link)
        if (address_equals(&site->address, address))
            return site;
    return NULL;
}

static struct pool_site *site_new(struct pool *pool, const struct address *address)
{
    struct pool_site *site = mem_zalloc(sizeof *site);

    site->pool = pool;
    site->address = *address;
    TAILQ_INIT(&site->idle);
    LIST_INSERT_HEAD(&pool->sites, site, link);
    return site;
}

static bool is_idle(const struct pool_connection *connection)
{
    return connection->on_event == NULL;
}

void pool_close(struct pool_connection *connection)
{
    struct pool_site *site = connection->site;

    if (is_idle(connection))
        TAILQ_REMOVE(&site->idle, connection, link);
    timer_stop(site->pool->timers, &connection->wake);
    event_del(&connection->event);
    channel_close(&connection->channel);
    free(connection);
    if (--site->connections > 0)
        return;
    LIST_REMOVE(site, link);
    free(site);
}

/* ---- watching ---- */

/* Under TLS bytes of its own may have come; it deals with them. */
bool pool_is_quiet(struct pool_connection *connection)
{
    size_t count;
    char byte;

    if (connection->channel.connector != NULL)
        return channel_receive(&connection->channel, &byte, 1, &count) == CHANNEL_AGAIN;
    return recv(connection->channel.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno == EAGAIN;
}

/*
 * The same without a system call, by what the event loop knows: that the connection can be read,
 * though its turn has not come yet. So whatever came before the loop last looked is seen, and with
 * it all that came before what caused this request.
 */
static bool is_known_quiet(const struct pool_connection *connection)
{
    return (connection->event.ev_evcallback.evcb_flags & EVLIST_ACTIVE) == 0;
}

static void on_event(evutil_socket_t fd, short what, void *arg)
{
    struct pool_connection *connection = arg;

    (void)fd;
    if (!is_idle(connection))
        connection->on_event(connection->arg, what);
    else if (!pool_is_quiet(connection))
        pool_close(connection);
}

/* Edge triggered: what was read to its end is not looked at again in the kernel's next round. */
static void watch(struct pool_connection *connection, short wanted)
{
    if (connection->wanted == wanted)
        return;
    if (connection->wanted != 0)
        event_del(&connection->event);
    event_assign(&connection->event, connection->site->pool->base, connection->channel.fd,
                 (short)(wanted | EV_CLOSED | EV_ET | EV_PERSIST), on_event, connection);
    event_add(&connection->event, NULL);
    connection->wanted = wanted;
}

void pool_want_write(struct pool_connection *connection, bool wants)
{
    watch(connection, (short)(EV_READ | (wants ? EV_WRITE : 0)));
}

/* By a timer: an event that is made active is run before the loop looks at sockets and timers. */
void pool_wake(struct pool_connection *connection)
{
    timer_start(connection->site->pool->timers, &connection->wake, 0);
}

static void on_wake(void *arg)
{
    struct pool_connection *connection = arg;

    connection->on_event(connection->arg, EV_READ);
}

/* ---- keeping ---- */

/* Returns when the oldest of the others will be too old. */
static uint64_t close_old(struct pool_site *site, uint64_t now_us)
{
    uint64_t timeout_us = site->pool->idle_timeout_us;
    struct pool_connection *oldest, *next;

    for (oldest = TAILQ_LAST(&site->idle, pool_connections); oldest != NULL; oldest = next) {
        if (now_us - oldest->idle_since_us < timeout_us)
            return oldest->idle_since_us + timeout_us;
        next = TAILQ_PREV(oldest, pool_connections, link);
        pool_close(oldest); /* the last takes the site with it, but then next is NULL */
    }
    return CLOCK_NEVER;
}

static void on_sweep(void *arg)
{
    struct pool *pool = arg;
    uint64_t now_us = clock_now_us(), next_us = CLOCK_NEVER;
    struct pool_site *site, *next;

    for (site = LIST_FIRST(&pool->sites); site != NULL; site = next) {
        uint64_t due_us;

        next = LIST_NEXT(site, link);
        due_us = close_old(site, now_us);
        next_us = due_us < next_us ? due_us : next_us;
    }
    timer_start(pool->timers, &pool->sweep, next_us);
}

void pool_init(struct pool *pool, struct event_base *base, struct timers *timers,
               uint64_t idle_timeout_us)
{
    *pool = (struct pool){.base = base, .timers = timers, .idle_timeout_us = idle_timeout_us};
    LIST_INIT(&pool->sites);
    timer_init(&pool->sweep, on_sweep, pool);
}

void pool_release(struct pool *pool)
{
    struct pool_site *site;

    timer_stop(pool->timers, &pool->sweep);
    while ((site = LIST_FIRST(&pool->sites)) != NULL)
        pool_close(TAILQ_FIRST(&site->idle));
}

static bool is_fit(struct pool_connection *connection, bool is_careful)
{
    if (is_careful || connection->channel.connector != NULL)
        return pool_is_quiet(connection);
    return is_known_quiet(connection);
}

static struct pool_connection *use(struct pool_connection *connection, pool_event *on_event_of_user,
                                   void *arg)
{
    connection->on_event = on_event_of_user;
    connection->arg = arg;
    return connection;
}

struct pool_connection *pool_take(struct pool *pool, const struct address *address, bool is_careful,
                                  pool_event *on_event_of_user, void *arg)
{
    struct pool_site *site = find_site(pool, address);
    struct pool_connection *connection;
    bool is_last;

    if (site == NULL || TAILQ_EMPTY(&site->idle))
        return NULL;
    do {
        connection = TAILQ_FIRST(&site->idle);
        if (is_fit(connection, is_careful)) {
            TAILQ_REMOVE(&site->idle, connection, link);
            return use(connection, on_event_of_user, arg);
        }
        is_last = TAILQ_NEXT(connection, link) == NULL;
        pool_close(connection);
    } while (!is_last);
    return NULL;
}

struct pool_connection *pool_add(struct pool *pool, const struct address *address,
                                 struct channel channel, pool_event *on_event_of_user, void *arg)
{
    struct pool_connection *connection = mem_zalloc(sizeof *connection);
    struct pool_site *site = find_site(pool, address);

    if (site == NULL)
        site = site_new(pool, address);
    site->connections++;
    connection->site = site;
    connection->channel = channel;
    timer_init(&connection->wake, on_wake, connection);
    watch(connection, EV_READ);
    return use(connection, on_event_of_user, arg);
}

void pool_give(struct pool_connection *connection, uint64_t now_us)
{
    struct pool *pool = connection->site->pool;

    use(connection, NULL, NULL);
    timer_stop(connection->site->pool->timers, &connection->wake);
    watch(connection, EV_READ);
    connection->idle_since_us = now_us;
    TAILQ_INSERT_HEAD(&connection->site->idle, connection, link);
    if (!timer_running(&pool->sweep)) /* else it is due before this one is too old */
        timer_start(pool->timers, &pool->sweep, now_us + pool->idle_timeout_us);
}
