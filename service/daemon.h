/*
 * The running service: sockets, workers, signals, the end.
 */
#ifndef SERVICE_DAEMON_H
#define SERVICE_DAEMON_H

struct config;

/* Serves until a signal ends it. Returns the process's exit code. */
int daemon_run(const struct config *config);

#endif
