/* Bound sockets that share a port. */
#include "service/listener.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

static int open_one(const struct address *address, bool shared)
{
    int on = 1;
    int fd = socket(address->any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -1;
    if (address_port(address) != 0) /* of a free port it may give one that is not */
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on); /* connections inherit it */
    if (shared)
        setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
    if (address->any.sa_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    if (bind(fd, &address->any, address_length(address)) == 0)
        return fd;
    on = errno;
    close(fd);
    errno = on;
    return -1;
}

/* Without SO_REUSEPORT, so that a second fanoutd is told instead of taking half the calls. */
static bool is_free(const struct address *address)
{
    int fd;

    if (address_port(address) == 0)
        return true;
    fd = open_one(address, false);
    if (fd < 0)
        return false;
    close(fd);
    return true;
}

static void read_port(int fd, struct address *address)
{
    struct address bound = *address;
    socklen_t length = sizeof bound;

    if (getsockname(fd, &bound.any, &length) == 0)
        address_set_port(address, address_port(&bound));
}

bool listener_open(struct address *address, int *sockets, size_t count)
{
    if (!is_free(address))
        return false;
    for (size_t i = 0; i < count; i++) {
        sockets[i] = open_one(address, true);
        if (sockets[i] < 0) {
            int reason = errno;

            while (i-- > 0)
                close(sockets[i]);
            errno = reason;
            return false;
        }
        read_port(sockets[i], address);
    }
    return true;
}
