/*
 * Listening sockets: one for each address and worker, sharing the port
 * (SO_REUSEPORT), so that the kernel spreads connections over the workers.
 */
#ifndef SERVICE_LISTENER_H
#define SERVICE_LISTENER_H

#include "fanout/address.h"

#include <stdbool.h>
#include <stddef.h>

/*
 * Binds `count` sockets to an address; none listens yet. A port 0 in *address is replaced by
 * the one taken. False: the address can't be had (errno says why), nothing is open. A port on
 * which another process listens is refused, even where the kernel would share it.
 */
bool listener_open(struct address *address, int *sockets, size_t count);

#endif
