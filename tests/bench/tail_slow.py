"""Slow upstreams: a few answers that are late, and one upstream that hangs."""

import contextlib
import dataclasses
import itertools

from compare import progress
from tail_ground import (
    ADDRESS,
    Goal,
    change,
    fetch_times,
    latencies,
    median_percentile,
    milliseconds,
    percentile,
    print_part,
    tell_failures,
    urls,
    whole_latencies,
)
from tail_services import GATHER, NGINX, Fanoutd, begun, present, setting

# ---- one answer in a hundred takes twenty times as long ----

LATE_PATH = "5,100,100"  # milliseconds, those of the slow ones, one in how many
FAN_OUTS = {10: (400, 150), 50: (300, 40), 100: (100, 20)}  # requests a second; to gather fewer
LATE_ROUNDS = 3
LATE_SECONDS = 2.3
WARM_UP_SECONDS = 1.5  # as much as is needed to know what is slow
GOAL_FAN_OUT = 50
LEAST_GAIN = 5
MOST_EXTRA = 0.05

PLAIN = Fanoutd("fanoutd")
HEDGING = Fanoutd("fanoutd, hedge = p95", fetching="hedge = p95")
HEDGING_LATE = Fanoutd("fanoutd, hedge = 20ms", fetching="hedge = 20ms")


@dataclasses.dataclass
class Late:
    """What one service did."""

    rate: int
    rounds: list = dataclasses.field(default_factory=list)  # of what answers took
    fetches: int = 0  # that it was asked for
    requests: int = 0  # that the upstreams got

    def p99(self):
        return median_percentile(self.rounds, 99)

    def extra(self):
        return self.requests / self.fetches - 1

    def cells(self):
        together = list(itertools.chain(*self.rounds))
        return [
            str(self.rate),
            str(len(together)),
            milliseconds(median_percentile(self.rounds, 50)),
            milliseconds(self.p99()),
            milliseconds(percentile(together, 99.9)),
            f"{self.extra():.1%}",
        ]


def play_late(ground, fan_out, rates):
    """All services, in turn."""
    found = {}
    with contextlib.ExitStack() as stack:
        for service in present(PLAIN, HEDGING, HEDGING_LATE, GATHER, NGINX):
            progress(f"late: {fan_out} fetches: starting {service.title}")
            scene = begun(ground, service, [LATE_PATH] * fan_out, in_flight=4096)
            program, upstream = stack.enter_context(scene)
            rate = rates[service is GATHER]
            ground.ask(program, WARM_UP_SECONDS, f"{ADDRESS},rate={rate}")
            found[service] = (Late(rate), program, upstream)
        for number in range(LATE_ROUNDS):
            for service, (late_one, program, upstream) in found.items():
                progress(f"late: {fan_out} fetches, round {number + 1}: {service.title}")
                group = f"{ADDRESS},rate={late_one.rate}"
                played = ground.play(program, upstream, LATE_SECONDS, group)
                tell_failures(f"late: {fan_out} fetches, {service.title}", played.answers)
                late_one.rounds.append(whole_latencies(played.answers))
                late_one.fetches += len(played.answers) * fan_out
                late_one.requests += played.fetches
    return {service: late_one for service, (late_one, *_) in found.items()}


def late_goals(found):
    if HEDGING not in found or PLAIN not in found:
        return []
    gain, extra = found[PLAIN].p99() / found[HEDGING].p99(), found[HEDGING].extra()
    what = f"late: fan-out of {GOAL_FAN_OUT}, hedged:"
    return [
        Goal(f"{what} p99 lower by", f"at least {LEAST_GAIN}x", f"{gain:.1f}x", gain >= LEAST_GAIN),
        Goal(
            f"{what} extra requests",
            f"at most {MOST_EXTRA:.0%}",
            f"{extra:.1%}",
            extra <= MOST_EXTRA,
        ),
    ]


