/* The policies that all workers share for one upstream, fed and asked in one place. */
#include "fanout/upstream_health.h"

#include "fanout/adaptive_limit.h"
#include "fanout/clock.h"
#include "fanout/limiter.h"
#include "fanout/mem.h"
#include "fanout/quantile.h"
#include "fanout/retry_budget.h"
#include "fanout/trace.h"
#include "fanout/upstream.h"

#include <stdatomic.h>
#include <stdlib.h>

#define LEAST_TIMES  50 /* before a quantile says anything */
#define USUAL_WEIGHT 16 /* of what was, in a moving mean, and 1 of what is new */

struct upstream_health {
    const struct upstream_settings *settings;
    struct limiter_lane *lane;
    atomic_uint_fast64_t usual_us;
    bool spends; /* extra requests are possible at all */
    bool is_adaptive;
    struct retry_budget budget;
    struct breaker breaker;      /* where there is one */
    struct adaptive_limit limit; /* where it is adaptive */
    struct quantile *times;      /* NULL: nobody asks for them */
};

enum upstream_verdict upstream_verdict_of(enum outcome outcome, unsigned status)
{
    if (outcome == OUTCOME_OK)
        return UPSTREAM_GOOD;
    if (outcome == OUTCOME_TIMEOUT || status == 429 || status == 503)
        return UPSTREAM_BUSY;
    if (outcome == OUTCOME_HTTP_STATUS && status < 500)
        return UPSTREAM_GOOD;
    return outcome_info(outcome)->upstream_fault ? UPSTREAM_BAD : UPSTREAM_UNJUDGED;
}

struct upstream_health *upstream_health_new(const struct upstream_settings *settings,
                                            struct limiter_lane *lane, uint64_t now_us)
{
    struct upstream_health *health = mem_zalloc(sizeof *health);
    struct adaptive_limit_settings limit = {.min = settings->min_in_flight,
                                            .max = settings->max_in_flight,
                                            .initial = settings->min_in_flight};

    health->settings = settings;
    health->lane = lane;
    health->spends = settings->retry.most > 0 || settings->hedge.part > 0 ||
                     settings->hedge.delay_us != CLOCK_NEVER;
    health->is_adaptive = settings->min_in_flight > 0;
    retry_budget_init(&health->budget, settings->retry.budget_percent, settings->retry.budget_floor,
                      now_us);
    if (settings->has_breaker)
        breaker_init(&health->breaker, &settings->breaker, now_us);
    if (health->is_adaptive) {
        adaptive_limit_init(&health->limit, &limit);
        limiter_lane_resize(lane, adaptive_limit_get(&health->limit), now_us);
    }
    if (settings->hedge.part > 0) {
        health->times = mem_alloc(sizeof *health->times);
        quantile_init(health->times, LEAST_TIMES, now_us);
    }
    return health;
}

void upstream_health_free(struct upstream_health *health)
{
    if (health->settings->has_breaker)
        breaker_release(&health->breaker);
    if (health->is_adaptive)
        adaptive_limit_release(&health->limit);
    free(health->times);
    free(health);
}

/* ---- the breaker ---- */

struct breaker_pass upstream_health_admit(struct upstream_health *health, uint64_t now_us)
{
    if (!health->settings->has_breaker)
        return (struct breaker_pass){.admission = BREAKER_ADMITTED};
    return breaker_admit(&health->breaker, now_us);
}

uint64_t upstream_health_break_us(struct upstream_health *health, uint64_t now_us)
{
    struct breaker_view view;

    if (!health->settings->has_breaker)
        return 0;
    breaker_look(&health->breaker, now_us, &view);
    return view.opens_probes_in_us;
}

const char *upstream_health_print_breaker(struct upstream_health *health, uint64_t now_us,
                                          char text[BREAKER_TEXT_SIZE])
{
    struct breaker_view view;

    breaker_look(&health->breaker, now_us, &view);
    return breaker_print(&view, text);
}

static void tell_of_breaker(struct upstream_health *health, uint64_t now_us)
{
    char text[BREAKER_TEXT_SIZE];
    struct breaker_view view;

    breaker_look(&health->breaker, now_us, &view);
    trace(view.state == BREAKER_OPEN ? TRACE_WARN : TRACE_INFO,
          "event=breaker upstream=%s state=%s reason=\"%s\"", health->settings->name,
          breaker_state_name(view.state), breaker_print(&view, text));
}

