/*
 * Asks a running fanoutd how it is: for a container's HEALTHCHECK, in an image
 * that holds no other HTTP client.
 */
#ifndef SERVICE_HEALTH_H
#define SERVICE_HEALTH_H

#include <stdbool.h>

struct config;

/* GET /livez of the first listen address (loopback where that is a wildcard), 3 s at most. Prints
 * one line; true: it lives. */
bool health_check(const struct config *config);

#endif
