/* Request ids: the caller's, or 128 random bits. */
#include "service/request_id.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool is_fit(const char *id)
{
    size_t length = strlen(id);

    if (length == 0 || length >= REQUEST_ID_SIZE)
        return false;
    for (; *id != '\0'; id++)
        if (!isalnum((unsigned char)*id) && strchr("._-", *id) == NULL)
            return false;
    return true;
}

void request_id_take(char id[REQUEST_ID_SIZE], const char *sent)
{
    uint64_t random[2];

    if (sent != NULL && is_fit(sent)) {
        memcpy(id, sent, strlen(sent) + 1);
        return;
    }
    arc4random_buf(random, sizeof random);
    snprintf(id, REQUEST_ID_SIZE, "%016llx%016llx", (unsigned long long)random[0],
             (unsigned long long)random[1]);
}
