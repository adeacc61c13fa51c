/* To preload: allocation fails as a file says that a test has mapped, too. */
#include "../unit/failing_malloc.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

__attribute__((constructor)) static void share(void)
{
    const char *path = getenv("FAILING_MALLOC");
    int fd = path != NULL ? open(path, O_RDWR | O_CLOEXEC) : -1;
    void *shared;

    if (fd < 0)
        return;
    shared = mmap(NULL, sizeof *failing, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (shared != MAP_FAILED)
        failing = shared;
}
