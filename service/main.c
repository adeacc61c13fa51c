/* fanoutd: many fetches, one answer. */
#include "fanout/fanout.h"
#include "fanout/mem.h"
#include "service/allocator.h"
#include "service/config.h"
#include "service/daemon.h"
#include "service/health.h"
#include "service/log.h"
#include "service/options.h"

#include <cjson/cJSON.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int print_version(void)
{
    const char *allocator = allocator_version();

    printf("fanoutd " FANOUTD_VERSION "\n%s\nlibevent/%s cJSON/%s", fanout_libraries(),
           event_get_version(), cJSON_Version());
    if (allocator != NULL)
        printf(" jemalloc/%.*s", (int)strcspn(allocator, "-"), allocator);
    printf("\n");
    return 0;
}

static void on_fatal_error(int error)
{
    log_event(TRACE_ERROR, NULL, "event=libevent_fatal code=%d", error);
}

static int run(const struct config *config)
{
    int code;

    log_init(config->log_level);
    event_set_mem_functions(mem_library_alloc, mem_library_realloc, free); /* before any other */
    event_set_fatal_callback(on_fatal_error);
    if (!fanout_global_init()) {
        log_event(TRACE_ERROR, NULL, "event=libraries_failed");
        return 1;
    }
    code = daemon_run(config);
    fanout_global_release();
    libevent_global_shutdown();
    return code;
}

static int with_config(const struct options *options)
{
    struct config *config;
    int code = 0;

    if (options->action == OPTIONS_RUN)
        daemon_hold_signals();
    config = config_load(options->file, stderr);
    if (config == NULL)
        return 1;
    if (options->action == OPTIONS_TEST)
        config_print(config, stdout);
    else if (options->action == OPTIONS_HEALTH)
        code = health_check(config) ? 0 : 1;
    else
        code = run(config);
    config_free(config);
    return code;
}

int main(int argc, char **argv)
{
    struct options options;

    options_parse(&options, argc, argv);
    switch (options.action) {
    case OPTIONS_HELP:
        options_print_help();
        return 0;
    case OPTIONS_VERSION:
        return print_version();
    case OPTIONS_WRONG:
        return 2;
    default:
        return with_config(&options);
    }
}
