/*
 * What the service says of itself: /livez, /readyz, /upstreams.
 */
#ifndef SERVICE_STATUS_H
#define SERVICE_STATUS_H

struct call;
struct worker;

/* 200 for as long as the process answers at all. */
void status_livez(struct worker *worker, struct call *call);
/* 200; 503 once the service is stopping. */
void status_readyz(struct worker *worker, struct call *call);
/* The limits and what is in use of them, and every upstream with its outcomes so far. */
void status_upstreams(struct worker *worker, struct call *call);

#endif
