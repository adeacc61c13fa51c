/* The method table, laid out for look-up. */
#include "fanout/method.h"

#include <string.h>

static const struct {
    const char *name;
    bool idempotent;
    bool may_have_body;
} table[METHOD_COUNT] = {
#define METHOD_ROW(symbol, idempotent, body) [METHOD_##symbol] = {#symbol, idempotent, body},
    METHOD_TABLE(METHOD_ROW)
#undef METHOD_ROW
};

const char *method_name(enum method method)
{
    return table[method].name;
}

bool method_is_idempotent(enum method method)
{
    return table[method].idempotent;
}

bool method_may_have_body(enum method method)
{
    return table[method].may_have_body;
}

bool method_parse(const char *name, size_t length, enum method *method)
{
    for (size_t i = 0; i < METHOD_COUNT; i++) {
        if (strlen(table[i].name) == length && memcmp(table[i].name, name, length) == 0) {
            *method = (enum method)i;
            return true;
        }
    }
    return false;
}
