/* A small client, by evhttp. */
#include "service/health.h"

#include "fanout/address.h"
#include "service/config.h"

#include <arpa/inet.h>
#include <event2/event.h>
#include <event2/http.h>
#include <stdio.h>

#define TIMEOUT_SECONDS 3

struct question {
    struct event_base *base;
    int status; /* 0: no answer */
};

static void on_answer(struct evhttp_request *request, void *arg)
{
    struct question *question = arg;

    question->status = request != NULL ? evhttp_request_get_response_code(request) : 0;
    event_base_loopexit(question->base, NULL); /* the connection is kept, the loop would go on */
}

/* What listens on every address listens on loopback too. */
static struct address reachable(struct address address)
{
    if (address.any.sa_family == AF_INET && address.v4.sin_addr.s_addr == htonl(INADDR_ANY))
        address.v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    else if (address.any.sa_family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&address.v6.sin6_addr))
        address.v6.sin6_addr = in6addr_loopback;
    return address;
}

static int ask(struct event_base *base, const struct address *address)
{
    char ip[ADDRESS_TEXT_SIZE];
    struct question question = {.base = base};
    struct evhttp_connection *connection = evhttp_connection_base_new(
        base, NULL, address_print_ip(address, ip), address_port(address));
    struct evhttp_request *request = evhttp_request_new(on_answer, &question);

    if (connection == NULL || request == NULL)
        return 0;
    evhttp_connection_set_timeout(connection, TIMEOUT_SECONDS);
    evhttp_add_header(evhttp_request_get_output_headers(request), "Host", "localhost");
    evhttp_make_request(connection, request, EVHTTP_REQ_GET, "/livez");
    event_base_dispatch(base);
    evhttp_connection_free(connection);
    return question.status;
}

bool health_check(const struct config *config)
{
    struct address address = reachable(config->listen[0]);
    struct event_base *base = event_base_new();
    char text[ADDRESS_TEXT_SIZE];
    int status = 0;

    if (base != NULL)
        status = ask(base, &address);
    if (status == 0)
        printf("no answer from %s\n", address_print(&address, text));
    else
        printf("%s answered %d\n", address_print(&address, text), status);
    if (base != NULL)
        event_base_free(base);
    return status == 200;
}
