/*
 * The budget of extra requests. A deposit older than the window is one that
 * was made before the oldest mark: it is gone once `spent` has come that far.
 */
#include "fanout/retry_budget.h"

#define TOKEN         100u /* hundredths */
#define US_PER_SECOND 1000000u

static uint64_t load(const atomic_uint_fast64_t *value)
{
    return atomic_load_explicit(value, memory_order_relaxed);
}

static void store(atomic_uint_fast64_t *value, uint64_t to)
{
    atomic_store_explicit(value, to, memory_order_relaxed);
}

static bool replace(atomic_uint_fast64_t *value, uint_fast64_t *expected, uint64_t to)
{
    return atomic_compare_exchange_weak_explicit(value, expected, to, memory_order_acq_rel,
                                                 memory_order_acquire);
}

void retry_budget_init(struct retry_budget *budget, unsigned percent, unsigned min_per_second,
                       uint64_t now_us)
{
    budget->percent = percent;
    budget->min_per_second = min_per_second;
    budget->start_us = now_us;
    atomic_init(&budget->deposited, 0);
    atomic_init(&budget->spent, 0);
    atomic_init(&budget->allowance, 0);
    atomic_init(&budget->second, 0);
    atomic_flag_clear(&budget->moving);
    for (unsigned i = 0; i < RETRY_BUDGET_WINDOW_SECONDS; i++)
        atomic_init(&budget->marks[i], 0);
}

static uint64_t second_at(const struct retry_budget *budget, uint64_t now_us)
{
    return now_us > budget->start_us ? (now_us - budget->start_us) / US_PER_SECOND : 0;
}

/* What was deposited before that total was reached can no longer be withdrawn. */
static void expire(struct retry_budget *budget, uint64_t total)
{
    uint_fast64_t spent = load(&budget->spent);

    while (spent < total && !replace(&budget->spent, &spent, total))
        continue;
}

/* Only by whom has set `moving`. A second in which nobody came has the mark of the next. */
static void mark_up_to(struct retry_budget *budget, uint64_t second)
{
    uint64_t deposited = load(&budget->deposited);
    uint64_t from = load(&budget->second) + 1;

    if (second < from)
        return;
    if (second - from >= RETRY_BUDGET_WINDOW_SECONDS)
        from = second - RETRY_BUDGET_WINDOW_SECONDS + 1;
    for (; from <= second; from++)
        store(&budget->marks[from % RETRY_BUDGET_WINDOW_SECONDS], deposited);
    expire(budget, load(&budget->marks[(second + 1) % RETRY_BUDGET_WINDOW_SECONDS]));
    store(&budget->second, second);
}

static uint64_t move_on(struct retry_budget *budget, uint64_t now_us)
{
    uint64_t second = second_at(budget, now_us);

    if (second > load(&budget->second) &&
        !atomic_flag_test_and_set_explicit(&budget->moving, memory_order_acquire)) {
        mark_up_to(budget, second);
        atomic_flag_clear_explicit(&budget->moving, memory_order_release);
    }
    return second;
}

void retry_budget_deposit(struct retry_budget *budget, uint64_t now_us)
{
    move_on(budget, now_us);
    atomic_fetch_add_explicit(&budget->deposited, budget->percent, memory_order_acq_rel);
}

/* Read in this order, what was deposited can't be less than what was spent of it. */
static uint64_t left_of(struct retry_budget *budget, uint64_t spent)
{
    return atomic_load_explicit(&budget->deposited, memory_order_acquire) - spent;
}

static bool withdraw_deposit(struct retry_budget *budget)
{
    uint_fast64_t spent = atomic_load_explicit(&budget->spent, memory_order_acquire);

    while (left_of(budget, spent) >= TOKEN)
        if (replace(&budget->spent, &spent, spent + TOKEN))
            return true;
    return false;
}

/* How many used the allowance of this second, or of a later one that another thread is in. */
static uint64_t allowance_used(uint64_t allowance, uint64_t second)
{
    return allowance >> 32 >= second ? allowance & UINT32_MAX : 0;
}

static bool withdraw_allowance(struct retry_budget *budget, uint64_t second)
{
    uint_fast64_t allowance = load(&budget->allowance);
    uint64_t used, last;

    while ((used = allowance_used(allowance, second)) < budget->min_per_second) {
        last = allowance >> 32 > second ? allowance >> 32 : second;
        if (replace(&budget->allowance, &allowance, last << 32 | (used + 1)))
            return true;
    }
    return false;
}

bool retry_budget_withdraw(struct retry_budget *budget, uint64_t now_us)
{
    uint64_t second = move_on(budget, now_us);

    /* First what would be lost first. */
    return withdraw_allowance(budget, second) || withdraw_deposit(budget);
}

uint64_t retry_budget_available(struct retry_budget *budget, uint64_t now_us)
{
    uint64_t second = move_on(budget, now_us);
    uint64_t spent = atomic_load_explicit(&budget->spent, memory_order_acquire);
    uint64_t used = allowance_used(load(&budget->allowance), second);

    return left_of(budget, spent) / TOKEN +
           (used < budget->min_per_second ? budget->min_per_second - used : 0);
}
