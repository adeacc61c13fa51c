/*
 * How many cores this process may use: for `workers = auto`.
 */
#ifndef SERVICE_CORES_H
#define SERVICE_CORES_H

/* At least 1: the cores it may run on (sched_getaffinity), or the time that its container has on
 * them (a cgroup's cpu.max, rounded up), whichever is less. */
unsigned cores_usable(void);

/* What a cpu.max says ("200000 100000": 2 cores; "max 100000": no limit, 0), rounded up. */
unsigned cores_of_quota(const char *cpu_max);

#endif
