/*
 * Which handler answers a call: one row for each path, and the configured
 * endpoints.
 */
#ifndef SERVICE_ROUTES_H
#define SERVICE_ROUTES_H

struct call;
struct worker;

/* Answers the call, now or later. */
void route(struct worker *worker, struct call *call);

#endif
