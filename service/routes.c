/* Paths, methods and their handlers. */
#include "service/routes.h"

#include "service/aggregate.h"
#include "service/config.h"
#include "service/reply.h"
#include "service/status.h"
#include "service/worker.h"

#include <string.h>

static const struct route {
    const char *path;
    void (*handle)(struct worker *worker, struct call *call); /* a GET */
} built_in[] = {
    {"/livez", status_livez},
    {"/readyz", status_readyz},
    {"/upstreams", status_upstreams},
};

static bool is_one_of(const char *method, const char *allowed)
{
    const char *at = strstr(allowed, method);
    char behind;

    if (at == NULL)
        return false;
    behind = at[strlen(method)];
    return behind == '\0' || behind == ',';
}

/* False: the call has been answered with what is wrong. */
static bool check(struct call *call, const char *allowed)
{
    struct problem problem;

    if (!is_one_of(call->method, allowed)) {
        problem_set(&problem, 405, "%s takes %s, not %s", call->path, allowed, call->method);
        reply_header(call, "Allow", allowed);
        reply_problem(call, &problem);
        return false;
    }
    return true;
}

static void not_found(const struct config *config, struct call *call)
{
    const char *names[64];
    size_t count = 0;
    struct problem problem;

    for (size_t i = 0; i < sizeof built_in / sizeof built_in[0]; i++)
        names[count++] = built_in[i].path;
    for (size_t i = 0; i < config->endpoint_count && count < 64; i++)
        names[count++] = config->endpoints[i].path;
    problem_set(&problem, 404, "nothing at %.200s", call->path);
    problem_suggest(&problem, call->path, names, count);
    reply_problem(call, &problem);
}

void route(struct worker *worker, struct call *call)
{
    const struct config *config = worker_service(worker)->config;
    const struct config_endpoint *endpoint = config_endpoint(config, call->path);

    if (endpoint != NULL) {
        if (check(call, "GET, HEAD, POST"))
            aggregate_start(worker, call, endpoint);
        return;
    }
    for (size_t i = 0; i < sizeof built_in / sizeof built_in[0]; i++) {
        if (strcmp(built_in[i].path, call->path) == 0) {
            if (check(call, "GET, HEAD"))
                built_in[i].handle(worker, call);
            return;
        }
    }
    not_found(config, call);
}
