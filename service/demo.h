/*
 * Demo upstreams, served by fanoutd itself on loopback (option demo_listen),
 * so that a first try needs no network: three good ones, one slow, one that
 * fails.
 */
#ifndef SERVICE_DEMO_H
#define SERVICE_DEMO_H

struct call;
struct worker;

void demo_answer(struct worker *worker, struct call *call);

#endif