static void report_to_breaker(struct upstream_health *health, const struct upstream_call *call,
                              uint64_t now_us)
{
    static const enum breaker_verdict verdicts[] = {
        [UPSTREAM_UNJUDGED] = BREAKER_IGNORED, [UPSTREAM_GOOD] = BREAKER_SUCCESS,
        [UPSTREAM_BAD] = BREAKER_FAILURE,      [UPSTREAM_BUSY] = BREAKER_FAILURE,
        [UPSTREAM_SLOW] = BREAKER_IGNORED,
    };

    if (breaker_report(&health->breaker, call->pass, verdicts[call->verdict], now_us))
        tell_of_breaker(health, now_us);
}

/* ---- the limit ---- */

static void report_to_limit(struct upstream_health *health, const struct upstream_call *call,
                            uint64_t now_us)
{
    static const enum adaptive_verdict verdicts[] = {
        [UPSTREAM_UNJUDGED] = ADAPTIVE_IGNORED, [UPSTREAM_GOOD] = ADAPTIVE_FINISHED,
        [UPSTREAM_BAD] = ADAPTIVE_IGNORED,      [UPSTREAM_BUSY] = ADAPTIVE_DROPPED,
        [UPSTREAM_SLOW] = ADAPTIVE_IGNORED,
    };

    if (adaptive_limit_report(&health->limit, call->started_us, call->in_flight,
                              verdicts[call->verdict], now_us))
        limiter_lane_resize(health->lane, adaptive_limit_get(&health->limit), now_us);
}

/* ---- all together ---- */

/* One that was given up took at least as long as it was waited for; left out, the slow ones would
 * be missing, and what counts as slow would become ever faster. */
static bool has_time(enum upstream_verdict verdict)
{
    return verdict == UPSTREAM_GOOD || verdict == UPSTREAM_SLOW;
}

/* Of two threads that do this at once one may be lost, which does no harm. */
static void note_usual(struct upstream_health *health, uint64_t time_us)
{
    uint64_t usual_us = atomic_load_explicit(&health->usual_us, memory_order_relaxed);

    if (usual_us == 0)
        usual_us = time_us;
    else
        usual_us = (usual_us * USUAL_WEIGHT + time_us) / (USUAL_WEIGHT + 1);
    atomic_store_explicit(&health->usual_us, usual_us, memory_order_relaxed);
}

uint64_t upstream_health_usual_us(const struct upstream_health *health)
{
    return atomic_load_explicit(&health->usual_us, memory_order_relaxed);
}

void upstream_health_report(struct upstream_health *health, const struct upstream_call *call,
                            uint64_t now_us)
{
    if (health->settings->has_breaker)
        report_to_breaker(health, call, now_us);
    if (call->started_us == 0)
        return;
    if (health->is_adaptive)
        report_to_limit(health, call, now_us);
    if (!has_time(call->verdict))
        return;
    note_usual(health, now_us - call->started_us);
    if (health->times != NULL)
        quantile_add(health->times, now_us - call->started_us, now_us);
}

/* ---- extra requests ---- */

void upstream_health_note_first(struct upstream_health *health, uint64_t now_us)
{
    if (health->spends)
        retry_budget_deposit(&health->budget, now_us);
}

bool upstream_health_take_extra(struct upstream_health *health, uint64_t now_us)
{
    return retry_budget_withdraw(&health->budget, now_us);
}

struct quantile *upstream_health_times(struct upstream_health *health)
{
    return health->times;
}

void upstream_health_look(struct upstream_health *health, uint64_t now_us,
                          struct upstream_health_view *view)
{
    *view = (struct upstream_health_view){
        .has_breaker = health->settings->has_breaker,
        .extra_available = retry_budget_available(&health->budget, now_us),
        .is_adaptive = health->is_adaptive,
        .hedge_delay_us = health->settings->hedge.delay_us,
    };
    if (health->times != NULL)
        quantile_read(health->times, health->settings->hedge.part, now_us, &view->hedge_delay_us);
    if (view->has_breaker)
        breaker_look(&health->breaker, now_us, &view->breaker);
    if (view->is_adaptive)
        view->baseline_us = adaptive_limit_baseline_us(&health->limit);
}
