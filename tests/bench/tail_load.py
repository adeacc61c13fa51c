"""Load: upstreams that all fail, more requests than can be served, and one greedy caller."""

import math

from compare import progress
from tail_ground import (
    ADDRESS,
    Goal,
    change,
    latencies,
    median_percentile,
    milliseconds,
    percentile,
    print_part,
    whole_latencies,
)
from tail_services import GATHER, NGINX, RETRYING_GATHER, Fanoutd, begun, present

# ---- every upstream fails ----

FAILING_FAN_OUT = 10
FAILING_RATE = 100
FAILING_SECONDS = 6
BUDGET = 20  # percent
FLOOR = 3  # a second

RETRIES = f"retries = 2 retry_budget = {BUDGET} retry_budget_floor = {FLOOR}"
RETRYING = Fanoutd("fanoutd, retries = 2", fetching=f"{RETRIES} breaker = false")
RETRYING_BREAKER = Fanoutd("fanoutd, retries = 2, breaker", fetching=f"{RETRIES} breaker = true")


def allowed_extra(played):
    """Of the first attempts, and for each second begun by each upstream."""
    seconds = math.floor(played.seconds) + 2  # at most so many were begun
    firsts = len(played.answers) * FAILING_FAN_OUT
    return firsts * BUDGET // 100 + FLOOR * seconds * FAILING_FAN_OUT


def play_failing(ground, service):
    group = f"{ADDRESS},rate={FAILING_RATE}"
    with begun(ground, service, ["fail"] * FAILING_FAN_OUT, may_fail=True) as (program, upstream):
        return ground.play(program, upstream, FAILING_SECONDS, group)


def failing(ground):
    rows, goals = [], []
    for service in present(RETRYING, RETRYING_BREAKER, RETRYING_GATHER, GATHER):
        progress(f"failing: {service.title}")
        played = play_failing(ground, service)
        firsts = len(played.answers) * FAILING_FAN_OUT
        extra, allowed = played.fetches - firsts, allowed_extra(played)
        p99 = milliseconds(percentile(latencies(played.answers), 99))
        counts = [str(firsts), str(played.fetches), f"{extra / firsts:+.1%}"]
        rows.append([service.title, *counts, p99])
        if service is RETRYING:
            what = f"failing: {service.title}: extra requests"
            goals.append(Goal(what, f"at most {allowed}", str(extra), extra <= allowed))
    print_part(
        f"failing: every upstream answers 503 at once; {FAILING_RATE} requests a second, "
        f"{FAILING_FAN_OUT} fetches each",
        ["service", "fetches", "requests the upstreams got", "extra", "answer p99 ms"],
        rows,
    )
    return goals


# ---- twice what can be served ----

OVERLOAD_FAN_OUT = 5
OVERLOAD_PATHS = ["20"] * OVERLOAD_FAN_OUT
OVERLOAD_IN_FLIGHT = 64
OVERLOAD_DEADLINE_MS = 250
OVERLOAD_TIMES = 2
OVERLOAD_SECONDS = 6
CAPACITY_SECONDS = 3
CAPACITY_CALLERS = 32  # two and a half times as many fetches as slots, so that none is idle
LEAST_GOODPUT = 0.9

UNSHED = Fanoutd("fanoutd, shed_target = none", "shed_target = none")
SHEDDING = Fanoutd("fanoutd, shed_target = 5ms", "shed_target = 5ms")


def in_time(answers):
    return [one for one in answers if one.latency_ms <= OVERLOAD_DEADLINE_MS]


def play_overload(ground, service, group, seconds):
    limits = {"in_flight": OVERLOAD_IN_FLIGHT, "deadline_ms": OVERLOAD_DEADLINE_MS}
    with begun(ground, service, OVERLOAD_PATHS, **limits) as (program, upstream):
        return ground.play(program, upstream, seconds, group, give_up_ms=1000)


def measure_capacity(ground, service):
    """Whole answers a second to callers who ask again at once."""
    group = f"{ADDRESS},busy={CAPACITY_CALLERS}"
    played = play_overload(ground, service, group, CAPACITY_SECONDS)
    return len(played.complete()) / (CAPACITY_SECONDS / ground.speed)


