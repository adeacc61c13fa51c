/* Cores: by affinity, and by a container's quota. */
#include "service/cores.h"

#include "service/units.h"

#include <sched.h>
#include <stdio.h>
#include <unistd.h>

unsigned cores_of_quota(const char *cpu_max)
{
    uint64_t quota_us, period_us;

    if (!units_take_digits(&cpu_max, &quota_us) || *cpu_max++ != ' ' ||
        !units_take_digits(&cpu_max, &period_us) || quota_us == 0 || period_us == 0)
        return 0;
    return (unsigned)((quota_us + period_us - 1) / period_us);
}

/* In a container, its own cgroup is mounted here (cgroup v2). 0: no limit is known. */
static unsigned read_quota(void)
{
    FILE *file = fopen("/sys/fs/cgroup/cpu.max", "re");
    char line[64] = "";
    unsigned cores = 0;

    if (file == NULL)
        return 0;
    if (fgets(line, sizeof line, file) != NULL)
        cores = cores_of_quota(line);
    fclose(file);
    return cores;
}

unsigned cores_usable(void)
{
    cpu_set_t set;
    long count = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set)
                                                             : sysconf(_SC_NPROCESSORS_ONLN);
    unsigned quota = read_quota();

    if (quota > 0 && (long)quota < count)
        return quota;
    return count > 0 ? (unsigned)count : 1;
}
