/*
 * The running service: sockets, workers, signals, the end.
 */
#ifndef SERVICE_DAEMON_H
#define SERVICE_DAEMON_H

struct config;

/* Keeps signals until daemon_run takes them, so that none is lost on the way there: as process 1 of
 * a container we would never hear of it. Before any thread. */
void daemon_hold_signals(void);

/* Serves until a signal ends it. Returns the process's exit code. */
int daemon_run(const struct config *config);

#endif
