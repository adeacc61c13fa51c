/* Request ids: the caller's, or 128 random bits. */
#include "service/request_id.h"

#include <ctype.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define RANDOM_BYTES 16

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

/* Asking the kernel for each id would be a system call for each call. */
static const unsigned char *next_random(void)
{
    static _Thread_local unsigned char pool[RANDOM_BYTES * 64];
    static _Thread_local size_t left;

    if (left == 0) {
        arc4random_buf(pool, sizeof pool);
        left = sizeof pool;
    }
    left -= RANDOM_BYTES;
    return pool + left;
}

void request_id_take(char id[REQUEST_ID_SIZE], const char *sent)
{
    static const char digits[] = "0123456789abcdef";
    const unsigned char *random;

    if (sent != NULL && is_fit(sent)) {
        memcpy(id, sent, strlen(sent) + 1);
        return;
    }
    random = next_random();
    for (size_t i = 0; i < RANDOM_BYTES; i++) {
        *id++ = digits[random[i] >> 4];
        *id++ = digits[random[i] & 15];
    }
    *id = '\0';
}
