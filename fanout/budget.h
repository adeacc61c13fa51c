/*
 * How many bytes of answers the whole process may hold at once. Shared by all
 * threads; exact, without a lock.
 */
#ifndef FANOUT_BUDGET_H
#define FANOUT_BUDGET_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

/* What is said where a budget has no more. */
#define BUDGET_SPENT "too many bytes of answers are held already (option max_memory)"

struct budget {
    atomic_size_t used_bytes;
    size_t max_bytes;
};

static inline void budget_init(struct budget *budget, size_t max_bytes)
{
    atomic_init(&budget->used_bytes, 0);
    budget->max_bytes = max_bytes;
}

static inline size_t budget_used(struct budget *budget)
{
    return atomic_load_explicit(&budget->used_bytes, memory_order_relaxed);
}

static inline void budget_give(struct budget *budget, size_t bytes)
{
    atomic_fetch_sub_explicit(&budget->used_bytes, bytes, memory_order_relaxed);
}

/* False: it would be too many; nothing was taken. */
static inline bool budget_take(struct budget *budget, size_t bytes)
{
    size_t before = atomic_fetch_add_explicit(&budget->used_bytes, bytes, memory_order_relaxed);

    if (before <= budget->max_bytes && bytes <= budget->max_bytes - before)
        return true;
    budget_give(budget, bytes);
    return false;
}

#endif
