/* The outcome table, laid out for look-up. */
#include "fanout/outcome.h"

#include <assert.h>

static const struct outcome_info table[OUTCOME_COUNT] = {
#define OUTCOME_ROW(symbol, name, retryable, fault, class)                                         \
    [OUTCOME_##symbol] = {name, retryable, fault, OUTCOME_CLASS_##class},
    OUTCOME_TABLE(OUTCOME_ROW)
#undef OUTCOME_ROW
};

const struct outcome_info *outcome_info(enum outcome outcome)
{
    assert(outcome >= 0 && outcome < OUTCOME_COUNT);
    return &table[outcome];
}
