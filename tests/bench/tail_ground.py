"""What the parts of a tail comparison share: upstreams, callers, percentiles, goals.

Callers are callers.c. An answer's latency counts from the time when its request was to be sent.
"""

import collections
import contextlib
import dataclasses
import json
import math
import pathlib
import statistics
import subprocess
import time

from measure import FetchCounter, core_busy_seconds, wait_until_idle
from programs import ENVIRONMENT, Unfit, compile_program, start_delayed
from report import print_table

GIVE_UP_MS = 3000
ADDRESS = "127.0.0.1"  # of callers who do not have one each


@dataclasses.dataclass
class Answer:
    group: int
    latency_ms: float
    status: int  # 0: none came
    is_complete: bool
    body: str  # where it was asked for, or the answer is not complete

    @property
    def is_whole(self):
        return self.status == 200 and self.is_complete


@dataclasses.dataclass
class Goal:
    what: str
    wanted: str
    reached: str
    is_met: bool


@dataclasses.dataclass
class Played:
    """What became of the requests of one run."""

    answers: list
    fetches: int  # that the upstream got
    seconds: float  # from before the first until nothing was left

    def complete(self):
        return [one for one in self.answers if one.is_whole]


@dataclasses.dataclass
class Ground:
    """Where everything runs."""

    directory: pathlib.Path
    service_core: int  # None: any
    other_core: int
    speed: float  # how many times shorter all measurements are
    foreign: list = dataclasses.field(default_factory=list)  # shares of the service's core

    @contextlib.contextmanager
    def upstream(self):
        with start_delayed(self.directory, self.other_core) as upstream:
            upstream.counter = FetchCounter(upstream)
            yield upstream

    def ask(self, service, seconds, *groups, give_up_ms=GIVE_UP_MS, bodies=False):
        """Lets callers ask: "ADDRESS,rate=N" or "ADDRESS,busy=N" for each group."""
        command = [compile_program("callers"), "-g", give_up_ms, *(["-b"] if bodies else [])]
        command += ["-s", len(self.foreign)]  # the same in each comparison, another in each run
        command += [service.port, "/fetch-multiple", seconds / self.speed, *groups]
        cpu, busy, start = service.cpu_seconds(), core_busy_seconds(self.service_core), clock()
        done = subprocess.run(
            [str(word) for word in command],
            env=ENVIRONMENT,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
            timeout=seconds + give_up_ms / 1000 + 20,
        )
        own = service.cpu_seconds() - cpu
        busy = core_busy_seconds(self.service_core) - busy
        self.foreign.append(max(0.0, busy - own) / (clock() - start))
        answers = [read_line(line) for line in done.stdout.splitlines()]
        if not answers:
            raise Unfit("nobody asked")
        return answers

    def play(self, service, upstream, *arguments, **options):
        """The same, with the fetches that this cost."""
        start, before = clock(), upstream.counter.read()
        answers = self.ask(service, *arguments, **options)
        wait_until_idle(service, upstream.counter)
        return Played(answers, upstream.counter.read() - before, clock() - start)


def clock():
    return time.monotonic()


def read_line(line):
    group, _, latency_us, status, is_complete, *body = line.split(" ", 5)
    return Answer(
        group=int(group),
        latency_ms=int(latency_us) / 1000,
        status=int(status) if status.isdigit() else 0,
        is_complete=is_complete == "1",
        body=body[0] if body else "",
    )


def percentile(values, percent):
    """By nearest rank: exact, of all values. Of none: infinite."""
    ordered = sorted(values)
    rank = math.ceil(len(ordered) * percent / 100)
    return ordered[max(rank, 1) - 1] if ordered else math.inf


def latencies(answers):
    """Who has no answer waits forever."""
    return [one.latency_ms if one.status else math.inf for one in answers]


def fetch_times(answers, but=None):
    """elapsed_ms of the results but those of one upstream; infinite where it is not ok."""
    return [
        result["elapsed_ms"] if result["ok"] else math.inf
        for one in answers
        if one.status
        for result in json.loads(one.body)["results"]
        if result["id"] != but
    ]


def urls(upstream, paths):
    return {
        f"u{number:03}": f"{upstream.url}/{path}/u{number:03}" for number, path in enumerate(paths)
    }


def milliseconds(value):
    if math.isinf(value):
        return "no answer"
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}"


def median_percentile(rounds, percent):
    """Of each round's values, so that a disturbance of one of them does no harm."""
    return statistics.median(percentile(values, percent) for values in rounds)


def reason(answer):
    """The first error in it, as far as it says."""
    if not answer.body.startswith("{"):
        return f"status {answer.status}: {answer.body}"
    document = json.loads(answer.body)
    errors = document.get("errors", [document])
    return errors[0].get("code", errors[0]) if errors else f"status {answer.status}"


def change(before, after):
    """How many times the 99th percentile is as high; of rounds that took turns."""
    each = [percentile(two, 99) / percentile(one, 99) for one, two in zip(before, after)]
    return statistics.median(each)


def whole_latencies(answers):
    """An answer that lacks something counts as none."""
    return [one.latency_ms if one.is_whole else math.inf for one in answers]


def tell_failures(title, answers):
    """Where nothing is overloaded, all are to be answered in full."""
    failed = [one for one in answers if not one.is_whole]
    if failed:
        reasons = collections.Counter(reason(one) for one in failed).most_common(3)
        counts = ", ".join(f"{count} {what}" for what, count in reasons)
        print(f"{title}: {len(failed)} of {len(answers)} answers are not complete: {counts}")


def print_part(title, headings, rows):
    print(f"{title}\n")
    print_table(headings, rows)
