/*
 * How many callers may be connected at once: in all, and from one address.
 * Shared by all workers.
 */
#ifndef SERVICE_ADMISSION_H
#define SERVICE_ADMISSION_H

#include <stdbool.h>
#include <stddef.h>

struct address;
struct admission;

struct admission *admission_new(size_t max_connections, size_t max_per_client);
/* Needs every connection given back. */
void admission_free(struct admission *admission);

/* One connection from an address (its port does not count). False: there is no room; nothing was
 * counted. Any thread. */
bool admission_take(struct admission *admission, const struct address *address);
void admission_give(struct admission *admission, const struct address *address);

#endif
