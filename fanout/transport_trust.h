/*
 * Which authorities libcurl trusts. For transport.c alone.
 */
#ifndef FANOUT_TRANSPORT_TRUST_H
#define FANOUT_TRANSPORT_TRUST_H

#include <curl/curl.h>

/* Once, before any thread. */
void transport_trust_init(void);
/* ca: a PEM file; NULL: the system's. */
void transport_trust_set(CURL *easy, const char *ca);

/* Without TLS: libcurl would copy the names of all these files for each transfer. */
void transport_trust_nobody(CURL *easy);

#endif