def overload_row(ground, service, capacity):
    """Its line, and its goals."""
    group = f"{ADDRESS},rate={OVERLOAD_TIMES * capacity}"
    played = play_overload(ground, service, group, OVERLOAD_SECONDS)
    complete = played.complete()
    good = len(in_time(complete)) / (OVERLOAD_SECONDS / ground.speed) / capacity
    p99 = percentile(latencies(complete), 99)
    counts = [f"{capacity:.0f}", str(len(played.answers)), str(len(complete)), f"{good:.0%}"]
    cells = [milliseconds(percentile(latencies(complete), percent)) for percent in (50, 99)]
    refused = percentile(latencies(one for one in played.answers if one.status == 503), 50)
    what = f"overload: {service.title}:"
    return [service.title, *counts, *cells, milliseconds(refused)], [
        Goal(
            f"{what} goodput", f"at least {LEAST_GOODPUT:.0%}", f"{good:.0%}", good >= LEAST_GOODPUT
        ),
        Goal(
            f"{what} p99 of whole answers",
            f"at most {OVERLOAD_DEADLINE_MS} ms",
            f"{milliseconds(p99)} ms",
            p99 <= OVERLOAD_DEADLINE_MS,
        ),
    ]


def overload(ground):
    rows, goals = [], []
    for service in present(UNSHED, SHEDDING, GATHER):
        progress(f"overload: {service.title}")
        if service is not SHEDDING:  # what it can serve is what it can without shedding
            capacity = measure_capacity(ground, service)
        row, reached = overload_row(ground, service, capacity)
        rows.append(row)
        goals += reached if service is SHEDDING else []
    print_part(
        f"overload: {OVERLOAD_TIMES} times as many requests as can be served; "
        f"{OVERLOAD_IN_FLIGHT} fetches at once, of 20 ms each, {OVERLOAD_FAN_OUT} for an answer;\n"
        f"good are those in full and within {OVERLOAD_DEADLINE_MS} ms",
        ["service", "capacity/s", "asked", "whole", "good, of capacity"]
        + ["whole p50 ms", "whole p99 ms", "503 p50 ms"],
        rows,
    )
    return goals


# ---- one caller of ten asks for a hundred times as much ----

# Not one time for all: slots that are taken at once would be free at once, and whoever comes in
# between had to wait for that, whatever turns are taken.
GREEDY_PATHS = [str(delay) for delay in range(11, 30, 2)]
GREEDY_IN_FLIGHT = 200
GREEDY_CALLERS = 10  # each at its own address
GREEDY_TIMES = 100
GREEDY_ROUNDS = 4
GREEDY_SECONDS = 1.5
MOST_CHANGE = 2

FAIR_REQUESTS = Fanoutd("fanoutd, fair_by = request", "fair_by = request")
FAIR_ADDRESSES = Fanoutd("fanoutd, fair_by = address", "fair_by = address")


def greedy_groups(times):
    """The first one is the greedy one."""
    counts = [times] + [1] * (GREEDY_CALLERS - 1)
    return [f"127.0.0.{11 + number},busy={count}" for number, count in enumerate(counts)]


def play_greedy(ground, service):
    """Rounds of what the others' answers took, without and with the greedy one."""
    rounds = ([], [])
    limits = {"in_flight": GREEDY_IN_FLIGHT}
    with begun(ground, service, GREEDY_PATHS, **limits) as (program, upstream):
        for _ in range(GREEDY_ROUNDS):
            for is_greedy, times in enumerate((1, GREEDY_TIMES)):
                played = ground.play(program, upstream, GREEDY_SECONDS, *greedy_groups(times))
                others = [one for one in played.answers if one.group != 0]
                rounds[is_greedy].append(whole_latencies(others))
    return rounds


def greedy(ground):
    rows, goals = [], []
    for service in present(FAIR_REQUESTS, FAIR_ADDRESSES, GATHER, NGINX):
        progress(f"greedy: {service.title}")
        rounds = play_greedy(ground, service)
        cells = [
            milliseconds(median_percentile(one, percent)) for one in rounds for percent in (50, 99)
        ]
        times = change(*rounds)
        rows.append([service.title, *cells, f"{times:.1f}x"])
        if service is FAIR_ADDRESSES:
            what = f"greedy: {service.title}: the others' p99, times that without"
            wanted = f"less than {MOST_CHANGE}x"
            goals.append(Goal(what, wanted, f"{times:.2f}x", times < MOST_CHANGE))
    print_part(
        f"greedy: one caller of {GREEDY_CALLERS} keeps {GREEDY_TIMES} requests under way, the "
        f"others 1; {GREEDY_IN_FLIGHT} fetches at once\n"
        f"(but nginx has no such limit), {len(GREEDY_PATHS)} of 11 to 29 ms for an answer; "
        "what the others' answers took",
        ["service", "all alike: p50 ms", "p99 ms", "one greedy: p50 ms", "p99 ms", "p99 change"],
        rows,
    )
    return goals