def late(ground):
    rows, goals = [], []
    for fan_out, rates in FAN_OUTS.items():
        found = play_late(ground, fan_out, rates)
        for service, late_one in found.items():
            rows.append([f"{fan_out}: {service.title}", *late_one.cells()])
        if fan_out == GOAL_FAN_OUT:
            goals = late_goals(found)
    print_part(
        "late: 1 % of the upstreams' answers take 100 ms, the others 5 ms; whole answers\n"
        f"(p50 and p99 are medians of {LATE_ROUNDS} rounds in turn)",
        [
            "fetches in an answer: service",
            "a second",
            "answers",
            "p50 ms",
            "p99 ms",
            "p99.9 ms",
            "extra requests",
        ],
        rows,
    )
    return goals


# ---- one upstream of ten hangs ----

HANGING_ONE = "u004"
HANGING_FAN_OUT = 10
HANGING_PATH = "20"
HANGING_TIMEOUT_MS = 500
HANGING_DEADLINE_MS = 600
HANGING_RATE = 200  # a second: 100 fetches at once would wait for what hangs
HANGING_IN_FLIGHT = 128  # for all; 40 are needed
HANGING_ROUNDS = 5
HANGING_SECONDS = 1.8
MOST_CHANGE = 1.1

BULKHEADS = Fanoutd("fanoutd", fetching="max_in_flight = 32")
BREAKING = Fanoutd("fanoutd, breaker = true", fetching="max_in_flight = 32 breaker = true")


def hanging_setting(ground, upstream, hangs):
    upstreams = urls(upstream, [HANGING_PATH] * HANGING_FAN_OUT)
    if hangs:
        upstreams[HANGING_ONE] = f"{upstream.url}/hang/{HANGING_ONE}"
    return setting(
        ground,
        upstreams,
        HANGING_TIMEOUT_MS,
        may_fail=True,
        in_flight=HANGING_IN_FLIGHT,
        deadline_ms=HANGING_DEADLINE_MS,
    )


def play_hanging(ground, service):
    """For each, without and with what hangs: rounds of the others' times, and of the whole's."""
    fetches, answers = ([], []), ([], [])
    with contextlib.ExitStack() as stack:
        upstream = stack.enter_context(ground.upstream())
        programs = [
            stack.enter_context(service.start(hanging_setting(ground, upstream, hangs)))
            for hangs in (False, True)
        ]
        for _ in range(HANGING_ROUNDS):
            for hangs, program in enumerate(programs):
                group = f"{ADDRESS},rate={HANGING_RATE}"
                asked = ground.ask(program, HANGING_SECONDS, group, bodies=True)
                fetches[hangs].append(fetch_times(asked, HANGING_ONE))
                answers[hangs].append(latencies(asked))
    return fetches, answers


def hanging_cells(fetches, answers):
    cells = []
    for hangs in (False, True):
        cells += [milliseconds(median_percentile(fetches[hangs], part)) for part in (50, 99)]
        cells.append(milliseconds(median_percentile(answers[hangs], 99)))
    return cells


def hanging(ground):
    rows, goals = [], []
    for service in present(BULKHEADS, BREAKING, GATHER):
        progress(f"hanging: {service.title}")
        fetches, answers = play_hanging(ground, service)
        rows.append([service.title, *hanging_cells(fetches, answers)])
        times = change(*fetches)
        if service is not GATHER:
            what = f"hanging: {service.title}: p99 of the other upstreams, times that without"
            wanted = f"at most {MOST_CHANGE}x"
            goals.append(Goal(what, wanted, f"{times:.2f}x", times <= MOST_CHANGE))
    print_part(
        f"hanging: one upstream of {HANGING_FAN_OUT} never answers, for which "
        f"{HANGING_TIMEOUT_MS} ms are waited; {HANGING_RATE} requests a second;\n"
        "how long the other upstreams' results took, and the whole answer",
        ["service", "p50 ms", "p99 ms", "whole p99", "one hangs: p50 ms", "p99 ms", "whole p99"],
        rows,
    )
    return goals
