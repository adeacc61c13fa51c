/*
 * The reader of SRV records: of whatever message, it gives records that are
 * bounded, in order, and name hosts by what host names have, or '?'.
 */
#include "fanout/resolver_cache.h"
#include "fanout/resolver_srv.h"
#include "tests/fuzz/fuzz.h"

static void claim_host(const char *host)
{
    size_t length = strlen(host);

    claim(length > 0 && length <= RESOLVER_MAX_NAME_LENGTH, "a name is as long as names are");
    claim(host[length - 1] == '.', "a name has a dot at the end");
    claim(strspn(host, "abcdefghijklmnopqrstuvwxyz0123456789-_.?") == length,
          "a name has nothing but host characters");
    claim(strstr(host, "..") == NULL, "a name has no empty label");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *message = exact_copy(data, size);
    struct resolver_srv_list list;

    if (!resolver_srv_parse((const unsigned char *)message, size, &list)) {
        claim(list.count == 0, "nothing comes of a malformed message");
        free(message);
        return 0;
    }
    claim(list.count <= ENDPOINTS_MOST, "records are bounded");
    for (size_t i = 0; i < list.count; i++) {
        claim_host(list.items[i].host);
        claim(i == 0 || list.items[i - 1].priority <= list.items[i].priority,
              "records are in order");
        claim(list.items[i].port != 0 || strcmp(list.items[i].host, ".") == 0, "a host has a port");
    }
    resolver_srv_release(&list);
    free(message);
    return 0;
}
