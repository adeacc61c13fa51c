/* Counts of connections: one in all, and one for each address, in a tsearch(3) tree. */
#include "service/admission.h"

#include "fanout/address.h"
#include "fanout/mem.h"

#include <assert.h>
#include <pthread.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>

struct client {
    unsigned char ip[16]; /* an IPv4 address as ::ffff:a.b.c.d */
    size_t connections;
};

struct admission {
    pthread_mutex_t mutex;
    size_t connections;
    size_t max_connections;
    size_t max_per_client;
    void *clients;
};

struct admission *admission_new(size_t max_connections, size_t max_per_client)
{
    struct admission *admission = mem_zalloc(sizeof *admission);

    pthread_mutex_init(&admission->mutex, NULL);
    admission->max_connections = max_connections;
    admission->max_per_client = max_per_client;
    return admission;
}

void admission_free(struct admission *admission)
{
    assert(admission->connections == 0 && admission->clients == NULL);
    pthread_mutex_destroy(&admission->mutex);
    free(admission);
}

static struct client key_of(const struct address *address)
{
    struct client key = {0};

    if (address->any.sa_family == AF_INET6) {
        memcpy(key.ip, &address->v6.sin6_addr, sizeof key.ip);
    } else if (address->any.sa_family == AF_INET) {
        memset(key.ip + 10, 0xff, 2);
        memcpy(key.ip + 12, &address->v4.sin_addr, 4);
    }
    return key;
}

static int compare(const void *left, const void *right)
{
    return memcmp(left, right, sizeof((struct client *)0)->ip);
}

/* The client of an address, made if it is new. The mutex is held. */
static struct client *client_of(struct admission *admission, const struct address *address)
{
    struct client key = key_of(address);
    struct client **found = tfind(&key, &admission->clients, compare);
    struct client *client;

    if (found != NULL)
        return *found;
    client = mem_alloc(sizeof *client);
    *client = key;
    if (tsearch(client, &admission->clients, compare) == NULL)
        mem_abort();
    return client;
}

static void forget_if_gone(struct admission *admission, struct client *client)
{
    if (client->connections > 0)
        return;
    tdelete(client, &admission->clients, compare);
    free(client);
}

bool admission_take(struct admission *admission, const struct address *address)
{
    struct client *client;
    bool ok;

    pthread_mutex_lock(&admission->mutex);
    client = client_of(admission, address);
    ok = admission->connections < admission->max_connections &&
         client->connections < admission->max_per_client;
    if (ok) {
        admission->connections++;
        client->connections++;
    }
    forget_if_gone(admission, client);
    pthread_mutex_unlock(&admission->mutex);
    return ok;
}

void admission_give(struct admission *admission, const struct address *address)
{
    struct client *client;

    pthread_mutex_lock(&admission->mutex);
    client = client_of(admission, address);
    assert(admission->connections > 0 && client->connections > 0);
    admission->connections--;
    client->connections--;
    forget_if_gone(admission, client);
    pthread_mutex_unlock(&admission->mutex);
}
