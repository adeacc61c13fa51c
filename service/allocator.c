/* jemalloc, asked by mallctl(3). */
#include "service/allocator.h"

#include <jemalloc/jemalloc.h>
#include <stdbool.h>
#include <stddef.h>

#pragma weak mallctl /* NULL, where it is not linked */

const char *allocator_version(void)
{
    const char *version = NULL;
    size_t size = sizeof version;

    if (mallctl != NULL)
        mallctl("version", &version, &size, NULL, 0);
    return version;
}

void allocator_give_back_when_idle(void)
{
    bool is_on = true;

    if (mallctl != NULL)
        mallctl("background_thread", NULL, NULL, &is_on, sizeof is_on);
}
