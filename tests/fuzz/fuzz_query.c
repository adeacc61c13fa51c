/* The query of a GET: as for documents, it becomes a good plan or a problem that can be told. */
#include "tests/fuzz/plan_world.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct evhttp_request *request = evhttp_request_new(NULL, NULL);
    char *query = mem_strndup((const char *)data, size);
    struct call call = {
        .request = request, .method = "GET", .path = "/fetch-multiple", .query = query};

    if (config == NULL)
        set_up();
    check_call(&call, config->upstream_count, query, strlen(query));
    evhttp_request_free(request);
    free(query);
    return 0;
}
