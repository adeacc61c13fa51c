/* Channels of c-ares: options, servers, status codes. */
#include "fanout/resolver_channel.h"

#include "fanout/address.h"
#include "fanout/buf.h"
#include "fanout/mem.h"
#include "fanout/resolver.h"

#include <stdlib.h>
#include <string.h>

#define US_PER_MS       1000u
#define DNS_PORT        53
#define MAX_SERVER_LIST 4096

/* ---- status codes ---- */

static const struct resolver_failure failures[] = {
    {ARES_ENOTFOUND, true, "no such name"},
    {ARES_ENODATA, true, "the name has no address"},
    {ARES_EBADNAME, true, "not a host name"},
    {ARES_ESERVFAIL, false, "the DNS server failed"},
    {ARES_EREFUSED, false, "the DNS server refused"},
    {ARES_ENOTIMP, false, "the DNS server can't answer such queries"},
    {ARES_EFORMERR, false, "the DNS server did not understand"},
    {ARES_EBADRESP, false, "the DNS server's answer is malformed"},
    /* c-ares 1.18 says this for SERVFAIL, REFUSED and NOTIMP too. */
    {ARES_ECONNREFUSED, false, "the DNS server failed or can't be reached"},
    {ARES_ETIMEOUT, false, "no answer from the DNS server"},
    {ARES_ENOMEM, false, "out of memory"},
    {0, false, "the look-up failed"}, /* everything else */
};

const struct resolver_failure *resolver_channel_failure(int status)
{
    size_t row = 0;

    while (failures[row].status != status && failures[row].status != 0)
        row++;
    return &failures[row];
}

/* ---- channels ---- */

/* Checks the list and writes it, NUL-ended, in the one form that every c-ares reads alike. */
static bool write_servers(struct buf *out, const char *servers)
{
    char *list = mem_strdup(servers);
    char *rest = list;
    char *item;
    bool good = true;

    while (good && (item = strsep(&rest, ",")) != NULL) {
        char text[ADDRESS_TEXT_SIZE];
        struct address address;

        good = address_parse(item, &address) || address_parse_ip(item, DNS_PORT, &address);
        good =
            good && buf_printf(out, "%s%s", out->len > 0 ? "," : "", address_print(&address, text));
    }
    free(list);
    return good && buf_append(out, "", 1);
}

/* NULL, or what is wrong. */
static const char *set_servers(ares_channel channel, const char *servers)
{
    const char *message = "not a list of DNS servers like 10.0.0.53,[::1]:5353";
    struct buf list;
    int status;

    buf_init(&list, MAX_SERVER_LIST);
    if (write_servers(&list, servers)) {
        status = ares_set_servers_ports_csv(channel, list.data);
        message = status == ARES_SUCCESS ? NULL : ares_strerror(status);
    }
    buf_release(&list);
    return message;
}

const char *resolver_channel_open(ares_channel *channel, const struct resolver_settings *settings,
                                  ares_sock_state_cb on_state, void *arg)
{
    struct ares_options options;
    int chosen = ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB;
    int status;

    memset(&options, 0, sizeof options);
    options.timeout = (int)(settings->timeout_us / US_PER_MS);
    options.tries = (int)settings->tries;
    options.sock_state_cb = on_state;
    options.sock_state_cb_data = arg;
#ifdef ARES_OPT_QUERY_CACHE
    chosen |= ARES_OPT_QUERY_CACHE; /* of 0 s: a refresh must ask the server, not c-ares' memory */
#endif
    status = ares_init_options(channel, &options, chosen);
    if (status != ARES_SUCCESS)
        return ares_strerror(status);
    return settings->servers != NULL ? set_servers(*channel, settings->servers) : NULL;
}

bool resolver_global_init(void)
{
    return ares_library_init_mem(ARES_LIB_INIT_ALL, mem_library_alloc, free, mem_library_realloc) ==
           ARES_SUCCESS;
}

void resolver_global_release(void)
{
    ares_library_cleanup();
}
