/* The document of a POST: whatever it says, it becomes a plan that keeps to the configuration, or
 * a problem that can be told. */
#include "tests/fuzz/plan_world.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct evhttp_request *request = evhttp_request_new(NULL, NULL);
    struct evkeyvalq *headers = evhttp_request_get_input_headers(request);
    struct call call = {.request = request, .method = "POST", .path = "/fetch-multiple"};
    char *document = exact_copy(data, size);

    if (config == NULL)
        set_up();
    evbuffer_add_reference(evhttp_request_get_input_buffer(request), document, size, NULL, NULL);
    evhttp_add_header(headers, "Content-Type", "application/json");
    evhttp_add_header(headers, "Authorization", "Bearer caller");
    check_call(&call, MAX_REQUESTS, document, size);
    evhttp_request_free(request);
    free(document);
    return 0;
}
