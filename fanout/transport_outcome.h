/*
 * What libcurl's codes and texts mean: the part of the transport that judges
 * how a transfer ended. For transport.c alone.
 */
#ifndef FANOUT_TRANSPORT_OUTCOME_H
#define FANOUT_TRANSPORT_OUTCOME_H

#include "fanout/outcome.h"

#include <curl/curl.h>

/* error: what libcurl wrote into CURLOPT_ERRORBUFFER. */
enum outcome transport_outcome(CURL *easy, CURLcode code, const char *error);
/* What went wrong, for people; static, or error itself. Names no file of ours. */
const char *transport_detail(CURL *easy, CURLcode code, enum outcome outcome, const char *error);

#endif
