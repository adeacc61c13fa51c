/*
 * Takes from the serving process what it never needs, so that a fault in it
 * is of little use to an intruder: it starts no program and no process, writes
 * and makes no file, reads only where its libraries read again at run time,
 * and opens no further TCP listener. Callers and upstreams are not affected.
 *
 * Landlock (confine.c) guards files, a seccomp filter (confine_calls.c) system
 * calls; either works without the other. What is refused fails with EACCES,
 * EPERM or ENOSYS, and nothing is killed. For good: no process can undo it.
 * A side effect: no core file is written where the kernel writes them itself.
 */
#ifndef SERVICE_CONFINE_H
#define SERVICE_CONFINE_H

#include <stdbool.h>

struct config;

/*
 * Confines this thread and those that it starts from now on, as far as the kernel can, and says
 * in the log what is in force. To be called when all sockets are bound and before threads.
 */
void confine_process(const struct config *config);

/* Its parts: false, if the kernel can't. The filter needs PR_SET_NO_NEW_PRIVS. */
bool confine_calls(void);
/* The version of Landlock in force; 0: none. */
int confine_files(const struct config *config);

#endif
