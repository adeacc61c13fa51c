/*
 * c-ares itself: a channel with our settings, and what its status codes mean.
 */
#ifndef FANOUT_RESOLVER_CHANNEL_H
#define FANOUT_RESOLVER_CHANNEL_H

#include <ares.h>
#include <stdbool.h>

struct resolver_settings;

struct resolver_failure {
    int status;
    bool is_answer;      /* DNS works, and this is what it says */
    const char *message; /* for people */
};

/* NULL on success; otherwise what is wrong (static or c-ares' own text). *channel is to be
 * destroyed if it is not NULL. on_state may be called until then. */
const char *resolver_channel_open(ares_channel *channel, const struct resolver_settings *settings,
                                  ares_sock_state_cb on_state, void *arg);

/* There is one for each status. */
const struct resolver_failure *resolver_channel_failure(int status);

#endif
