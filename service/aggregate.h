/*
 * An endpoint's work: from a call to a plan, a gathering, a document and the
 * answer.
 */
#ifndef SERVICE_AGGREGATE_H
#define SERVICE_AGGREGATE_H

struct call;
struct config_endpoint;
struct worker;

/* Answers the call, now or later. */
void aggregate_start(struct worker *worker, struct call *call,
                     const struct config_endpoint *endpoint);

#endif
